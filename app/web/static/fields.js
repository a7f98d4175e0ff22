// A form for metadata: names and values, which keep the types that they have or are declared with.
import { button, make } from "./dom.js";
import { describe } from "./session.js";
import { t } from "./texts.js";

export const textOf = (value) => (typeof value === "string" ? value : JSON.stringify(value));

export const tagsIn = (text) => [...new Set(text.split(/[,，、]/).map((tag) => tag.trim()).filter(Boolean))];

/** What a text means: by the declared kind of its field, else by the type of the value that was there. */
function valueOf(text, kind, before) {
  if (kind === "tags") return text.startsWith("[") ? JSON.parse(text) : tagsIn(text);
  if (kind === "number") return Number(text.replace(",", "."));
  if (kind === "boolean") return text === "true";
  if (kind || typeof before === "string") return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** Rows for what is known, and empty ones for more; `changes` tells what differs, null what is taken away. */
export function fieldsEditor(known) {
  const rows = [];
  const list = make("div", { className: "fields" });
  const add = (name = "", text = "") => {
    const nameInput = make("input", { value: name, placeholder: t("edit_field"), "aria-label": t("edit_field"), readonly: Boolean(name), maxlength: 200 });
    const label = name ? t("edit_value_of", { name }) : t("edit_value");
    const valueInput = make("input", { value: text, placeholder: t("edit_value"), "aria-label": label });
    rows.push({ nameInput, valueInput });
    list.append(make("div", { className: "row" }, nameInput, valueInput));
    return nameInput;
  };
  for (const [name, value] of Object.entries(known)) add(name, textOf(value));
  const more = button(t("edit_field_add"), () => add().focus(), "quiet");
  const element = make("fieldset", {}, make("legend", {}, t("edit_fields")), list, more);

  const changes = async () => {
    const said = rows.map(({ nameInput, valueInput }) => [nameInput.value.trim(), valueInput.value.trim()]);
    const isChange = ([name, text]) => name && (name in known ? text !== textOf(known[name]).trim() : text);
    const changed = said.filter(isChange);
    if (!changed.length) return {};
    const { fields } = await describe();
    return Object.fromEntries(changed.map(([name, text]) => [name, text ? valueOf(text, fields[name], known[name]) : null]));
  };
  return { element, changes };
}
