// What is done with the selected pictures: words, another collection, a zip, deletion and its undo.
import { ask, download } from "./api.js";
import { alertOf, announce, button, byId, make } from "./dom.js";
import { fieldsEditor, tagsIn } from "./fields.js";
import { withdraw } from "./grid.js";
import { collection, forget } from "./session.js";
import { number, t } from "./texts.js";

const MOST_AT_ONCE = 500; // as the API takes

const inCollection = (verb) => `/api/v1/collections/${collection()}/images/${verb}`;

/** Ask for some pictures at a time; returns all answers. */
async function askFor(verb, ids, json) {
  const answers = [];
  for (let at = 0; at < ids.length; at += MOST_AT_ONCE) {
    const some = ids.slice(at, at + MOST_AT_ONCE);
    answers.push((await ask("POST", inCollection(verb), { json: { ids: some, ...json } })).data);
  }
  return answers;
}

/** Say why some were left, and return how many were not. */
function outcomeOf(answers, key) {
  const left = answers.flatMap(({ results }) => results).filter(({ status }) => status !== key);
  const reasons = [...new Set(left.map(({ status, reason }) => reason ?? t(`left_${status}`)))];
  alertOf(left.length ? t("left", { n: number(left.length), reasons: reasons.join(" ") }) : "", "pictures");
  return answers.flatMap(({ results }) => results).filter(({ status }) => status === key).map(({ id }) => id);
}

/** Delete pictures, and offer to undo that as long as the service can. */
export async function deletePictures(ids) {
  const answers = await askFor("delete", ids, { restorable: true });
  const gone = answers.flatMap((answer) => answer.ids);
  const bringBack = withdraw(gone);
  forget();
  const undo = async () => {
    const restored = (await askFor("restore", gone)).flatMap((answer) => answer.ids);
    if (restored.length < gone.length) alertOf(t("undo_late"), "pictures");
    bringBack(restored);
    forget();
    place.hidden = true;
    announce(t("undo_done", { n: number(restored.length) }));
  };
  const text = t("deleted", { n: number(gone.length) });
  const place = byId("undo");
  const close = button("×", () => (place.hidden = true), "icon quiet", t("close"));
  place.replaceChildren(make("span", {}, text), button(t("undo"), () => tried(undo)), close);
  place.hidden = false;
  announce(text);
}

const tried = (act) => act().catch((error) => alertOf(error.message, "pictures"));

/** Ask for something in a dialog; `use` gets the form when it is sent. */
export function askInDialog(title, parts, use, verb = t("edit_save")) {
  const [send, cancel] = [make("button", { className: "primary" }, verb), button(t("cancel"), () => dialog.close(), "quiet")];
  const form = make("form", { method: "dialog" }, make("h2", {}, title), ...parts, make("div", { className: "row" }, send, cancel));
  const dialog = make("dialog", { className: "asks", "aria-label": title, onclose: () => dialog.remove() }, form);
  form.onsubmit = () => tried(() => use(form));
  document.body.append(dialog);
  dialog.showModal();
}

function edit(entries) {
  const ids = entries.map(({ hit }) => hit.id);
  const text = (name, key) => make("label", {}, t(key), make("input", { name, autocomplete: "off" }));
  const fields = fieldsEditor({});
  const parts = [text("add", "edit_add_tags"), text("remove", "edit_remove_tags"), text("caption", "edit_caption_all"), fields.element];
  askInDialog(t("edit_many", { n: number(ids.length) }), parts, async ({ elements }) => {
    const caption = elements.caption.value.trim();
    const tags = { add_tags: tagsIn(elements.add.value), remove_tags: tagsIn(elements.remove.value) };
    const json = { ...tags, metadata: await fields.changes(), ...(caption && { caption }) };
    const changed = outcomeOf(await askFor("change", ids, json), "changed");
    for (const { hit } of entries) if (caption && changed.includes(hit.id)) hit.caption = caption;
    forget();
    announce(t("changed", { n: number(changed.length) }));
  });
}

function move(entries, stop) {
  const others = [...byId("collection").options].filter(({ value }) => value !== collection());
  if (!others.length) return alertOf(t("move_nowhere"), "pictures");
  const choice = make("select", { name: "to" }, ...others.map(({ value }) => new Option(value)));
  askInDialog(t("move_many", { n: number(entries.length) }), [make("label", {}, t("move_to"), choice)], async () => {
    const answers = await askFor("move", entries.map(({ hit }) => hit.id), { collection: choice.value });
    const moved = outcomeOf(answers, "moved");
    withdraw(moved);
    forget();
    stop();
    announce(t("moved", { n: number(moved.length), collection: choice.value }));
  });
}

async function zip(entries) {
  for (let at = 0; at < entries.length; at += MOST_AT_ONCE) {
    const ids = new URLSearchParams(entries.slice(at, at + MOST_AT_ONCE).map(({ hit }) => ["ids", hit.id]));
    await download(`${inCollection("zip")}?${ids}`, "pictures.zip");
  }
}

/** The bar of what can be done with those that are `selected`. */
export function mountManage(bar, { selected, selectAll, stop }) {
  const told = make("b", { role: "status" });
  const remove = async () => {
    await deletePictures(selected().map(({ hit }) => hit.id));
    stop();
  };
  const acts = [
    button(t("select_edit"), () => edit(selected())),
    button(t("select_move"), () => move(selected(), stop)),
    button(t("select_zip"), () => tried(() => zip(selected()))),
    button(t("select_delete"), () => tried(remove), "bad"),
  ];
  bar.replaceChildren(told, button(t("select_all"), selectAll, "quiet"), make("div", { className: "row" }, ...acts), button("×", stop, "icon quiet end", t("select_done")));
  return {
    show(count, all) {
      told.textContent = t("selected", { n: number(count), all: number(all) });
      for (const act of acts) act.disabled = !count;
    },
  };
}
