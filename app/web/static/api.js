// The public API, with or without a key.
const MAX_BLOBS = 400;
const WAIT_MS = 2000;
const TRIES = 5;
const MAX_RETRY_S = 60;
const KEPT_MS = 60_000; // a file that the browser is saving
const CHALLENGE = "WWW-Authenticate"; // of a 401 about a key

const key = () => sessionStorage.apiKey || localStorage.apiKey;
export const hasKey = () => Boolean(key());
const authorization = () => (hasKey() ? { Authorization: `Bearer ${key()}` } : {});

/** Of this tab, or of all to come on this device; without a text, of none. */
export function setKey(text, isRemembered) {
  for (const storage of [sessionStorage, localStorage]) storage.removeItem("apiKey");
  if (text) (isRemembered ? localStorage : sessionStorage).apiKey = text;
  while (blobs.size) forgetOldest();
  dispatchEvent(new Event("keychange"));
}

/** What an answer holds; a refusal is thrown with its `status`. */
function outcome(status, text, challenge) {
  let data = null;
  try {
    data = JSON.parse(text);
  } catch {} // 204, or a proxy's page
  if (status < 400) return { data };
  if (challenge) dispatchEvent(new Event("keyneeded"));
  throw Object.assign(new Error(data?.detail ?? `HTTP ${status}`), { status });
}

/** Wait as a refusal asks for; false if it does not, or for long. */
async function waited(status, seconds, attempt) {
  if (![429, 503].includes(status) || !(seconds > 0 && seconds <= MAX_RETRY_S) || attempt === TRIES) return false;
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  return true;
}

/** Relative to the page, which may lie below a prefix of a proxy's. */
const relative = (path) => path.replace(/^\//, "");

async function call(path, options = {}, attempt = 1) {
  const response = await fetch(relative(path), { ...options, headers: { ...options.headers, ...authorization() } });
  const isBounded = response.status === 429; // what is down is said at once
  if (isBounded && (await waited(429, Number(response.headers.get("Retry-After")), attempt))) return call(path, options, attempt + 1);
  if (!response.ok) outcome(response.status, await response.text(), response.headers.get(CHALLENGE));
  return response;
}

export async function ask(method, path, { query = {}, json, signal } = {}) {
  const given = new URLSearchParams(Object.entries(query).filter(([, value]) => (value ?? "") !== ""));
  const headers = json && { "Content-Type": "application/json" };
  const response = await call(given.size ? `${path}?${given}` : path, { method, headers, body: JSON.stringify(json), signal });
  return outcome(response.status, await response.text());
}

/** Rejects with an AbortError where `signal` stops it. */
export async function upload(path, form, { progress, signal }, attempt = 1) {
  signal.throwIfAborted(); // stopped before it began, or between two tries
  const request = new XMLHttpRequest();
  request.open("POST", relative(path));
  for (const header of Object.entries(authorization())) request.setRequestHeader(...header);
  request.upload.onprogress = ({ loaded, total }) => progress(loaded / total);
  await new Promise((resolve, reject) => {
    request.onload = resolve;
    request.onerror = () => reject(new TypeError("network"));
    request.onabort = () => reject(new DOMException("stopped", "AbortError"));
    signal.addEventListener("abort", () => request.abort());
    request.send(form);
  });
  const seconds = Number(request.getResponseHeader("Retry-After"));
  if (await waited(request.status, seconds, attempt)) return upload(path, form, { progress, signal }, attempt + 1);
  return outcome(request.status, request.responseText, request.getResponseHeader(CHALLENGE));
}

/** Server-sent events up to the end; what breaks is begun again. */
export async function follow(path, onEvent) {
  for (let told; !told?.finished_at; ) {
    try {
      const reader = (await call(path)).body.pipeThrough(new TextDecoderStream()).getReader();
      let text = "";
      for (let part; !(part = await reader.read()).done; ) {
        text += part.value;
        for (const [event, name, data] of text.matchAll(/event: (.*)\ndata: (.*)\n\n/g)) {
          text = text.replace(event, "");
          onEvent(name, (told = JSON.parse(data)));
        }
      }
    } catch (error) {
      if (error.status < 500 && error.status !== 429) throw error;
    }
    if (!told?.finished_at) await new Promise((resolve) => setTimeout(resolve, WAIT_MS));
  }
}

/** Save what is at an address under a name: with a key, the bytes are fetched first. */
export async function download(path, name) {
  const url = hasKey() ? URL.createObjectURL(await (await call(path)).blob()) : relative(path);
  const link = document.createElement("a");
  Object.assign(link, { href: url, download: name }).click();
  if (url.startsWith("blob:")) setTimeout(() => URL.revokeObjectURL(url), KEPT_MS);
}

/** An object URL of a picture's file: a bucket's own address would be against the page's policy. */
export const originalUrl = async (id) => URL.createObjectURL(await (await call(`/api/v1/images/${id}/file`)).blob());

const blobs = new Map();

function forgetOldest() {
  const [[path, url]] = blobs;
  URL.revokeObjectURL(url);
  blobs.delete(path);
}

/** An address for an element: it cannot send the key, so with one the bytes are fetched, unless it is signed. */
export async function pictureUrl(path) {
  if (!hasKey() || path.startsWith("blob:") || path.includes("&signature=")) return relative(path);
  if (!blobs.has(path)) blobs.set(path, URL.createObjectURL(await (await call(path)).blob()));
  if (blobs.size > MAX_BLOBS) forgetOldest();
  return blobs.get(path);
}
