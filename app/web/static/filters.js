// Filters and orders by what the collection declares.
import { ask } from "./api.js";
import { alertOf, button, byId, make } from "./dom.js";
import { isAsked } from "./query.js";
import { collection, describe } from "./session.js";
import { number, t } from "./texts.js";

const BUILT_IN = { format: "text", taken_at: "date" };
const WRITTEN = { tags: "tags", people: "tags", "place.city": "text", "place.country": "text", camera: "text" }; // by files
const FORMATS = ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "HEIF", "DNG", "NEF", "CR2", "CR3", "ARW", "RAF", "ORF", "RW2"];
const MAX_FACETS = 10;
const END_OF_DAY = "T23:59:59.999"; // by the clock of the place

const [panel, order, opener] = ["filters", "order", "filter-button"].map(byId);
let asked;
let changed; // whom to tell
const named = new Map(); // what clauses are called, and the words that they stood for, by clause
const keyOf = (...clause) => JSON.stringify(clause);

/** A clause with the last day in place of the first one after it. */
function inclusive(clause) {
  if (!/^\d{4}-\d\d-\d\d$/.test(clause?.lt)) return clause;
  const { lt, ...rest } = clause;
  return { ...rest, lte: new Date(Date.parse(lt) - 1).toISOString().slice(0, 10) };
}

function boundsOf(kind, given) {
  const clause = inclusive(given);
  return ["gte", "lte"].map((name) => {
    const value = kind === "date" ? clause?.[name]?.slice(0, 10) : clause?.[name];
    return make("label", {}, t(`filter_${name}`), make("input", { name, type: kind, step: "any", value }));
  });
}

const nameOf = (value) => (typeof value === "string" ? value : t(`filter_${value}`));

function choicesOf(values, clause, counts) {
  return values.map((value) => {
    const checked = (clause?.in ?? [clause]).includes(value);
    const input = make("input", { type: "checkbox", value: String(value), checked });
    const count = counts?.get(value);
    return make("label", {}, input, nameOf(value), count && make("small", {}, ` ${number(count)}`));
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

const titleOf = (name) => (name in BUILT_IN || name in WRITTEN ? t(`field_${name.replace(".", "_")}`) : name);

/** What is said of one clause: its values, or its bounds; an end of a day is the day. */
function sentenceOf(name, given) {
  const clause = inclusive(given);
  if (named.has(keyOf(name, given))) return named.get(keyOf(name, given)).label;
  if (name === "or" && Array.isArray(given)) return [...new Set(given.flatMap(Object.entries).map((one) => sentenceOf(...one)))].join(" / ");
  if (clause?.within) return t("map_around", { km: number(clause.within.km, { maximumSignificantDigits: 2 }) });
  const { in: values, gte, lte, ...others } = clause ?? {};
  if (typeof clause !== "object" || Object.keys(others).length) return `${titleOf(name)}: ${JSON.stringify(clause)}`;
  const bounds = Object.entries({ gte, lte }).filter(([, value]) => value !== undefined);
  const told = bounds.map(([key, value]) => `${t(`filter_${key}`)} ${String(value).replace(END_OF_DAY, "")}`);
  return `${titleOf(name)}: ${(values?.map(nameOf) ?? told).join(", ")}`;
}

/** Each filter in force as a button that takes it away. */
function showChosen() {
  const chips = Object.entries(asked.filter).map(([name, clause]) => {
    const text = sentenceOf(name, clause);
    const { [name]: gone, ...rest } = asked.filter;
    const { words = "" } = named.get(keyOf(name, clause)) ?? {};
    const remove = () => changed({ filter: rest, words: `${asked.words} ${words}`.trim() });
    return button(`${text} ×`, remove, "chip", t("filter_remove", { text }));
  });
  byId("chosen-filters").replaceChildren(...chips);
}

/** What could be a filter is offered: one click takes it out of the words. */
export function showSuggested(suggested) {
  const chips = suggested.map(({ text, filter, query }) => {
    const use = () => {
      for (const clause of Object.entries(filter)) named.set(keyOf(...clause), { label: text, words: text });
      changed({ words: query, filter: { ...asked.filter, ...filter } });
      byId("chosen-filters").lastChild?.focus();
    };
    return button(t("only", { text }), use, "chip");
  });
  byId("suggested-filters").replaceChildren(...chips);
}

async function fillPanel() {
  const fields = { ...WRITTEN, ...(await describe()).fields };
  const facets = Object.keys(fields).filter((name) => ["text", "tags"].includes(fields[name])).slice(0, MAX_FACETS);
  const { data } = await ask("POST", "/api/v1/search", { json: { collection: collection(), limit: 1, facets } });
  const counted = (name) => new Map((data.facets?.[name] ?? []).map(({ value, count }) => [value, count]));
  const valuesOf = (name) => (name === "format" ? FORMATS : [...counted(name).keys()]);
  const groups = Object.entries({ ...BUILT_IN, ...fields }).map(([name, kind]) => {
    const isRange = kind === "number" || kind === "date";
    const values = kind === "boolean" ? [true, false] : valuesOf(name);
    const inputs = isRange ? boundsOf(kind, asked.filter[name]) : choicesOf(values, asked.filter[name], counted(name));
    const title = make("legend", {}, titleOf(name));
    return make("fieldset", { dataset: { name, kind }, hidden: !inputs.length }, title, make("div", { className: "row" }, ...inputs));
  });
  panel.replaceChildren(...groups);
  await showMap();
}

/** Where positions are kept, the pictures on a map: one click shows those of a place. */
async function showMap() {
  const { mapOf } = await import("./map.js");
  const map = await mapOf(asked.filter, (position, place) => {
    named.set(keyOf("position", position), { label: place });
    changed({ filter: { ...asked.filter, position } });
    showPanel();
  });
  panel.querySelector(".whole")?.remove();
  panel.append(map ?? "");
}

async function fillOrders() {
  const { fields } = await describe().catch(() => ({ fields: {} }));
  const orders = { "": t(isAsked(asked) ? "order_relevance" : "order_newest"), "-taken_at": t("order_taken") };
  for (const name in fields) if (fields[name] !== "tags") Object.assign(orders, { [name]: `${name} ↑`, [`-${name}`]: `${name} ↓` });
  order.replaceChildren(...Object.entries(orders).map(([value, text]) => new Option(text, value)));
  order.value = asked.order;
}

export const showPanel = () => panel.hidden || fillPanel().catch((error) => alertOf(error.message, "filters"));

export function showFilters(now) {
  asked = now;
  showChosen();
  opener.ariaPressed = Object.keys(asked.filter).length > 0;
  fillOrders();
}

export function mountFilters(change) {
  changed = change;
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
  order.onchange = () => change({ order: order.value, at: "" });
}
