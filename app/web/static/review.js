// Pictures that gates hold, until an admin decides.
import {get, post} from "./api.js";
import {askInDialog, attempt, button, imageOf, make, row, say, tell} from "./dom.js";
import {keepUp} from "./jobs.js";
import {forget, here} from "./session.js";
import {dateTime, listed, percent, t} from "./texts.js";

const SHOWN = 50;

export function mount(section) {
	const [title, all, list] = [make("h2", {tabindex: -1}), row(), make("ul", "cards")];
	let shown; // ids

	async function decide(held, decision) {
		const {ids} = await post(here("/review"), {ids: held.map(({id}) => id), decision});
		tell(t(`review_${decision}_done`, {n: ids.length}));
		await refresh();
		title.focus();
		forget();
	}

	function reject(held) {
		const text = say("p", "review_reject_what", {n: held.length});
		askInDialog(t("select_delete"), [text], () => decide(held, "reject"), t("select_delete"));
	}

	const buttonsOf = (held, of, label) => [
		button(t(`review_approve${of}`), () => attempt("review", () => decide(held, "approve")), "primary", label && `${t("review_approve")}: ${label}`),
		button(t(`review_reject${of}`), () => reject(held), "bad", label && `${t("review_reject")}: ${label}`),
	];

	function cardOf(held) {
		const {original_filename: name, thumbnail_url: address, label_set: set, label, probability, held_at: when} = held;
		const image = imageOf(`${address}&size=256`, {alt: name, width: 256, height: 256, loading: "lazy"});
		const reason = `${set}: ${label} (${percent(probability)})`;
		const told = make("p", {}, make("b", {}, reason), " ", make("small", {}, listed(name, dateTime(when))));
		return make("li", "card", image, told, row(...buttonsOf([held], "", name)));
	}

	async function refresh() {
		const {data, total} = await get(here("/review"), {limit: SHOWN});
		const now = data.map(({id}) => id).join();
		if (now === shown) return; // the focus stays
		shown = now;
		title.textContent = t("review_title", {n: total});
		all.replaceChildren(...(data.length > 1 ? buttonsOf(data, "_all") : []));
		list.replaceChildren(...data.map(cardOf));
	}

	section.append(title, say("p", "review_what"), all, list);
	keepUp(section, refresh);
}
