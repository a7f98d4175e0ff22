// What is asked: as the page's address, and as the body of a search.
import { collection } from "./session.js";

const PAGE = 40;
const MAX_SIDE = 1024;
const SMALL_BYTES = 500_000;
const MINUS = -0.5;
const EVEN = 0.5;
export const include = ["path", "size", "caption"];

const kept = []; // pictures that no address can hold: the history's state has their places

export const thumbnail = (id, side) => `/images/${id}/thumbnail?size=${side}`;

export const pictureOfId = (id) => ({ term: { id }, preview: thumbnail(id, 256), name: `#${id}` });

export const pictureOfUrl = (url) => ({ term: { url }, name: new URL(url).host });

export async function pictureOfFile(file) {
  const small = await scaled(file);
  const data = await new Promise((resolve) => {
    const reader = new FileReader();
    reader.onloadend = () => resolve(reader.result ?? "");
    reader.readAsDataURL(small);
  });
  return { term: { image: data.split(",")[1] }, preview: URL.createObjectURL(small), name: file.name };
}

/** A smaller copy; the file itself where it is small, or the browser cannot read it. */
async function scaled(file) {
  const bitmap = await createImageBitmap(file).catch(() => null);
  const scale = bitmap && MAX_SIDE / Math.max(bitmap.width, bitmap.height);
  if (!bitmap || (scale >= 1 && file.size < SMALL_BYTES)) return file;
  const canvas = document.createElement("canvas");
  for (const side of ["width", "height"]) canvas[side] = Math.ceil(bitmap[side] * Math.min(1, scale));
  const paper = canvas.getContext("2d");
  paper.fillStyle = "#fff"; // a JPEG has no transparency
  paper.fillRect(0, 0, canvas.width, canvas.height);
  paper.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => canvas.toBlob((blob) => resolve(blob ?? file), "image/jpeg", 0.9));
}

function filterOf(text) {
  try {
    return { ...JSON.parse(text) };
  } catch {
    return {};
  }
}

export function fromAddress() {
  const given = new URLSearchParams(location.search);
  const id = Number(given.get("image"));
  return {
    words: given.get("q") ?? "",
    without: given.get("without") ?? "",
    picture: id > 0 ? pictureOfId(id) : kept[history.state?.picture],
    weight: Math.min(0.95, Math.max(0.05, Number(given.get("weight")) || EVEN)),
    filter: filterOf(given.get("filter")),
    order: given.get("order") ?? "",
  };
}

export function addressOf({ words, without, picture, weight, filter, order }) {
  const url = new URL("/", location);
  const values = {
    q: words,
    without,
    image: picture?.term.id,
    weight: words && picture && weight !== EVEN && weight,
    filter: Object.keys(filter).length && JSON.stringify(filter),
    order,
    collection: collection() !== "default" && collection(),
  };
  for (const [name, value] of Object.entries(values)) if (value) url.searchParams.set(name, value);
  return url.href;
}

/** The page's address with a hit that is open, or with null without one. */
export function hitAddress(id) {
  const url = new URL(location);
  url.searchParams.delete("hit");
  if (id) url.searchParams.set("hit", id);
  return url.href;
}

/** What the history has to keep beside the address. */
export function stateOf({ picture }) {
  if (!picture || picture.term.id) return {};
  if (!kept.includes(picture)) kept.push(picture);
  return { picture: kept.indexOf(picture) };
}

/** The same for the same question. */
export const keyOf = (asked) => addressOf(asked) + stateOf(asked).picture;

export const isAsked = ({ words, without, picture }) => Boolean(words || without || picture);

export function requestOf(asked) {
  const { words, without, picture, weight, filter, order } = asked;
  const query = [];
  if (words) query.push({ text: words, weight: picture ? 1 - weight : 1 });
  if (picture) query.push({ ...picture.term, weight: words ? weight : 1 });
  if (without) query.push({ text: without, weight: MINUS });
  const question = { collection: collection(), limit: PAGE, filter, include, order_by: order || null };
  return isAsked(asked) ? { ...question, query } : { ...question, order_by: order || "-created_at" };
}
