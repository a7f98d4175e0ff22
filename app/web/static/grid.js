// Justified rows of thumbnails: each has its size before it is loaded, and none moves later.
import { pictureUrl } from "./api.js";
import { byId, make } from "./dom.js";
import { hitAddress, thumbnail } from "./query.js";
import { number, percent, t } from "./texts.js";

const GAP_PX = 8;
const MIN_RATIO = 0.5;
const MAX_RATIO = 3;
const AHEAD = { rootMargin: "900px" };

const [grid, more] = [byId("grid"), byId("more")];
let items = []; // {hit, token, tile, ratio}
let placed = 0; // items in full rows
let width = 0;

export const shown = () => items;
export const fileOf = ({ path, id }) => path?.split("/").at(-1) ?? `#${id}`;
export const nameOf = (hit) => hit.caption || fileOf(hit);

/** Score and confidence in words, where there are any. */
export function scoreOf({ score, confidence }) {
  const parts = [];
  if (typeof score === "number") parts.push(t("score", { score: number(score, { maximumFractionDigits: 3 }) }));
  if (typeof confidence === "number") parts.push(t("confidence", { confidence: percent(confidence) }));
  return parts.join(" · ");
}

/** A thumbnail that leads to its picture. */
export function tileOf(hit, side = 256) {
  const image = make("img", { alt: nameOf(hit), loading: "lazy", decoding: "async", width: hit.width, height: hit.height });
  pictureUrl(thumbnail(hit.id, side)).then((url) => (image.src = url), () => {});
  const link = make("a", { href: hitAddress(hit.id), dataset: { hit: hit.id }, title: scoreOf(hit) || null }, image);
  if (link.title) {
    const sign = make("span", { className: "score" }, number(hit.score, { minimumFractionDigits: 2, maximumFractionDigits: 2 }));
    sign.style.setProperty("--sure", hit.confidence ?? 0);
    link.append(sign);
  }
  return make("li", { className: "tile" }, link);
}

const rowHeight = () => 88 + 3.6 * Math.sqrt(width);

function place(row, height, isFull) {
  let left = width - GAP_PX * (row.length - 1);
  for (const { tile, ratio } of row) {
    const wide = isFull && tile === row.at(-1).tile ? left : Math.min(Math.floor(ratio * height), left);
    left -= wide;
    Object.assign(tile.style, { width: `${wide}px`, height: `${Math.round(height)}px` });
    tile.hidden = false;
  }
}

/** Full rows stay as they are; what fills none waits hidden for the next page. */
function layOut() {
  let row = [];
  let ratios = 0;
  for (const item of items.slice(placed)) {
    row.push(item);
    ratios += item.ratio;
    const height = (width - GAP_PX * (row.length - 1)) / ratios;
    if (height > rowHeight()) continue;
    place(row, height, true);
    placed += row.length;
    [row, ratios] = [[], 0];
  }
  place(row, rowHeight());
  for (const { tile } of row) tile.hidden = !more.hidden;
}

function resize() {
  const now = Math.floor(grid.getBoundingClientRect().width);
  if (!now || now === width) return;
  [width, placed] = [now, 0];
  layOut();
}

/** Show a page of an answer, after what is there or instead of it. */
export function fill({ hits, token, next_cursor: cursor }, isFirst) {
  if (isFirst) {
    [items, placed] = [[], 0];
    grid.replaceChildren();
  }
  resize();
  const side = rowHeight() * devicePixelRatio > 280 ? 512 : 256;
  const added = hits.map((hit) => {
    const ratio = Math.min(MAX_RATIO, Math.max(MIN_RATIO, hit.width / hit.height || 1));
    return { hit, token, tile: tileOf(hit, side), ratio };
  });
  items.push(...added);
  grid.append(...added.map(({ tile }) => tile));
  showMore(cursor);
}

/** Have the button for the next page, which is pressed when it comes near. */
export function showMore(isMore) {
  if (!isMore && document.activeElement === more) items.at(-1).tile.firstChild.focus();
  more.hidden = !isMore;
  end.unobserve(more);
  if (isMore) end.observe(more); // told again, if it is still near
  layOut();
}

const end = new IntersectionObserver(([entry]) => entry.isIntersecting && more.click(), AHEAD);
new ResizeObserver(resize).observe(grid);
