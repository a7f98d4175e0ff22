// What a person thinks of an answer or of a hit: ten stars, a thumb, and undo.
import { ask } from "./api.js";
import { alertOf, announce, button, icon, make } from "./dom.js";
import { t } from "./texts.js";

const MOST = 10;
const THUMBS = { up: 9, down: 2 };
const PAUSE_MS = 500;
const given = {}; // ratings of this visit
let groups = 0;

/** Controls that rate what a token stands for: the answer, or its hit `id`. */
export function ratingOf(token, id, label) {
  const key = `${id} ${token}`;
  const name = `rating-${(groups += 1)}`;
  let timer;

  const stars = Array.from({ length: MOST }, (_, index) => {
    const value = index + 1;
    const onchange = () => {
      clearTimeout(timer); // arrow keys pass over many
      timer = setTimeout(rate, PAUSE_MS, value);
    };
    const input = make("input", { type: "radio", name, value, className: "unseen", "aria-label": t("rate_stars", { rating: value }), onchange });
    return make("label", { title: `${value} / ${MOST}` }, input, "★");
  });
  const thumbs = Object.entries(THUMBS).map(([way, value]) => button(icon("thumb"), () => rate(value), `icon quiet ${way}`, t(`rate_${way}`)));
  const undo = button(t("rate_undo"), withdraw, "quiet");

  function show() {
    for (const { firstChild: input } of stars) input.checked = Number(input.value) === given[key];
    thumbs.forEach((thumb, index) => (thumb.ariaPressed = given[key] === Object.values(THUMBS)[index]));
    undo.hidden = !given[key];
  }

  async function change(path, rating, said) {
    clearTimeout(timer);
    try {
      await ask("POST", path, { json: { token, image_id: id, ...(rating && { rating }) } });
      given[key] = rating;
      announce(said);
    } catch (error) {
      alertOf(error.message);
    }
    show();
  }

  const rate = (rating) => change("/api/v1/feedback", rating, t("rate_thanks", { rating }));

  async function withdraw() {
    await change("/api/v1/feedback/withdraw", null, t("rate_undone"));
    if (undo.hidden) thumbs[0].focus();
  }

  show();
  const group = make("fieldset", { className: "stars", role: "radiogroup", "aria-label": label }, ...stars);
  return make("div", { className: "rating row" }, ...thumbs, group, undo);
}
