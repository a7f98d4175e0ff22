// The years and months of an answer.
import {get} from "./api.js";
import {byId, make} from "./dom.js";
import {addressWith, textOfFilter} from "./query.js";
import {here} from "./session.js";
import {monthName, number, t} from "./texts.js";

const rail = byId("rail");

function linkOf({month, pictures}, at) {
	const text = [monthName(month), " ", make("small", {}, number(pictures))];
	return make("li", {}, make("a", {href: addressWith("at", month), dataset: {at: month}, "aria-current": at === month ? "date" : null}, ...text));
}

function yearOf(year, months, at, isOpen) {
	const pictures = months.reduce((sum, one) => sum + one.pictures, 0);
	const links = make("ol", {}, ...months.map(one => linkOf(one, at)));
	return make("details", {open: isOpen, name: "year"}, make("summary", {}, year, " ", make("small", {}, number(pictures))), links);
}

export async function showRail(filter, at) {
	const {months: found} = await get(here("/months"), {filter: textOfFilter(filter)});
	const years = Map.groupBy(found, ({month}) => month.slice(0, 4));
	const open = at?.slice(0, 4) || years.keys().next().value;
	const all = at && make("a", {href: addressWith("at"), dataset: {at: ""}}, t("rail_all"));
	rail.replaceChildren(all, ...[...years].map(([year, months]) => yearOf(year, months, at, year === open)));
	rail.hidden ||= !years.size; // no picture has a date
}
