// The search view: from what a person types, drops, pastes or chooses to an answer on the page.
import { ask, pictureUrl } from "./api.js";
import { alertOf, announce, button, byId, make } from "./dom.js";
import { mountFilters, showFilters } from "./filters.js";
import { fill, showMore, shown } from "./grid.js";
import * as query from "./query.js";
import { ratingOf } from "./rating.js";
import { number, percent, t } from "./texts.js";
import { mountViewer, openedBy, showHit } from "./viewer.js";

const PAUSE_MS = 250;
const DEMO = "demo model";
const ADDRESS = /^https?:\/\/\S+$/;
const PICTURE_NAME = /\.(heic|heif|avif|tiff?)$/i; // of types that not all browsers know

const [grid, words, without, weight] = ["grid", "words", "without", "weight"].map(byId);
let asked;
let answered; // the key of what the grid shows, or will
let cursor; // of the page after it, until it is asked for
let controller;
let timer;
let isSettled; // the address was not made by typing: typing makes a new one

const isVisible = () => !byId("search-view").hidden;
const hitOf = () => Number(new URLSearchParams(location.search).get("hit"));

/** Ask something else, as a new place in the history; `isTyped`: in the place of what was typed before. */
function change(changes, isTyped) {
  clearTimeout(timer);
  asked = { ...asked, ...changes };
  if (query.keyOf(asked) !== query.keyOf(query.fromAddress())) {
    history[isTyped && !isSettled ? "replaceState" : "pushState"](query.stateOf(asked), "", query.addressOf(asked));
  }
  isSettled = !isTyped;
  showAsked(!("weight" in changes));
  search();
}

/** Ask what the form says; a picture's address among the words is a picture. */
function submit(isTyped) {
  const said = { words: words.value.trim(), without: without.value.trim(), weight: Number(weight.value) };
  if (!ADDRESS.test(said.words)) return change(said, isTyped);
  return change({ words: "", picture: query.pictureOfUrl(said.words) });
}

function typed({ inputType }) {
  clearTimeout(timer);
  if (!/^https?:/.test(words.value) || inputType === "insertFromPaste") timer = setTimeout(submit, PAUSE_MS, true);
}

async function fetchPage(json, use) {
  const { signal } = controller;
  cursor = null;
  try {
    const { data } = await ask("POST", "/api/v1/search", { json, signal });
    cursor = data.next_cursor;
    alertOf();
    use(data);
  } catch (error) {
    if (signal.aborted) return;
    answered = null;
    showMore(false);
    alertOf(error.status ? error.message : t("offline"));
  }
  grid.ariaBusy = false;
}

function search() {
  const key = query.keyOf(asked);
  if (answered === key) return;
  answered = key;
  controller?.abort();
  controller = new AbortController();
  grid.ariaBusy = true;
  fetchPage(query.requestOf(asked), (data) => {
    showAnswer(data);
    fill(data, true);
    showHit(hitOf());
  });
}

function loadMore() {
  if (!cursor) return;
  fetchPage({ cursor, include: query.include }, (data) => {
    fill(data);
    announce(t("more_shown", { count: number(shown().length) }));
  });
}

function sentenceOf({ pictures, hits, underfilled, total, no_match: isNone, took_ms: took }) {
  if (!pictures) return t("empty");
  if (!hits.length) return underfilled ?? t("none");
  if (total !== null) return t(Object.keys(asked.filter).length ? "listed" : "newest", { total: number(total) });
  return t(isNone ? "no_match" : "best", { pictures: number(pictures), ms: number(Math.ceil(took.encode + took.database)) });
}

function showAnswer(data) {
  const { pictures, coverage, token, hits, model } = data;
  const parts = [
    make("p", {}, sentenceOf(data)),
    coverage < 1 && make("p", {}, t("coverage", { share: percent(coverage) })),
    !pictures && make("a", { className: "button primary", href: "/?view=add", dataset: { view: "add" } }, t("empty_add")),
    token && hits.length && ratingOf(token, null, t("rate_answer")),
    model === DEMO && make("p", { className: "note" }, make("strong", {}, DEMO), ` ${t("demo")}`),
  ];
  byId("answer").replaceChildren(...parts.filter(Boolean));
  byId("answer").hidden = false;
  announce(`${sentenceOf(data)} ${t("more_shown", { count: number(hits.length) })}`);
}

/** Bring the page in line with what is asked; `isOutside`: the fields did not say it. */
function showAsked(isOutside) {
  if (isOutside) [words.value, without.value, weight.value] = [asked.words, asked.without, asked.weight];
  byId("balance").hidden = !(asked.words && asked.picture);
  byId("examples").hidden = query.isAsked(asked);
  document.querySelector("nav a").href = query.addressOf(asked);
  showFilters(asked, isOutside);
  showPicture(asked.picture);
}

function showPicture(picture) {
  const chip = byId("query-picture");
  chip.hidden = !picture;
  if (!picture) return;
  const { name, preview } = picture;
  const image = preview ? make("img", { alt: name, title: name, width: 32, height: 32 }) : make("span", {}, name);
  if (preview) pictureUrl(preview).then((url) => (image.src = url), () => {});
  const remove = () => {
    change({ picture: null });
    words.focus();
  };
  chip.replaceChildren(image, button("×", remove, "icon quiet", t("picture_remove")));
}

/** Search with a picture that was dropped, pasted or chosen: one of ours, a file, or an address. */
async function take(files, address) {
  const url = ADDRESS.test(address) && new URL(address);
  const hit = url.origin === location.origin && url.searchParams.get("hit");
  const file = [...files].find(({ type, name }) => type.startsWith("image/") || PICTURE_NAME.test(name));
  if (hit) change({ picture: query.pictureOfId(Number(hit)) });
  else if (file) change({ picture: await query.pictureOfFile(file) });
  else if (url) change({ picture: query.pictureOfUrl(address) });
  else alertOf(t("no_picture"));
}

function dragged(event) {
  const { types, files } = event.dataTransfer;
  const isMeant = isVisible() && (types.includes("Files") || types.includes("text/uri-list"));
  byId("drop").hidden = !isMeant || event.type !== "dragover";
  if (!isMeant) return;
  event.preventDefault();
  if (event.type === "drop") take(files, event.dataTransfer.getData("text/uri-list").split(/\s/)[0]);
}

/** Show what the address asks for. */
export function showSearch() {
  asked = query.fromAddress();
  isSettled = true;
  showAsked(true);
  if (answered === query.keyOf(asked)) showHit(hitOf());
  else search();
}

function again() {
  answered = null;
  if (isVisible()) showSearch();
  else document.querySelector("nav a").href = "/";
}

mountViewer((id) => change({ words: "", without: "", picture: query.pictureOfId(id) }));
mountFilters(change);
for (const field of [words, without, weight]) field.addEventListener("input", typed);
byId("search-form").addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
for (const name of ["picture-file", "picture-camera"]) {
  byId(name).addEventListener("change", async ({ target }) => {
    await take(target.files);
    target.value = "";
  });
}
byId("examples").append(...t("example_words").split("|").map((example) => button(example, () => change({ words: example }), "chip")));
byId("more").addEventListener("click", loadMore);
grid.addEventListener("click", (event) => {
  const id = openedBy(event);
  if (!id) return;
  history.pushState({ ...history.state, isOpened: true }, "", query.hitAddress(id));
  showHit(id);
});
for (const name of ["dragover", "dragleave", "drop"]) document.addEventListener(name, dragged);
document.addEventListener("paste", ({ clipboardData: { files } }) => isVisible() && files.length && take(files));
for (const name of ["collectionchange", "keychange"]) addEventListener(name, again);
