// Pictures that are larger than the service takes: scaled here, if the person agrees.
import { ask } from "./api.js";
import { alertOf, button, make } from "./dom.js";
import { bytes, number, t } from "./texts.js";

const QUALITY = 0.9; // of a JPEG or WebP
const STEP = 0.8; // each try has sides this much shorter, until the file is small enough
const MOST_TRIES = 12;
const KEPT_TYPES = ["image/png", "image/webp"]; // the rest becomes a JPEG

async function sizeOf(file) {
  const image = new Image();
  image.src = URL.createObjectURL(file);
  const isKnown = await new Promise((resolve) => Object.assign(image, { onload: () => resolve(true), onerror: () => resolve(false) }));
  URL.revokeObjectURL(image.src);
  return isKnown && { width: image.naturalWidth, height: image.naturalHeight };
}

/** What the service would refuse, with the factor that its sides may keep; 0 for formats that the browser does not know. */
async function measured(file, { max_file_bytes: mostBytes, max_megapixels: megapixels }) {
  const size = await sizeOf(file);
  if (!size) return { file, isOver: file.size > mostBytes, factor: 0 };
  const factor = Math.min(1, Math.sqrt((megapixels * 1e6) / (size.width * size.height)));
  return { file, ...size, factor, isOver: factor < 1 || file.size > mostBytes };
}

async function smaller({ file, width, height, factor }, mostBytes) {
  const bitmap = await createImageBitmap(file);
  const canvas = make("canvas");
  const type = KEPT_TYPES.includes(file.type) ? file.type : "image/jpeg";
  for (let tries = 0; tries < MOST_TRIES; tries += 1, factor *= STEP) {
    Object.assign(canvas, { width: Math.floor(width * factor) || 1, height: Math.floor(height * factor) || 1 });
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, type, QUALITY));
    if (!blob || blob.size > mostBytes) continue;
    bitmap.close();
    const made = new File([blob], file.name, { type, lastModified: file.lastModified });
    return Object.assign(made, { before: file.size });
  }
  throw new Error("too large");
}

function lineOf({ file, width, height, factor }) {
  const small = { small_width: number(Math.floor(width * factor)), small_height: number(Math.floor(height * factor)) };
  return make("li", {}, t("shrink_to", { name: file.name, bytes: bytes(file.size), width: number(width), height: number(height), ...small }));
}

/** "yes", "no", or "" for leaving them out. */
function agreed(large, bounds) {
  const said = { bytes: bytes(bounds.max_file_bytes), megapixels: number(bounds.max_megapixels) };
  const choice = (value, className) => button(t(`shrink_${value || "cancel"}`), () => dialog.close(value), className);
  const title = t("shrink_title", { n: number(large.length) });
  const list = make("ul", { className: "notes", tabindex: 0, "aria-label": title }, ...large.map(lineOf));
  const row = make("div", { className: "row" }, choice("yes", "primary"), choice("no"), choice("", "quiet"));
  const dialog = make("dialog", { className: "asks", "aria-label": title }, make("form", {}, make("h2", {}, title), make("p", {}, t("shrink_what", said)), list, row));
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.onclose = () => {
      dialog.remove();
      resolve(dialog.returnValue);
    };
  });
}

/** The files to send: of those that are too large smaller copies, the same, or none, as the person decides. */
export async function withinBounds(files, suspects) {
  const { data: bounds } = await ask("GET", "/api/v1/status");
  const over = [];
  for (const file of suspects) {
    const one = await measured(file, bounds);
    if (one.isOver) over.push(one);
  }
  const large = over.filter(({ factor }) => factor);
  const unknown = over.filter(({ factor }) => !factor).map(({ file }) => file.name);
  const answer = large.length ? await agreed(large, bounds) : "no";
  const made = new Map();
  for (const one of answer === "yes" ? large : [])
    made.set(one.file, await smaller(one, bounds.max_file_bytes).catch(() => (unknown.push(one.file.name), one.file)));
  alertOf(unknown.length ? t("shrink_failed", { names: unknown.join(", ") }) : "", "shrink");
  const isLeft = (file) => answer === "" && large.some((one) => one.file === file);
  return files.filter((file) => !isLeft(file)).map((file) => made.get(file) ?? file);
}
