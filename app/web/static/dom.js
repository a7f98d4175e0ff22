// Elements without markup: what comes from a server or a person is a text node.
import { t } from "./texts.js";

export const byId = (id) => document.getElementById(id);

/** `on…` are listeners, `dataset` an object, `className` the class; the rest are attributes. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (name === "dataset") Object.assign(element.dataset, value);
    else if ((value ?? false) !== false) element.setAttribute(name === "className" ? "class" : name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child || child === 0));
  return element;
}

/** One of the symbols of index.html. */
export function icon(name) {
  const [svg, use] = ["svg", "use"].map((tag) => document.createElementNS("http://www.w3.org/2000/svg", tag));
  use.setAttribute("href", `#i-${name}`);
  svg.setAttribute("aria-hidden", true);
  svg.append(use);
  return svg;
}

/** `label` is for what does not say itself: a sign, a symbol. */
export const button = (content, onclick, className, label) =>
  make("button", { type: "button", className, onclick, "aria-label": label, title: label }, content);

/** Say it to who listens to the page; the same text again is said again. */
export function announce(text) {
  byId("announcements").textContent = "";
  setTimeout(() => (byId("announcements").textContent = text), 50);
}

/** Say what went wrong, to all; without a text it is taken away. */
export function alertOf(text) {
  byId("alerts").replaceChildren(...(text ? [make("p", {}, text), button("×", () => alertOf(), "icon quiet", t("close"))] : []));
}
