// One picture, large: what is known of it, what is like it, and the ways on from it.
import { ask, download, hasKey, pictureUrl } from "./api.js";
import { alertOf, announce, button, byId, make } from "./dom.js";
import { fileOf, nameOf, scoreOf, shown, tileOf } from "./grid.js";
import { hitAddress, thumbnail } from "./query.js";
import { ratingOf } from "./rating.js";
import { bytes, dateTime, number, t } from "./texts.js";

const SIMILAR = 12;

const dialog = byId("viewer");
const [image, title, told, facts, similar] = ["img", "h2", "div", "dl", "ul"].map((tag) => make(tag));
const previous = button("‹", () => move(-1), "icon", t("previous"));
const next = button("›", () => move(1), "icon", t("next"));
const save = make("a", { className: "button", onclick: saved }, t("download"));
let [items, at, opener] = [[], 0];

const hit = () => items[at].hit;
const isPlain = (event) => !(event.ctrlKey || event.metaKey || event.shiftKey || event.altKey);

/** The hit that a click opens here, if it is one and wants no other tab. */
export function openedBy(event) {
  const link = event.target.closest("[data-hit]");
  if (!link || !isPlain(event)) return null;
  event.preventDefault();
  return Number(link.dataset.hit);
}

function saved(event) {
  if (!hasKey()) return;
  event.preventDefault();
  download(save.href, save.download).catch((error) => alertOf(error.message));
}

function copy() {
  const url = hitAddress(hit().id);
  if (!navigator.clipboard) return prompt(t("copy_link"), url); // there is none without HTTPS
  return navigator.clipboard.writeText(url).then(() => announce(t("copied")), (error) => alertOf(error.message));
}

function move(step) {
  if (!items[at + step]) return;
  at += step;
  draw();
  if (previous.disabled || next.disabled) title.focus(); // what is disabled loses the focus
  if (at > items.length - 4) byId("more").click();
}

/** All that is known, as text whatever it is. */
function factsOf({ path, origin, width, height, format, bytes: size, taken_at: taken, created_at: created, metadata }) {
  const known = {
    path,
    origin,
    size: `${number(width)} × ${number(height)}, ${format}, ${bytes(size)}`,
    taken_at: taken && dateTime(taken),
    created_at: dateTime(created),
  };
  const rows = Object.entries(known).filter(([, value]) => value).map(([name, value]) => [t(`field_${name}`), value]);
  return [...rows, ...Object.entries(metadata)].flatMap(([name, value]) => [
    make("dt", {}, name),
    make("dd", {}, Object(value) === value ? JSON.stringify(value) : String(value)),
  ]);
}

function draw() {
  const { id, width, height, caption } = hit();
  const file = fileOf(hit());
  history.replaceState(history.state, "", hitAddress(id));
  Object.assign(image, { alt: nameOf(hit()), width, height });
  image.removeAttribute("src");
  image.style.aspectRatio = `${width} / ${height}`;
  const load = (side, use) => pictureUrl(thumbnail(id, side)).then((url) => hit().id === id && use(url), () => {});
  load(256, (url) => (image.style.backgroundImage = `url("${url}")`));
  load(1024, (url) => (image.src = url));
  [previous.disabled, next.disabled] = [!items[at - 1], !items[at + 1]];
  title.textContent = dialog.ariaLabel = nameOf(hit());
  told.replaceChildren(make("p", {}, caption && file), make("p", {}, scoreOf(hit())));
  if (items[at].token) told.append(ratingOf(items[at].token, id, t("rate_hit")));
  Object.assign(save, { href: `/images/${id}/file`, download: file });
  for (const list of [facts, similar]) list.replaceChildren();
  read(id).catch((error) => hit().id === id && alertOf(error.message));
}

async function read(id) {
  const [known, alike] = await Promise.all([
    ask("GET", `/images/${id}`),
    ask("GET", `/api/v1/images/${id}/similar`, { query: { limit: SIMILAR } }),
  ]);
  if (hit().id !== id) return;
  const { hits, token } = alike.data;
  facts.replaceChildren(...factsOf(known.data));
  similar.replaceChildren(...hits.map((one) => tileOf(one)));
  similar.onclick = (event) => open(hits.map((one) => ({ hit: one, token })), openedBy(event));
}

function open(list, id) {
  const index = list.findIndex((one) => one.hit.id === id);
  if (index < 0) return;
  [items, at] = [list, index];
  draw();
  title.focus();
}

/** Open it at a picture, or without one close it. */
export async function showHit(id) {
  if (!id) return dialog.open && dialog.close("left");
  if (dialog.open && hit().id === id) return null;
  try {
    const isShown = shown().some((one) => one.hit.id === id);
    const list = isShown ? shown() : [{ hit: (await ask("GET", `/images/${id}`)).data }];
    opener = dialog.open ? opener : document.activeElement;
    if (!dialog.open) dialog.showModal();
    return open(list, id);
  } catch (error) {
    return alertOf(error.message);
  }
}

/** `onSearch` takes the id of a picture to search with. */
export function mountViewer(onSearch) {
  const search = () => {
    dialog.close("left");
    onSearch(hit().id);
  };
  title.tabIndex = -1;
  similar.ariaLabel = t("similar");
  dialog.append(
    make("div", { className: "stage" }, image, previous, next),
    make("div", { className: "side" },
      make("div", { className: "head" }, title, button("×", () => dialog.close(), "icon quiet", t("close"))), told,
      make("div", { className: "row" }, button(t("search_with_this"), search, "primary"), save, button(t("copy_link"), copy)),
      facts, make("h3", {}, t("similar")), similar),
  );
  dialog.addEventListener("keydown", (event) => {
    if (event.target.type !== "radio" && isPlain(event)) move({ ArrowLeft: -1, ArrowRight: 1 }[event.key]);
  });
  dialog.addEventListener("close", () => {
    (shown().find((one) => one.hit.id === hit().id)?.tile.firstChild ?? opener).focus();
    if (!dialog.returnValue) history[history.state?.isOpened ? "back" : "replaceState"](history.state, "", hitAddress());
    dialog.returnValue = "";
  });
}
