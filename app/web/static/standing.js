// Standing searches.
import {ask, askAll, get, post, relative} from "./api.js";
import {attempt, button, formOf, imageOf, labelled, make, openDialog, row, say, select, tell} from "./dom.js";
import {linkToHit, nameOf} from "./grid.js";
import {fromAddress, requestOf, thumbnailOf} from "./query.js";
import {collection} from "./session.js";
import {refusalOf, t} from "./texts.js";

const PATH = "/api/v1/standing-searches";
const SHOWN = 6; // matches
const CONFIDENCES = [["standing_fair", 0.9], ["standing_strict", 0.97], ["standing_any", 0.8]];

const linkOf = ({image}) => linkToHit(image.id, {}, imageOf(thumbnailOf(image, 64), {alt: nameOf(image), width: 48, height: 48}));

async function rowOf({id, title, problem, feed_url: feed}, refresh) {
	const {data} = await get(`${PATH}/${id}/matches`, {limit: SHOWN});
	const remove = async () => {
		await ask("DELETE", `${PATH}/${id}`);
		await refresh();
	};
	const acts = [
		make("a", {href: relative(feed), target: "_blank"}, t("standing_feed")),
		button(t("standing_delete"), () => attempt("standing", remove), "quiet writers end", t("standing_delete_of", {title})),
	];
	return make("li", "fields card", make("strong", {}, title), refusalOf("", problem) ?? (data.length ? row(...data.map(linkOf)) : say("small", "standing_none")), row(...acts));
}

export function openStanding() {
	const asked = fromAddress();
	const {query} = requestOf(asked);
	const list = make("ul", "keys");
	const refresh = async () => {
		const all = await askAll(PATH, {collection: collection()});
		list.replaceChildren(...(await Promise.all(all.map(one => rowOf(one, refresh)))));
	};
	const keep = async ({elements}) => {
		const {title} = await post(PATH, {query, collection: collection(), filter: asked.filter, min_confidence: Number(elements.confidence.value)});
		tell(t("standing_kept", {title}));
		await refresh();
	};
	const choice = select("confidence", CONFIDENCES.map(([key, value]) => [t(key), value]));
	const form = formOf(form => attempt("standing", () => keep(form)), labelled("standing_sure", choice), make("button", "primary", t("standing_keep")));
	const isKept = query?.every(({text, id, box}) => text || (id && !box)); // no files, addresses and parts
	const parts = [say("p", "standing_what"), make("div", "writers", isKept ? form : say("p", "standing_how")), list];
	openDialog(t("standing"), make("div", "fields", ...parts), true);
	attempt("standing", refresh);
}
