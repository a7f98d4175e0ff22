// Ratings: a thumb for an answer, a thumb or ten stars for a hit, and undo.
import { ask } from "./api.js";
import { alertOf, announce, button, byId, make } from "./dom.js";
import { t } from "./texts.js";

const STARS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
const THUMBS = [["up", 9], ["down", 2]];
const PAUSE_MS = 500;
const given = {}; // ratings of this visit

/** Rates what a token stands for: the answer, with a thumb alone, or its hit `id`; `what` is one of these. */
export function ratingOf(token, id, what) {
  const key = `${id} ${token}`;
  let timer;

  const inputs = STARS.map((value) => {
    const onchange = () => {
      clearTimeout(timer); // arrow keys pass over many
      timer = setTimeout(rate, PAUSE_MS, value);
    };
    return make("input", { type: "radio", name: key, className: "unseen", "aria-label": t("rate_stars", { rating: value }), onchange });
  });
  const stars = inputs.map((input, index) => make("label", { title: `${STARS[index]} / 10` }, input, "★"));
  const thumbs = THUMBS.map(([way, value]) =>
    button(byId("thumb").content.cloneNode(true), () => rate(value), `icon quiet ${way}`, t(`rate_${way}_${what}`)));
  const undo = button(t("rate_undo"), () => change("/api/v1/feedback/withdraw"), "quiet");

  function show() {
    STARS.forEach((value, index) => (inputs[index].checked = value === given[key]));
    THUMBS.forEach(([, value], index) => (thumbs[index].ariaPressed = value === given[key]));
    undo.hidden = !given[key];
  }

  async function change(path, rating) {
    try {
      await ask("POST", path, { json: { token, image_id: id, rating } });
      given[key] = rating;
      alertOf("", "rating");
      announce(t(rating ? "rate_thanks" : "rate_undone", { rating }));
      if (!rating) thumbs[0].focus();
    } catch (error) {
      alertOf(error.message, "rating");
    }
    show();
  }

  const rate = (rating) => change("/api/v1/feedback", rating);

  show();
  const label = make("span", { className: "muted" }, t(`rate_${what}`));
  const group = id && make("div", { className: "stars row", role: "radiogroup", "aria-label": t("rate_hit") }, ...stars);
  return make("div", { className: "rating row end" }, label, ...thumbs, group, undo);
}
