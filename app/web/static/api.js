// The public API: requests, uploads, events, and pictures with or without a key.
const MAX_BLOBS = 400;
const WAIT_MS = 2000;

/** What the service refuses; `message` is a sentence that a person can act on. */
export class Refusal extends Error {
  constructor(status, detail, retryAfter) {
    super(detail);
    Object.assign(this, { status, retryAfter });
  }
}

export const hasKey = () => Boolean(sessionStorage.apiKey);
const authorization = () => (hasKey() ? { Authorization: `Bearer ${sessionStorage.apiKey}` } : {});

/** Keep a key for this tab, or with "" forget it. */
export function setKey(text) {
  sessionStorage.apiKey = text;
  forgetBlobs(0);
  dispatchEvent(new Event("keychange"));
}

function outcome(status, headers, text) {
  let data = null;
  try {
    data = JSON.parse(text);
  } catch {} // 204, or a proxy's page
  if (status < 400) return { data, headers, status };
  if (headers.get("WWW-Authenticate") || (status === 403 && !hasKey())) dispatchEvent(new Event("keyneeded"));
  throw new Refusal(status, data?.detail ?? `HTTP ${status}`, Number(headers.get("Retry-After")));
}

async function call(path, { headers, ...options } = {}) {
  const response = await fetch(path, { ...options, headers: { ...headers, ...authorization() } });
  if (!response.ok) outcome(response.status, response.headers, await response.text());
  return response;
}

export async function ask(method, path, { query = {}, json, form, signal } = {}) {
  const given = new URLSearchParams(Object.entries(query).filter(([, value]) => (value ?? "") !== ""));
  const headers = json ? { "Content-Type": "application/json" } : {};
  const body = json ? JSON.stringify(json) : form;
  const response = await call(given.size ? `${path}?${given}` : path, { method, headers, body, signal });
  return outcome(response.status, response.headers, await response.text());
}

/** POST, telling how much of the body was sent, 0 to 1. */
export function upload(path, form, { progress, signal } = {}) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", path);
    for (const header of Object.entries(authorization())) request.setRequestHeader(...header);
    request.upload.onprogress = (event) => progress?.(event.loaded / event.total);
    request.onload = () => {
      const headers = { get: (name) => request.getResponseHeader(name) };
      new Promise((done) => done(outcome(request.status, headers, request.responseText))).then(resolve, reject);
    };
    request.onerror = () => reject(new TypeError("network"));
    request.onabort = () => reject(new DOMException("", "AbortError"));
    signal?.addEventListener("abort", () => request.abort());
    request.send(form);
  });
}

/** Server-sent events until `onEvent` answers false, the server has said `end`, or the signal. */
export async function follow(path, onEvent, signal) {
  let isEnded = false;
  const hear = (event) => {
    const { event: name, data } = Object.fromEntries(event.split(/\r?\n/).map((line) => line.split(/: ?(.*)/s)));
    if (data) isEnded ||= onEvent(name, JSON.parse(data)) === false || (name === "end" && JSON.parse(data).finished_at);
  };
  while (!isEnded && !signal?.aborted) {
    try {
      const reader = (await call(path, { signal })).body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        const events = (rest + part.value).split(/\r?\n\r?\n/);
        rest = events.pop();
        events.forEach(hear);
        if (isEnded) return reader.cancel();
      }
    } catch (error) {
      if (error.status < 500 && error.status !== 429) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, WAIT_MS));
  }
}

const blobs = new Map();
const blobUrl = async (path) => URL.createObjectURL(await (await call(path)).blob());

function forgetBlobs(most) {
  for (const [path, url] of [...blobs].slice(0, Math.max(0, blobs.size - most))) {
    blobs.delete(path);
    url.then(URL.revokeObjectURL, () => {});
  }
}

/** An address for <img>: an element cannot send the key, so with one the bytes are fetched. */
export async function pictureUrl(path) {
  if (!hasKey()) return path;
  if (!blobs.has(path)) blobs.set(path, blobUrl(path));
  blobs.get(path).catch(() => blobs.delete(path));
  forgetBlobs(MAX_BLOBS);
  return blobs.get(path);
}

/** Save a file under a name. */
export async function download(path, name) {
  const link = document.createElement("a");
  link.href = hasKey() ? await blobUrl(path) : path;
  link.download = name;
  link.click();
}
