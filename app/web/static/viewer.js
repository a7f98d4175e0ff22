// One picture, large, with what is known of it and what is like it.
import { ask, hasKey, pictureUrl } from "./api.js";
import { alertOf, announce, button, byId, imageOf, make, onLinks } from "./dom.js";
import { editorOf } from "./edit.js";
import { fileOf, nameOf, scoreOf, shown, tileOf } from "./grid.js";
import { hitAddress, thumbnailOf, TILE } from "./query.js";
import { ratingOf } from "./rating.js";
import { bytes, dateTime, number, t, wallClock } from "./texts.js";

const [SIMILAR, LARGE, MAX_COPIES] = [12, 1024, 24];
const SLIDE_MS = 4000;

const dialog = byId("viewer");
const [stage, title, told, editor, copies, facts, similar] = ["div", "h2", "div", "div", "div", "dl", "ul"].map((tag) => make(tag));
const previous = button("‹", () => move(-1), "icon previous", t("previous"));
const next = button("›", () => move(1), "icon next", t("next"));
const sign = (name) => byId(name).content.cloneNode(true);
const slides = button(sign("play"), () => play(!timer), "icon", t("slideshow"));
const expand = button(sign("expand"), fullScreen, "icon", t("full_screen"));
const tools = make("div", { className: "tools row" }, slides, document.fullscreenEnabled && expand);
let zoom; // loaded with the first picture
let timer; // of the slideshow
const save = make("a", { className: "button", onclick: saved }, t("download"));
const remove = button(t("select_delete"), () => removed().catch((error) => alertOf(error.message, "hit")), "bad");
let [items, at] = [[], 0];

const shownId = () => items[at]?.hit.id;
const askedId = () => Number(new URLSearchParams(location.search).get("hit"));

async function saved(event) {
  if (!hasKey() || save.href.startsWith("blob:")) return;
  event.preventDefault();
  save.href = await pictureUrl(save.getAttribute("href"));
  save.click();
}

async function copy() {
  await navigator.clipboard.writeText(location.href);
  announce(t("copied"));
}

async function removed() {
  const { deletePictures } = await import("./manage.js");
  await deletePictures([shownId()]);
  dialog.close();
}

function fullScreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else stage.requestFullscreen();
}

/** The next picture every few seconds, up to the last, as long as none is looked at closely. */
function play(isOn) {
  clearInterval(timer);
  timer = isOn && setInterval(() => {
    if (!zoom?.isZoomed() && !document.hidden) move(1);
    if (!items[at + 1] && byId("more").hidden) play(false);
  }, SLIDE_MS);
  slides.ariaPressed = Boolean(timer);
  if (isOn && !items[at + 1]) play(false);
}

function move(step) {
  if (!items[at + step]) return;
  at += step;
  draw();
  if (at > items.length - 4) byId("more").click();
}

function factsOf({ path, origin, width, height, format, bytes: length, taken_at: taken, created_at: created, metadata }) {
  const size = `${number(width)} × ${number(height)}, ${format}, ${bytes(length)}`;
  const known = { path, origin, size, taken_at: taken && wallClock(taken), created_at: dateTime(created) };
  const textOf = (value) => (typeof value === "string" ? value : JSON.stringify(value));
  const rowOf = (name, value) => [make("dt", {}, name), make("dd", {}, textOf(value))];
  const rows = Object.entries(known).flatMap(([name, value]) => (value ? rowOf(t(`field_${name}`), value) : []));
  return [...rows, ...Object.entries(metadata).flatMap((one) => rowOf(...one))];
}

function draw() {
  const { hit, token } = items[at];
  const { id, width, height, caption } = hit;
  history.replaceState(history.state, "", hitAddress(id));
  const image = imageOf(thumbnailOf(hit, LARGE), { alt: nameOf(hit), width, height });
  stage.querySelector("img")?.remove(); // the buttons keep the focus
  stage.prepend(image);
  zoom?.reset(image, id);
  [previous.disabled, next.disabled] = [!items[at - 1], !items[at + 1]];
  title.textContent = dialog.ariaLabel = nameOf(hit);
  if (!timer) title.focus(); // in a slideshow the focus stays where it can be stopped
  told.replaceChildren(make("p", {}, caption && fileOf(hit)), make("p", {}, scoreOf(hit)), token ? ratingOf(token, id, "hit") : "");
  if (token) import("./golden.js").then(({ marksOf }) => shownId() === id && told.append(marksOf(id)));
  Object.assign(save, { href: `api/v1/images/${id}/file`, download: fileOf(hit) });
  for (const list of [editor, copies, facts, similar]) list.replaceChildren();
  showCopies(hit).catch((error) => alertOf(error.message, "copies"));
  loadFacts(id).catch((error) => alertOf(error.message, "facts"));
}

/** Where else the same picture lies. */
async function showCopies({ id, duplicates = [] }) {
  const named = await Promise.all(duplicates.slice(0, MAX_COPIES).map((one) => ask("GET", `/api/v1/images/${one}`)));
  if (shownId() !== id || !named.length) return;
  const items = named.map(({ data }) => make("li", {}, make("a", { href: hitAddress(data.id), dataset: { hit: data.id } }, data.path ?? data.original_filename)));
  const rest = duplicates.length - named.length;
  if (rest) items.push(make("li", {}, t("copies", { n: number(rest) })));
  copies.replaceChildren(make("h3", {}, t("copies_title")), make("ol", {}, ...items));
}

async function loadFacts(id) {
  const paths = [`/api/v1/images/${id}`, `/api/v1/images/${id}/similar?limit=${SIMILAR}&thumbnail_size=${TILE}`];
  const [known, alike] = await Promise.all(paths.map((path) => ask("GET", path)));
  if (shownId() !== id) return;
  showFacts(known.data);
  similar.replaceChildren(...alike.data.hits.map(tileOf));
}

/** What is known, and a form to change what people say of it. */
function showFacts(known) {
  const { hit } = items[at];
  facts.replaceChildren(...factsOf(known));
  const changed = (now) => {
    hit.caption = now.caption;
    if (shownId() !== now.id) return;
    title.textContent = dialog.ariaLabel = nameOf(hit);
    showFacts(now);
    editor.querySelector("summary").focus();
  };
  editor.replaceChildren(editorOf(known, changed));
}

async function open(id) {
  const place = shown.findIndex(({ hit }) => hit.id === id);
  [items, at] = place < 0 ? [[{ hit: (await ask("GET", `/api/v1/images/${id}`)).data }], 0] : [shown, place];
  if (!dialog.open) dialog.showModal();
  draw();
  zoom ??= (await import("./zoom.js")).mountZoom(stage, move);
  zoom.reset(stage.querySelector("img"), shownId());
}

/** Open what the address names, or close. */
export function showHit() {
  const id = askedId();
  if (!id) dialog.close();
  else if (!dialog.open || shownId() !== id) open(id).then(() => alertOf("", "hit"), (error) => alertOf(error.message, "hit"));
}

onLinks("[data-hit]", ({ href }) => {
  if (dialog.open) history.replaceState(history.state, "", href);
  else history.pushState({ ...history.state, isOpened: true }, "", href);
  showHit();
});

export function mountViewer(onSearch) {
  const search = () => {
    onSearch(shownId());
    dialog.close();
  };
  const row = (...parts) => make("div", { className: "row" }, ...parts);
  stage.className = "stage";
  stage.append(previous, next, tools);
  title.tabIndex = -1;
  similar.ariaLabel = t("similar");
  const link = button(t("copy_link"), copy);
  link.hidden = !navigator.clipboard; // without HTTPS
  dialog.append(
    stage,
    make("div", { className: "side" },
      row(title, button("×", () => dialog.close(), "icon quiet", t("close"))), told,
      row(button(t("search_with_this"), search, "primary"), save, link, remove),
      editor, copies, facts, make("h3", {}, t("similar")), similar),
  );
  dialog.onkeydown = ({ target, key, altKey, ctrlKey, metaKey }) => {
    if (target.matches("input, textarea") || altKey || ctrlKey || metaKey) return;
    move({ ArrowLeft: -1, ArrowRight: 1 }[key]);
    zoom?.onKey(key);
  };
  dialog.onclose = () => {
    play(false);
    const isTyping = document.activeElement.matches("input, textarea"); // since Escape: this event comes a moment later
    if (!isTyping) shown.find(({ hit }) => hit.id === shownId())?.tile.firstChild.focus();
    if (!askedId()) return;
    if (history.state?.isOpened) history.back();
    else history.replaceState(history.state, "", hitAddress());
  };
}
