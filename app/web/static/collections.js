// Collections: made, renamed and deleted.
import { ask } from "./api.js";
import { announce, button, byId, make } from "./dom.js";
import { askInDialog } from "./manage.js";
import { collection, rename, visit } from "./session.js";
import { t } from "./texts.js";

const DEFAULT = "default"; // which stays, and keeps its name
const PATTERN = "[a-z0-9][a-z0-9_\\-]{0,62}"; // as the API takes

const nameField = (key) => {
  const input = make("input", { name: "name", required: true, pattern: PATTERN, title: t("collection_rule"), autocomplete: "off" });
  return make("label", {}, t(key), input, make("small", {}, t("collection_rule")));
};

const add = () =>
  askInDialog(t("collection_add"), [nameField("collection_name")], async ({ elements }) => {
    const name = elements.name.value;
    await ask("POST", "/api/v1/collections", { json: { name } });
    visit(name);
    announce(t("collection_added", { name }));
  });

const change = () =>
  askInDialog(t("collection_rename"), [nameField("collection_new_name")], async ({ elements }) => {
    const name = elements.name.value;
    await ask("PATCH", `/api/v1/collections/${collection()}`, { json: { name } });
    rename(name);
  });

/** It is deleted at once and for good, so its name is asked for. */
function remove() {
  const name = collection();
  const input = make("input", { name: "name", required: true, pattern: name, autocomplete: "off" });
  const parts = [make("p", {}, t("collection_delete_what", { name })), make("label", {}, t("collection_type", { name }), input)];
  const use = async () => {
    await ask("DELETE", `/api/v1/collections/${name}`);
    rename(DEFAULT);
    announce(t("collection_deleted", { name }));
  };
  askInDialog(t("collection_delete"), parts, use, t("collection_delete"));
}

function languagesOf(choice) {
  const copy = choice.cloneNode(true);
  Object.assign(copy, { id: "", onchange: choice.onchange });
  return copy;
}

/** The menu of what can be done with collections. */
export function openCollections() {
  const isFixed = collection() === DEFAULT;
  const menu = make("dialog", { className: "asks", "aria-label": t("collections"), onclose: () => menu.remove() });
  const entry = (key, act, disabled) => {
    const one = button(t(key), () => {
      menu.close();
      act();
    });
    one.disabled = disabled;
    return one;
  };
  const close = button("×", () => menu.close(), "icon quiet end", t("close"));
  const title = make("div", { className: "row" }, make("h2", {}, `${t("collection")}: ${collection()}`), close);
  const [language, key] = ["language", "key"].map(byId);
  const moved = key.checkVisibility() ? [] : [entry("key", () => key.click()), languagesOf(language)]; // on a phone they are found here
  const acts = [entry("collection_add", add), entry("collection_rename", change, isFixed), entry("collection_delete", remove, isFixed)];
  menu.append(make("div", { className: "fields" }, title, ...acts, isFixed && make("small", {}, t("collection_fixed")), ...moved));
  document.body.append(menu);
  menu.showModal();
}
