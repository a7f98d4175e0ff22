// How all is: pictures, model, index, jobs, ratings, and on a button the recall.
import { ask } from "./api.js";
import { button, make } from "./dom.js";
import { fill, keepUp, linkTo, table } from "./jobs.js";
import { collection } from "./session.js";
import { dateTime, number, t } from "./texts.js";

const share = (fraction) => number(fraction, { style: "percent", maximumFractionDigits: 1 });
const get = async (path, query) => (await ask("GET", path, { query })).data;

const FACTS = {
  pictures: { pictures: number, coverage: share, created_at: dateTime },
  model: { model: String, pretrained: String, fingerprint: String, device: String },
  index: { storage: String, m: String, ef_search: String },
  jobs: { running: String, pending: String },
  recall: { recall: share, text_recall: share, picture_recall: share, worst_decile: share, unreachable: number },
};
const lists = {};

function card(key, ...children) {
  lists[key] = make("dl");
  return make("div", { className: "card" }, make("h2", {}, t(`status_${key}`)), lists[key], ...children);
}

function showFacts(key, known) {
  const lineOf = ([name, write]) => [make("dt", {}, t(`status_${name}`)), make("dd", {}, (known[name] ?? "") === "" ? "–" : write(known[name]))];
  fill(lists[key], ...Object.entries(FACTS[key]).flatMap(lineOf));
}

async function showAll() {
  const known = { ...(await get("/readyz")), ...(await get(`/api/v1/collections/${collection()}`)) };
  for (const state of ["running", "pending"]) known[state] = (await get("/api/v1/jobs", { state })).jobs.length;
  for (const key of ["pictures", "model", "index", "jobs"]) showFacts(key, known);
}

function recallCard() {
  const told = make("p", { className: "muted", role: "status" }, t("status_recall_what"));
  const measure = async () => {
    fill(told, t("status_measuring"));
    const found = get(`/api/v1/collections/${collection()}/recall`).then((known) => showFacts("recall", known));
    fill(told, await found.catch(({ message }) => message) ?? t("status_recall_what"));
  };
  return card("recall", told, button(t("status_recall_now"), measure));
}

function ratingCard() {
  const worst = make("div");
  const whole = card("worst", worst);
  const shown = (mean) => number(mean, { maximumFractionDigits: 1 });
  const lineOf = ({ query, mean, ratings }) => [linkTo("search", { q: query }, query), shown(mean), number(ratings)];
  keepUp(whole, async () => {
    const { worst_queries } = await get("/api/v1/feedback/summary", { collection: collection() });
    const heads = ["status_query", "status_mean", "status_ratings"];
    fill(worst, table("status_worst", heads, worst_queries.map(lineOf)));
  });
  return whole;
}

export function mountStatus(section) {
  const cards = ["pictures", "model", "index"].map((key) => card(key));
  cards.push(card("jobs", linkTo("add", { view: "add" }, t("status_see"))), recallCard(), ratingCard());
  section.append(make("div", { className: "cards" }, ...cards));
  keepUp(section, showAll);
}
