// Filters and orders by what the collection declares.
import {post} from "./api.js";
import {attempt, button, byId, labelled, make, row} from "./dom.js";
import {isAsked} from "./query.js";
import {collection, describe} from "./session.js";
import {fieldName, number, t} from "./texts.js";
import {complete} from "./typing.js";

const BUILT_IN = {format: "text", taken_at: "date"};
const WRITTEN = {tags: "tags", people: "tags", "place.city": "text", "place.country": "text", camera: "text"}; // by files
const MAX_FACETS = 10;
const MAX_LISTED = 50; // values of a facet
const END_OF_DAY = "T23:59:59.999"; // by the clock of the place

const [panel, order, opener] = ["filters", "order", "filter-button"].map(byId);
let asked;
let changed;
const named = new Map(); // by clause: its label, and the words it stood for
const keyOf = (...clause) => JSON.stringify(clause);

function inclusive(clause) {
	if (!/^\d{4}-\d\d-\d\d$/.test(clause?.lt)) return clause;
	const {lt, ...rest} = clause;
	return {...rest, lte: new Date(Date.parse(lt) - 1).toISOString().slice(0, 10)};
}

function boundsOf(kind, given) {
	const clause = inclusive(given);
	return ["gte", "lte"].map(name => {
		const value = kind === "date" ? clause?.[name]?.slice(0, 10) : clause?.[name];
		return labelled(`filter_${name}`, make("input", {name, type: kind, step: "any", value}));
	});
}

const LABELS = "labels.";
const nameOf = (value, name = "") => {
	if (name.startsWith(LABELS) && value === "other") return t("label_other");
	return typeof value === "string" ? value : t(`filter_${value}`);
};

function choicesOf(name, values, clause, counts) {
	return values.map(value => {
		const checked = (clause?.in ?? [clause]).includes(value);
		const input = make("input", {type: "checkbox", value: String(value), checked});
		const count = counts?.get(value);
		return make("label", {}, input, nameOf(value, name), count && make("small", {}, ` ${number(count)}`));
	});
}

function typedValue(name) {
	const list = make("datalist", {id: `values-${name}`});
	const label = `${titleOf(name)}: ${t("filter_other")}`;
	const input = make("input", {list: list.id, placeholder: t("filter_other"), "aria-label": label});
	complete(input, list, name);
	return [input, list];
}

// As pictures have it, whatever its case.
function meant({value, list}) {
	const known = [...list.options].map(option => option.value);
	return known.find(one => one.toLowerCase() === value.trim().toLowerCase()) ?? value.trim();
}

function clauseOf(kind, inputs) {
	const chosen = inputs.filter(input => input.checked).map(({value}) => (kind === "boolean" ? value === "true" : value));
	chosen.push(...inputs.filter(({list}) => list).map(meant).filter(Boolean));
	if (chosen.length) return {in: chosen};
	const valueOf = ({name, value}) => (kind === "number" ? Number(value) : name === "lte" ? value + END_OF_DAY : value);
	const bounds = inputs.filter(({name, value}) => name && value).map(input => [input.name, valueOf(input)]);
	return bounds.length && Object.fromEntries(bounds);
}

const titleOf = name => (name in BUILT_IN || name in WRITTEN ? fieldName(name) : name.replace(LABELS, ""));

function sentenceOf(name, given) {
	const clause = inclusive(given);
	if (named.has(keyOf(name, given))) return named.get(keyOf(name, given)).label;
	if (name === "or" && Array.isArray(given)) return [...new Set(given.flatMap(one => Object.entries(one ?? {})).map(one => sentenceOf(...one)))].join(" / ");
	if (clause?.within) return t("map_around", {km: number(clause.within.km, {maximumSignificantDigits: 2})});
	const {in: values = [], gte, lte, ...others} = clause ?? {};
	if (typeof clause !== "object" || !Array.isArray(values) || Object.keys(others).length) return `${titleOf(name)}: ${JSON.stringify(clause)}`;
	const bounds = Object.entries({gte, lte}).filter(([, value]) => value !== undefined);
	const told = bounds.map(([key, value]) => `${t(`filter_${key}`)} ${String(value).replace(END_OF_DAY, "")}`);
	return `${titleOf(name)}: ${[...values.map(value => nameOf(value, name)), ...told].join(", ")}`;
}

function showChosen() {
	const chips = Object.entries(asked.filter).map(([name, clause]) => {
		const text = sentenceOf(name, clause);
		const {[name]: gone, ...rest} = asked.filter;
		const {words = ""} = named.get(keyOf(name, clause)) ?? {};
		const remove = () => {
			changed({filter: rest, words: `${asked.words} ${words}`.trim()});
			(byId("chosen-filters").lastChild ?? opener).focus();
		};
		return button(`${text} ×`, remove, "chip", t("filter_remove", {text}));
	});
	byId("chosen-filters").replaceChildren(...chips);
}

export function showSuggested(suggested) {
	const chips = suggested.map(({text, filter, query}) => {
		const use = () => {
			for (const clause of Object.entries(filter)) named.set(keyOf(...clause), {label: text, words: text});
			changed({words: query, filter: {...asked.filter, ...filter}});
			byId("chosen-filters").lastChild?.focus();
		};
		return button(t("only", {text}), use, "chip");
	});
	byId("suggested-filters").replaceChildren(...chips);
}

async function fillPanel() {
	const {fields: declared, label_sets: sets} = await describe();
	const labels = Object.fromEntries(sets.map(name => [LABELS + name, "labels"]));
	const fields = {...BUILT_IN, ...labels, ...WRITTEN, ...declared};
	const facets = Object.keys(fields).filter(name => ["labels", "text", "tags"].includes(fields[name])).slice(0, MAX_FACETS);
	const {facets: counts} = await post("/api/v1/search", {collection: collection(), limit: 1, facets});
	const choices = (name, kind) => {
		const clause = asked.filter[name];
		const counted = new Map((counts?.[name] ?? []).map(({value, count}) => [value, count]));
		const values = kind === "boolean" ? [true, false] : new Set([...counted.keys(), ...[clause?.in ?? []].flat()]);
		const isMore = kind !== "boolean" && (counted.size === MAX_LISTED || !facets.includes(name));
		return [...choicesOf(name, [...values], clause, counted), ...(isMore ? typedValue(name) : [])];
	};
	const groups = Object.entries(fields).map(([name, kind]) => {
		const isRange = kind === "number" || kind === "date";
		const inputs = isRange ? boundsOf(kind, asked.filter[name]) : choices(name, kind);
		const title = make("legend", {}, titleOf(name));
		return make("fieldset", {dataset: {name, kind}, hidden: !inputs.length}, title, row(...inputs));
	});
	panel.replaceChildren(...groups);
	await showMap();
}

async function showMap() {
	const {mapOf} = await import("./map.js");
	const map = await mapOf(asked.filter, (position, place) => {
		named.set(keyOf("position", position), {label: place});
		changed({filter: {...asked.filter, position}});
	});
	panel.querySelector(".whole")?.remove();
	panel.append(map ?? "");
}

async function fillOrders() {
	const {fields} = await describe().catch(() => ({fields: {}}));
	const orders = {"": t(isAsked(asked) ? "order_relevance" : "order_newest"), "-taken_at": t("order_taken")};
	for (const name in fields) if (fields[name] !== "tags") Object.assign(orders, {[name]: `${name} ↑`, [`-${name}`]: `${name} ↓`});
	order.replaceChildren(...Object.entries(orders).map(([value, text]) => new Option(text, value)));
	order.value = asked.order;
}

export const showPanel = () => panel.hidden || attempt("filters", fillPanel);

export function showFilters(now) {
	asked = now;
	showChosen();
	opener.ariaPressed = Object.keys(asked.filter).length > 0;
	fillOrders();
}

export function mountFilters(change) {
	changed = changes => {
		change(changes);
		showPanel(); // it shows them too
	};
	opener.onclick = () => {
		panel.hidden = !panel.hidden;
		opener.ariaExpanded = !panel.hidden;
		showPanel();
	};
	panel.onchange = ({target}) => {
		const {dataset, elements} = target.closest("[data-name]");
		const filter = {...asked.filter, [dataset.name]: clauseOf(dataset.kind, [...elements])};
		if (!filter[dataset.name]) delete filter[dataset.name];
		change({filter});
		if (target.list) showPanel();
	};
	order.onchange = () => change({order: order.value, at: ""});
}
