// The server's jobs: followed by their events, listed, cancelled, tried again.
import { ask, follow } from "./api.js";
import { alertOf, announce, button, make } from "./dom.js";
import { dateTime, number, t } from "./texts.js";

const REFRESH_MS = 4000;
const MOST_FOLLOWED = 2; // a browser keeps six connections to a server
const MOST_REFUSED = 100; // that are listed
const JOBS_AT_ONCE = 20;
const COUNTS = ["added", "changed", "moved", "removed", "gone", "unchanged", "duplicate", "failed", "cancelled", "ignored", "companions", "lost"];

const rows = new Map(); // by id: what shows a job, what is known of it, whom to tell
const followed = new Set();
const list = make("ol", { className: "jobs" });
let look;

/** Gives an element its children where they differ: a screen reader would tell the same again. */
export function fill(element, ...children) {
  const fresh = element.cloneNode();
  fresh.append(...children);
  if (!fresh.isEqualNode(element)) element.replaceChildren(...fresh.childNodes);
}

/** An entry of a list, which changes in place: what it is, its state, what to say of it. */
export function liveRow(title, ...buttons) {
  const [state, detail, bar] = [make("b"), make("span"), make("progress", { max: 1 })];
  const whole = make("li", {}, make("div", { className: "row" }, title, ...buttons), make("p", {}, state, " ", detail), bar);
  const show = (name, word, told, done) => {
    whole.dataset.state = name;
    fill(state, word);
    fill(detail, told);
    bar.value = done;
    bar.ariaLabel = title.textContent;
  };
  return { whole, show };
}

export const linkTo = (view, query, text) => make("a", { href: `./?${new URLSearchParams(query)}`, dataset: { view } }, text);

export function table(caption, heads, lines) {
  const row = (tag, cells) => make("tr", {}, ...cells.map((cell) => make(tag, {}, cell)));
  const title = make("caption", { className: "unseen" }, t(caption));
  return make("table", {}, title, row("th", heads.map((key) => t(key))), ...lines.map((line) => row("td", line)));
}

/** Updates a place again and again while it is seen, and says there why that is refused. */
export function keepUp(place, update) {
  const trouble = make("p", { className: "bad", role: "status" });
  let timer = 0;
  const again = async () => {
    clearTimeout(timer);
    timer = setTimeout(again, REFRESH_MS);
    if (document.hidden || !place.checkVisibility()) return;
    const refusal = await update().catch((error) => error);
    if ([401, 403].includes(refusal?.status)) clearTimeout(timer);
    fill(trouble, refusal?.message ?? "");
  };
  place.append(trouble);
  new IntersectionObserver(again).observe(place);
  for (const type of ["keychange", "collectionchange"]) addEventListener(type, again);
  return again;
}

export function countsOf(counts) {
  const parts = COUNTS.filter((name) => counts[name]).map((name) => t(`job_n_${name}`, { n: number(counts[name]) }));
  return [t("job_done", { done: number(counts.done), total: number(counts.total) }), ...parts].join(" · ");
}

/** Calls back with each new state of a job. */
export function watchJob(id, onJob) {
  const row = rowOf(id);
  row.onJob = onJob;
  if (row.job) onJob(row.job);
  look();
}

function learn(job) {
  const row = rowOf(job.id);
  if (row.job?.updated_at >= job.updated_at) return;
  if (job.finished_at && row.job) announce(`${titleOf(job)}: ${t(`job_${job.status}`)}`);
  row.job = job;
  row.show(job);
  row.onJob?.(job);
}

async function update() {
  const { data: page } = await ask("GET", "/api/v1/jobs", { query: { limit: JOBS_AT_ONCE } });
  page.data.reverse().forEach(learn);
  for (const [id, { job, onJob }] of rows) {
    const isLive = (onJob || job.started_at) && !job?.finished_at;
    if (isLive && !followed.has(id) && followed.size < MOST_FOLLOWED) followJob(id);
  }
}

function followJob(id) {
  followed.add(id);
  const events = follow(`/api/v1/jobs/${id}/events`, (name, job) => learn(job));
  events.then(look, () => {}).finally(() => followed.delete(id));
}

function titleOf({ id, source: { prefix, ...place }, collection }) {
  const [kind, what] = Object.entries(place).find(([, value]) => value !== 0); // no files: an archive
  return t(`job_of_${kind}`, { id, what: prefix ? `${what}/${prefix}` : what, collection });
}

function toldOf(job) {
  const { finished_at, seconds_left: left, reason, waiting } = job;
  const time = finished_at ? dateTime(finished_at) : left && t("job_left", { n: number(Math.ceil(left / 60)) });
  return [countsOf(job), time, reason ?? waiting].filter(Boolean).join(" · ");
}

function rowOf(id) {
  if (!rows.has(id)) rows.set(id, { show: addRow(id) });
  return rows.get(id);
}

function addRow(id) {
  const title = make("h3", { tabindex: "-1" });
  const command = async (verb) => {
    learn((await ask("POST", `/api/v1/jobs/${id}/${verb}`)).data);
    title.focus(); // the button is gone
    look();
  };
  const buttonOf = (verb) => button(t(`job_${verb}`), () => command(verb).catch(({ message }) => alertOf(message, "jobs")));
  const [cancel, retry] = ["cancel", "retry"].map(buttonOf);
  const [line, summary, lines] = [liveRow(title, cancel, retry), make("summary"), make("div")];
  const refused = make("details", { ontoggle: () => showRefused(id, lines) }, summary, lines);
  Object.assign(line.whole, { className: "card", hidden: true });
  line.whole.append(refused);
  list.prepend(line.whole);
  return (job) => {
    const { status, finished_at, failed } = job;
    const words = [status, job.mode === "sync" && "sync", job.dry_run && "dry"].filter(Boolean).map((key) => t(`job_${key}`));
    line.whole.hidden = false;
    fill(title, titleOf(job));
    line.show(status, words.join(" · "), toldOf(job), finished_at ? 1 : job.done / job.total || 0);
    cancel.hidden = !["pending", "running"].includes(status);
    retry.hidden = !(finished_at && (failed || job.reason));
    refused.hidden = !failed;
    fill(summary, t("job_n_failed", { n: number(failed) }));
    if (refused.open) showRefused(id, lines);
  };
}

async function showRefused(id, place) {
  const { data: page } = await ask("GET", `/api/v1/jobs/${id}/items`, { query: { status: "failed", limit: MOST_REFUSED } });
  fill(place, table("job_files", ["job_file", "job_reason"], page.data.map(({ path, reason }) => [path, reason])));
}

export function mountJobs(section) {
  const place = make("div", {}, make("h2", {}, t("job_title")), list);
  section.append(place);
  look = keepUp(place, update);
}
