// Filters and orders, made of what the collection declares.
import { ask } from "./api.js";
import { alertOf, button, byId, make } from "./dom.js";
import { isAsked } from "./query.js";
import { collection, describe } from "./session.js";
import { number, t } from "./texts.js";

const BUILT_IN = { format: "text", width: "number", taken_at: "date" };
const FORMATS = ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "HEIF"].map((value) => ({ value }));
const BOOLEANS = [true, false].map((value) => ({ value, label: t(`filter_${value}`) }));
const MAX_FACETS = 10;
const MAX_CHOICES = 24;
const SIGNS = { "gte:": "≥ ", "lte:": "≤ ", "lt:": "< ", "in:": "" };
const DAY_MS = 86400000;

const panel = byId("filters");
let asked;

const labelOf = (name) => (name in BUILT_IN ? t(`field_${name}`) : name);
const isRange = (kind) => kind === "number" || kind === "date";
const dayOff = (day, days) => day && new Date(Date.parse(day) + days * DAY_MS).toISOString().slice(0, 10);

/** The inputs of a field; dates are days, and the last one counts whole. */
function inputsOf(kind, clause, choices = []) {
  const bounds = { from: clause?.gte, to: kind === "date" ? dayOff(clause?.lt, -1) : clause?.lte };
  if (isRange(kind)) return Object.entries(bounds).map(([end, value]) => make("label", {}, t(`filter_${end}`), make("input", { type: kind, step: "any", value })));
  return choices.slice(0, MAX_CHOICES).map(({ value, label = value, count }) => {
    const input = make("input", { type: "checkbox", value, checked: (clause?.in ?? [clause]).includes(value) });
    return make("label", {}, input, label, count && make("span", { className: "muted" }, number(count)));
  });
}

/** What they say, if anything. */
function clauseOf(kind, inputs) {
  if (isRange(kind)) {
    const [gte, to] = inputs.map(({ value }) => value && (kind === "date" ? value : Number(value)));
    const clause = { ...(gte !== "" && { gte }), ...(to !== "" && (kind === "date" ? { lt: dayOff(to, 1) } : { lte: to })) };
    return Object.keys(clause).length && clause;
  }
  const chosen = inputs.filter((input) => input.checked).map(({ value }) => (kind === "boolean" ? value === "true" : value));
  return chosen.length && { in: chosen };
}

async function fillPanel() {
  const { fields } = await describe();
  const facets = Object.keys(fields).filter((name) => ["text", "tags"].includes(fields[name])).slice(0, MAX_FACETS);
  const json = { collection: collection(), limit: 1, include: [], facets };
  const counted = facets.length ? (await ask("POST", "/api/v1/search", { json })).data.facets : {};
  const groups = Object.entries({ ...BUILT_IN, ...fields }).map(([name, kind]) => {
    const inputs = inputsOf(kind, asked.filter[name], kind === "boolean" ? BOOLEANS : { format: FORMATS, ...counted }[name]);
    return make("fieldset", { dataset: { name, kind }, hidden: !inputs.length }, make("legend", {}, labelOf(name)), make("div", { className: "row" }, ...inputs));
  });
  panel.replaceChildren(...groups);
}

function readPanel() {
  const filter = { ...asked.filter };
  for (const { dataset, elements } of panel.children) {
    filter[dataset.name] = clauseOf(dataset.kind, [...elements]);
    if (!filter[dataset.name]) delete filter[dataset.name];
  }
  return filter;
}

async function fillOrders() {
  const orders = { "": t(isAsked(asked) ? "order_relevance" : "order_newest"), "-taken_at": t("order_taken") };
  if (isAsked(asked)) orders["-created_at"] = t("order_newest");
  const { fields } = await describe().catch(() => ({ fields: {} }));
  for (const name in fields) if (fields[name] !== "tags") Object.assign(orders, { [name]: `${name} ↑`, [`-${name}`]: `${name} ↓` });
  orders[asked.order] ??= asked.order;
  byId("order").replaceChildren(...Object.entries(orders).map(([value, text]) => new Option(text, value)));
  byId("order").value = asked.order;
}

const show = () => panel.hidden || fillPanel().catch((error) => alertOf(error.message));

/** Show what is asked; `isOutside`: the panel did not say it. */
export function showFilters(now, isOutside) {
  asked = now;
  const clauses = Object.entries(asked.filter).map(([name, clause]) => {
    const said = JSON.stringify(clause).replace(/[{}[\]"]/g, "").replace(/\b(gte|lte|lt|in):/g, (sign) => SIGNS[sign]);
    const { [name]: gone, ...filter } = asked.filter;
    const text = `${labelOf(name)}: ${said.replaceAll(",", ", ")}`;
    return button(`${text} ×`, () => tell({ filter }), "chip", t("filter_remove", { filter: text }));
  });
  byId("clauses").replaceChildren(...clauses);
  if (isOutside) show();
  fillOrders();
}

let tell;

/** `change` takes the filter or the order that was chosen. */
export function mountFilters(change) {
  tell = change;
  byId("filter-button").addEventListener("click", ({ target }) => {
    panel.hidden = !panel.hidden;
    target.ariaExpanded = !panel.hidden;
    show();
  });
  panel.addEventListener("change", () => change({ filter: readPanel() }));
  byId("order").addEventListener("change", ({ target }) => change({ order: target.value }));
}
