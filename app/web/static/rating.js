// Ratings, by thumbs or from 1 to 10, and golden queries.
import {ask, post} from "./api.js";
import {announce, attempt, button, make, sign, tell} from "./dom.js";
import {fromAddress} from "./query.js";
import {here} from "./session.js";
import {number, t} from "./texts.js";

const SCALE = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
const THUMBS = [["up", 9], ["down", 2]];
const PAUSE_MS = 500;
const given = {}; // ratings of this visit

// `what` is "answer", or "hit" with its `id`.
export function ratingOf(token, id, what) {
	const key = `${id} ${token}`;
	let timer;

	const scale = SCALE.map(rating => {
		const onchange = () => {
			clearTimeout(timer); // arrow keys pass over many
			timer = setTimeout(rate, PAUSE_MS, rating);
		};
		const title = t("rate_scale", {rating});
		return make("label", {title}, make("input", {type: "radio", name: key, className: "unseen", "aria-label": title, onchange}), number(rating));
	});
	const thumbs = THUMBS.map(([way, value]) =>
		button(sign("thumb"), () => rate(value), `icon quiet ${way}`, t(`rate_${way}_${what}`)));
	const undo = button(t("rate_undo"), () => change("/api/v1/feedback/withdraw"), "quiet");

	function show() {
		scale.forEach(({control}, index) => (control.checked = SCALE[index] === given[key]));
		THUMBS.forEach(([, value], index) => (thumbs[index].ariaPressed = value === given[key]));
		undo.hidden = !given[key];
	}

	async function change(path, rating) {
		await attempt("rating", async () => {
			await post(path, {token, image_id: id, rating});
			given[key] = rating;
			announce(t(rating ? "rate_thanks" : "rate_undone", {rating}));
			if (!rating) thumbs[0].focus();
		});
		show();
	}

	const rate = rating => change("/api/v1/feedback", rating);

	show();
	const label = make("span", "muted", t(`rate_${what}`));
	const group = id && make("div", {className: "scale row", role: "radiogroup", "aria-label": t("rate_hit")}, ...scale);
	return make("div", "rating row end", label, ...thumbs, group, undo);
}

const SIDES = ["relevant", "irrelevant"];
const golden = {};

// A golden query is words alone, or one of our pictures.
function asked() {
	const {words, without, picture} = fromAddress();
	if (without || picture?.box || (words && picture)) return null;
	if (words) return {text: words};
	return /^\d+$/.test(picture?.image) ? {image_id: Number(picture.image)} : null;
}

export function marksOf(id) {
	const query = asked();
	if (!query || query.image_id === id) return "";
	const path = here("/golden-queries");
	const key = path + JSON.stringify(query);
	const isMarked = side => Boolean(golden[key]?.[side].includes(id));
	const buttons = SIDES.map(side => button(t(`golden_${side}`), () => mark(side), "quiet"));
	const show = () => SIDES.forEach((side, index) => (buttons[index].ariaPressed = isMarked(side)));

	function changed(side) {
		if (!isMarked(side)) return post(path, {...query, [side]: [id]});
		const rest = SIDES.map(one => [one, golden[key][one].filter(other => other !== id)]);
		return ask("PUT", `${path}/${golden[key].id}`, {json: Object.fromEntries(rest)});
	}

	const mark = side =>
		attempt("golden", async () => {
			golden[key] = await changed(side);
			tell(t("golden_kept"));
			show();
		});

	show();
	return make("div", "row end writers", make("span", "muted", t("golden")), ...buttons);
}
