// Golden queries: a hit is marked as right or wrong for what was searched for.
import { ask } from "./api.js";
import { alertOf, announce, button, make } from "./dom.js";
import { fromAddress } from "./query.js";
import { collection } from "./session.js";
import { t } from "./texts.js";

const SIDES = ["relevant", "irrelevant"];
const known = {}; // golden queries of this visit, as the service keeps them

/** What is searched for, if a golden query can be that: words alone, or one of our pictures. */
function asked() {
  const { words, without, picture } = fromAddress();
  if (without || (words && picture)) return null;
  if (words) return { text: words };
  return /^\d+$/.test(picture?.image) ? { image_id: Number(picture.image) } : null;
}

/** Two buttons for the hit `id`; pressed again, a mark is taken back. */
export function marksOf(id) {
  const query = asked();
  if (!query || query.image_id === id) return "";
  const path = `/api/v1/collections/${encodeURIComponent(collection())}/golden-queries`;
  const key = path + JSON.stringify(query);
  const isMarked = (side) => Boolean(known[key]?.[side].includes(id));
  const buttons = SIDES.map((side) => button(t(`golden_${side}`), () => mark(side), "quiet"));
  const show = () => SIDES.forEach((side, index) => (buttons[index].ariaPressed = isMarked(side)));

  function changed(side) {
    if (!isMarked(side)) return ask("POST", path, { json: { ...query, [side]: [id] } });
    const rest = SIDES.map((one) => [one, known[key][one].filter((other) => other !== id)]);
    return ask("PUT", `${path}/${known[key].id}`, { json: Object.fromEntries(rest) });
  }

  async function mark(side) {
    try {
      known[key] = (await changed(side)).data;
      alertOf("", "golden");
      announce(t("golden_kept"));
    } catch (error) {
      alertOf(error.message, "golden");
    }
    show();
  }

  show();
  return make("div", { className: "row end" }, make("span", { className: "muted" }, t("golden")), ...buttons);
}
