// Elements without markup: what anybody writes is a text node.
import {showPicture} from "./api.js";
import {t} from "./texts.js";

export const byId = id => document.getElementById(id);

// A string is a class; `on…` are listeners.
export function make(tag, properties = {}, ...children) {
	const element = document.createElement(tag);
	if (typeof properties === "string") properties = {className: properties};
	for (const [name, value] of Object.entries(properties)) {
		if (name === "dataset") Object.assign(element.dataset, value);
		else if (name === "className" || name.startsWith("on")) element[name] = value ?? "";
		else if ((value ?? false) !== false) element.setAttribute(name, value === true ? "" : value);
	}
	element.append(...children.filter(Boolean));
	return element;
}

export function imageOf(path, properties) {
	const image = make("img", properties);
	showPicture(image, path).catch(() => {});
	return image;
}

// A sign needs a `label`.
export const button = (content, onclick, className, label) =>
	make("button", {type: "button", className, onclick, "aria-label": label, title: label}, ...[content].flat());

export const cross = (act, key = "close", place = "") => button("×", act, `icon quiet ${place}`, t(key));

export const linkTo = (view, query, text, className) => make("a", {className, href: `./?${new URLSearchParams(query)}`, dataset: {view}}, text);

export function sign(name) {
	const copy = byId("sign").content.cloneNode(true);
	copy.querySelector("use").href.baseVal += name;
	return copy;
}

export const say = (tag, key, values) => make(tag, {}, t(key, values));

export const labelled = (key, ...inputs) => make("label", {}, t(key), ...inputs);

export const select = (name, options) => make("select", {name}, ...options.map(([text, value]) => new Option(text, value)));

export function formOf(act, ...children) {
	const onsubmit = event => {
		event.preventDefault();
		return act(event.target);
	};
	return make("form", {onsubmit, autocomplete: "off"}, ...children);
}

export const row = (...parts) => make("div", "row", ...parts);

// After what had the focus is gone.
export const focusMain = () => document.activeElement === document.body && byId("main").focus({preventScroll: true});

// Editors by their picture's id, and dialogs.
export const unsaved = new Map();
addEventListener("beforeunload", event => unsaved.size && event.preventDefault());

// `whole` gets the title, and a cross if it has no buttons.
export function openDialog(title, whole, hasCross) {
	const onclose = () => {
		if (unsaved.has(dialog) && !confirm(t("edit_discard"))) return dialog.showModal();
		unsaved.delete(dialog);
		dialog.remove();
		focusMain();
	};
	const dialog = make("dialog", {className: "asks", "aria-label": title, onclose}, whole);
	whole.prepend(row(make("h2", {}, title), hasCross && cross(() => dialog.close(), "close", "end")));
	document.body.append(dialog);
	dialog.showModal();
	return dialog;
}

// `use` gets the form; why it fails is said there.
export function askInDialog(title, parts, use, verb = t("edit_save"), refused = "") {
	const [send, cancel] = [make("button", "primary", verb), button(t("cancel"), () => dialog.close(), "quiet")];
	const refusal = make("p", {className: "bad", role: "alert"}, refused);
	const submit = async form => {
		send.disabled = true; // until it is answered
		refusal.textContent = "";
		try {
			await use(form);
			unsaved.delete(dialog);
			dialog.close();
		} catch ({message}) {
			refusal.textContent = message;
		}
		send.disabled = false;
	};
	const dialog = openDialog(title, formOf(submit, ...parts, refusal, row(send, cancel)));
	return dialog;
}

// Plain clicks on these links are ours.
export function onLinks(selector, follow) {
	addEventListener("click", event => {
		const link = event.target.closest(selector);
		if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
		event.preventDefault();
		follow(link);
	});
}

const NOTE_MS = 6000;
const MOST_ANNOUNCED = 8; // for slow screen readers

// To screen readers.
export function announce(text) {
	const told = byId("announcements");
	told.append(make("p", {}, text));
	if (told.children.length > MOST_ANNOUNCED) told.firstChild.remove();
}

export function closable(tag, className, ...children) {
	const close = () => (whole.remove(), focusMain());
	const whole = make(tag, {className}, ...children, cross(close));
	return whole;
}

const alerts = new Map(); // by subject
const board = byId("alerts");
const notices = board.parentNode;
const shownOf = text => [...board.children].find(told => told.firstChild.data === text);

const note = byId("note");
let fading;

// A dialog covers all else.
function showNotices() {
	const dialog = [...document.querySelectorAll("dialog[open]")].at(-1);
	dialog?.append(notices);
	dialog?.addEventListener("close", () => document.body.append(notices), {once: true});
}

// For a moment.
export function tell(text) {
	announce(text);
	clearTimeout(fading);
	note.textContent = text;
	note.hidden = false;
	showNotices();
	fading = setTimeout(() => (note.hidden = true), NOTE_MS);
}

export function copyButton(key, textOf, told, className) {
	const copy = button(t(key), () => navigator.clipboard.writeText(textOf()).then(() => tell(t(told))), className);
	copy.hidden = !navigator.clipboard;
	return copy;
}

// Until it is closed, or its subject says something else; empty: withdrawn.
export function alertOf(text, subject = text) {
	const before = alerts.get(subject);
	alerts.set(subject, text);
	if (![...alerts.values()].includes(before)) shownOf(before)?.remove();
	if (!text) return;
	if (!shownOf(text)) board.append(closable("p", "row card bad", text));
	showNotices();
}

export async function attempt(subject, act) {
	alertOf("", subject);
	try {
		await act();
	} catch ({message}) {
		alertOf(message, subject);
	}
}
