// A search, as an address and as a request.
import {addressIn, collection} from "./session.js";
import {t} from "./texts.js";

const PAGE = 40;
const MINUS = -0.5;
const EVEN = 0.5;
const MONTH = /^[12]\d{3}-(0[1-9]|1[0-2])$/;
export const ADDRESS = /^https?:\/\/\S+$/;
export const include = ["original_filename", "thumbnail_url", "size", "caption", "dates", "texts", "box", "url"];

const STORED = "pictures"; // of the last search, in the tab's storage
const MAX_STORED = 4_000_000; // characters; a tab has room for five million
export const MOST_PICTURES = 5; // of files, in one search

const files = new Map(); // by their place in the history

export const TILE = devicePixelRatio > 1 ? 512 : 256; // pixels

export const thumbnail = (id, side = TILE) => `/api/v1/images/${id}/thumbnail?size=${side}`;

// With the version of the content, for the cache.
export function thumbnailOf({id, thumbnail_url: address, page}, side) {
	const query = new URLSearchParams(address?.split("?")[1]);
	if (side) {
		for (const name of ["expires", "signature", "namespace"]) query.delete(name); // of another size
		query.set("size", side);
	}
	if (page > 1) query.set("page", page);
	return `/api/v1/images/${id}/thumbnail?${query}`;
}

export function pictureAt(image, box) {
	if (!/^\d+$/.test(image)) return {image, terms: [{url: image}], previews: [], name: image};
	const name = box ? t("part_of", {name: `#${image}`}) : `#${image}`;
	return {image, box, terms: [{id: Number(image), box: box?.split(",").map(Number)}], previews: [thumbnail(image)], name};
}

async function base64Of(file) {
	const reader = new FileReader();
	reader.readAsDataURL(file);
	await new Promise(resolve => (reader.onloadend = resolve));
	return reader.result?.split(",")[1];
}

export async function pictureOfFiles(chosen) {
	const place = crypto.getRandomValues(new Uint32Array(1))[0];
	const images = await Promise.all(chosen.map(base64Of));
	const name = chosen.map(file => file.name).join(" + ");
	store(place, images, name);
	return keep(place, images, name, chosen);
}

function keep(place, images, name, blobs) {
	files.set(place, {place, terms: images.map(image => ({image})), previews: blobs.map(blob => URL.createObjectURL(blob)), name});
	return files.get(place);
}

// For a reload, if there is room.
function store(place, images, name) {
	const text = JSON.stringify({place, images, name});
	if (text.length > MAX_STORED) return;
	try {
		sessionStorage[STORED] = text;
	} catch {}
}

function restored(wanted) {
	const {place, images, name} = JSON.parse((wanted && sessionStorage[STORED]) || "{}");
	if (!place || place !== wanted) return undefined;
	const blobOf = image => new Blob([Uint8Array.from(atob(image), one => one.charCodeAt(0))]);
	return keep(place, images, name, images.map(blobOf));
}

function filterOf(text) {
	try {
		return {...JSON.parse(text)};
	} catch {
		return {};
	}
}

export const textOfFilter = filter => (Object.keys(filter).length ? JSON.stringify(filter) : "");

export function fromAddress() {
	const given = Object.fromEntries(new URLSearchParams(location.search));
	const image = given.image ?? (ADDRESS.test(given.q) && given.q); // the form was sent without us
	return {
		words: image && !given.image ? "" : (given.q ?? ""),
		without: given.without ?? "",
		picture: image ? pictureAt(image, given.box) : (files.get(history.state?.place) ?? restored(history.state?.place)),
		weight: Number(given.weight) || EVEN,
		filter: filterOf(given.filter),
		order: given.order ?? "",
		at: MONTH.test(given.at) ? given.at : "",
	};
}

export function addressOf({words, without, picture, weight, filter, order, at}) {
	const url = addressIn("./");
	const balance = words && picture && weight !== EVEN && weight;
	const values = {q: words, without, image: picture?.image, box: picture?.box, weight: balance, filter: textOfFilter(filter), order, at};
	for (const [name, value] of Object.entries(values)) if (value) url.searchParams.set(name, value);
	return url.href;
}

// By time, the pictures from a month on.
function from({filter, order, at}) {
	if (!at || !isByTime({order})) return filter;
	const [year, month] = at.split("-").map(Number);
	const clause = order[0] === "-" ? {lt: new Date(Date.UTC(year, month)).toISOString().slice(0, 10)} : {gte: `${at}-01`};
	return {and: [filter, {taken_at: clause}]};
}

// Without it, if it has no value.
export function addressWith(name, value = "") {
	const url = new URL(location);
	url.searchParams.delete(name);
	if (value) url.searchParams.set(name, value);
	return url.href;
}

export const isByTime = ({order}) => /^-?taken_at$/.test(order);

export const keyOf = asked => `${addressOf(asked)} ${asked.picture?.place}`;

export const isAsked = ({words, without, picture}) => words || without || picture;

export function requestOf(asked) {
	const {words, without, picture, weight, order} = asked;
	const query = [];
	if (words) query.push({text: words, weight: picture ? 1 - weight : 1});
	for (const term of picture?.terms ?? []) query.push({...term, weight: (words ? weight : 1) / picture.terms.length});
	if (without) query.push({text: without, weight: MINUS});
	const listing = {collection: collection(), limit: PAGE, filter: from(asked), include, order_by: order || "-created_at"};
	if (!query.length) return listing;
	const mode = words && !picture ? "auto" : "vector"; // with a picture, the slider says what counts
	return {...listing, order_by: order || null, query, mode, group_by: "copies"};
}
