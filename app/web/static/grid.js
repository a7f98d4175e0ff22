// Rows of thumbnails: each has its place before it is loaded.
import { byId, imageOf, make } from "./dom.js";
import { hitAddress, thumbnailOf } from "./query.js";
import { dayName, number, percent, t } from "./texts.js";

const LIKELY = 0.5; // a confidence
const FEW = 8; // that are shown however unlikely they are

const [grid, more, unfold] = ["grid", "more", "unfold"].map(byId);
const end = new IntersectionObserver(([entry]) => entry.isIntersecting && more.click(), { rootMargin: "900px" });

export let shown = []; // {hit, token, tile, day, heading}
let hasDays = false;
let answers = 0; // shown so far
let answer = {}; // what is known of this one: whether there are more pages, none matches, the words

export const fileOf = ({ original_filename: name, id }) => name ?? `#${id}`;
export const nameOf = (hit) => hit.caption || fileOf(hit);

const decimal = (n, digits) => number(n, { minimumFractionDigits: digits, maximumFractionDigits: digits });

/** Of the model's: where words rank first, scores are no similarities. */
const similarityOf = ({ distance }) => Number.isFinite(distance) && 1 - distance;

export function scoreOf(hit) {
  const { lexical_rank: isWordMatch } = hit;
  const confidence = answer.isNone ? null : hit.confidence; // nothing is said to look like it, so none does for sure
  const similarity = similarityOf(hit);
  const parts = [isWordMatch && t("word_match"), similarity !== false && t("score", { score: decimal(similarity, 3) })];
  if (!isWordMatch && Number.isFinite(confidence)) parts.push(t("confidence", { confidence: percent(confidence) }));
  if (hit.page) parts.push(t("page_found", { n: number(hit.page) }));
  return parts.filter(Boolean).join(" · ");
}

/** Why a picture is in the answer: its name, its caption, other words, or that it looks like it. */
function reasonOf(hit) {
  const similarity = similarityOf(hit);
  if (!hit.lexical_rank) return similarity !== false && [!answer.isNone && t("why_looks"), decimal(similarity, 2)].filter(Boolean).join(" ");
  const isIn = (text) => answer.words.some((word) => text?.toLowerCase().includes(word));
  return t(isIn(hit.original_filename) ? "why_name" : isIn(hit.caption) ? "why_caption" : "why_words");
}

export function tileOf(hit) {
  const { id, width, height, duplicates } = hit;
  const reason = reasonOf(hit);
  const image = imageOf(thumbnailOf(hit), { alt: nameOf(hit), loading: "lazy", width, height });
  const sign = reason && make("span", { className: "score" }, reason);
  const copies = duplicates?.length && make("span", { className: "copies" }, t("copies", { n: number(duplicates.length) }));
  const link = make("a", { href: hitAddress(id), dataset: { hit: id }, title: scoreOf(hit) }, image, sign, copies);
  const tile = make("li", { className: "tile" }, link);
  tile.style.setProperty("--ratio", Math.min(3, Math.max(0.5, width / height)));
  return tile;
}

const checkOf = (hit) =>
  make("button", { type: "button", className: "check", role: "checkbox", "aria-checked": "false", "aria-label": t("select_one", { name: nameOf(hit) }) }, "✓");

/** The first of each day has a heading: what follows it was taken on that day. */
function withHeadings(added, day) {
  for (const one of added) {
    one.day = one.hit.taken_at?.slice(0, 10) ?? "";
    one.heading = one.day === day ? null : make("li", { className: "day" }, make("h2", {}, one.day ? dayName(one.day) : t("day_unknown")));
    day = one.day;
  }
}

const isUnlikely = ({ hit }) => !hit.lexical_rank && hit.confidence !== null && hit.confidence < LIKELY;

/** Where the tail begins that is folded: behind it, all are unlikely. */
function tailStart() {
  if (answer.isUnfolded || hasDays) return Infinity;
  return Math.max(FEW, shown.findLastIndex((one) => !isUnlikely(one)) + 1);
}

/** What fills no row waits for the next page: nothing that is seen moves. The unlikely tail is folded. */
function holdBack() {
  const hide = ({ tile, heading }, hidden) => {
    tile.hidden = hidden;
    if (heading) heading.hidden = hidden;
  };
  const tail = tailStart();
  shown.forEach((one, place) => hide(one, place >= tail));
  unfold.hidden = tail >= shown.length;
  more.hidden = !answer.hasMore || !unfold.hidden;
  const last = shown.at(-1)?.tile.offsetTop;
  const waiting = more.hidden ? [] : shown.filter(({ tile }) => tile.offsetTop === last);
  for (const one of waiting) hide(one, true);
}

addEventListener("resize", holdBack);
unfold.onclick = () => {
  const first = shown.find(({ tile }) => tile.hidden);
  answer.isUnfolded = true;
  holdBack();
  first?.tile.firstChild.focus();
};

const partsOf = ({ heading, tile }) => (heading ? [heading, tile] : [tile]);

function show(entries) {
  shown = entries;
  if (hasDays) withHeadings(shown);
  grid.replaceChildren(...shown.flatMap(partsOf));
  holdBack();
  grid.dispatchEvent(new Event("fill"));
}

/** Those that can be seen: not held back, nor folded. */
export const visible = () => shown.filter(({ tile }) => !tile.hidden);

/** Take pictures out of the answer; returns what brings some of them back to where they were. */
export function withdraw(ids) {
  const [before, which] = [shown, answers];
  show(shown.filter(({ hit }) => !ids.includes(hit.id)));
  return (restored) => {
    if (which !== answers) return; // another one is shown
    const known = before.filter((one) => shown.includes(one) || restored.includes(one.hit.id));
    show([...known, ...shown.filter((one) => !before.includes(one))]);
  };
}

/** Show a page of an answer; by days if it is in the order of time. */
export function fill({ hits, token, next_cursor: cursor, no_match: isNone }, isFirst, isByTime, words) {
  if (isFirst) answer = { isNone, words: words.toLowerCase().split(/\s+/).filter(Boolean) };
  answer.hasMore = Boolean(cursor);
  const added = hits.map((hit) => ({ hit, token, tile: tileOf(hit) }));
  for (const { hit, tile } of added) tile.append(checkOf(hit));
  if (isFirst) {
    answers += 1;
    grid.replaceChildren();
    shown = [];
  }
  hasDays = isByTime;
  grid.classList.toggle("days", hasDays);
  if (hasDays) withHeadings(added, shown.at(-1)?.day);
  shown.push(...added);
  grid.append(...added.flatMap(partsOf));
  holdBack();
  end.unobserve(more);
  if (cursor) end.observe(more); // told again if it is near
  grid.dispatchEvent(new Event("fill"));
}
