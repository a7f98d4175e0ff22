// The search view.
import {ask} from "./api.js";
import {alertOf, announce, attempt, button, byId, closable, cross, imageOf, linkTo, make, onLinks, say} from "./dom.js";
import {mountFilters, showFilters, showPanel, showSuggested} from "./filters.js";
import {fill, shown} from "./grid.js";
import {ADDRESS, addressOf, fromAddress, include, isAsked, isByTime, keyOf, MOST_PICTURES, pictureAt, pictureOfFiles, requestOf, TILE} from "./query.js";
import {ratingOf} from "./rating.js";
import {stop} from "./selection.js";
import {describe} from "./session.js";
import {remember, showRecent} from "./typing.js";
import {t} from "./texts.js";
import {mountViewer, showHit} from "./viewer.js";

const PAUSE_MS = 250;
const DEMO = "demo model";
const MAX_UNUSED = 80; // characters
const OTHER_SCRIPT = /[^\P{L}\p{sc=Latin}\p{sc=Greek}\p{sc=Common}]/u; // as in language_notice.py

const [form, grid, chip] = ["search-form", "grid", "query-picture"].map(byId);
const fields = ["words", "without", "weight"].map(byId);
const [words, without, weight] = fields;
let asked;
let answered; // the key of what the grid shows
let known;
let next; // the request for more
let controller;
let timer;
let isTyping; // the history keeps one place

function change(changes, isTyped) {
	clearTimeout(timer);
	asked = {...asked, ...changes};
	const method = isTyped && isTyping ? "replaceState" : "pushState";
	if (keyOf(asked) !== keyOf(fromAddress())) history[method]({place: asked.picture?.place}, "", addressOf(asked));
	isTyping = isTyped;
	showAsked();
}

function submit(isTyped) {
	const said = words.value.trim();
	if (ADDRESS.test(said)) return change({words: "", picture: pictureAt(said)});
	if (!isTyped) remember(said);
	change({words: said, without: without.value.trim(), weight: Number(weight.value)}, isTyped);
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
	else showRecent(text => change({words: text}));
	byId("rail").hidden = !isByTime(asked);
	if (isByTime(asked)) attempt("months", showMonths);
	showFilters(asked);
	showPicture(asked.picture);
	if (answered === keyOf(asked)) return showHit();
	answered = keyOf(asked);
	stop();
	controller?.abort();
	controller = new AbortController();
	grid.ariaBusy = true;
	return fetchPage(requestOf(asked), true);
}

async function showMonths() {
	await (await import("./rail.js")).showRail(asked.filter, asked.at);
}

async function fetchPage(json, isFirst) {
	const {signal} = controller;
	const before = shown;
	next = null;
	try {
		const data = await ask("POST", "/api/v1/search", {query: {thumbnail_size: TILE}, json, signal});
		next = data.next_cursor && {cursor: data.next_cursor, include};
		if (shown !== before) startOver();
		alertOf("", "search");
		fill(data, isFirst, isByTime(asked), asked.words);
		if (isFirst) {
			showAnswer(data);
			showSuggested(data.suggested_filters);
		}
		announce(`${isFirst ? `${sentenceOf(data)} ${unusedOf(data)}` : ""} ${t("more_shown", {count: shown.length})}`);
	} catch (error) {
		if (signal.aborted) return;
		const place = /query\[(\d)/.exec(error.detail)?.[1] - Boolean(asked.words);
		const name = asked.picture?.place && asked.picture.name.split(" + ")[place];
		const reason = (name ? `${name}: ` : "") + error.message.replace(/\bquery\S+ /, ""); // nobody wrote that
		if (asked.picture?.place && /^image_/.test(error.code)) return leavePicture(reason);
		answered = null;
		alertOf(reason, "search");
		if (!isFirst) next = json;
		else {
			byId("answer").replaceChildren();
			fill({hits: []}, true, false, "");
		}
	}
	grid.ariaBusy = false;
}

function leavePicture(reason) {
	alertOf(reason, "picture");
	asked.picture = null;
	history.replaceState(null, "", addressOf(asked));
	showAsked();
}

// The pages of a search are counted: what is gone moves them.
function startOver() {
	if (next && isAsked(asked)) next = requestOf(asked);
}

function recount({detail: more}) {
	startOver();
	const {collection_size: pictures, total} = known;
	showAnswer({...known, collection_size: pictures + more, total: total && total + more, hits: shown.map(({hit}) => hit)});
}

function sentenceOf({collection_size: pictures, hits, total, no_match: isNone, timings_ms: took}) {
	if (!pictures) return t("empty");
	if (!hits.length && !next) return t("none");
	if (total !== null) return t(asked.order ? "ordered" : "newest", {total});
	const key = hits[0]?.lexical_rank ? "best_words" : "best";
	return t(isNone ? "no_match" : key, {pictures, ms: Math.ceil(took.encode + took.database)});
}

function unusedOf({unused_text: text}) {
	return text ? t("unused", {text: text.length > MAX_UNUSED ? `${text.slice(0, MAX_UNUSED)}…` : text}) : "";
}

function showAnswer(data) {
	known = data;
	const {collection_size: pictures, token, hits, model} = data;
	const unused = unusedOf(data);
	const parts = [
		make("p", {}, sentenceOf(data)),
		!pictures && linkTo("add", {view: "add"}, t("empty_add"), "button primary writers"),
		token && hits.length && ratingOf(token, null, "answer"),
		unused && make("small", {}, unused),
		model === DEMO && say("small", "demo"),
		languageNote(),
	];
	byId("answer").replaceChildren(...parts.filter(Boolean));
	showHit();
}

function languageNote() {
	if (sessionStorage.languageNoted || (document.documentElement.lang === "en" && !OTHER_SCRIPT.test(asked.words))) return null;
	const note = closable("small", "", t("english_only"));
	note.hidden = true;
	note.lastChild.addEventListener("click", () => (sessionStorage.languageNoted = 1));
	describe().then(({english_only: isSo}) => (note.hidden = !isSo), () => {});
	return note;
}

function showPicture(picture) {
	chip.hidden = !picture;
	if (!picture) return;
	const {name, previews} = picture;
	const images = previews.map((preview, at) => imageOf(preview, {alt: at ? "" : name, width: 32, height: 32}));
	const remove = () => {
		change({picture: null});
		words.focus();
	};
	chip.replaceChildren(...(images.length ? images : [name]), cross(remove, "picture_remove"));
}

// Search with files or an address.
export async function searchWith(files, address) {
	const pictures = [...files].filter(({type}) => !type || type.startsWith("image/")); // not all browsers know HEIC
	const isAddress = ADDRESS.test(address);
	if (pictures.length) change({picture: await pictureOfFiles(pictures.slice(0, MOST_PICTURES))});
	else if (isAddress) change({picture: pictureAt(address)});
	const leftOut = pictures.length > MOST_PICTURES && t("too_many_pictures", {n: MOST_PICTURES});
	alertOf(pictures.length || isAddress ? leftOut : t("no_picture"), "picture");
}

export function showSearch() {
	asked = fromAddress();
	isTyping = false;
	showAsked();
	showPanel();
}

function again() {
	answered = null;
	if (grid.checkVisibility()) showSearch();
}

mountViewer((id, box) => change({words: "", without: "", picture: pictureAt(id, box?.join())}));
mountFilters(change);
onLinks("[data-at]", ({dataset}) => {
	change({at: dataset.at});
	scrollTo(0, 0);
});
grid.addEventListener("withdraw", recount);
grid.addEventListener("click", () => remember(asked.words));
for (const field of fields) field.oninput = typed;
form.onsubmit = event => {
	event.preventDefault();
	submit();
};
form.onchange = async ({target}) => {
	if (target.type !== "file") return;
	await searchWith(target.files);
	target.value = "";
};
byId("examples").append(...t("example_words").split("|").map(example => button(example, () => change({words: example}), "chip")));
byId("no-words").onclick = () => {
	change({words: "", without: ""});
	words.focus();
};
byId("more").onclick = () => next && fetchPage(next);
addEventListener("collectionchange", again);
if (matchMedia("(pointer: fine)").matches) words.focus({preventScroll: true}); // it opens no keyboard
