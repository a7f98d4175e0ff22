// The collection that is looked at.
import {askAll, get, hasKey} from "./api.js";
import {attempt, byId} from "./dom.js";
import {t} from "./texts.js";

const DEFAULT = "default";
const choice = byId("collection");
const {dataset} = document.documentElement;
let known;

// "reader", "writer" or "admin".
export const role = () => dataset.role;

export const asked = name => new URLSearchParams(location.search).get(name);

export const collection = () => asked("collection") || DEFAULT;

const pathOf = name => `/api/v1/collections/${encodeURIComponent(name)}`;

export const here = (path = "") => pathOf(collection()) + path;

export function addressIn(address) {
	const url = new URL(address, location);
	if (collection() !== DEFAULT) url.searchParams.set("collection", collection());
	return url;
}

// After something has changed.
export function forget() {
	known = null;
	countHeld();
}

async function countHeld() {
	const link = document.querySelector("nav [data-view=review]");
	const {total} = role() === "admin" ? await get(here("/review"), {limit: 1}).catch(() => ({})) : {};
	link.hidden = !total;
	link.textContent = `${t("view_review")} (${total})`;
}

export async function describe(name = collection()) {
	if (known?.name !== name) known = await get(pathOf(name));
	return known;
}

export function offer(names) {
	const others = [...choice.options].map(({value}) => value);
	const all = [...new Set([...others, ...names, collection()])].sort();
	choice.replaceChildren(...all.map(name => new Option(name, name, false, name === collection())));
}

// style.css hides what the role may not do.
function refresh() {
	attempt("collections", async () => {
		dataset.key = hasKey();
		dataset.role = (await get("/api/v1/status")).role;
		forget();
		offer((await askAll("/api/v1/collections")).map(({name}) => name));
	});
}

function notice() {
	offer([]);
	forget();
	dispatchEvent(new Event("collectionchange"));
}

export function visit(name) {
	const url = new URL(location);
	for (const one of ["image", "box", "hit", "filter", "order", "at"]) url.searchParams.delete(one);
	url.searchParams.set("collection", name);
	history.pushState(null, "", url);
	notice();
}

export function rename(name) {
	choice.selectedOptions[0].remove();
	visit(name);
}

choice.onchange = () => visit(choice.value);
byId("collections").onclick = async () => (await import("./collections.js")).openCollections();
addEventListener("popstate", () => choice.value === collection() || notice());
addEventListener("keychange", () => {
	refresh();
	dispatchEvent(new Event("collectionchange")); // others are seen
});
offer([]);
refresh();
