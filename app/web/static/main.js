// The shell: one of three views by the address, the language, the key.
import { hasKey, setKey } from "./api.js";
import { byId, icon } from "./dom.js";
import { showSearch } from "./search.js";
import { collection } from "./session.js";
import { t } from "./texts.js";

const YEAR_SECONDS = 31536000;
const mounts = {
  search: showSearch,
  add: async (section) => (await import("./add.js")).mountAdd(section),
  status: async (section) => (await import("./status.js")).mountStatus(section),
};
const mounted = new Set();

function showView() {
  const asked = new URLSearchParams(location.search).get("view");
  const view = Object.hasOwn(mounts, asked) ? asked : "search";
  for (const link of document.querySelectorAll("nav a")) {
    const isShown = link.dataset.view === view;
    byId(`${link.dataset.view}-view`).hidden = !isShown;
    link.ariaCurrent = isShown ? "page" : null;
  }
  document.title = `${t(`view_${view}`)} – ${t("title")}`;
  if (view !== "search" && mounted.has(view)) return;
  mounted.add(view);
  mounts[view](byId(`${view}-view`));
}

/** Links with data-view lead to a view of this page. */
function go(event) {
  const link = event.target.closest("a[data-view]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const url = new URL(link.href);
  if (collection() !== "default") url.searchParams.set("collection", collection());
  history.pushState(null, "", url);
  showView();
}

function switchLanguage({ target }) {
  document.cookie = `language=${target.lang.slice(0, 2)}; path=/; max-age=${YEAR_SECONDS}; samesite=lax`;
  location.reload();
}

function askForKey() {
  byId("key-hint").textContent = t(hasKey() ? "key_wrong" : "key_hint");
  byId("key-text").value = "";
  if (!byId("key-dialog").open) byId("key-dialog").showModal();
}

function takeKey({ target }) {
  if (target.returnValue) setKey(target.returnValue === "use" ? byId("key-text").value.trim() : "");
  target.returnValue = "";
}

for (const place of document.querySelectorAll("[data-icon]")) place.prepend(icon(place.dataset.icon));
document.addEventListener("click", go);
addEventListener("popstate", showView);
addEventListener("keyneeded", askForKey);
byId("key").addEventListener("click", askForKey);
byId("key-dialog").addEventListener("close", takeKey);
byId("language").addEventListener("click", switchLanguage);
showView();
