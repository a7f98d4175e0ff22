// The search view: from what a person gives to an answer.
import { ask } from "./api.js";
import { alertOf, announce, button, byId, imageOf, make, onLinks } from "./dom.js";
import { filesOf } from "./dropped.js";
import { mountFilters, showFilters, showPanel, showSuggested } from "./filters.js";
import { fill, shown } from "./grid.js";
import { ADDRESS, addressOf, fromAddress, include, isAsked, isByTime, keyOf, MOST_PICTURES, pictureAt, pictureOfFiles, requestOf, TILE } from "./query.js";
import { ratingOf } from "./rating.js";
import { stop } from "./selection.js";
import { remember, showRecent } from "./typing.js";
import { number, t } from "./texts.js";
import { mountViewer, showHit } from "./viewer.js";

const PAUSE_MS = 250;
const DEMO = "demo model";
const MAX_UNUSED = 80; // characters

const [form, grid, chip] = ["search-form", "grid", "query-picture"].map(byId);
const fields = ["words", "without", "weight"].map(byId);
const [words, without, weight] = fields;
let asked;
let answered; // the key of what the grid shows
let cursor; // of the next page
let controller;
let timer;
let isTyping; // typing on takes the same place in the history

const isVisible = () => grid.checkVisibility();

function change(changes, isTyped) {
  clearTimeout(timer);
  asked = { ...asked, ...changes };
  const method = isTyped && isTyping ? "replaceState" : "pushState";
  if (keyOf(asked) !== keyOf(fromAddress())) history[method]({ place: asked.picture?.place }, "", addressOf(asked));
  isTyping = isTyped;
  showAsked();
}

/** Ask what the form says; an address is a picture's. */
function submit(isTyped) {
  const said = words.value.trim();
  if (!isTyped) remember(said);
  if (ADDRESS.test(said)) change({ words: "", picture: pictureAt(said) });
  else change({ words: said, without: without.value.trim(), weight: Number(weight.value) }, isTyped);
}

function typed() {
  clearTimeout(timer);
  if (!/^https?:/.test(words.value)) timer = setTimeout(submit, PAUSE_MS, true);
}

function showAsked() {
  for (const field of fields) if (field.value.trim() !== `${asked[field.id]}`) field.value = asked[field.id];
  byId("balance").hidden = !(asked.words && asked.picture);
  byId("examples").hidden = isAsked(asked);
  if (isAsked(asked)) byId("recent").hidden = true;
  else showRecent((text) => change({ words: text }));
  byId("rail").hidden = !isByTime(asked);
  if (isByTime(asked)) showMonths().catch((error) => alertOf(error.message, "months"));
  showFilters(asked);
  showPicture(asked.picture);
  if (answered === keyOf(asked)) return showHit();
  answered = keyOf(asked);
  stop(); // selecting: these pictures go
  controller?.abort();
  controller = new AbortController();
  grid.ariaBusy = true;
  return fetchPage(requestOf(asked), true);
}

async function showMonths() {
  await (await import("./rail.js")).showRail(asked.filter, asked.at);
}

async function fetchPage(json, isFirst) {
  const { signal } = controller;
  cursor = null;
  try {
    const { data } = await ask("POST", "/api/v1/search", { query: { thumbnail_size: TILE }, json, signal });
    cursor = data.next_cursor;
    alertOf("", "search");
    fill(data, isFirst, isByTime(asked), asked.words);
    if (isFirst) {
      showAnswer(data);
      showSuggested(data.suggested_filters);
    }
    announce(`${isFirst ? `${sentenceOf(data)} ${unusedOf(data)}` : ""} ${t("more_shown", { count: number(shown.length) })}`);
  } catch (error) {
    if (signal.aborted) return;
    answered = null;
    cursor = json.cursor;
    alertOf(error.status ? error.message : t("offline"), "search");
  }
  grid.ariaBusy = false;
}

function sentenceOf({ collection_size: pictures, hits, total, no_match: isNone, timings_ms: took }) {
  if (!pictures) return t("empty");
  if (!hits.length) return t("none");
  if (total !== null) return t("newest", { total: number(total) });
  const key = hits[0].lexical_rank ? "best_words" : "best";
  return t(isNone ? "no_match" : key, { pictures: number(pictures), ms: number(Math.ceil(took.encode + took.database)) });
}

/** What of a long text the model has not read. */
function unusedOf({ unused_text: text }) {
  return text ? t("unused", { text: text.length > MAX_UNUSED ? `${text.slice(0, MAX_UNUSED)}…` : text }) : "";
}

function showAnswer(data) {
  const { collection_size: pictures, token, hits, model } = data;
  const parts = [
    make("p", {}, sentenceOf(data)),
    !pictures && make("a", { className: "button primary", href: "./?view=add", dataset: { view: "add" } }, t("empty_add")),
    token && hits.length && ratingOf(token, null, "answer"),
    unusedOf(data) && make("small", {}, unusedOf(data)),
    model === DEMO && make("small", {}, make("b", {}, DEMO), ` ${t("demo")}`),
  ];
  byId("answer").replaceChildren(...parts.filter(Boolean));
  showHit();
}

function showPicture(picture) {
  chip.hidden = !picture;
  if (!picture) return;
  const { name, previews } = picture;
  const images = previews.map((preview, at) => imageOf(preview, { alt: at ? "" : name, width: 32, height: 32 }));
  const remove = () => {
    change({ picture: null });
    words.focus();
  };
  chip.replaceChildren(...(images.length ? images : [name]), button("×", remove, "icon quiet", t("picture_remove")));
}

async function take(files, address) {
  const pictures = [...files].filter(({ type }) => !type || type.startsWith("image/")); // not all browsers know HEIC
  const isAddress = ADDRESS.test(address);
  if (pictures.length) change({ picture: await pictureOfFiles(pictures.slice(0, MOST_PICTURES)) });
  else if (isAddress) change({ picture: pictureAt(address) });
  const leftOut = pictures.length > MOST_PICTURES && t("too_many_pictures", { n: number(MOST_PICTURES) });
  alertOf(pictures.length || isAddress ? leftOut : t("no_picture"), "picture");
}

function dragged(event) {
  const { types, files } = event.dataTransfer;
  const isMeant = isVisible() && types.some((type) => type === "Files" || type === "text/uri-list");
  byId("drop").hidden = !isMeant || event.type !== "dragover";
  if (!isMeant) return;
  event.preventDefault();
  if (event.type !== "drop") return;
  const [address] = event.dataTransfer.getData("text/uri-list").split(/\s/);
  if (files.length) filesOf(event.dataTransfer).then(({ found }) => take(found, address));
  else take(files, address);
}

function pasted(event) {
  const [files, text] = [event.clipboardData.files, event.clipboardData.getData("text").trim()];
  if (!isVisible() || !(files.length || ADDRESS.test(text))) return;
  event.preventDefault();
  take(files, text);
}

export function showSearch() {
  asked = fromAddress();
  isTyping = false;
  showAsked();
  showPanel();
}

/** Ready to type in: where that brings no keyboard over the page, and takes the focus from nothing. */
export function focusWords() {
  if (matchMedia("(pointer: fine)").matches && document.activeElement === document.body) words.focus({ preventScroll: true });
}

function again() {
  answered = null;
  if (isVisible()) showSearch();
}

mountViewer((id) => change({ words: "", without: "", picture: pictureAt(id) }));
mountFilters(change);
onLinks("[data-at]", ({ dataset }) => {
  change({ at: dataset.at });
  scrollTo(0, 0);
});
grid.addEventListener("click", () => remember(asked.words)); // what is looked at was looked for
for (const field of fields) field.oninput = typed;
form.onsubmit = (event) => {
  event.preventDefault();
  submit();
};
form.onchange = async ({ target }) => {
  if (target.type !== "file") return;
  await take(target.files);
  target.value = "";
};
byId("examples").append(...t("example_words").split("|").map((example) => button(example, () => change({ words: example }), "chip")));
byId("more").onclick = () => cursor && fetchPage({ cursor, include });
for (const name of ["dragover", "dragleave", "drop"]) document.addEventListener(name, dragged);
document.onpaste = pasted;
for (const name of ["collectionchange", "keychange"]) addEventListener(name, again);
