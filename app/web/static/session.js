// Which collection is looked at, and what is known of it.
import { ask } from "./api.js";
import { alertOf, byId } from "./dom.js";

const DEFAULT = "default";
const choice = byId("collection");
let known;

export const collection = () => new URLSearchParams(location.search).get("collection") || DEFAULT;

export function addressIn(address) {
  const url = new URL(address, location);
  if (collection() !== DEFAULT) url.searchParams.set("collection", collection());
  return url;
}

export const forget = () => void (known = null);

/** What the service tells of it, asked once. */
export async function describe() {
  const name = collection();
  if (known?.name !== name) known = (await ask("GET", `/api/v1/collections/${encodeURIComponent(name)}`)).data;
  return known;
}

function offer(names) {
  const others = [...choice.options].map(({ value }) => value);
  const all = [...new Set([...others, ...names, collection()])].sort();
  choice.replaceChildren(...all.map((name) => new Option(name, name, false, name === collection())));
}

async function refresh() {
  forget();
  try {
    for (let cursor = ""; cursor !== null; ) {
      const { data: page } = await ask("GET", "/api/v1/collections", { query: { limit: 100, cursor } });
      offer(page.data.map(({ name }) => name));
      cursor = page.next_cursor;
    }
    alertOf("", "collections"); // a key has been given meanwhile
  } catch (error) {
    alertOf(error.message, "collections");
  }
}

function notice() {
  offer([]);
  dispatchEvent(new Event("collectionchange"));
}

/** Look at another collection. */
export function visit(name) {
  const url = new URL(location);
  for (const one of ["image", "hit", "filter", "order", "at"]) url.searchParams.delete(one);
  url.searchParams.set("collection", name);
  history.pushState(null, "", url);
  notice();
}

/** The one that is looked at has another name, or is gone: look at that of this name. */
export function rename(name) {
  [...choice.options].find(({ value }) => value === collection())?.remove();
  visit(name);
}

choice.onchange = () => visit(choice.value);
byId("collections").onclick = async () => (await import("./collections.js")).openCollections();
addEventListener("popstate", () => choice.value === collection() || notice());
addEventListener("keychange", refresh);
offer([]);
refresh();
