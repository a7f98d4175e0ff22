// What is done with selected pictures.
import {download, post} from "./api.js";
import {create, nameField} from "./collections.js";
import {alertOf, announce, askInDialog, attempt, button, byId, cross, focusMain, labelled, make, row, say, tell, unsaved} from "./dom.js";
import {fieldsEditor, tagsIn} from "./edit.js";
import {withdraw} from "./grid.js";
import {collection, forget, offer, role} from "./session.js";
import {t} from "./texts.js";

const MOST_AT_ONCE = 500;
const RESTORABLE_MS = 600_000; // as in the API

const bringBack = new Map();
const inCollection = (verb, name = collection()) => `/api/v1/collections/${name}/images/${verb}`;

async function askFor(verb, ids, json, name) {
	const answers = [];
	for (let at = 0; at < ids.length; at += MOST_AT_ONCE) {
		const some = ids.slice(at, at + MOST_AT_ONCE);
		answers.push(await post(inCollection(verb, name), {ids: some, ...json}));
	}
	return answers;
}

function outcomeOf(answers, key) {
	const results = answers.flatMap(answer => answer.results);
	const left = results.filter(({status}) => status !== key);
	const reasons = [...new Set(left.map(({status}) => t(`left_${status}`)))];
	alertOf(left.length ? t("left", {n: left.length, reasons: reasons.join(" ")}) : "", "pictures");
	return results.filter(({status}) => status === key).map(({id}) => id);
}

const undoable = () => JSON.parse(sessionStorage.undoable ?? "[]").filter(({until}) => until > Date.now());

export async function deletePictures(ids) {
	const answers = await askFor("delete", ids, {restorable: true});
	const deletion = {name: collection(), ids: answers.flatMap(answer => answer.ids), until: Date.now() + RESTORABLE_MS};
	bringBack.set(deletion.until, withdraw(deletion.ids));
	forget();
	keep([...undoable(), deletion]);
	announce(t("deleted", {n: deletion.ids.length}));
	byId("undo").querySelector("button").focus();
}

async function undo({name, ids, until}) {
	const restored = (await askFor("restore", ids, {}, name)).flatMap(answer => answer.ids);
	if (restored.length < ids.length) alertOf(t("undo_late"), "pictures");
	forget();
	if (bringBack.has(until)) bringBack.get(until)(restored);
	else dispatchEvent(new Event("collectionchange")); // the page was loaded again
	keep(undoable().filter(one => one.until !== until));
	tell(t("undo_done", {n: restored.length}));
}

function keep(deletions) {
	sessionStorage.undoable = JSON.stringify(deletions);
	offerUndo();
}

// Of the last deletion, then the one before.
export function offerUndo() {
	const place = byId("undo");
	const last = undoable().at(-1);
	place.replaceChildren();
	place.hidden = !last;
	if (!last) return focusMain();
	place.append(say("span", "deleted", {n: last.ids.length}), button(t("undo"), () => tried(() => undo(last))), cross(() => keep([])));
	focusMain();
	setTimeout(offerUndo, last.until - Date.now());
}

const tried = act => attempt("pictures", act);

function edit(entries) {
	const ids = entries.map(({hit}) => hit.id);
	const text = (name, key) => labelled(key, make("input", {name}));
	const fields = fieldsEditor({});
	const parts = [text("add", "edit_add_tags"), text("remove", "edit_remove_tags"), text("caption", "edit_caption_all"), fields.element];
	askInDialog(t("edit_many", {n: ids.length}), parts, async ({elements}) => {
		const caption = elements.caption.value.trim();
		const tags = {add_tags: tagsIn(elements.add.value), remove_tags: tagsIn(elements.remove.value)};
		const json = {...tags, metadata: await fields.changes(), ...(caption && {caption})};
		const changed = outcomeOf(await askFor("change", ids, json), "changed");
		for (const {hit} of entries) if (caption && changed.includes(hit.id)) hit.caption = caption;
		forget();
		tell(t("changed", {n: changed.length}));
	}).oninput = ({target}) => unsaved.set(target.closest("dialog"));
}

function move(entries, stop) {
	const others = [...byId("collection").options].map(({value}) => value).filter(name => name !== collection());
	const isAdmin = role() === "admin";
	const fresh = make("fieldset", {}, nameField("collection_name"));
	const onchange = () => (fresh.hidden = fresh.disabled = Boolean(choice.value) || !isAdmin);
	const choice = make("select", {name: "to", required: !isAdmin, onchange}, ...others.map(name => new Option(name)), isAdmin && new Option(t("collection_add"), ""));
	onchange();
	askInDialog(t("move_many", {n: entries.length}), [labelled("move_to", choice), fresh], async form => {
		const to = choice.value || (await create(form));
		offer([to]);
		choice.replaceChildren(new Option(to)); // for a second try
		onchange();
		const answers = await askFor("move", entries.map(({hit}) => hit.id), {collection: to});
		const moved = outcomeOf(answers, "moved");
		withdraw(moved);
		forget();
		stop();
		tell(t("moved", {n: moved.length, collection: to}));
	}, t("select_move"));
}

async function zip(entries) {
	for (let at = 0; at < entries.length; at += MOST_AT_ONCE) {
		const ids = new URLSearchParams(entries.slice(at, at + MOST_AT_ONCE).map(({hit}) => ["ids", hit.id]));
		await download(`${inCollection("zip")}?${ids}`, "pictures.zip");
	}
}

export function mountManage(bar, {selected, selectAll, stop}) {
	const told = make("b", {role: "status"});
	const remove = async () => {
		await deletePictures(selected().map(({hit}) => hit.id));
		stop();
	};
	const acts = [
		button(t("select_edit"), () => edit(selected()), "writers"),
		button(t("select_move"), () => move(selected(), stop), "writers"),
		button(t("select_zip"), () => tried(() => zip(selected()))),
		button(t("select_delete"), () => tried(remove), "bad writers"),
	];
	bar.replaceChildren(told, button(t("select_all"), selectAll, "quiet"), row(...acts), cross(stop, "select_done", "end"));
	return {
		show(count, all) {
			told.textContent = t("selected", {n: count, all});
			for (const act of acts) act.disabled = !count;
		},
	};
}
