// Which collection is looked at, and what is known of it.
import { ask } from "./api.js";
import { alertOf, byId } from "./dom.js";

const DEFAULT = "default";
let known = {};
let last;

export const collection = () => new URLSearchParams(location.search).get("collection") || DEFAULT;

/** Forget what is known of it: its fields or counts have changed. */
export const forget = () => void (known = {});

/** GET /api/v1/collections/{name} of the chosen one, asked once. */
export function describe() {
  const name = collection();
  if (known.name !== name) known = { name, details: ask("GET", `/api/v1/collections/${encodeURIComponent(name)}`) };
  known.details.catch(forget);
  return known.details.then(({ data }) => data);
}

function offer(names) {
  const choice = byId("collection");
  const all = new Set([...choice.options].map((one) => one.value).concat(names));
  choice.replaceChildren(...[...all].sort().map((name) => new Option(name)));
  choice.value = collection();
}

async function refresh() {
  forget();
  try {
    for (let cursor = ""; cursor !== null; ) {
      const { data } = await ask("GET", "/api/v1/collections", { query: { limit: 100, cursor } });
      offer(data.collections.map((one) => one.name));
      cursor = data.next_cursor;
    }
  } catch (error) {
    alertOf(error.message);
  }
}

function choose({ target }) {
  const url = new URL(location);
  for (const name of ["image", "hit", "filter", "order"]) url.searchParams.delete(name);
  url.searchParams.set("collection", target.value);
  history.pushState(null, "", url);
  notice();
}

function notice() {
  offer([collection()]);
  if (last && last !== collection()) dispatchEvent(new Event("collectionchange"));
  last = collection();
}

byId("collection").addEventListener("change", choose);
addEventListener("popstate", notice);
addEventListener("keychange", refresh);
notice();
refresh();
