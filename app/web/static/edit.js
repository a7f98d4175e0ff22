// What is known of a picture, and forms to change that.
import {ask} from "./api.js";
import {attempt, button, formOf, labelled, make, row, say, tell} from "./dom.js";
import {describe} from "./session.js";
import {bytes, dateTime, dayName, fieldName, number, percent, t, wallClock} from "./texts.js";

const MAX_CAPTION = 2000; // characters
const TIME = /^\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d\S*)?$/;

function readable(name, value) {
	if (Array.isArray(value)) return value.map(one => readable(name, one)).join(", ");
	if (name === "rating" && Number.isFinite(value)) return value < 0 ? t("rejected") : t("stars", {n: value});
	if (value && typeof value === "object")
		return Object.entries(value).map(([part, one]) => `${fieldName(`${name}.${part}`).replace(`${name}.`, "")}: ${readable(part, one)}`).join(", ");
	if (Number.isFinite(value)) return number(value, {useGrouping: false, maximumFractionDigits: 20});
	if (typeof value === "boolean") return t(`filter_${value}`);
	const [time, clock] = TIME.exec(value) ?? [];
	if (Date.parse(time)) return clock ? wallClock(value) : dayName(time);
	return String(value ?? "–");
}

export function factsOf({path, origin, width, height, format, bytes: length, taken_at: taken, created_at: created, metadata: {motion_offset, ...metadata}}, labels) {
	const size = `${number(width)} × ${number(height)}, ${format}, ${bytes(length)}`;
	const known = {path, origin, size, taken_at: taken && wallClock(taken), created_at: dateTime(created)};
	const rowOf = (name, value) => [make("dt", {}, fieldName(name)), make("dd", {}, value)];
	const rows = Object.entries(known).flatMap(([name, value]) => (value ? rowOf(name, value) : []));
	const labelOf = ({set, label, probability}) => rowOf(set, `${label === "other" ? t("label_other") : label} (${percent(probability)})`);
	return [...rows, ...labels.flatMap(labelOf), ...Object.entries(metadata).flatMap(([name, value]) => rowOf(name, readable(name, value)))];
}

const textOf = tags => (Array.isArray(tags) ? tags : []).join(", ");

// Only what was changed: another program's tags stay.
function changesOf(known, caption, tags, metadata) {
	const changes = {};
	if (caption !== (known.caption ?? "")) changes.caption = caption || null;
	if (tags !== textOf(known.metadata.tags)) metadata = {...metadata, tags: tags.trim() ? tagsIn(tags) : null};
	if (Object.keys(metadata).length) changes.metadata = metadata;
	return changes;
}

export function editorOf(known, onChange) {
	const caption = make("textarea", {rows: 2, maxlength: MAX_CAPTION}, known.caption ?? "");
	const tags = make("input", {value: textOf(known.metadata.tags)});
	const {tags: shownAbove, ...others} = known.metadata;
	const fields = fieldsEditor(others);
	const labels = [labelled("edit_caption", caption), labelled("edit_tags", tags)];
	const save = async () => {
		const json = changesOf(known, caption.value.trim(), tags.value, await fields.changes());
		if (!Object.keys(json).length) return;
		const changed = await ask("PATCH", `/api/v1/images/${known.id}`, {json});
		tell(t("edit_saved"));
		onChange(changed);
	};
	const buttons = row(say("button", "edit_save"), button(t("cancel"), () => onChange(known), "quiet"));
	const form = formOf(() => attempt("edit", save), ...labels, fields.element, buttons);
	return make("details", "writers", say("summary", "edit"), form);
}

const isNames = value => Array.isArray(value) && value.every(one => typeof one === "string" && !/[,，、]/.test(one));

const fieldText = value => (typeof value === "string" ? value : isNames(value) ? value.join(", ") : JSON.stringify(value));

export const tagsIn = text => [...new Set(text.split(/[,，、]/).map(tag => tag.trim()).filter(Boolean))];

// By the declared kind, else the type of the value before.
function valueOf(text, kind, before) {
	const isTags = kind === "tags" || isNames(before);
	const isPlain = isTags ? text[0] !== "[" : kind ? !["number", "boolean"].includes(kind) : typeof before === "string";
	try {
		if (!isPlain) return JSON.parse(kind === "number" ? text.replace(",", ".") : text);
	} catch {} // "[old] scans"
	return isTags ? tagsIn(text) : text;
}

// `said` notes what differs; its result asks for the kinds. Null is taken away.
export function fieldsEditor(known) {
	const rows = [];
	const list = make("div", "fields");
	const add = (name = "", text = "") => {
		const nameInput = make("input", {value: name, placeholder: t("edit_field"), "aria-label": t("edit_field"), readonly: Boolean(name), maxlength: 200});
		const label = name ? t("edit_value_of", {name}) : t("edit_value");
		const valueInput = make("input", {value: text, placeholder: t("edit_value"), "aria-label": label});
		rows.push({nameInput, valueInput});
		list.append(row(nameInput, valueInput));
		return nameInput;
	};
	for (const [name, value] of Object.entries(known)) add(name, fieldText(value));
	const more = button(t("edit_field_add"), () => add().focus(), "quiet");
	const element = make("fieldset", {}, say("legend", "edit_fields"), list, more);

	const said = () => {
		const all = rows.map(({nameInput, valueInput}) => [nameInput.value.trim(), valueInput.value.trim()]);
		const isChange = ([name, text]) => name && (name in known ? text !== fieldText(known[name]).trim() : text);
		const changed = all.filter(isChange);
		return async collection => {
			const {fields} = changed.length ? await describe(collection) : {};
			return Object.fromEntries(changed.map(([name, text]) => [name, text ? valueOf(text, fields[name], known[name]) : null]));
		};
	};
	return {element, said, changes: () => said()()};
}
