// Filters and orders by what the collection declares.
import { ask } from "./api.js";
import { alertOf, byId, make } from "./dom.js";
import { isAsked } from "./query.js";
import { collection, describe } from "./session.js";
import { t } from "./texts.js";

const BUILT_IN = { format: "text", taken_at: "date" };
const FORMATS = ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "HEIF", "DNG", "NEF", "CR2", "CR3", "ARW", "RAF", "ORF", "RW2"];
const MAX_FACETS = 10;
const END_OF_DAY = "T23:59:59.999"; // by the clock of the place

const [panel, order, opener] = ["filters", "order", "filter-button"].map(byId);
let asked;

function boundsOf(kind, clause) {
  return ["gte", "lte"].map((name) => {
    const value = kind === "date" ? clause?.[name]?.slice(0, 10) : clause?.[name];
    return make("label", {}, t(`filter_${name}`), make("input", { name, type: kind, step: "any", value }));
  });
}

function choicesOf(values, clause) {
  return values.map((value) => {
    const checked = (clause?.in ?? [clause]).includes(value);
    const input = make("input", { type: "checkbox", value: String(value), checked });
    return make("label", {}, input, value === String(value) ? value : t(`filter_${value}`));
  });
}

function clauseOf(kind, inputs) {
  const chosen = inputs.filter((input) => input.checked).map(({ value }) => (kind === "boolean" ? value === "true" : value));
  if (chosen.length) return { in: chosen };
  const bounds = inputs.filter(({ name, value }) => name && value).map(({ name, value }) => {
    if (kind === "number") return [name, Number(value)];
    return [name, name === "lte" ? value + END_OF_DAY : value];
  });
  return bounds.length && Object.fromEntries(bounds);
}

async function fillPanel() {
  const { fields } = await describe();
  const facets = Object.keys(fields).filter((name) => ["text", "tags"].includes(fields[name])).slice(0, MAX_FACETS);
  const { data } = await ask("POST", "/api/v1/search", { json: { collection: collection(), limit: 1, facets } });
  const valuesOf = (name) => (name === "format" ? FORMATS : (data.facets?.[name] ?? []).map(({ value }) => value));
  const groups = Object.entries({ ...BUILT_IN, ...fields }).map(([name, kind]) => {
    const isRange = kind === "number" || kind === "date";
    const values = kind === "boolean" ? [true, false] : valuesOf(name);
    const inputs = isRange ? boundsOf(kind, asked.filter[name]) : choicesOf(values, asked.filter[name]);
    const title = make("legend", {}, name in BUILT_IN ? t(`field_${name}`) : name);
    return make("fieldset", { dataset: { name, kind }, hidden: !inputs.length }, title, make("div", { className: "row" }, ...inputs));
  });
  panel.replaceChildren(...groups);
}

async function fillOrders() {
  const { fields } = await describe().catch(() => ({ fields: {} }));
  const orders = { "": t(isAsked(asked) ? "order_relevance" : "order_newest"), "-taken_at": t("order_taken") };
  for (const name in fields) if (fields[name] !== "tags") Object.assign(orders, { [name]: `${name} ↑`, [`-${name}`]: `${name} ↓` });
  order.replaceChildren(...Object.entries(orders).map(([value, text]) => new Option(text, value)));
  order.value = asked.order;
}

export const showPanel = () => panel.hidden || fillPanel().catch((error) => alertOf(error.message));

export function showFilters(now) {
  asked = now;
  opener.ariaPressed = Object.keys(asked.filter).length > 0;
  fillOrders();
}

export function mountFilters(change) {
  opener.onclick = () => {
    panel.hidden = !panel.hidden;
    opener.ariaExpanded = !panel.hidden;
    showPanel();
  };
  panel.onchange = ({ target }) => {
    const { dataset, elements } = target.closest("[data-name]");
    const filter = { ...asked.filter, [dataset.name]: clauseOf(dataset.kind, [...elements]) };
    if (!filter[dataset.name]) delete filter[dataset.name];
    change({ filter });
  };
  order.onchange = () => change({ order: order.value });
}
