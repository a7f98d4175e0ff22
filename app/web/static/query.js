// What is asked: as an address, and as the body of a search.
import { addressIn, collection } from "./session.js";

const PAGE = 40;
const MINUS = -0.5;
const EVEN = 0.5;
const MONTH = /^[12]\d{3}-(0[1-9]|1[0-2])$/;
export const ADDRESS = /^https?:\/\/\S+$/;
export const include = ["original_filename", "thumbnail_url", "size", "caption", "dates"];

const STORED = "pictures "; // in the tab's storage, before the place
const MAX_STORED = 4_000_000; // characters of one search's pictures: a tab has room for about five million
export const MOST_PICTURES = 5; // of files, in one search

const files = new Map(); // that no address can hold: the history has their places

export const TILE = devicePixelRatio > 1 ? 512 : 256; // pixels

export const thumbnail = (id, side = TILE) => `/api/v1/images/${id}/thumbnail?size=${side}`;

/** As an answer gives it: with the version of the content, which is kept without asking again. */
export function thumbnailOf({ id, thumbnail_url: address, page }, side) {
  const query = new URLSearchParams(address?.split("?")[1]);
  if (side) {
    for (const name of ["expires", "signature", "namespace"]) query.delete(name); // of another size
    query.set("size", side);
  }
  if (page > 1) query.set("page", page);
  return `/api/v1/images/${id}/thumbnail?${query}`;
}

/** One of ours by its id, or any by its address. */
export function pictureAt(image) {
  if (!/^\d+$/.test(image)) return { image, terms: [{ url: image }], previews: [], name: image };
  return { image, terms: [{ id: Number(image) }], previews: [thumbnail(image)], name: `#${image}` };
}

async function base64Of(file) {
  const reader = new FileReader();
  reader.readAsDataURL(file);
  await new Promise((resolve) => (reader.onloadend = resolve));
  return reader.result?.split(",")[1];
}

/** Several are one question: each counts alike. */
export async function pictureOfFiles(chosen) {
  const place = crypto.getRandomValues(new Uint32Array(1))[0];
  const images = await Promise.all(chosen.map(base64Of));
  const picture = {
    place,
    terms: images.map((image) => ({ image })),
    previews: chosen.map((file) => URL.createObjectURL(file)),
    name: chosen.map(({ name }) => name).join(" + "),
  };
  files.set(place, picture);
  store(place, images, picture.name);
  return picture;
}

/** For a reload; what is too large, or finds no room, is not kept. */
function store(place, images, name) {
  const text = JSON.stringify({ images, name });
  if (text.length > MAX_STORED) return;
  try {
    for (const key of Object.keys(sessionStorage)) if (key.startsWith(STORED)) sessionStorage.removeItem(key);
    sessionStorage.setItem(STORED + place, text);
  } catch {}
}

function restored(place) {
  const text = place !== undefined && sessionStorage.getItem(STORED + place);
  if (!text) return undefined;
  const { images, name } = JSON.parse(text);
  const previewOf = (image) => URL.createObjectURL(new Blob([Uint8Array.from(atob(image), (one) => one.charCodeAt(0))]));
  files.set(place, { place, terms: images.map((image) => ({ image })), previews: images.map(previewOf), name });
  return files.get(place);
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
    picture: image ? pictureAt(image) : (files.get(history.state?.place) ?? restored(history.state?.place)),
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
  for (const term of picture?.terms ?? []) query.push({ ...term, weight: (words ? weight : 1) / picture.terms.length });
  if (without) query.push({ text: without, weight: MINUS });
  const listing = { collection: collection(), limit: PAGE, filter: from(asked), include, order_by: order || "-created_at" };
  if (!query.length) return listing;
  const mode = words && !picture ? "auto" : "vector"; // with a picture, the slider says what counts
  return { ...listing, order_by: order || null, query, mode, group_by: "copies" };
}
