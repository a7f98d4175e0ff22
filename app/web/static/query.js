// What is asked: as an address, and as the body of a search.
import { addressIn, collection } from "./session.js";

const PAGE = 40;
const MINUS = -0.5;
const EVEN = 0.5;
const MONTH = /^[12]\d{3}-(0[1-9]|1[0-2])$/;
export const ADDRESS = /^https?:\/\/\S+$/;
export const include = ["original_filename", "size", "caption", "dates"];

const files = []; // that no address can hold: the history has their places

export const thumbnail = (id, side = devicePixelRatio > 1 ? 512 : 256, page = 1) => `images/${id}/thumbnail?size=${side}${page > 1 ? `&page=${page}` : ""}`;

/** One of ours by its id, or any by its address. */
export function pictureAt(image) {
  if (!/^\d+$/.test(image)) return { image, term: { url: image }, name: image };
  return { image, term: { id: Number(image) }, preview: thumbnail(image), name: `#${image}` };
}

export async function pictureOfFile(file) {
  const reader = new FileReader();
  reader.readAsDataURL(file);
  await new Promise((resolve) => (reader.onloadend = resolve));
  const term = { image: reader.result?.split(",")[1] };
  const place = files.length;
  files[place] = { place, term, preview: URL.createObjectURL(file), name: file.name };
  return files[place];
}

function filterOf(text) {
  try {
    return { ...JSON.parse(text) };
  } catch {
    return {};
  }
}

export function fromAddress() {
  const given = Object.fromEntries(new URLSearchParams(location.search));
  const image = given.image ?? (ADDRESS.test(given.q) && given.q); // the form was sent without us
  return {
    words: image && !given.image ? "" : (given.q ?? ""),
    without: given.without ?? "",
    picture: image ? pictureAt(image) : files[history.state?.place],
    weight: Number(given.weight) || EVEN,
    filter: filterOf(given.filter),
    order: given.order ?? "",
    at: MONTH.test(given.at) ? given.at : "",
  };
}

export function addressOf({ words, without, picture, weight, filter, order, at }) {
  const url = addressIn("./");
  const said = JSON.stringify(filter);
  const balance = words && picture && weight !== EVEN && weight;
  const values = { q: words, without, image: picture?.image, weight: balance, filter: said !== "{}" && said, order, at };
  for (const [name, value] of Object.entries(values)) if (value) url.searchParams.set(name, value);
  return url.href;
}

/** The page's address with an answer that begins with a month. */
export function atAddress(month) {
  const url = new URL(location);
  url.searchParams.set("at", month);
  return url.href;
}

/** In the order of time, the pictures from a month on. */
function from({ filter, order, at }) {
  if (!at || !isByTime({ order })) return filter;
  const [year, month] = at.split("-").map(Number);
  const clause = order[0] === "-" ? { lt: new Date(Date.UTC(year, month)).toISOString().slice(0, 10) } : { gte: `${at}-01` };
  return { and: [filter, { taken_at: clause }] };
}

/** The page's address with an open hit, or without. */
export function hitAddress(id) {
  const url = new URL(location);
  url.searchParams.delete("hit");
  if (id) url.searchParams.set("hit", id);
  return url.href;
}

export const isByTime = ({ order }) => /^-?taken_at$/.test(order);

export const keyOf = (asked) => `${addressOf(asked)} ${asked.picture?.place}`;

export const isAsked = ({ words, without, picture }) => words || without || picture;

export function requestOf(asked) {
  const { words, without, picture, weight, order } = asked;
  const query = [];
  if (words) query.push({ text: words, weight: picture ? 1 - weight : 1 });
  if (picture) query.push({ ...picture.term, weight: words ? weight : 1 });
  if (without) query.push({ text: without, weight: MINUS });
  const listing = { collection: collection(), limit: PAGE, filter: from(asked), include, order_by: order || "-created_at" };
  if (!query.length) return listing;
  const mode = words && !picture ? "auto" : "vector"; // with a picture, the slider says what counts
  return { ...listing, order_by: order || null, query, mode, group_by: "copies" };
}
