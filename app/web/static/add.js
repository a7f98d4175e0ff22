// Pictures handed in: files and archives with their progress, web addresses, folders, buckets.
import { ask, pictureUrl, upload } from "./api.js";
import { alertOf, announce, make } from "./dom.js";
import { button, countsOf, mountJobs, offer, say, watchJob } from "./jobs.js";
import { collection, forget } from "./session.js";
import { bytes, percent, t } from "./texts.js";

const UPLOADS_AT_ONCE = 3;
const BATCH_BYTES = 20e6; // far below the server's bound on a body
const BATCH_FILES = 40;
const SENT = 0.8; // of a file's bar; the rest is the model's part
const DRAW_MS = 100;
const AGAIN_MS = 3000;
const ARCHIVE = /\.(zip|tar|tgz|tar\.(gz|bz2|xz|zst))$/i;
const OUTCOMES = { succeeded: "added", skipped: "duplicate", failed: "failed", cancelled: "stopped" };
const ENDS = [...Object.values(OUTCOMES), "lost"];

const entries = [];
const view = {};
let [sending, drawing, wasBusy, since] = [0, 0, false, ""];
let stopping = new AbortController();

const withState = (...states) => entries.filter((entry) => states.includes(entry.state));

// --- Sending

/** What is to be said of the pictures; its lines are `name: value`. */
function about() {
  const pairs = view.metadata.value.split("\n").filter((line) => line.trim()).map((line) => {
    const [, name, value] = line.match(/^([^:：]+)[:：] *(.*\S)/) ?? [];
    if (!name) throw new Error(t("add_line", { line }));
    return [name.trim(), String(Number(value)) === value ? Number(value) : value];
  });
  return { caption: view.caption.value.trim(), metadata: Object.fromEntries(pairs) };
}

function add(files) {
  try {
    const manner = { ...about(), collection: collection() };
    entries.push(...files.map((file) => entryOf(file, manner)));
    pump();
  } catch (error) {
    alertOf(error.message);
  }
}

function pump() {
  for (let batch = nextBatch(); batch.length && sending < UPLOADS_AT_ONCE; batch = nextBatch()) {
    sending += 1;
    send(batch).finally(() => {
      sending -= 1;
      pump();
    });
  }
}

/** The files of one request: handed in together, few and small enough. */
function nextBatch() {
  const [first, ...others] = withState("waiting");
  const batch = first ? [first] : [];
  let size = first?.file.size;
  for (const entry of others) {
    size += entry.file.size;
    const isFull = size > BATCH_BYTES || batch.length === BATCH_FILES;
    if (isFull || first.isAlone || entry.isAlone || entry.manner !== first.manner) break;
    batch.push(entry);
  }
  return batch;
}

async function send(batch) {
  const { caption, metadata, collection: name } = batch[0].manner;
  const form = new FormData();
  for (const { file, kind } of batch) form.append(kind, file, file.name);
  form.append("caption", caption);
  form.append("metadata", JSON.stringify(metadata));
  const progress = (fraction) => spread(batch, fraction);
  progress(0);
  try {
    const { data } = await upload(`/api/v1/images?collection=${name}`, form, { progress, signal: stopping.signal });
    for (const entry of batch) change(entry, "sent");
    watchJob(data.job_id, (job) => settle(batch, job));
  } catch (error) {
    fail(batch, error);
  }
}

/** How much of each file was sent, of a request that holds one after the other. */
function spread(batch, fraction) {
  let left = fraction * batch.reduce((sum, { file }) => sum + file.size, 0);
  for (const entry of batch) {
    entry.done = SENT * Math.max(0, Math.min(1, left / entry.file.size || 0));
    left -= entry.file.size;
    change(entry, "sending", percent(entry.done / SENT));
  }
}

function fail(batch, { name, status, message }) {
  const isTooMuch = status === 413 && batch.length > 1;
  const isFinal = status < 500 && ![401, 403, 429].includes(status);
  const state = isTooMuch ? "waiting" : isFinal ? "failed" : name === "AbortError" ? "stopped" : "lost";
  for (const entry of batch) {
    entry.isAlone ||= isTooMuch;
    change(entry, state, status && !isTooMuch ? message : "");
  }
}

// --- What became of it

async function settle(batch, job) {
  since ||= job.created_at;
  const [first] = batch;
  if (first.kind === "archive") {
    first.done = SENT + (1 - SENT) * (job.done / job.total || 0);
    return change(first, OUTCOMES[job.state] ?? "sent", job.reason ?? countsOf(job));
  }
  try {
    const { data } = await ask("GET", `/api/v1/jobs/${job.id}/items`, { query: { limit: BATCH_FILES } });
    data.items.forEach((item, at) => batch[at].state === "sent" && settleFile(batch[at], item));
  } catch {
    if (job.finished_at) setTimeout(settle, AGAIN_MS, batch, job);
  }
}

async function settleFile(entry, { image_id: id, state, reason }) {
  change(entry, OUTCOMES[state] ?? "sent", reason ?? (id ? t("add_look") : ""));
  if (!id) return;
  entry.detail.href = `/?hit=${id}`;
  entry.image.src = await pictureUrl(`/images/${id}/thumbnail?size=64`).catch(() => "");
}

// --- The list of files

function entryOf(file, manner) {
  const isAlone = ARCHIVE.test(file.name);
  const image = make("img", { alt: "", width: 40, height: 40 });
  const [word, detail] = [make("span", { className: "state" }), make("a", { dataset: { view: "search" } })];
  const bar = make("progress", { max: 1, "aria-label": t("add_progress", { name: file.name }) });
  const name = make("p", {}, file.name, " ", make("span", { className: "muted" }, bytes(file.size)));
  const row = make("li", {}, image, name, make("p", {}, word, " ", detail), bar);
  const entry = { file, manner, kind: isAlone ? "archive" : "files", isAlone, done: 0, image, word, detail, bar, row };
  view.files.append(row);
  change(entry, "waiting");
  return entry;
}

function change(entry, state, detail = "") {
  if (ENDS.includes(state)) entry.done = 1;
  if (state === "failed") view.files.prepend(entry.row);
  entry.row.dataset.state = entry.state = state;
  entry.bar.value = entry.done;
  say(entry.word, t(`add_${state}`));
  say(entry.detail, detail);
  drawing ||= setTimeout(drawAll, DRAW_MS);
}

function drawAll() {
  const counts = Object.fromEntries(ENDS.map((state) => [state, withState(state).length]));
  const [done, total] = [withState(...ENDS).length, entries.length];
  const text = countsOf({ ...counts, done, total }, ENDS);
  const filter = JSON.stringify({ created_at: { gte: since } });
  drawing = 0;
  view.uploads.hidden = false;
  view.bar.value = entries.reduce((sum, entry) => sum + entry.done, 0) / total;
  view.find.href = `/?${new URLSearchParams({ filter })}`;
  view.find.hidden = !counts.added;
  say(view.counts, text);
  offer(view.again, counts.lost + counts.stopped, view.title);
  offer(view.stop, withState("waiting", "sending").length, view.title);
  if (wasBusy && done === total) announce(text, forget());
  wasBusy = done < total;
}

function stop() {
  for (const entry of withState("waiting")) change(entry, "stopped");
  stopping.abort();
  stopping = new AbortController();
}

function again() {
  for (const entry of withState("lost", "stopped")) change(Object.assign(entry, { done: 0 }), "waiting");
  pump();
}

// --- Files that are chosen or dropped

async function filesBelow(root) {
  const read = (reader, method) => new Promise((resolve, reject) => reader[method](resolve, reject));
  if (root.isFile) return [await read(root, "file")];
  const [reader, found] = [root.createReader(), []];
  for (let part; (part = await read(reader, "readEntries")).length; ) found.push(...part);
  return (await Promise.all(found.map(filesBelow))).flat();
}

async function onDrag(event) {
  event.preventDefault();
  view.drop.classList.toggle("over", event.type === "dragover");
  if (event.type !== "drop") return;
  const { files, items } = event.dataTransfer;
  const [given, roots] = [[...files], [...items].map((item) => item.webkitGetAsEntry()).filter(Boolean)];
  const found = await Promise.all(roots.map(filesBelow)).catch(() => []);
  add(found.length ? found.flat() : given);
}

function chooser(key, className, options) {
  const onchange = () => {
    add([...input.files]);
    input.value = "";
  };
  const input = make("input", { type: "file", className: "unseen", multiple: true, onchange, ...options });
  return make("label", { className: `button ${className}` }, t(key), input);
}

// --- What the server fetches itself

const labelled = (text, input) => make("label", {}, text, input);
const choice = (name, ...keys) => make("select", { name }, ...keys.map((key) => make("option", { value: key }, t(`add_${key}`))));

function bodyOf({ kind, place, mode, dry }) {
  const dry_run = Boolean(dry);
  if (kind === "urls") return { ...about(), urls: place.trim().split(/\s+/), dry_run };
  const [bucket, ...rest] = place.trim().split("/");
  return { source: kind === "folder" ? { folder: place.trim() } : { bucket, prefix: rest.join("/") }, mode, dry_run };
}

function sourceForm() {
  const [told, hint] = [make("p", { role: "status" }), make("span")];
  const [kind, mode] = [choice("kind", "urls", "folder", "bucket"), labelled(t("add_mode"), choice("mode", "add", "sync"))];
  const place = make("textarea", { name: "place", rows: 3, required: true, spellcheck: "false" });
  const dry = make("label", { className: "row" }, make("input", { type: "checkbox", name: "dry" }), t("add_dry"));
  const form = make("form", {}, labelled(t("add_kind"), kind), labelled(hint, place), mode, dry, make("button", {}, t("add_begin")), told);
  kind.onchange = () => {
    say(hint, t(`add_hint_${kind.value}`));
    mode.hidden = kind.value === "urls";
  };
  form.onsubmit = async (event) => {
    event.preventDefault();
    try {
      const json = bodyOf(Object.fromEntries(new FormData(form)));
      const { data } = await ask("POST", "/api/v1/images", { query: { collection: collection() }, json });
      told.className = "good";
      say(told, t("add_begun", { id: data.job_id }));
      watchJob(data.job_id, () => {});
    } catch (error) {
      told.className = "bad";
      say(told, error.message);
    }
  };
  kind.onchange();
  return make("details", { className: "card" }, make("summary", {}, t("add_source")), form);
}

/** Builds the view in its section. */
export function mountAdd(section) {
  const title = (key) => make("h2", { tabindex: "-1" }, t(key));
  const row = (...parts) => make("p", { className: "row" }, ...parts);
  const choosers = row(chooser("add_choose", "primary"), chooser("add_choose_folder", "", { webkitdirectory: true }));
  Object.assign(view, {
    caption: make("input", { maxlength: 10000, autocomplete: "off" }),
    metadata: make("textarea", { rows: 2, placeholder: t("add_metadata_hint"), spellcheck: "false" }),
    drop: make("div", { className: "drop" }, title("add_drop"), make("p", { className: "muted" }, t("add_kinds")), choosers),
    title: title("add_uploads"),
    bar: make("progress", { max: 1, "aria-label": t("add_uploads") }),
    counts: make("p"),
    find: make("a", { className: "button primary", dataset: { view: "search" } }, t("add_find")),
    again: button("add_again", again),
    stop: button("add_stop", stop),
    files: make("ul", { className: "files", tabindex: 0, "aria-label": t("add_uploads") }),
  });
  const words = make("div", { className: "about" }, labelled(t("add_caption"), view.caption), labelled(t("add_metadata"), view.metadata));
  const jobs = make("div");
  view.uploads = make("div", { className: "card", hidden: true }, view.title, view.bar, view.counts, row(view.find, view.again, view.stop), view.files);
  section.append(make("div", { className: "card hand-in" }, view.drop, words), view.uploads, sourceForm(), jobs);
  for (const type of ["dragover", "dragleave", "drop"]) section.addEventListener(type, onDrag);
  addEventListener("beforeunload", (event) => withState("waiting", "sending").length && event.preventDefault());
  mountJobs(jobs);
}
