// The shell: views, language, key.
import {hasKey} from "./api.js";
import {byId, onLinks} from "./dom.js";
import {onGiven} from "./dropped.js";
import {searchWith, showSearch} from "./search.js";
import {addressIn, asked, role} from "./session.js";
import {t} from "./texts.js";

const YEAR_SECONDS = 31536000;
const later = load => async section => (await load()).mount(section);
const mounts = new Map([
	["search", showSearch],
	["add", later(() => import("./add.js"))],
	["review", later(() => import("./review.js"))],
	["status", later(() => import("./status.js"))],
]);

const shownView = () => (mounts.has(asked("view")) ? asked("view") : "search");

function showView() {
	const view = shownView();
	for (const link of document.querySelectorAll("nav [data-view]")) {
		const isShown = link.dataset.view === view;
		byId(`${link.dataset.view}-view`).hidden = !isShown;
		link.ariaCurrent = isShown ? "page" : null;
	}
	document.title = `${t(`view_${view}`)} – ${t("title")}`;
	const mounted = mounts.get(view)?.(byId(`${view}-view`));
	if (view !== "search") {
		mounts.set(view, null);
		byId("viewer").close(); // "See it" opened it
	}
	return mounted;
}

function go(address) {
	history.pushState(null, "", addressIn(address));
	return showView();
}

const isSearched = () => shownView() === "search" || role() === "reader";

// Readers may only search.
async function takeGiven(given, address) {
	const view = isSearched() ? "search" : "add";
	if (view !== shownView()) await go(`./?view=${view}`);
	if (view === "search") searchWith(given.found, address);
	else (await import("./add.js")).addGiven(given);
}

const askForKey = async isWrong => (await import("./keys.js")).askForKey(isWrong);

onLinks("a[data-view]", ({href}) => go(href));
onGiven(isSearched, takeGiven);
addEventListener("popstate", showView);
addEventListener("keyneeded", () => askForKey(hasKey()));
byId("standing").onclick = async () => (await import("./standing.js")).openStanding();
byId("key").onclick = () => askForKey(false);
byId("language").onchange = ({target}) => {
	document.cookie = `language=${target.value}; max-age=${YEAR_SECONDS}; samesite=lax`;
	location.reload();
};
showView();
if (sessionStorage.undoable) import("./manage.js").then(({offerUndo}) => offerUndo());
