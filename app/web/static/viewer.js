// One picture, large.
import {download, get, relative} from "./api.js";
import {attempt, button, byId, copyButton, cross, imageOf, make, onLinks, row, say, sign, tell, unsaved} from "./dom.js";
import {fileOf, linkToHit, nameOf, scoreOf, shown, tileOf} from "./grid.js";
import {drawnBox, outlinesOf} from "./outlines.js";
import {addressWith, thumbnailOf, TILE} from "./query.js";
import {marksOf, ratingOf} from "./rating.js";
import {asked} from "./session.js";
import {clock, t} from "./texts.js";

const [SIMILAR, LARGE, MAX_COPIES] = [12, 1024, 24];
const SLIDE_MS = 4000;

const dialog = byId("viewer");
const [stage, title, told, editor, copies, facts, similar] = ["div", "h2", "div", "div", "div", "dl", "ul"].map(tag => make(tag));
const previous = button("‹", () => move(-1), "icon previous", t("previous"));
const next = button("›", () => move(1), "icon next", t("next"));
const slides = button(sign("play"), () => play(!timer), "icon", t("slideshow"));
const expand = button(sign("expand"), fullScreen, "icon", t("full_screen"));
const tools = make("div", "tools row", slides, document.fullscreenEnabled && expand);
let zoom, words; // modules
let timer; // of the slideshow
const save = button(t("download"), () => attempt("hit", () => download(`/api/v1/images/${shownId()}/file`, fileOf(items[at].hit))));
const remove = button(t("select_delete"), () => attempt("hit", removed), "bad writers");
const partly = button(t("search_part"), choosePart);
let [items, at] = [[], 0];
let part;

const shownId = () => items[at]?.hit.id;
const askedId = () => Number(asked("hit"));
const atAddress = url => history.replaceState(history.state, "", url);
const showName = () => (title.textContent = dialog.ariaLabel = nameOf(items[at].hit));

async function removed() {
	const {deletePictures} = await import("./manage.js");
	await deletePictures([shownId()]);
	unsaved.delete(shownId());
	dialog.close();
}

function fullScreen() {
	if (document.fullscreenElement) document.exitFullscreen();
	else stage.requestFullscreen();
}

// Of the drawn part, or of found words, else a region.
function showOutlines() {
	const {hit} = items[at];
	const {page, box, texts = []} = hit;
	const found = texts.length ? texts.map(({box: [left, top, right, bottom]}) => [left, top, right - left, bottom - top]) : [box].filter(Boolean);
	stage.querySelector(".outlines")?.remove();
	stage.querySelector("img").after(part?.element ?? outlinesOf(hit, page > 1 ? [] : found));
	partly.ariaPressed = Boolean(part);
}

function choosePart() {
	part = part ? null : drawnBox(items[at].hit);
	showOutlines();
	if (!part) return;
	tell(t("part_hint"));
	part.element.focus();
}

function play(isOn) {
	clearInterval(timer);
	timer = isOn && items[at + 1] && setInterval(() => {
		if (!zoom.isZoomed() && !document.hidden) move(1);
		if (!items[at + 1] && byId("more").hidden) play(false);
	}, SLIDE_MS);
	slides.ariaPressed = Boolean(timer);
}

// Unsaved text waits for its picture.
function putAway() {
	if ([...unsaved.values()].includes(editor.firstChild ?? NaN)) tell(t("edit_kept"));
	editor.replaceChildren();
}

function move(step) {
	if (!items[at + step]) return;
	at += step;
	draw();
	if (at > items.length - 4) byId("more").click();
}

function draw() {
	const {hit, token} = items[at];
	const {id, width, height, caption, page, box, url, seconds, texts = []} = hit;
	atAddress(addressWith("hit", id));
	const image = imageOf(thumbnailOf(hit, LARGE), {alt: nameOf(hit), width, height});
	stage.querySelector("img")?.remove();
	stage.prepend(image);
	partly.disabled = page > 1;
	part = null;
	showOutlines();
	zoom.reset(image, id);
	[previous.disabled, next.disabled] = [!items[at - 1], !items[at + 1]];
	showName();
	if (!timer) title.focus(); // in a slideshow the focus stays where it can be stopped
	const found = texts.length ? t("found_words", {text: texts.map(({text}) => text).join(" … ")}) : box && t("found_part");
	const play = Number.isFinite(seconds) ? make("a", {href: `${relative(url)}#t=${seconds}`, target: "_blank"}, t("play_from", {time: clock(seconds)})) : "";
	told.replaceChildren(...[caption && fileOf(hit), scoreOf(hit), found].map(text => make("p", {}, text)), play, ...(token ? [ratingOf(token, id, "hit"), marksOf(id)] : []));
	putAway();
	for (const list of [copies, facts, similar]) list.replaceChildren();
	attempt("copies", () => showCopies(hit));
	attempt("facts", () => loadFacts(id));
}

async function showCopies({id, duplicates = []}) {
	const named = await Promise.all(duplicates.slice(0, MAX_COPIES).map(one => get(`/api/v1/images/${one}`)));
	if (shownId() !== id || !named.length) return;
	const items = named.map(one => make("li", {}, linkToHit(one.id, {}, one.path ?? one.original_filename)));
	copies.replaceChildren(say("h3", "copies_title"), make("ol", {}, ...items));
}

async function loadFacts(id) {
	const path = `/api/v1/images/${id}`;
	const paths = [path, `${path}/similar?limit=${SIMILAR}&thumbnail_size=${TILE}`, `${path}/labels`];
	const isShown = () => dialog.open && shownId() === id;
	const [known, alike, labelled] = await Promise.all(paths.map(path => get(path))).catch(error => {
		if (isShown()) throw error;
		return []; // it was deleted meanwhile
	});
	words ??= await import("./edit.js");
	if (!isShown()) return;
	items[at].labels = labelled.labels;
	showFacts(known);
	similar.replaceChildren(...alike.hits.map(tileOf));
}

function showFacts(known) {
	facts.replaceChildren(...words.factsOf(known, items[at].labels));
	const changed = now => {
		unsaved.delete(now.id);
		for (const {hit} of [...items, ...shown]) if (hit.id === now.id) hit.caption = now.caption;
		if (shownId() !== now.id) return;
		showName();
		showFacts(now);
		editor.querySelector("summary").focus();
	};
	editor.replaceChildren(unsaved.get(known.id) ?? words.editorOf(known, changed));
}

async function open(id) {
	const place = shown.findIndex(({hit}) => hit.id === id);
	[items, at] = place < 0 ? [[{hit: await get(`/api/v1/images/${id}`)}], 0] : [shown, place];
	zoom ??= (await import("./zoom.js")).mountZoom(stage, move);
	if (!dialog.open) dialog.showModal();
	draw();
}

export function showHit() {
	const id = askedId();
	if (!id) dialog.close();
	else if (!dialog.open || shownId() !== id) attempt("hit", () => open(id));
}

onLinks("[data-hit]", ({href}) => {
	if (dialog.open) atAddress(href);
	else history.pushState({...history.state, isOpened: true}, "", href);
	showHit();
});

export function mountViewer(onSearch) {
	const search = () => {
		onSearch(shownId(), part?.box());
		dialog.close();
	};
	stage.className = "stage";
	stage.append(previous, next, tools);
	title.tabIndex = -1;
	editor.oninput = () => unsaved.set(shownId(), editor.firstChild);
	similar.ariaLabel = t("similar");
	const isOnlyHere = /^(localhost|127\.|\[::1)/.test(location.hostname);
	const link = copyButton("copy_link", () => location.href, isOnlyHere ? "copied_here" : "copied");
	dialog.append(
		stage,
		make("div", "side",
			row(title, cross(() => dialog.close())), told,
			row(button(t("search_with_this"), search, "primary"), partly, save, link, remove),
			editor, copies, facts, say("h3", "similar"), similar),
	);
	dialog.onkeydown = ({target, key, altKey, ctrlKey, metaKey}) => {
		if (target.matches("input, textarea") || altKey || ctrlKey || metaKey) return;
		move({ArrowLeft: -1, ArrowRight: 1}[key]);
		zoom.onKey(key);
	};
	dialog.onclose = () => {
		play(false);
		putAway();
		if (document.fullscreenElement) document.exitFullscreen();
		const isTyping = document.activeElement.matches("input, textarea"); // this event comes a moment after Escape
		const left = shown.find(({hit}) => hit.id === shownId()) ?? shown[at] ?? shown.at(-1); // it may be deleted
		if (!isTyping) left?.tile.firstChild.focus();
		if (!askedId()) return;
		if (history.state?.isOpened) history.back();
		else atAddress(addressWith("hit"));
	};
}
