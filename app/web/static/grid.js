// Rows of thumbnails.
import {button, byId, imageOf, make} from "./dom.js";
import {addressWith, thumbnailOf} from "./query.js";
import {dayName, listed, number, percent, t} from "./texts.js";

const LIKELY = 0.5; // a confidence
const FEW = 8; // are shown, however unlikely

const [grid, more, unfold] = ["grid", "more", "unfold"].map(byId);
const end = new IntersectionObserver(([entry]) => entry.isIntersecting && more.click(), {rootMargin: "900px"});

export let shown = []; // {hit, token, tile, day, heading}
let hasDays = false;
let answer = {}; // hasMore, isNone, isUnfolded, words

export const fileOf = ({original_filename: name, id}) => name ?? `#${id}`;
export const nameOf = hit => hit.caption || fileOf(hit);

// None where words rank first.
const similarityOf = ({distance}) => Number.isFinite(distance) && number(1 - distance, {minimumFractionDigits: 2, maximumFractionDigits: 2});

export function scoreOf(hit) {
	const {lexical_rank: isWordMatch} = hit;
	const confidence = answer.isNone ? null : hit.confidence;
	const score = similarityOf(hit);
	return listed(
		isWordMatch && t("word_match"),
		score && t("score", {score}),
		!isWordMatch && Number.isFinite(confidence) && t("confidence", {confidence: percent(confidence)}),
		hit.page && !Number.isFinite(hit.seconds) && t("page_found", {n: hit.page}),
	);
}

function reasonOf(hit) {
	const score = similarityOf(hit);
	if (!hit.lexical_rank) return score && [!answer.isNone && hit.distance < 1 && t("why_looks"), score].filter(Boolean).join(" ");
	const isIn = text => answer.words.some(word => text?.toLowerCase().includes(word));
	return t(isIn(hit.original_filename) ? "why_name" : isIn(hit.caption) ? "why_caption" : hit.texts?.[0] ? "why_picture" : "why_words");
}

export const linkToHit = (id, properties, ...children) => make("a", {href: addressWith("hit", id), dataset: {hit: id}, ...properties}, ...children);

export function tileOf(hit) {
	const {id, width, height, duplicates} = hit;
	const reason = reasonOf(hit);
	const image = imageOf(thumbnailOf(hit), {alt: nameOf(hit), loading: "lazy", width, height});
	const sign = reason && make("span", "score", reason);
	const copies = duplicates?.length && make("span", "copies", t("copies", {n: duplicates.length}));
	const link = linkToHit(id, {title: scoreOf(hit)}, image, sign, copies);
	const tile = make("li", "tile", link);
	tile.style.setProperty("--ratio", Math.min(3, Math.max(0.5, width / height)));
	return tile;
}

const checkOf = hit =>
	Object.assign(button("✓", null, "check", t("select_one", {name: nameOf(hit)})), {role: "checkbox", ariaChecked: false});

function withHeadings(added, day) {
	for (const one of added) {
		one.day = one.hit.taken_at?.slice(0, 10) ?? "";
		one.heading = one.day === day ? null : make("li", "day", make("h2", {}, one.day ? dayName(one.day) : t("day_unknown")));
		day = one.day;
	}
}

const isUnlikely = ({hit}) => !hit.lexical_rank && hit.confidence !== null && hit.confidence < LIKELY;

function tailStart() {
	if (answer.isUnfolded || hasDays) return Infinity;
	return Math.max(FEW, shown.findLastIndex(one => !isUnlikely(one)) + 1);
}

// Fold the tail; the last row is as high as the one before.
function arrange() {
	const tail = tailStart();
	shown.forEach(({tile}, place) => (tile.hidden = place >= tail));
	unfold.hidden = tail >= shown.length;
	more.hidden = !answer.hasMore || !unfold.hidden;
	const tiles = hasDays ? [] : visible().map(({tile}) => tile);
	for (const tile of tiles) tile.style.maxWidth = "";
	const last = tiles.filter(tile => tile.offsetTop === tiles.at(-1).offsetTop);
	const height = tiles.at(-last.length - 1)?.clientHeight;
	for (const tile of last) tile.style.maxWidth = `calc(var(--ratio) * ${height ? `${height}px` : "var(--row)"})`;
}

addEventListener("resize", arrange);
unfold.onclick = () => {
	const first = shown.find(({tile}) => tile.hidden);
	answer.isUnfolded = true;
	arrange();
	first?.tile.firstChild.focus();
};

const partsOf = ({heading, tile}) => (heading ? [heading, tile] : [tile]);

function show(entries) {
	const detail = entries.length - shown.length;
	shown = entries;
	if (hasDays) withHeadings(shown);
	grid.replaceChildren(...shown.flatMap(partsOf));
	arrange();
	for (const name of ["fill", "withdraw"]) grid.dispatchEvent(new CustomEvent(name, {detail}));
}

export const visible = () => shown.filter(({tile}) => !tile.hidden);

// Returns what brings some back.
export function withdraw(ids) {
	const [before, which] = [shown, answer];
	show(shown.filter(({hit}) => !ids.includes(hit.id)));
	return restored => {
		if (which !== answer) return; // another one is shown
		const known = before.filter(one => shown.includes(one) || restored.includes(one.hit.id));
		show([...known, ...shown.filter(one => !before.includes(one))]);
	};
}

export function fill({hits, token, next_cursor: cursor, no_match: isNone}, isFirst, isByTime, words) {
	if (isFirst) {
		answer = {isNone, words: words.toLowerCase().split(/\s+/).filter(Boolean)};
		grid.replaceChildren();
		shown = [];
	}
	answer.hasMore = Boolean(cursor);
	const added = hits.filter(({id}) => !shown.some(({hit}) => hit.id === id)).map(hit => ({hit, token, tile: tileOf(hit)}));
	for (const {hit, tile} of added) tile.append(checkOf(hit));
	hasDays = isByTime;
	grid.classList.toggle("days", hasDays);
	if (hasDays) withHeadings(added, shown.at(-1)?.day);
	shown.push(...added);
	grid.append(...added.flatMap(partsOf));
	arrange();
	end.unobserve(more);
	if (cursor) end.observe(more); // told again if it is near
	grid.dispatchEvent(new Event("fill"));
}
