// The public API, with or without a key.
import {refusalOf, t} from "./texts.js";

const MOST_AT_ONCE = 1000;
const TRIES = 5;
const MAX_RETRY_S = 60;
const KEPT_MS = 60_000;
const CHALLENGE = "WWW-Authenticate";

const key = () => sessionStorage.apiKey || localStorage.apiKey;
export const hasKey = () => Boolean(key());
const bearer = text => (text ? {Authorization: `Bearer ${text}`} : {});
const authorization = () => bearer(key());

// An empty text forgets it.
export function setKey(text, isRemembered) {
	for (const storage of [sessionStorage, localStorage]) storage.removeItem("apiKey");
	if (text) (isRemembered ? localStorage : sessionStorage).apiKey = text;
	dispatchEvent(new Event("keychange"));
}

export async function tryKey(text) {
	const response = await reached("api/v1/status", {headers: bearer(text)});
	outcome(response.status, await response.text());
}

function outcome(status, text, challenge) {
	let data = null;
	try {
		data = JSON.parse(text);
	} catch {} // 204, or from a proxy
	if (status < 400) return data;
	if (challenge) dispatchEvent(new Event("keyneeded"));
	throw Object.assign(new Error(refusalOf(data?.code, data?.detail ?? `HTTP ${status}`)), {status, code: data?.code, detail: data?.detail});
}

async function waited(status, seconds, attempt) {
	if (![429, 503].includes(status) || !(seconds > 0 && seconds <= MAX_RETRY_S) || attempt === TRIES) return false;
	await new Promise(resolve => setTimeout(resolve, seconds * 1000));
	return true;
}

const offline = () => new Error(t("offline"));

const reached = (path, options) =>
	fetch(path, options).catch(error => {
		throw error.name === "AbortError" ? error : offline();
	});

// The page may lie below a proxy's prefix.
export const relative = path => path.replace(/^\//, "");

async function call(path, options = {}, attempt = 1) {
	const response = await reached(relative(path), {...options, headers: {...options.headers, ...authorization()}});
	if (response.status === 429 && (await waited(429, Number(response.headers.get("Retry-After")), attempt))) return call(path, options, attempt + 1);
	if (!response.ok) outcome(response.status, await response.text(), response.headers.get(CHALLENGE));
	return response;
}

export async function ask(method, path, {query = {}, json, signal} = {}) {
	const given = new URLSearchParams(Object.entries(query).filter(([, value]) => (value ?? "") !== ""));
	const headers = json && {"Content-Type": "application/json"};
	const response = await call(given.size ? `${path}?${given}` : path, {method, headers, body: JSON.stringify(json), signal});
	return outcome(response.status, await response.text());
}

export const get = (path, query) => ask("GET", path, {query});
export const post = (path, json) => ask("POST", path, {json});

export async function askAll(path, query) {
	const found = [];
	for (let cursor = ""; cursor !== null; ) {
		const page = await get(path, {...query, limit: MOST_AT_ONCE, cursor});
		found.push(...page.data);
		cursor = page.next_cursor;
	}
	return found;
}

// Rejects with an AbortError where `signal` stops it.
export async function upload(path, form, {progress, signal}, attempt = 1) {
	signal.throwIfAborted();
	const request = new XMLHttpRequest();
	request.open("POST", relative(path));
	for (const header of Object.entries(authorization())) request.setRequestHeader(...header);
	request.upload.onprogress = ({loaded, total}) => progress(loaded / total);
	await new Promise((resolve, reject) => {
		request.onload = resolve;
		request.onerror = () => reject(offline());
		request.onabort = () => reject(signal.reason);
		signal.onabort = () => request.abort();
		request.send(form);
	});
	const seconds = Number(request.getResponseHeader("Retry-After"));
	if (await waited(request.status, seconds, attempt)) return upload(path, form, {progress, signal}, attempt + 1);
	return outcome(request.status, request.responseText, request.getResponseHeader(CHALLENGE));
}

const blobUrl = async path => URL.createObjectURL(await (await call(path)).blob());

// Save a file; with a key, its bytes are fetched first.
export async function download(path, name) {
	const url = hasKey() ? await blobUrl(path) : relative(path);
	const link = document.createElement("a");
	Object.assign(link, {href: url, download: name}).click();
	setTimeout(() => URL.revokeObjectURL(url), KEPT_MS);
}

// An object URL: the page's policy allows no bucket's address.
export const originalUrl = id => blobUrl(`/api/v1/images/${id}/file`);

// An element cannot send the key; a signed address needs none.
export async function showPicture(image, path) {
	const isFetched = hasKey() && !path.startsWith("blob:") && !path.includes("&signature=");
	image.src = isFetched ? await blobUrl(path) : relative(path);
	if (isFetched) image.onload = () => URL.revokeObjectURL(image.src);
}
