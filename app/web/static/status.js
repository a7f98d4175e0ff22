// The status, in words and figures.
import {get, hasKey} from "./api.js";
import {button, linkTo, make, say} from "./dom.js";
import {fill, keepUp, table} from "./jobs.js";
import {collection, here, role} from "./session.js";
import {bytes, dateTime, listed, number, t} from "./texts.js";

const MOST_JOBS = 100; // that are counted
const POOR = 5.5; // below the middle of the scale
const LITTLE_ROOM = 5e9; // bytes on the disk
const share = fraction => number(fraction, {style: "percent", maximumFractionDigits: 1});

const FACTS = {
	model: {model: String, pretrained: String, fingerprint: String, device: String},
	index: {storage: String, m: String, ef_search: String},
	recall: {recall: share, text_recall: share, picture_recall: share, worst_decile: share, unreachable: number},
};
const BASIC = ["model", "index"];
const lists = {};

function card(key, ...children) {
	lists[key] = make("dl");
	return make("div", "card", say("h2", `status_${key}`), lists[key], ...children);
}

function showFacts(key, known) {
	const lineOf = ([name, write]) => [say("dt", `status_${name}`), make("dd", {}, (known[name] ?? "") === "" ? "–" : write(known[name]))];
	fill(lists[key], ...Object.entries(FACTS[key]).flatMap(lineOf));
}

const sentence = (text, isBad) => make("p", {className: isBad && "bad"}, text);

function searchableOf({image_count: pictures, coverage}) {
	if (!pictures) return sentence(t("status_empty"));
	const searchable = Math.round(pictures * coverage);
	const key = searchable === pictures ? "status_all_searchable" : "status_some_searchable";
	return sentence(t(key, {pictures, searchable}));
}

function diskOf(free, saved) {
	if (free === null) return [];
	const isLittle = free < LITTLE_ROOM;
	const backup = saved ? t("status_backup", {when: dateTime(saved)}) : t("status_no_backup");
	return [sentence(t(isLittle ? "status_little_room" : "status_room", {room: bytes(free)}), isLittle), sentence(backup)];
}

async function showKeys(place) {
	if (hasKey() && !place.hasChildNodes()) place.replaceChildren((await import("./keys.js")).keysCard());
}

async function showPoor(place) {
	const {worst_queries: all} = await get("/api/v1/feedback/summary", {collection: collection()});
	const lines = all.filter(({mean}) => mean < POOR).map(({query, mean, ratings}) => [linkTo("search", {q: query}, query), number(mean, {maximumFractionDigits: 1}), number(ratings)]);
	fill(place, table("status_worst", ["status_query", "status_mean", "status_ratings"], lines) || sentence(t("status_no_ratings")));
}

async function showGenerations(place) {
	const {data} = await get(here("/generations"));
	const lineOf = ({status, model, pretrained, precision, storage, vectors, bytes: size, recall}) => {
		const facts = listed(number(vectors), bytes(size), recall !== null && `${t("status_recall")} ${share(recall)}`);
		return [t(`status_${status}`), `${model} ${pretrained} ${precision} ${storage}`, facts];
	};
	fill(place, data.length > 1 ? table("status_generations", ["status_state", "status_model", "status_vectors"], data.map(lineOf)) : "");
}

async function showCoverage(place) {
	const {data} = await get(here("/coverage"));
	const lineOf = ({kind, name, pictures: total, done, failed}) => {
		const state = done === null ? t("status_not_installed") : t("job_done", {done, total});
		return [kind === "annotator" ? t(`annotator_${name}`) : t("status_labels", {name}), listed(state, failed && t("status_failed", {n: failed}))];
	};
	fill(place, table("status_known", ["status_by", "status_state"], data.map(lineOf)));
}

async function showAll(summary, generations, coverage) {
	const [known, ready, {version, free_disk_bytes: free, backed_up_at: saved}] = await Promise.all([
		get(here()),
		get("/readyz"),
		get("/api/v1/status"),
	]);
	const [running, pending] = await Promise.all(["running", "pending"].map(async status => (await get("/api/v1/jobs", {status, limit: MOST_JOBS})).data.length));
	const work = t(running + pending ? "status_work" : "status_no_work", {running, pending});
	fill(summary, searchableOf(known), sentence(work), ...diskOf(free, saved), sentence(t("status_version", {version})));
	await Promise.all([showGenerations(generations), showCoverage(coverage)]);
	for (const key of BASIC) showFacts(key, {...ready, ...known});
}

const CODE = /`([^`]*)`/; // its matches are the odd parts of a split

function notesOf() {
	const told = make("div", {className: "notes", lang: "en", tabindex: 0});
	const entry = note => make("li", {}, ...note.split(CODE).map((part, at) => (at % 2 ? make("code", {}, part) : part)));
	const ontoggle = async () => {
		if (told.hasChildNodes()) return;
		const groups = await get("/api/v1/release-notes").catch(({message}) => message);
		fill(told, ...(groups.data?.flatMap(({title, notes}) => [make("h3", {}, title), make("ul", {}, ...notes.map(entry))]) ?? [groups]));
	};
	return make("details", {ontoggle}, say("summary", "status_notes"), told);
}

function recallCard() {
	const told = make("p", {className: "muted", role: "status"}, t("status_recall_what"));
	const measure = async () => {
		fill(told, t("status_measuring"));
		const found = get(here("/recall")).then(known => showFacts("recall", known));
		fill(told, await found.catch(({message}) => message) ?? t("status_recall_what"));
	};
	addEventListener("collectionchange", () => fill(lists.recall)); // of another one
	return card("recall", told, button(t("status_recall_now"), measure));
}

export function mount(section) {
	const [summary, generations, coverage, worst, keys] = Array.from({length: 5}, () => make("div"));
	summary.className = "summary";
	const first = make("div", "card", say("h2", "status_summary"), summary, notesOf(), linkTo("add", {view: "add"}, t("status_see")));
	const [ratings, recall] = [card("worst", worst), recallCard()];
	for (const one of [ratings, recall]) one.className += " admins";
	const facts = BASIC.map(key => card(key));
	const details = make("details", {}, say("summary", "status_details"), make("div", "cards", ...facts, recall), coverage, generations);
	addEventListener("keychange", () => keys.replaceChildren());
	section.append(make("div", "cards", first, ratings), keys, details);
	keepUp(section, async () => {
		await showAll(summary, generations, coverage);
		if (role() === "admin") await Promise.all([showPoor(worst), showKeys(keys)]);
	});
}
