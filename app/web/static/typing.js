// The search field.
import {get} from "./api.js";
import {button, byId, make} from "./dom.js";
import {here} from "./session.js";
import {t} from "./texts.js";

const KEY = "recentSearches"; // in this browser alone
const MOST_RECENT = 6;
const PAUSE_MS = 150;

const [words, recent] = ["words", "recent"].map(byId);

const stored = () => JSON.parse(localStorage[KEY] ?? "[]");

const keep = texts => (localStorage[KEY] = JSON.stringify(texts));

export function remember(text) {
	if (text) keep([text, ...stored().filter(one => one !== text)].slice(0, MOST_RECENT));
}

export function showRecent(search) {
	const texts = stored();
	const chips = texts.map(text => button(text, () => search(text), "chip"));
	const clear = () => {
		keep([]);
		recent.hidden = true;
		words.focus();
	};
	recent.replaceChildren(t("recent"), ...chips, button(t("recent_clear"), clear, "quiet"));
	recent.hidden = !texts.length;
}

// Its last word, or all of it to a value of a `field`.
export function complete(input, list, field) {
	const suggest = async () => {
		const [, before, last] = input.value.match(field ? /^()(.*)$/ : /^(.*?)([^\s,]*)$/);
		if (!last) return list.replaceChildren();
		const {suggestions} = await get(here("/suggestions"), {prefix: last, field}).catch(() => ({suggestions: []}));
		if (!input.value.endsWith(last)) return; // typed on
		const optionOf = ({text, pictures}) => make("option", {value: before + text, label: t("suggested", {text, n: pictures})});
		list.replaceChildren(...suggestions.map(optionOf));
	};
	let timer;
	input.addEventListener("input", () => {
		clearTimeout(timer);
		timer = setTimeout(suggest, PAUSE_MS);
	});
}

complete(words, byId("suggestions"));

addEventListener("keydown", event => {
	const isSlash = event.key === "/" && !event.target.closest("input, textarea, select");
	const isMeant = isSlash || (event.key === "k" && (event.ctrlKey || event.metaKey));
	if (!isMeant || document.querySelector("dialog[open]")) return;
	event.preventDefault();
	if (!words.checkVisibility()) document.querySelector("nav [data-view=search]").click();
	words.select();
	words.focus();
});
