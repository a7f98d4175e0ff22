// How all is: pictures, model, index, jobs, ratings, and on a button the recall.
import { ask, hasKey } from "./api.js";
import { announce, make } from "./dom.js";
import { button, say, table } from "./jobs.js";
import { collection } from "./session.js";
import { dateTime, number, t } from "./texts.js";

const REFRESH_MS = 10000;
const MOST_JOBS = 100;
const SHORT = 12; // of a fingerprint's digits

const short = (n) => number(n, { maximumFractionDigits: 1 });
const share = (fraction) => number(fraction, { style: "percent", maximumFractionDigits: 1 });

/** A card of facts, and what writes them, each in its place. */
function card(key, ...children) {
  const [list, values] = [make("dl"), {}];
  const show = (told) => {
    for (const [name, value] of Object.entries(told)) {
      if (!values[name]) list.append(make("dt", {}, t(`status_${name}`)), (values[name] = make("dd")));
      say(values[name], String(value));
    }
  };
  return { whole: make("div", { className: "card" }, make("h2", {}, t(`status_${key}`)), list, ...children), show };
}

function recallCard() {
  const told = make("p", { className: "muted" }, t("status_recall_what"));
  const measure = async () => {
    say(told, t("status_measuring"));
    try {
      const { recall, text_recall, picture_recall, p95_ms } = (await ask("GET", `/api/v1/collections/${collection()}/recall`)).data;
      show({ all: share(recall), texts: share(text_recall), images: share(picture_recall ?? 1), p95: short(p95_ms) });
      say(told, t("status_recall_what"));
      announce(`${t("status_recall")}: ${share(recall)}`);
    } catch (refusal) {
      say(told, refusal.message);
    }
  };
  const { whole, show } = card("recall", told, button("status_recall_now", measure));
  return whole;
}

/** What admins may see. Without a key not by `ask`: nobody wants to be asked for one unasked. */
async function summary() {
  const [path, query] = ["/api/v1/feedback/summary", { collection: collection() }];
  if (hasKey()) return (await ask("GET", path, { query })).data;
  const response = await fetch(`${path}?${new URLSearchParams(query)}`);
  if (response.ok) return response.json();
  throw Object.assign(new Error((await response.json()).detail), { status: response.status });
}

function ratingCard() {
  const [lines, fill] = table("status_worst", "status_query", "status_mean", "status_best", "status_times");
  const told = make("p");
  let isRefused = false;
  const show = async () => {
    if (isRefused) return;
    try {
      const { worst_queries: worst, trials } = await summary();
      const { state } = trials.find((one) => one.collection === collection());
      say(told, t(`status_${state.replace(" ", "_")}`));
      fill(worst.map(lineOf));
      lines.hidden = !worst.length;
    } catch (refusal) {
      lines.hidden = true;
      isRefused = refusal.status === 403;
      say(told, isRefused ? t("status_admin") : refusal.message);
    }
  };
  addEventListener("keychange", () => (isRefused = false));
  return { whole: card("ratings", told, lines).whole, show };
}

function lineOf({ query, mean, best, ratings }) {
  const link = make("a", { href: `/?${new URLSearchParams({ q: query })}`, dataset: { view: "search" } }, query);
  return [link, short(mean), short(best), short(ratings)];
}

/** Builds the view in its section, and looks again every ten seconds while it is seen. */
export function mountStatus(section) {
  const [pictures, model, index] = ["pictures", "model", "index"].map((key) => card(key));
  const jobs = card("jobs", make("a", { href: "/?view=add", dataset: { view: "add" } }, t("status_see")));
  const rated = ratingCard();
  const trouble = make("p", { className: "bad", role: "status" });
  const get = async (path, query) => (await ask("GET", path, { query })).data;
  const count = async (state) => (await get("/api/v1/jobs", { state, limit: MOST_JOBS })).jobs.length;
  const show = async () => {
    const known = await get(`/api/v1/collections/${collection()}`);
    const { storage, m, ef_construction, ef_search, fingerprint, dimensions } = known;
    const { device, precision } = await get("/readyz");
    pictures.show({ count: number(known.pictures), coverage: share(known.coverage), created: dateTime(known.created_at) });
    model.show({ name: `${known.model} ${known.pretrained}`, fingerprint: fingerprint.slice(0, SHORT), dimensions, device: `${device}, ${precision}` });
    index.show({ storage, m, ef_construction, ef_search: ef_search ?? t("status_untuned") });
    jobs.show({ running: await count("running"), pending: await count("pending") });
    await rated.show();
  };
  let timer = 0;
  const look = async () => {
    clearTimeout(timer);
    timer = setTimeout(look, REFRESH_MS);
    if (document.hidden || !section.checkVisibility()) return;
    const refusal = await show().catch((error) => error);
    if (refusal?.status === 401 || refusal?.status === 403) clearTimeout(timer);
    say(trouble, refusal?.message ?? "");
  };
  const cards = [pictures, model, index, jobs].map(({ whole }) => whole);
  section.append(trouble, make("div", { className: "cards" }, ...cards, recallCard(), rated.whole));
  new IntersectionObserver(look).observe(section);
  for (const type of ["keychange", "collectionchange"]) addEventListener(type, look);
}
