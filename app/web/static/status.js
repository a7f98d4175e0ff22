// How all is, in words for everybody; behind "Details" the model, the index and its recall.
import { ask, hasKey } from "./api.js";
import { button, make } from "./dom.js";
import { fill, keepUp, linkTo, table } from "./jobs.js";
import { collection } from "./session.js";
import { bytes, dateTime, number, t } from "./texts.js";

const MOST_JOBS = 100; // that are counted
const LITTLE_ROOM = 5e9; // bytes on the disk
const share = (fraction) => number(fraction, { style: "percent", maximumFractionDigits: 1 });
const get = async (path, query) => (await ask("GET", path, { query })).data;

const FACTS = {
  collection: { image_count: number, coverage: share, created_at: dateTime },
  model: { model: String, pretrained: String, fingerprint: String, device: String },
  index: { storage: String, m: String, ef_search: String },
  recall: { recall: share, text_recall: share, picture_recall: share, worst_decile: share, unreachable: number },
};
const lists = {};

function card(key, ...children) {
  lists[key] = make("dl");
  return make("div", { className: "card" }, make("h2", {}, t(`status_${key}`)), lists[key], ...children);
}

function showFacts(key, known) {
  const lineOf = ([name, write]) => [make("dt", {}, t(`status_${name}`)), make("dd", {}, (known[name] ?? "") === "" ? "–" : write(known[name]))];
  fill(lists[key], ...Object.entries(FACTS[key]).flatMap(lineOf));
}

const sentence = (text, isBad) => make("p", { className: isBad && "bad" }, text);

/** Of pictures without a vector: only jobs that are under way will give them one. */
function searchableOf({ image_count: pictures, coverage }) {
  if (!pictures) return sentence(t("status_empty"));
  const searchable = Math.round(pictures * coverage);
  const key = searchable === pictures ? "status_all_searchable" : "status_some_searchable";
  return sentence(t(key, { pictures: number(pictures), searchable: number(searchable) }));
}

const roomOf = (free) => free !== null && sentence(t(free < LITTLE_ROOM ? "status_little_room" : "status_room", { room: bytes(free) }), free < LITTLE_ROOM);

const backupOf = (free, saved) => free !== null && sentence(saved ? t("status_backup", { when: dateTime(saved) }) : t("status_no_backup"));

/** Only an admin's key makes others. */
async function showKeys(place, role) {
  if (role !== "admin" || !hasKey()) place.replaceChildren();
  else if (!place.hasChildNodes()) place.replaceChildren((await import("./keys.js")).keysCard());
}

/** The vectors of another model or index beside those that are searched, where there are any. */
async function showGenerations(place) {
  const { data } = await get(`/api/v1/collections/${encodeURIComponent(collection())}/generations`);
  const heads = ["status_state", "status_model", "status_storage", "status_vectors", "status_size", "status_recall"];
  const lineOf = (one) => [t(`status_${one.status}`), `${one.model} ${one.pretrained}`, one.storage, number(one.vectors), bytes(one.bytes), one.recall === null ? "–" : share(one.recall)];
  fill(place, ...(data.length > 1 ? [table("status_generations", heads, data.map(lineOf))] : []));
}

async function showAll(summary, keys, generations) {
  const [known, ready, { version, free_disk_bytes: free, backed_up_at: saved, role }] = await Promise.all([
    get(`/api/v1/collections/${encodeURIComponent(collection())}`),
    get("/readyz"),
    get("/api/v1/status"),
  ]);
  const [running, pending] = await Promise.all(["running", "pending"].map(async (status) => (await get("/api/v1/jobs", { status, limit: MOST_JOBS })).data.length));
  const work = t(running + pending ? "status_work" : "status_no_work", { running: number(running), pending: number(pending) });
  fill(summary, ...[searchableOf(known), sentence(work), roomOf(free), backupOf(free, saved), sentence(t("status_version", { version }))].filter(Boolean));
  await Promise.all([showKeys(keys, role), showGenerations(generations)]);
  for (const key of ["collection", "model", "index"]) showFacts(key, { ...ready, ...known });
}

const CODE = /`([^`]*)`/; // its matches are the odd parts of a split

/** What is new, loaded when somebody wants to know; the changelog is English. */
function notesOf() {
  const told = make("div", { className: "notes", lang: "en", tabindex: 0 });
  const entry = (note) => make("li", {}, ...note.split(CODE).map((part, at) => (at % 2 ? make("code", {}, part) : part)));
  const ontoggle = async () => {
    if (told.hasChildNodes()) return;
    const groups = await get("/api/v1/release-notes").catch(({ message }) => message);
    fill(told, ...(groups.data?.flatMap(({ title, notes }) => [make("h3", {}, title), make("ul", {}, ...notes.map(entry))]) ?? [groups]));
  };
  return make("details", { ontoggle }, make("summary", {}, t("status_notes")), told);
}

function recallCard() {
  const told = make("p", { className: "muted", role: "status" }, t("status_recall_what"));
  const measure = async () => {
    fill(told, t("status_measuring"));
    const found = get(`/api/v1/collections/${collection()}/recall`).then((known) => showFacts("recall", known));
    fill(told, await found.catch(({ message }) => message) ?? t("status_recall_what"));
  };
  return card("recall", told, button(t("status_recall_now"), measure));
}

function ratingCard() {
  const worst = make("div");
  const whole = card("worst", worst);
  const shown = (mean) => number(mean, { maximumFractionDigits: 1 });
  const lineOf = ({ query, mean, ratings }) => [linkTo("search", { q: query }, query), shown(mean), number(ratings)];
  keepUp(whole, async () => {
    const { worst_queries } = await get("/api/v1/feedback/summary", { collection: collection() });
    const heads = ["status_query", "status_mean", "status_ratings"];
    fill(worst, worst_queries.length ? table("status_worst", heads, worst_queries.map(lineOf)) : sentence(t("status_no_ratings")));
  });
  return whole;
}

export function mountStatus(section) {
  const summary = make("div", { className: "summary" });
  const first = make("div", { className: "card" }, make("h2", {}, t("status_summary")), summary, notesOf(), linkTo("add", { view: "add" }, t("status_see")));
  const cards = [...["collection", "model", "index"].map((key) => card(key)), recallCard()];
  const generations = make("div");
  const details = make("details", {}, make("summary", {}, t("status_details")), make("div", { className: "cards" }, ...cards), generations);
  const keys = make("div");
  addEventListener("keychange", () => keys.replaceChildren());
  section.append(make("div", { className: "cards" }, first, ratingCard()), keys, details);
  keepUp(section, () => showAll(summary, keys, generations));
}
