// The years and months of the pictures, along the side of an answer in the order of time.
import { ask } from "./api.js";
import { byId, make } from "./dom.js";
import { atAddress } from "./query.js";
import { collection } from "./session.js";
import { monthName, number, t } from "./texts.js";

const rail = byId("rail");
let shown; // what it was asked for

function linkOf({ month, pictures }, at) {
  const text = [monthName(month), " ", make("small", {}, number(pictures))];
  return make("li", {}, make("a", { href: atAddress(month), dataset: { at: month }, "aria-current": at === month ? "date" : null }, ...text));
}

function yearOf(year, months, at, isOpen) {
  const pictures = months.reduce((sum, one) => sum + one.pictures, 0);
  const links = make("ol", {}, ...months.map((one) => linkOf(one, at)));
  return make("details", { open: isOpen, name: "year" }, make("summary", {}, year, " ", make("small", {}, number(pictures))), links);
}

/** Show the months of the pictures that pass a filter; `at` is the one that the answer begins with. */
export async function showRail(filter, at) {
  const key = JSON.stringify([collection(), filter]);
  if (shown?.key !== key) {
    const query = { filter: Object.keys(filter).length ? JSON.stringify(filter) : "" };
    const { data } = await ask("GET", `/api/v1/collections/${collection()}/months`, { query });
    shown = { key, months: data.months };
  }
  const years = byYear(shown.months);
  const open = at?.slice(0, 4) || years.keys().next().value;
  rail.replaceChildren(...[...years].map(([year, months]) => yearOf(year, months, at, year === open)));
  if (!shown.months.length) rail.replaceChildren(t("day_unknown"));
}

function byYear(months) {
  const years = new Map();
  for (const one of months) {
    const year = one.month.slice(0, 4);
    years.set(year, [...(years.get(year) ?? []), one]);
  }
  return years;
}
