// What helps with the search field: suggestions, recent searches, and keys that lead to it.
import { ask } from "./api.js";
import { button, byId, make } from "./dom.js";
import { collection } from "./session.js";
import { number, t } from "./texts.js";

const KEY = "recentSearches"; // in this browser alone
const MOST_RECENT = 6;
const PAUSE_MS = 150;

const [words, list, recent] = ["words", "suggestions", "recent"].map(byId);
let timer;

function stored() {
  try {
    const found = JSON.parse(localStorage.getItem(KEY));
    return Array.isArray(found) ? found.filter((text) => typeof text === "string") : [];
  } catch {
    return []; // a browser that keeps nothing
  }
}

function keep(texts) {
  try {
    if (texts.length) localStorage.setItem(KEY, JSON.stringify(texts));
    else localStorage.removeItem(KEY);
  } catch {}
}

/** Keep what was searched for, the last first. */
export function remember(text) {
  if (text) keep([text, ...stored().filter((one) => one !== text)].slice(0, MOST_RECENT));
}

/** Offer what was searched for before; `search` is told which one is meant. */
export function showRecent(search) {
  const texts = stored();
  const chips = texts.map((text) => button(text, () => search(text), "chip"));
  const clear = () => {
    keep([]);
    recent.hidden = true;
    words.focus();
  };
  recent.replaceChildren(t("recent"), ...chips, button(t("recent_clear"), clear, "quiet"));
  recent.hidden = !texts.length;
}

/** Suggest what the last word typed may become; the words before it stay. */
async function suggest() {
  const [, before, last] = words.value.match(/^(.*?)([^\s,]*)$/);
  if (!last) return list.replaceChildren();
  const path = `/api/v1/collections/${collection()}/suggestions`;
  const { data } = await ask("GET", path, { query: { prefix: last } }).catch(() => ({ data: { suggestions: [] } }));
  if (!words.value.endsWith(last)) return; // typed on
  const optionOf = ({ text, pictures }) => make("option", { value: before + text, label: t("suggested", { text, n: number(pictures) }) });
  list.replaceChildren(...data.suggestions.map(optionOf));
}

words.addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(suggest, PAUSE_MS);
});

addEventListener("keydown", (event) => {
  const isSlash = event.key === "/" && !event.target.closest("input, textarea, select");
  const isMeant = isSlash || (event.key === "k" && (event.ctrlKey || event.metaKey));
  if (!isMeant || document.querySelector("dialog[open]")) return;
  event.preventDefault();
  if (!words.checkVisibility()) document.querySelector("nav [data-view=search]").click();
  words.select();
  words.focus();
});
