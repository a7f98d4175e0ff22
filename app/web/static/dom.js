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

export const announce = (text) => byId("announcements").replaceChildren(text);

/** Say what went wrong; without a text, nothing. */
export function alertOf(text) {
  const told = text && make("p", { className: "row card bad" }, text, button("×", () => alertOf(), "icon quiet", t("close")));
  byId("alerts").replaceChildren(told || "");
}
