// What people say of a picture, changed where it is shown: its caption, its tags, other metadata.
import { ask } from "./api.js";
import { alertOf, announce, make } from "./dom.js";
import { fieldsEditor, tagsIn } from "./fields.js";
import { t } from "./texts.js";

const MAX_CAPTION = 2000; // characters, as the API takes

const textOf = (tags) => (Array.isArray(tags) ? tags : []).join(", ");

/** Only what was changed: tags of another program's kind stay as they are. */
function changesOf(known, caption, tags, metadata) {
  const changes = {};
  if (caption !== (known.caption ?? "")) changes.caption = caption || null;
  if (tags !== textOf(known.metadata.tags)) metadata = { ...metadata, tags: tags.trim() ? tagsIn(tags) : null };
  if (Object.keys(metadata).length) changes.metadata = metadata;
  return changes;
}

/** A form that changes a picture, and calls back with what is known of it then. */
export function editorOf(known, onChange) {
  const caption = make("textarea", { rows: 2, maxlength: MAX_CAPTION }, known.caption ?? "");
  const tags = make("input", { value: textOf(known.metadata.tags), autocomplete: "off" });
  const { tags: shownAbove, ...others } = known.metadata;
  const fields = fieldsEditor(others);
  const labels = [make("label", {}, t("edit_caption"), caption), make("label", {}, t("edit_tags"), tags)];
  const form = make("form", {}, ...labels, fields.element, make("button", { type: "submit" }, t("edit_save")));
  form.onsubmit = async (event) => {
    event.preventDefault();
    try {
      const json = changesOf(known, caption.value.trim(), tags.value, await fields.changes());
      if (!Object.keys(json).length) return;
      const { data } = await ask("PATCH", `/api/v1/images/${known.id}`, { json });
      alertOf("", "edit");
      announce(t("edit_saved"));
      onChange(data);
    } catch (error) {
      alertOf(error.message, "edit");
    }
  };
  return make("details", {}, make("summary", {}, t("edit")), form);
}
