// Collections: made, renamed and deleted.
import {ask, post} from "./api.js";
import {askInDialog, button, byId, labelled, make, openDialog, say, tell} from "./dom.js";
import {collection, here, rename, visit} from "./session.js";
import {t} from "./texts.js";

const DEFAULT = "default";
const MOST = 63; // characters

// "summer-2019" for "Summer 2019!".
const nameFrom = text => text.toLowerCase().replace(/ß/g, "ss").normalize("NFKD").replace(/\p{M}/gu, "").replace(/[^a-z0-9_]+/g, "-").slice(0, MOST).replace(/^[-_]+|-+$/g, "");

export function nameField(key) {
	const told = make("output", "muted", t("collection_rule"));
	const oninput = () => {
		const name = nameFrom(input.value);
		input.setCustomValidity(name ? "" : t("collection_rule"));
		told.textContent = name && name !== input.value ? t("collection_becomes", {name}) : t("collection_rule");
	};
	const input = make("input", {name: "name", required: true, oninput});
	return labelled(key, input, told);
}

export async function create({elements}) {
	const name = nameFrom(elements.name.value);
	await post("/api/v1/collections", {name});
	return name;
}

const add = () =>
	askInDialog(t("collection_add"), [nameField("collection_name")], async form => {
		const name = await create(form);
		visit(name);
		tell(t("collection_added", {name}));
	});

const change = () =>
	askInDialog(t("collection_rename"), [nameField("collection_new_name")], async ({elements}) => {
		const name = nameFrom(elements.name.value);
		await ask("PATCH", here(), {json: {name}});
		rename(name);
	});

function remove() {
	const name = collection();
	const input = make("input", {name: "name", required: true, pattern: name});
	const parts = [say("p", "collection_delete_what", {name}), make("label", {}, t("collection_type", {name}), input)];
	const use = async () => {
		await ask("DELETE", `/api/v1/collections/${name}`);
		rename(DEFAULT);
		tell(t("collection_deleted", {name}));
	};
	askInDialog(t("collection_delete"), parts, use, t("collection_delete"));
}

const languagesOf = choice => Object.assign(choice.cloneNode(true), {id: "", onchange: choice.onchange});

export function openCollections() {
	const isFixed = collection() === DEFAULT;
	const entry = (key, act, disabled, className = "admins") => {
		const one = button(t(key), () => {
			menu.close();
			act();
		}, className);
		one.disabled = disabled;
		return one;
	};
	const [language, key] = ["language", "key"].map(byId);
	const moved = key.checkVisibility() ? [] : [entry("key", () => key.click(), false, ""), languagesOf(language)]; // on a phone they are found here
	const acts = [entry("collection_add", add), entry("collection_rename", change, isFixed), entry("collection_delete", remove, isFixed)];
	const menu = openDialog(t("collections"), make("div", "fields", ...moved, make("h3", "admins", `${t("collection")}: ${collection()}`), ...acts, isFixed && make("small", "admins", t("collection_fixed"))), true);
}
