// The shell: views, language, key.
import { hasKey } from "./api.js";
import { byId, onLinks } from "./dom.js";
import { focusWords, showSearch } from "./search.js";
import { addressIn, asked } from "./session.js";
import { t } from "./texts.js";

const YEAR_SECONDS = 31536000;
const later = (load) => async (section) => (await load()).mount(section);
const mounts = new Map([
  ["search", showSearch],
  ["add", later(() => import("./add.js"))],
  ["review", later(() => import("./review.js"))],
  ["status", later(() => import("./status.js"))],
]);

function showView() {
  const view = mounts.has(asked("view")) ? asked("view") : "search";
  for (const link of document.querySelectorAll("nav [data-view]")) {
    const isShown = link.dataset.view === view;
    byId(`${link.dataset.view}-view`).hidden = !isShown;
    link.ariaCurrent = isShown ? "page" : null;
  }
  document.title = `${t(`view_${view}`)} – ${t("title")}`;
  mounts.get(view)?.(byId(`${view}-view`));
  if (view === "search") focusWords();
  else mounts.set(view, null);
}

const askForKey = async (isWrong) => (await import("./keys.js")).askForKey(isWrong);

onLinks("a[data-view]", (link) => {
  history.pushState(null, "", addressIn(link.href));
  showView();
});
addEventListener("popstate", showView);
addEventListener("keyneeded", () => askForKey(hasKey()));
byId("key").onclick = () => askForKey(false);
byId("language").onchange = ({ target }) => {
  document.cookie = `language=${target.value}; max-age=${YEAR_SECONDS}; samesite=lax`;
  location.reload();
};
showView();
if (sessionStorage.undoable) import("./manage.js").then(({ offerUndo }) => offerUndo());
