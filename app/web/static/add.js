// Pictures handed in: files, archives, web addresses, folders, buckets.
import { ask, pictureUrl, upload } from "./api.js";
import { alertOf, announce, button, make } from "./dom.js";
import { filesOf, isHiddenIn } from "./dropped.js";
import { fieldsEditor, tagsIn } from "./fields.js";
import { countsOf, fill, linkTo, liveRow, mountJobs, watchJob } from "./jobs.js";
import { collection, forget } from "./session.js";
import { bytes, t } from "./texts.js";

const BATCH_BYTES = 20e6; // far below the server's bound on a body
const BATCH_FILES = 40;
const SENT = 0.8; // of a file's bar; the rest is the model's part
const AGAIN_MS = 3000;
const SUSPECT_BYTES = 1e6; // a smaller picture has hardly too many pixels
const ARCHIVE = /\.(zip|tgz|tar(\.(gz|bz2|xz|zst))?)$/i;
const OUTCOMES = { succeeded: "added", skipped: "duplicate", failed: "failed", cancelled: "cancelled" };
const ENDS = [...Object.values(OUTCOMES), "lost"];

const entries = []; // the files
const lost = []; // batches that did not arrive
const running = new Set(); // ids of jobs of these files
const view = {};
let stopping = new AbortController();
let sending = Promise.resolve();
let drawing = 0;

const count = (...states) => entries.filter(({ state }) => states.includes(state)).length;

/** The files of a request are few and small enough; an archive goes alone. */
function batchesOf(files) {
  const batches = [];
  let size = Infinity;
  const said = { caption: view.caption.value.trim(), metadata: metadata(), into: collection() };
  for (const file of files) {
    const isArchive = ARCHIVE.test(file.name);
    size += file.size;
    if (isArchive || size > BATCH_BYTES || batches.at(-1).files.length === BATCH_FILES) {
      batches.push({ isArchive, files: [], ...said });
      size = isArchive ? Infinity : file.size;
    }
    batches.at(-1).files.push(entryOf(file));
  }
  return batches;
}

/** Of all files: tags and fields. */
async function metadata() {
  const tags = tagsIn(view.tags.value);
  const fields = await view.fields.changes().catch(() => ({})); // the upload itself is refused, and says why
  return { ...fields, ...(tags.length && { tags }) };
}

/** Send no more, and have what was sent but not read passed over. */
async function stop() {
  stopping.abort();
  stopping = new AbortController();
  try {
    for (const id of running) await ask("POST", `/api/v1/jobs/${id}/cancel`);
  } catch (error) {
    if (error.status !== 409) alertOf(error.message, "stop"); // it has ended by now
  }
}

function enqueue(batches) {
  for (const batch of batches) {
    change(batch.files, "waiting", 0);
    const { signal } = stopping;
    sending = sending.then(() => send(batch, signal));
  }
}

/** Send files; pictures that are larger than the service takes only as the person decides. */
async function take(files) {
  const suspects = files.filter(({ name, size }) => size > SUSPECT_BYTES && !ARCHIVE.test(name));
  try {
    if (suspects.length) files = await (await import("./shrink.js")).withinBounds(files, suspects);
  } catch {} // the bounds are not known: the service says what it refuses
  enqueue(batchesOf(files));
}

async function send(batch, signal) {
  const { files, caption, into, isArchive } = batch;
  if (signal.aborted) return change(files, "cancelled", 1);
  const form = new FormData();
  for (const { file } of files) form.append(isArchive ? "archive" : "files", file, file.name);
  form.append("caption", caption);
  const progress = (fraction) => change(files, "sending", SENT * fraction);
  try {
    const metadata = await batch.metadata;
    if (Object.keys(metadata).length) form.append("metadata", JSON.stringify(metadata));
    const { data } = await upload(`/api/v1/images?collection=${into}`, form, { progress, signal });
    running.add(data.job_id);
    watchJob(data.job_id, (job) => settle(batch, job));
  } catch ({ status, message, name }) {
    if (name === "AbortError") return change(files, "cancelled", 1);
    lost.push(batch);
    change(files, "lost", 1, status ? message : t("offline"));
  }
}

async function settle({ files, isArchive }, job) {
  const done = SENT + (1 - SENT) * (job.done / job.total || 0);
  if (!job.finished_at) return change(files, "sent", done);
  running.delete(job.id);
  if (isArchive) return change(files, OUTCOMES[job.status], 1, job.reason ?? countsOf(job));
  try {
    const { data: page } = await ask("GET", `/api/v1/jobs/${job.id}/items`, { query: { limit: BATCH_FILES } });
    page.data.forEach((item, at) => settleFile(files[at], item));
  } catch {
    setTimeout(settle, AGAIN_MS, { files }, job);
  }
}

async function settleFile(entry, { image_id: id, status, reason }) {
  change([entry], OUTCOMES[status], 1, id ? linkTo("search", { hit: id }, reason ?? t("add_look")) : reason ?? "");
  if (id) entry.image.src = await pictureUrl(`/api/v1/images/${id}/thumbnail?size=64`).catch(() => "");
}

function entryOf(file) {
  const image = make("img", { alt: "", width: 40, height: 40 });
  const size = make("span", { className: "muted" }, file.before ? t("shrunk", { before: bytes(file.before), after: bytes(file.size) }) : bytes(file.size));
  const entry = { file, image, ...liveRow(make("span", {}, file.name, " ", size)) };
  entry.whole.prepend(image);
  view.files.append(entry.whole);
  entries.push(entry);
  return entry;
}

function change(files, state, done, detail = "") {
  for (const entry of files) {
    Object.assign(entry, { state, done });
    entry.show(state, t(`add_${state}`), detail, done);
    if (state === "failed") view.files.prepend(entry.whole);
  }
  drawing ||= requestAnimationFrame(drawAll);
}

function drawAll() {
  drawing = 0;
  const counts = Object.fromEntries(ENDS.map((state) => [state, count(state)]));
  Object.assign(counts, { total: entries.length, done: count(...ENDS) });
  const text = countsOf(counts);
  view.uploads.hidden = false;
  view.bar.value = entries.reduce((sum, entry) => sum + entry.done, 0) / counts.total;
  view.find.hidden = !counts.added;
  view.again.hidden = !lost.length;
  view.stop.hidden = counts.done === counts.total;
  if (counts.done === counts.total && view.counts.textContent !== text) announce(text, forget());
  fill(view.counts, text);
}

async function takeDropped(transfer) {
  const { found, unreadable } = await filesOf(transfer);
  alertOf(unreadable.length ? t("add_unreadable", { names: unreadable.join(", ") }) : found.length ? "" : t("add_nothing"), "drop");
  take(found);
}

function onDrag(event) {
  event.preventDefault();
  view.drop.classList.toggle("over", event.type === "dragover");
  if (event.type === "drop") takeDropped(event.dataTransfer);
}

function chooser(key, className, options) {
  const onchange = ({ target }) => {
    take([...target.files].filter((file) => !isHiddenIn(file)));
    target.value = "";
  };
  const input = make("input", { type: "file", className: "unseen", multiple: true, onchange, ...options });
  return make("label", { className: `button ${className}` }, t(key), input);
}

function bodyOf(form) {
  const [place, dry_run] = [form.place.value.trim(), form.dry.checked];
  if (/^https?:/i.test(place)) return { urls: place.split(/\s+/), caption: view.caption.value.trim(), dry_run };
  const [, bucket, prefix] = place.match(/^s3:\/\/([^/]+)\/?(.*)$/) ?? [];
  return { source: bucket ? { bucket, prefix } : { folder: place }, mode: form.sync.checked ? "sync" : "add", dry_run };
}

function sourceForm() {
  const told = make("p", { role: "status" });
  const onsubmit = async (event) => {
    event.preventDefault();
    try {
      const given = { query: { collection: collection() }, json: bodyOf(form) };
      const { data } = await ask("POST", "/api/v1/images", given);
      watchJob(data.job_id, forget);
      fill(told, t("add_begun", { id: data.job_id }));
    } catch (refusal) {
      fill(told, make("span", { className: "bad" }, refusal.message));
    }
  };
  const place = make("textarea", { name: "place", rows: 3, required: true });
  const box = (name) => make("label", { className: "row" }, make("input", { type: "checkbox", name }), t(`add_${name}`));
  const begin = make("button", {}, t("add_begin"));
  const form = make("form", { onsubmit }, make("label", {}, t("add_place"), place), box("sync"), box("dry"), begin, told);
  return make("details", { className: "card" }, make("summary", {}, t("add_source")), form);
}

export function mountAdd(section) {
  const row = (...parts) => make("p", { className: "row" }, ...parts);
  view.caption = make("input", { maxlength: 10000 });
  view.tags = make("input", { autocomplete: "off" });
  view.fields = fieldsEditor({});
  view.drop = make(
    "div",
    { className: "drop card" },
    make("h2", {}, t("add_drop")),
    make("p", { className: "muted" }, t("add_kinds")),
    row(chooser("add_choose", "primary"), chooser("add_choose_folder", "", { webkitdirectory: true })),
    make("label", {}, t("add_caption"), view.caption),
    make("details", {}, make("summary", {}, t("add_more")), make("label", {}, t("edit_tags"), view.tags), view.fields.element),
  );
  view.bar = make("progress", { max: 1, "aria-label": t("add_uploads") });
  view.counts = make("p");
  view.find = make("a", { className: "button primary", href: "./", dataset: { view: "search" } }, t("add_find"));
  view.again = button(t("add_again"), () => enqueue(lost.splice(0)));
  view.stop = button(t("add_stop"), stop);
  view.files = make("ul", { className: "files", tabindex: 0, "aria-label": t("add_uploads") });
  const title = make("h2", {}, t("add_uploads"));
  view.uploads = make("div", { className: "uploads card", hidden: true }, title, view.bar, view.counts, row(view.find, view.again, view.stop), view.files);
  section.append(view.drop, view.uploads, sourceForm());
  for (const type of ["dragover", "dragleave", "drop"]) section.addEventListener(type, onDrag);
  addEventListener("beforeunload", (event) => count("waiting", "sending") && event.preventDefault());
  mountJobs(section);
}
