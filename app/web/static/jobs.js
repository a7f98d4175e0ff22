// The server's jobs: followed by their events, listed, cancelled, tried again.
import { ask, follow } from "./api.js";
import { alertOf, announce, make } from "./dom.js";
import { dateTime, number, t } from "./texts.js";

const POLL_MS = 3000;
const MOST_FOLLOWED = 2; // a browser keeps six connections to a server
const JOBS_AT_ONCE = 20;
const ITEMS_AT_ONCE = 100;
const MOST_ITEMS = 1000; // that the server tells at once
const KINDS = ["folder", "bucket", "archive", "urls", "files"];
const COUNTS = ["added", "changed", "moved", "removed", "gone", "unchanged", "duplicate", "failed", "cancelled"];

const rows = new Map(); // what shows each job, and the last that is known of it, by id
const watched = new Map(); // whom to tell of some, by id
const followed = new Map(); // what stops the following of some, by id
const list = make("ol", { className: "jobs" });
const trouble = make("p", { className: "bad" });
let timer = 0;

export const button = (key, onclick) => make("button", { type: "button", onclick }, t(key));

/** Sets a text only where it differs: a screen reader would tell it again. */
export const say = (node, text) => node.textContent === text || (node.textContent = text);

/** Shows a button, or hides it; the focus that it may have goes to `instead`. */
export function offer(one, isShown, instead) {
  if (!isShown && document.activeElement === one) instead.focus();
  one.hidden = !isShown;
}

/** A table, and what writes lines of texts or links into it, each in its place. */
export function table(caption, ...heads) {
  const [body, head] = [make("tbody"), make("tr", {}, ...heads.map((key) => make("th", { scope: "col" }, t(key))))];
  const fill = (lines) => {
    while (body.rows.length > lines.length) body.deleteRow(-1);
    lines.forEach((line, y) => line.forEach((value, x) => {
      const row = body.rows[y] ?? body.insertRow();
      const cell = row.cells[x] ?? row.insertCell();
      if (cell.textContent !== (value.textContent ?? value)) cell.replaceChildren(value);
    }));
  };
  return [make("table", {}, make("caption", { className: "unseen" }, t(caption)), make("thead", {}, head), body), fill];
}

/** How many of how many, and what became of them. */
export function countsOf(counts, names = COUNTS) {
  const parts = names.filter((name) => counts[name]).map((name) => t(`job_n_${name}`, { n: number(counts[name]) }));
  return [t("job_done", { done: number(counts.done), total: number(counts.total) }), ...parts].join(" · ");
}

/** Calls back with each new state of a job, its last one included. */
export function watchJob(id, onJob) {
  watched.set(id, onJob);
  look();
}

function learn(job) {
  const { id, finished_at, updated_at } = job;
  const row = rows.get(id) ?? addRow(id);
  if (row.job?.updated_at > updated_at) return;
  if (finished_at && row.job?.finished_at === null && !watched.has(id)) announce(`${titleOf(job)}: ${t(`job_${job.state}`)}`);
  row.job = job;
  row.show(job);
  watched.get(id)?.(job);
  if (finished_at) watched.delete(id);
}

// --- Keeping up to date

const isSeen = () => !document.hidden && list.checkVisibility();

async function look() {
  clearTimeout(timer);
  timer = setTimeout(look, POLL_MS);
  if (!isSeen() && !watched.size) return;
  try {
    const { data } = await ask("GET", "/api/v1/jobs", { query: { limit: JOBS_AT_ONCE } });
    data.jobs.reverse().forEach(learn);
    say(trouble, rows.size ? "" : t("job_none"));
    followSome();
  } catch ({ status, message }) {
    if (status === 401 || status === 403) clearTimeout(timer);
    say(trouble, message);
  }
}

function followSome() {
  for (const [id, stop] of followed) if (!isSeen() && !watched.has(id)) stop.abort();
  const running = [...rows.values()].map(({ job }) => job).filter((job) => isSeen() && job.started_at && !job.finished_at);
  for (const id of [...watched.keys(), ...running.map((job) => job.id)]) {
    if (!followed.has(id) && followed.size < MOST_FOLLOWED) followJob(id);
  }
}

async function followJob(id) {
  const stop = new AbortController();
  followed.set(id, stop);
  await follow(`/api/v1/jobs/${id}/events`, (name, job) => learn(job), stop.signal).catch(() => watched.delete(id));
  followed.delete(id);
  if (!stop.signal.aborted) look();
}

// --- One job

function titleOf({ id, source, collection }) {
  const kind = KINDS.find((one) => one in source);
  return t(`job_of_${kind}`, { id, what: [source[kind], source.prefix].filter(Boolean).join("/"), collection });
}

function paceOf({ finished_at, pictures_per_second: rate, seconds_left: left }) {
  if (finished_at) return dateTime(finished_at);
  const [unit, length] = left > 90 ? ["minute", 60] : ["second", 1];
  const time = number(Math.ceil(left / length), { style: "unit", unit, unitDisplay: "long" });
  const n = number(rate, { maximumFractionDigits: 1 });
  return [rate && t("job_rate", { n }), left && t("job_left", { time })].filter(Boolean).join(" · ");
}

function addRow(id) {
  const row = rowOf(id);
  const below = Math.max(...[...rows.keys()].filter((other) => other < id));
  list.insertBefore(row.whole, rows.get(below)?.whole ?? null);
  rows.set(id, row);
  return row;
}

async function command(id, verb) {
  try {
    learn((await ask("POST", `/api/v1/jobs/${id}/${verb}`)).data);
    look();
  } catch (refusal) {
    alertOf(refusal.message);
  }
}

function rowOf(id) {
  const [title, bar] = [make("h3", { tabindex: "-1" }), make("progress", { max: 1 })];
  const [state, counts, pace, reason] = ["state", "", "muted", "bad"].map((className) => make("span", { className }));
  const [cancel, retry] = ["cancel", "retry"].map((verb) => button(`job_${verb}`, () => command(id, verb)));
  const files = filesOf(id);
  const [head, facts] = [[title, state, cancel, retry], [counts, pace, reason]].map((parts) => make("div", { className: "row" }, ...parts));
  const whole = make("li", { className: "card" }, head, bar, facts, files.whole);
  const show = (job) => {
    const keys = [job.state, job.mode === "sync" && "sync", job.dry_run && "dry"].filter(Boolean);
    whole.dataset.state = job.state;
    say(title, titleOf(job));
    say(state, keys.map((key) => t(`job_${key}`)).join(" · "));
    say(counts, countsOf(job));
    say(pace, paceOf(job));
    say(reason, job.reason ?? "");
    bar.setAttribute("aria-label", titleOf(job));
    if (job.listed) bar.value = job.total ? job.done / job.total : 1;
    else bar.removeAttribute("value");
    offer(cancel, ["pending", "running"].includes(job.state), title);
    offer(retry, job.finished_at && (job.failed || job.reason), title);
    files.show(job);
  };
  return { whole, show };
}

/** The files of a job that failed, page by page; of a dry run all. */
function filesOf(id) {
  const summary = make("summary");
  const [lines, fill] = table("job_files", "job_file", "job_reason");
  let [limit, told, state] = [ITEMS_AT_ONCE];
  const load = async () => {
    if (!whole.open) return;
    const { data } = await ask("GET", `/api/v1/jobs/${id}/items`, { query: { limit, state } });
    fill(data.items.map((item) => [item.path, item.reason ?? item.outcome ?? item.state]));
    offer(more, data.next_cursor && limit < MOST_ITEMS, summary);
  };
  const more = button("more", () => load((limit += ITEMS_AT_ONCE)));
  const whole = make("details", { ontoggle: load }, summary, lines, more);
  const show = ({ dry_run, total, removed, failed, updated_at }) => {
    const n = dry_run ? total + removed : failed;
    state = dry_run ? null : "failed";
    whole.hidden = !n;
    say(summary, t(dry_run ? "job_what" : "job_n_failed", { n: number(n) }));
    if (told !== (told = updated_at)) load();
  };
  return { whole, show };
}

/** Shows the jobs below `parent`, and keeps them up to date while they are seen. */
export function mountJobs(parent) {
  parent.append(make("h2", {}, t("job_title")), trouble, list);
  new IntersectionObserver(look).observe(parent);
  addEventListener("keychange", look);
}
