// Who may use this library: keys are made, shown once, and revoked. Only an admin sees this.
import { ask } from "./api.js";
import { alertOf, announce, button, make } from "./dom.js";
import { askInDialog } from "./manage.js";
import { dateTime, t } from "./texts.js";

const KEYS = "/api/v1/keys";
const DAY_MS = 86_400_000;
const LENGTHS = [["keys_for_ever", ""], ["keys_month", 30], ["keys_year", 365]]; // days
const ROLES = ["reader", "writer", "admin"];
const MOST_AT_ONCE = 1000; // as the API gives

const select = (name, options) => make("select", { name }, ...options.map(([text, value]) => new Option(text, value)));

async function validKeys() {
  const found = [];
  for (let cursor = ""; cursor !== null; ) {
    const { data: page } = await ask("GET", KEYS, { query: { limit: MOST_AT_ONCE, cursor } });
    found.push(...page.data);
    cursor = page.next_cursor;
  }
  return found.filter((key) => !key.revoked_at && !(Date.parse(key.expires_at) < Date.now()));
}

/** The only time that it can be seen. */
function showOnce({ name, key }) {
  const title = t("keys_new", { name });
  const field = make("input", { readonly: true, value: key, "aria-label": title, onfocus: () => field.select() });
  const copy = button(t("keys_copy"), () => navigator.clipboard.writeText(key).then(() => announce((copied.textContent = t("keys_copied")))), "primary");
  copy.hidden = !navigator.clipboard; // without HTTPS
  const copied = make("small");
  const dialog = make("dialog", { className: "asks", "aria-label": title, onclose: () => dialog.remove() });
  const close = button(t("keys_done"), () => dialog.close());
  dialog.append(make("div", { className: "fields" }, make("h2", {}, title), make("p", {}, t("keys_once")), field, make("div", { className: "row" }, copy, close, copied)));
  document.body.append(dialog);
  dialog.showModal();
}

function add(refresh) {
  const parts = [
    make("label", {}, t("keys_who"), make("input", { name: "name", required: true, maxlength: 100, autocomplete: "off" })),
    make("label", {}, t("keys_role"), select("role", ROLES.map((role) => [t(`keys_role_${role}`), role]))),
    make("label", {}, t("keys_until"), select("days", LENGTHS.map(([text, days]) => [t(text), days]))),
  ];
  const use = async ({ elements }) => {
    const days = Number(elements.days.value);
    const expires_at = days ? new Date(Date.now() + days * DAY_MS) : null;
    const { data } = await ask("POST", KEYS, { json: { name: elements.name.value, role: elements.role.value, expires_at } });
    showOnce(data);
    await refresh();
  };
  askInDialog(t("keys_add"), parts, use, t("keys_make"));
}

function revoke({ id, name, own }, refresh) {
  const use = async () => {
    await ask("DELETE", `${KEYS}/${id}`);
    announce(t("keys_revoked", { name }));
    await refresh();
  };
  const parts = [make("p", {}, t("keys_revoke_what", { name })), own && make("p", { className: "bad" }, t("keys_revoke_own"))];
  askInDialog(t("keys_revoke"), parts, use, t("keys_revoke"));
}

function rowOf(key, refresh) {
  const { name, role, own, last_used_at: used, expires_at: end } = key;
  const facts = [
    t(`keys_role_${role}`),
    own ? t("keys_own") : used ? t("keys_used", { when: dateTime(used) }) : t("keys_unused"),
    end && t("keys_ends", { when: dateTime(end) }),
  ];
  const told = make("div", {}, make("strong", {}, name), make("br"), make("small", {}, facts.filter(Boolean).join(" · ")));
  return make("li", { className: "row" }, told, button(t("keys_revoke"), () => revoke(key, refresh), "quiet end", t("keys_revoke_of", { name })));
}

export function keysCard() {
  const list = make("ul", { className: "keys", "aria-label": t("keys") });
  const refresh = async () => list.replaceChildren(...(await validKeys()).map((key) => rowOf(key, refresh)));
  refresh().catch(({ message }) => alertOf(message, "keys"));
  return make("div", { className: "card" }, make("h2", {}, t("keys")), make("p", {}, t("keys_what")), list, button(t("keys_add"), () => add(refresh)));
}
