// The shell: three views, the language, the key.
import { setKey } from "./api.js";
import { byId, onLinks } from "./dom.js";
import { focusWords, showSearch } from "./search.js";
import { addressIn } from "./session.js";
import { t } from "./texts.js";

const YEAR_SECONDS = 31536000;
const [dialog, keyText, keyRemember] = ["key-dialog", "key-text", "key-remember"].map(byId);
const mounts = new Map([
  ["search", showSearch],
  ["add", async (section) => (await import("./add.js")).mountAdd(section)],
  ["status", async (section) => (await import("./status.js")).mountStatus(section)],
]);

function showView() {
  const asked = new URLSearchParams(location.search).get("view");
  const view = mounts.has(asked) ? asked : "search";
  for (const link of document.querySelectorAll("nav [data-view]")) {
    const isShown = link.dataset.view === view;
    byId(`${link.dataset.view}-view`).hidden = !isShown;
    link.ariaCurrent = isShown ? "page" : null;
  }
  document.title = `${t(`view_${view}`)} – ${t("title")}`;
  mounts.get(view)?.(byId(`${view}-view`));
  if (view === "search") focusWords();
  if (view !== "search") mounts.set(view, null);
}

function askForKey() {
  if (dialog.open) return; // another request was refused while one types
  keyText.value = "";
  dialog.showModal();
}

onLinks("a[data-view]", (link) => {
  history.pushState(null, "", addressIn(link.href));
  showView();
});
addEventListener("popstate", showView);
addEventListener("keyneeded", askForKey);
byId("key").onclick = askForKey;
dialog.onclose = () => {
  if (dialog.returnValue) setKey(dialog.returnValue === "use" ? keyText.value.trim() : "", keyRemember.checked);
  dialog.returnValue = "";
};
byId("language").onchange = ({ target }) => {
  document.cookie = `language=${target.value}; max-age=${YEAR_SECONDS}; samesite=lax`;
  location.reload();
};
showView();
