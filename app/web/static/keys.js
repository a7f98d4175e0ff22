// Keys: the one in use, and others.
import {ask, askAll, hasKey, post, setKey, tryKey} from "./api.js";
import {askInDialog, attempt, button, copyButton, labelled, make, openDialog, row, say, select, tell} from "./dom.js";
import {dateTime, listed, t} from "./texts.js";

const KEYS = "/api/v1/keys";
const DAY_MS = 86_400_000;
const LENGTHS = [["keys_for_ever", ""], ["keys_month", 30], ["keys_year", 365]]; // days
const ROLES = ["reader", "writer", "admin"];

const validKeys = async () => (await askAll(KEYS)).filter(key => !key.revoked_at && !(Date.parse(key.expires_at) < Date.now()));

function showOnce({name, key}) {
	const title = t("keys_new", {name});
	const field = make("input", {readonly: true, "aria-label": title, onfocus: () => field.select()});
	field.value = key; // HTML shows attributes
	const copy = copyButton("keys_copy", () => key, "keys_copied", "primary");
	const close = button(t("keys_done"), () => dialog.close());
	const dialog = openDialog(title, make("div", "fields", say("p", "keys_once"), field, row(copy, close)));
}

function add(refresh) {
	const parts = [
		labelled("keys_who", make("input", {name: "name", required: true, maxlength: 100})),
		labelled("keys_role", select("role", ROLES.map(role => [t(`keys_role_${role}`), role]))),
		labelled("keys_until", select("days", LENGTHS.map(([text, days]) => [t(text), days]))),
	];
	const use = async ({elements}) => {
		const days = Number(elements.days.value);
		const expires_at = days ? new Date(Date.now() + days * DAY_MS) : null;
		showOnce(await post(KEYS, {name: elements.name.value, role: elements.role.value, expires_at}));
		await refresh();
	};
	askInDialog(t("keys_add"), parts, use, t("keys_make"));
}

function revoke({id, name, own}, refresh) {
	const use = async () => {
		await ask("DELETE", `${KEYS}/${id}`);
		tell(t("keys_revoked", {name}));
		await refresh();
	};
	const parts = [say("p", "keys_revoke_what", {name}), own && make("p", "bad", t("keys_revoke_own"))];
	askInDialog(t("keys_revoke"), parts, use, t("keys_revoke"));
}

function rowOf(key, refresh) {
	const {name, role, own, last_used_at: used, expires_at: end} = key;
	const facts = listed(
		t(`keys_role_${role}`),
		own ? t("keys_own") : used ? t("keys_used", {when: dateTime(used)}) : t("keys_unused"),
		end && t("keys_ends", {when: dateTime(end)}),
	);
	const told = make("div", {}, make("strong", {}, name), make("br"), make("small", {}, facts));
	return make("li", "row", told, button(t("keys_revoke"), () => revoke(key, refresh), "quiet end", t("keys_revoke_of", {name})));
}

export function keysCard() {
	const list = make("ul", {className: "keys", "aria-label": t("keys")});
	const refresh = async () => list.replaceChildren(...(await validKeys()).map(key => rowOf(key, refresh)));
	attempt("keys", refresh);
	return make("div", "card", say("h2", "keys"), say("p", "keys_what"), list, button(t("keys_add"), () => add(refresh)));
}

const KEY_FORM = /^[!-~]+$/; // what a header can hold
let asking;

// `isWrong`: the one that is kept was refused.
export function askForKey(isWrong) {
	if (asking?.open) return; // while one types
	const text = make("input", {type: "password", "aria-label": t("key")});
	const kept = make("input", {type: "checkbox"});
	const use = async () => {
		const key = text.value.trim();
		try {
			if (!KEY_FORM.test(key)) throw {status: 401};
			await tryKey(key);
		} catch ({status, message}) {
			text.select();
			throw {message: status === 401 ? t("key_wrong") : message};
		}
		setKey(key, kept.checked);
	};
	const forget = () => {
		asking.close();
		setKey("");
	};
	const parts = [say("p", "key_hint"), text, make("label", "row", kept, t("key_remember")), hasKey() && button(t("key_forget"), forget)];
	asking = askInDialog(t("key"), parts, use, t("key_use"), isWrong && t("key_wrong"));
}
