// Adding pictures.
import {ask, get, post, showPicture, upload} from "./api.js";
import {alertOf, announce, button, formOf, labelled, linkTo, make, row, say} from "./dom.js";
import {isHiddenIn} from "./dropped.js";
import {fieldsEditor, tagsIn} from "./edit.js";
import {countsOf, fill, liveRow, mountJobs, watchJob} from "./jobs.js";
import {thumbnail} from "./query.js";
import {collection, forget} from "./session.js";
import {bytes, refusalOf, t} from "./texts.js";

const BATCH_BYTES = 20e6;
const BATCH_FILES = 40;
const SENT = 0.8;
const AGAIN_MS = 3000;
const SUSPECT_BYTES = 1e6; // smaller ones have few pixels
const ARCHIVE = /\.(zip|tgz|tar(\.(gz|bz2|xz|zst))?)$/i;
const OUTCOMES = {changed: "changed", succeeded: "added", skipped: "duplicate", failed: "failed", cancelled: "cancelled"};
const HELD = "held_for_review";
const MENDABLE = [401, 403, 408, 409, 429]; // may be sent again
const ENDS = [...Object.values(OUTCOMES), "lost"];

const entries = [];
const lost = []; // batches that did not arrive
const running = new Set(); // ids of jobs
const view = {};
let stopping = new AbortController();
let sending = Promise.resolve();
let drawing = 0;

function batchesOf(files) {
	const batches = [];
	let size = Infinity;
	const said = {caption: view.caption.value.trim(), metadata: metadata(), into: collection(), large: {}};
	for (const file of files) {
		const isArchive = ARCHIVE.test(file.name);
		size += file.size;
		if (isArchive || size > BATCH_BYTES || batches.at(-1).files.length === BATCH_FILES) {
			batches.push({isArchive, files: [], ...said});
			size = isArchive ? Infinity : file.size;
		}
		batches.at(-1).files.push(entryOf(file));
	}
	empty();
	return batches;
}

// What is said now; a collection gives the fields their kinds.
function metadata() {
	const [tags, fieldsIn] = [tagsIn(view.tags.value), view.fields.said()];
	return async name => ({...(await fieldsIn(name)), ...(tags.length && {tags})});
}

function empty() {
	for (const input of view.drop.querySelectorAll("input")) input.value = "";
}

function stop() {
	stopping.abort();
	stopping = new AbortController();
	const refused = ({status, message}) => status === 409 || alertOf(message, "stop"); // it has ended by now
	for (const id of running) post(`/api/v1/jobs/${id}/cancel`).catch(refused);
}

function enqueue(batches) {
	for (const batch of batches) {
		change(batch.files, "waiting", 0);
		const {signal} = stopping;
		sending = sending.then(() => send(batch, signal));
	}
}

const take = files => enqueue(batchesOf(files));

async function fit(batch) {
	const suspects = batch.files.filter(({file}) => file.size > SUSPECT_BYTES && !ARCHIVE.test(file.name));
	if (!suspects.length) return;
	const left = await (await import("./shrink.js")).leftOut(suspects, batch.large);
	change(left, "cancelled", 1);
	batch.files = batch.files.filter(entry => !left.includes(entry));
}

async function send(batch, signal) {
	if (signal.aborted) return change(batch.files, "cancelled", 1);
	await fit(batch).catch(() => {}); // the service says what it refuses
	const {files, caption, into, isArchive} = batch;
	if (!files.length) return;
	const form = new FormData();
	for (const {file} of files) form.append(isArchive ? "archive" : "files", file, file.name);
	form.append("caption", caption);
	const progress = fraction => change(files, "sending", SENT * fraction);
	try {
		const metadata = await batch.metadata(into);
		if (Object.keys(metadata).length) form.append("metadata", JSON.stringify(metadata));
		const {job_id: id} = await upload(`/api/v1/images?collection=${into}`, form, {progress, signal});
		running.add(id);
		watchJob(id, job => settle(batch, job));
	} catch ({status, message}) {
		if (signal.aborted) return change(files, "cancelled", 1);
		const isFinal = status < 500 && !MENDABLE.includes(status);
		if (!isFinal) lost.push(batch);
		change(files, isFinal ? "failed" : "lost", 1, message);
	}
}

async function settle({files, isArchive}, job) {
	const done = SENT + (1 - SENT) * (job.done / job.total || 0);
	if (!job.finished_at) return change(files, "sent", done);
	running.delete(job.id);
	if (isArchive) files[0].job = job.total && job;
	if (isArchive) return change(files, OUTCOMES[job.status], 1, refusalOf(job.code, job.reason) ?? countsOf(job));
	try {
		const {data} = await get(`/api/v1/jobs/${job.id}/items`, {limit: BATCH_FILES});
		data.forEach((item, at) => settleFile(files[at], item));
	} catch ({status, message}) {
		if (status === 404) change(files, "failed", 1, message);
		else setTimeout(settle, AGAIN_MS, {files}, job);
	}
}

function settleFile(entry, {image_id: id, status, action, code, reason}) {
	const told = refusalOf(code, reason);
	const isSeen = id && code !== HELD;
	change([entry], OUTCOMES[action] ?? OUTCOMES[status], 1, isSeen ? linkTo("search", {hit: id}, told ?? t("add_look")) : (told ?? ""));
	if (isSeen) showPicture(entry.image, thumbnail(id, 64)).catch(() => {});
}

function entryOf(file) {
	const image = make("img", {alt: "", width: 40, height: 40});
	const size = make("span", "muted", bytes(file.size));
	const entry = {file, image, size, ...liveRow(make("span", {}, file.name, " ", size))};
	entry.whole.prepend(image);
	view.files.append(entry.whole);
	entries.push(entry);
	return entry;
}

function change(files, state, done, detail = "") {
	for (const entry of files) {
		Object.assign(entry, {state, done});
		entry.show(state, t(`add_${state}`), detail, done);
		if (state === "failed") view.files.prepend(entry.whole);
	}
	drawing ||= requestAnimationFrame(drawAll);
}

function drawAll() {
	drawing = 0;
	const parts = entries.map(({state, job}) => job || {[state]: 1, total: 1, done: ENDS.includes(state) ? 1 : 0});
	const counts = Object.fromEntries(["total", "done", ...ENDS].map(name => [name, parts.reduce((sum, part) => sum + (part[name] ?? 0), 0)]));
	const text = countsOf(counts);
	view.uploads.hidden = false;
	view.bar.value = entries.reduce((sum, entry) => sum + entry.done, 0) / entries.length;
	view.find.hidden = !counts.added;
	view.again.hidden = !lost.length;
	view.stop.hidden = counts.done === counts.total;
	if (counts.done === counts.total && view.counts.textContent !== text) announce(text, forget());
	fill(view.counts, text);
}

export function addGiven({found, unreadable}) {
	alertOf(unreadable.length ? t("add_unreadable", {names: unreadable.join(", ")}) : found.length ? "" : t("add_nothing"), "drop");
	take(found);
}

function chooser(key, className, options) {
	const onchange = ({target}) => {
		take([...target.files].filter(file => !isHiddenIn(file)));
		target.value = "";
	};
	const input = make("input", {type: "file", className: "unseen", multiple: true, onchange, ...options});
	return make("label", `button ${className}`, t(key), input);
}

async function bodyOf(form) {
	const place = form.place.value.trim();
	const said = {caption: view.caption.value.trim() || null, metadata: await metadata()(), dry_run: form.dry.checked};
	if (/^https?:/i.test(place)) return {urls: place.split(/\s+/), ...said};
	const [, bucket, prefix] = place.match(/^s3:\/\/([^/]+)\/?(.*)$/) ?? [];
	return {source: bucket ? {bucket, prefix} : {folder: place}, mode: form.sync.checked ? "sync" : "add", ...said};
}

function sourceForm() {
	const told = make("p", {role: "status"});
	const submit = async form => {
		try {
			const given = {query: {collection: collection()}, json: await bodyOf(form)};
			const {job_id: id} = await ask("POST", "/api/v1/images", given);
			empty();
			watchJob(id, forget);
			fill(told, t("add_begun", {id: String(id)}));
		} catch (refusal) {
			fill(told, make("span", "bad", refusal.message));
		}
	};
	const place = make("textarea", {name: "place", rows: 3, required: true});
	const box = name => make("label", "row", make("input", {type: "checkbox", name}), t(`add_${name}`));
	const begin = say("button", "add_begin");
	const form = formOf(submit, labelled("add_place", place), box("sync"), box("dry"), begin, told);
	return make("details", "card writers", say("summary", "add_source"), form);
}

export function mount(section) {
	view.caption = make("input", {maxlength: 2000});
	view.tags = make("input", {autocomplete: "off"});
	view.fields = fieldsEditor({});
	view.drop = make(
		"div",
		{className: "drop card writers"},
		say("h2", "add_drop"),
		make("p", "muted", t("add_kinds")),
		row(chooser("add_choose", "primary"), chooser("add_choose_folder", "", {webkitdirectory: true})),
		labelled("add_caption", view.caption),
		make("details", {}, say("summary", "add_more"), labelled("edit_tags", view.tags), view.fields.element),
	);
	view.bar = make("progress", {max: 1, "aria-label": t("add_uploads")});
	view.counts = make("p");
	view.find = linkTo("search", {}, t("add_find"), "button primary");
	view.again = button(t("add_again"), () => enqueue(lost.splice(0)));
	view.stop = button(t("add_stop"), stop);
	view.files = make("ul", {className: "files", tabindex: 0, "aria-label": t("add_uploads")});
	const title = say("h2", "add_uploads");
	view.uploads = make("div", {className: "uploads card", hidden: true}, title, view.bar, view.counts, row(view.find, view.again, view.stop), view.files);
	section.append(view.drop, view.uploads, sourceForm());
	addEventListener("beforeunload", event => entries.some(({state}) => /waiting|sending/.test(state)) && event.preventDefault());
	mountJobs(section);
}
