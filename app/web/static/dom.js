// Elements without markup: what anybody writes is a text node.
import { pictureUrl } from "./api.js";
import { t } from "./texts.js";

export const byId = (id) => document.getElementById(id);

/** `on…` are listeners, `dataset` an object; the rest are attributes. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "dataset") Object.assign(element.dataset, value);
    else if (name === "className" || name.startsWith("on")) element[name] = value ?? "";
    else if ((value ?? false) !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter(Boolean));
  return element;
}

export function imageOf(path, properties) {
  const image = make("img", properties);
  pictureUrl(path).then((url) => (image.src = url), () => {});
  return image;
}

/** `label` is for what does not say itself: a sign, a symbol. */
export const button = (content, onclick, className, label) =>
  make("button", { type: "button", className, onclick, "aria-label": label, title: label }, content);

/** Plain clicks on these links are ours. */
export function onLinks(selector, follow) {
  document.addEventListener("click", (event) => {
    const link = event.target.closest(selector);
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    follow(link);
  });
}

const MOST_ANNOUNCED = 8; // kept: a screen reader may not have come to the first of them yet

/** Say what has happened to those who listen to the page. */
export function announce(text) {
  const told = byId("announcements");
  told.append(make("p", {}, text));
  if (told.children.length > MOST_ANNOUNCED) told.firstChild.remove();
}

const alerts = new Map(); // those that are shown, by their subject

/** Say what went wrong, until the reader closes it or its own subject has something else to say.
 * An empty text withdraws what was said of the subject; other alerts are never touched.
 */
export function alertOf(text, subject = text) {
  alerts.get(subject)?.remove();
  if (!text) return;
  const told = make("p", { className: "row card bad" }, text, button("×", () => told.remove(), "icon quiet", t("close")));
  alerts.set(subject, told);
  byId("alerts").append(told);
}
