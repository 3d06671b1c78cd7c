// Building elements. Whatever a model, a file or a person wrote goes in as text, never as markup.

import { icon } from "./icons.js";

/** The element with an id; the page is broken without it. */
export function part(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found;
}

/** Make an element. Properties: `class`, `text`, `on` (listeners), `data`, `icon`; others are attributes. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "class") element.className = value;
    else if (name === "text") element.textContent = value;
    else if (name === "icon") element.append(icon(value));
    else if (name === "on") for (const [type, listener] of Object.entries(value)) element.addEventListener(type, listener);
    else if (name === "data") Object.assign(element.dataset, value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** A button with an icon alone; its name is what screen readers say and what the pointer shows. */
export function iconButton(name, iconName, press, properties = {}) {
  return make("button", {
    type: "button",
    class: "icon-button",
    "aria-label": name,
    title: name,
    icon: iconName,
    on: { click: press },
    ...properties,
  });
}

/** A word of a text that can be pressed. A button would not break across lines as words do. */
export function wordButton(text, press, { on = {}, ...properties } = {}) {
  const onKey = (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    press();
  };
  return make("span", { role: "button", tabindex: 0, text, on: { click: press, keydown: onKey, ...on }, ...properties });
}

/** Set an element's text where it differs, so that nothing is said twice. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Put children in this order with as few moves as can be, so that focus stays where it is. */
export function arrange(parent, children) {
  let next = parent.firstChild;
  for (const child of children) {
    if (child === next) next = next.nextSibling;
    else parent.insertBefore(child, next);
  }
  while (next) {
    const after = next.nextSibling;
    next.remove();
    next = after;
  }
}

/** 3.2 s, or 1:03.2 from a minute on. */
export function clock(seconds, digits = 2) {
  if (seconds < 60) return `${seconds.toFixed(digits)} s`;
  const minutes = Math.floor(seconds / 60);
  return `${minutes}:${(seconds - minutes * 60).toFixed(digits).padStart(digits + 3, "0")}`;
}
