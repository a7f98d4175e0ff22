// The server's jobs.
import {get, post} from "./api.js";
import {announce, attempt, button, make, row, say} from "./dom.js";
import {dateTime, has, listed, refusalOf, t} from "./texts.js";

const JOBS = "/api/v1/jobs";
const REFRESH_MS = 4000;
const LIVE_MS = 1000; // while one of them runs
const MOST_REFUSED = 100;
const JOBS_AT_ONCE = 20;

const rows = new Map(); // by id: whole, show, job, onJob
const list = make("ol", "jobs");
let look, soon;

// Where they differ: a screen reader would tell it again.
export function fill(element, ...children) {
	const fresh = element.cloneNode();
	fresh.append(...children);
	if (!fresh.isEqualNode(element)) element.replaceChildren(...fresh.childNodes);
}

export function liveRow(title, ...buttons) {
	const [state, detail, bar] = [make("b"), make("span"), make("progress", {max: 1})];
	const whole = make("li", {}, row(title, ...buttons), make("p", {}, state, " ", detail), bar);
	const show = (name, word, told, done) => {
		whole.dataset.state = name;
		fill(state, word);
		fill(detail, told);
		bar.value = done;
		bar.ariaLabel = title.textContent;
	};
	return {whole, show};
}

export function table(caption, heads, lines) {
	const line = (tag, cells) => make("tr", {}, ...cells.map(cell => make(tag, {}, cell)));
	const title = make("caption", "unseen", t(caption));
	return lines.length ? make("table", {}, title, line("th", heads.map(key => t(key))), ...lines.map(cells => line("td", cells))) : "";
}

// While the place is seen; why it is refused is said there.
export function keepUp(place, update) {
	const trouble = make("p", {className: "bad", role: "status"});
	let timer = 0;
	const again = async () => {
		clearTimeout(timer);
		timer = setTimeout(again, REFRESH_MS);
		if (document.hidden || !place.checkVisibility()) return;
		const refusal = await update().catch(error => error);
		if ([401, 403].includes(refusal?.status)) clearTimeout(timer);
		fill(trouble, refusal?.message ?? "");
	};
	place.append(trouble);
	new IntersectionObserver(again).observe(place);
	addEventListener("collectionchange", again);
	return again;
}

export function countsOf(counts) {
	const parts = Object.entries(counts).map(([name, n]) => n && has(`job_n_${name}`) && t(`job_n_${name}`, {n}));
	return listed(t("job_done", {done: counts.done - (counts.cancelled ?? 0), total: counts.total}), ...parts);
}

export function watchJob(id, onJob) {
	const known = rowOf(id);
	known.onJob = onJob;
	if (known.job) onJob(known.job);
	look();
}

function learn(job) {
	const known = rowOf(job.id);
	if (known.job?.updated_at >= job.updated_at) return;
	if (job.finished_at && known.job) announce(`${titleOf(job)}: ${t(`job_${job.status}`)}`);
	known.job = job;
	known.show(job);
	known.onJob?.(job);
}

// Those that run are followed in every view.
async function update() {
	clearTimeout(soon);
	const {data: jobs} = await get(JOBS, {limit: JOBS_AT_ONCE});
	jobs.reverse().forEach(learn);
	const isLive = ({job, onJob}) => (onJob || job.started_at) && !job?.finished_at;
	const live = [...rows.keys()].filter(id => isLive(rows.get(id)));
	for (const id of live) if (!jobs.some(one => one.id === id)) await get(`${JOBS}/${id}`).then(learn, error => leave(id, error));
	if (live.length) soon = setTimeout(() => update().catch(() => {}), LIVE_MS);
}

// A job goes with its collection.
function leave(id, error) {
	if (error.status !== 404) throw error;
	const {whole, onJob} = rows.get(id) ?? {}; // another update was faster
	whole?.remove();
	rows.delete(id);
	onJob?.({id, status: "failed", finished_at: true, code: error.code, reason: error.detail});
}

function titleOf({id, source: {prefix, ...place}, collection}) {
	const [kind, what] = Object.entries(place).find(([, value]) => value !== 0); // no files: an archive
	return t(`job_of_${kind}`, {id: String(id), what: prefix ? `${what}/${prefix}` : what, collection});
}

function toldOf(job) {
	const {finished_at, seconds_left: left} = job;
	const time = finished_at ? dateTime(finished_at) : left && t("job_left", {n: Math.ceil(left / 60)});
	return listed(countsOf(job), time, refusalOf(job.code, job.reason) ?? refusalOf(job.waiting_code, job.waiting));
}

function rowOf(id) {
	if (!rows.has(id)) rows.set(id, addRow(id));
	return rows.get(id);
}

function addRow(id) {
	const title = make("h3", {tabindex: "-1"});
	const command = async verb => {
		learn(await post(`${JOBS}/${id}/${verb}`));
		title.focus();
		look();
	};
	const buttonOf = verb => button(t(`job_${verb}`), () => attempt("jobs", () => command(verb)), "writers");
	const [cancel, retry] = ["cancel", "retry"].map(buttonOf);
	const [line, summary, lines] = [liveRow(title, cancel, retry), make("summary"), make("div")];
	const refused = make("details", {ontoggle: () => showRefused(rowOf(id).job, lines)}, summary, lines);
	Object.assign(line.whole, {className: "card", hidden: true});
	line.whole.append(refused);
	list.prepend(line.whole);
	const show = job => {
		const {status, finished_at, failed} = job;
		const words = listed(t(`job_${status}`), job.mode === "sync" && t("job_sync"), job.dry_run && t("job_dry"));
		line.whole.hidden = false;
		fill(title, titleOf(job));
		line.show(status, words, toldOf(job), finished_at ? 1 : job.done / job.total || 0);
		cancel.hidden = !["pending", "running"].includes(status);
		retry.hidden = !job.retryable;
		refused.hidden = !failed;
		fill(summary, t("job_n_failed", {n: failed}));
		if (refused.open) showRefused(job, lines);
	};
	return {...line, show};
}

async function showRefused({id, retryable}, place) {
	const {data: items} = await get(`${JOBS}/${id}/items`, {status: "failed", limit: MOST_REFUSED});
	const lines = items.map(({path, code, reason}) => [path, refusalOf(code, reason)]);
	fill(place, retryable ? "" : say("p", "job_hopeless"), table("job_files", ["job_file", "job_reason"], lines));
}

export function mountJobs(section) {
	const place = make("div", {}, say("h2", "job_title"), list);
	section.append(place);
	look = keepUp(place, update);
}
