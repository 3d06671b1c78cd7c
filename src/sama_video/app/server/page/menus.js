// Menus and dialogs, usable with keys alone.

import { icon } from "./icons.js";
import { make, part } from "./dom.js";

/**
 * A button that opens a menu.
 *
 * @param items called when it opens; gives [{label, hint, iconName, press}] or strings as headings
 */
export function createMenu(button, items) {
  const menu = make("div", { class: "menu", role: "menu", id: `${button.id}-menu`, popover: "auto", "aria-label": button.textContent.trim() });
  document.body.append(menu);
  button.setAttribute("aria-haspopup", "menu");
  button.setAttribute("aria-expanded", "false");
  button.setAttribute("aria-controls", menu.id);

  function fill() {
    menu.replaceChildren(
      ...items().map((item) => {
        if (typeof item === "string") return make("div", { class: "menu-heading", role: "presentation", text: item });
        const press = () => {
          menu.hidePopover();
          item.press();
        };
        const entry = make("button", { type: "button", role: "menuitem", tabindex: -1, disabled: item.disabled, on: { click: press } });
        if (item.iconName) entry.append(icon(item.iconName));
        entry.append(make("span", { class: "menu-label", text: item.label }));
        if (item.hint) entry.append(make("span", { class: "menu-hint", text: item.hint }));
        return entry;
      }),
    );
  }

  function place() {
    const at = button.getBoundingClientRect();
    menu.style.top = `${at.bottom + 4}px`;
    menu.style.left = `${Math.max(8, Math.min(at.left, window.innerWidth - menu.offsetWidth - 8))}px`;
  }

  button.addEventListener("click", () => {
    fill();
    menu.showPopover();
    place();
    menu.querySelector("button:not(:disabled)")?.focus();
  });
  menu.addEventListener("toggle", (event) => {
    const open = event.newState === "open";
    button.setAttribute("aria-expanded", String(open));
    if (!open && menu.contains(document.activeElement)) button.focus();
  });
  menu.addEventListener("keydown", (event) => {
    const entries = [...menu.querySelectorAll("button:not(:disabled)")];
    const at = entries.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: entries.length - 1 }[event.key];
    if (event.key === "Tab") menu.hidePopover();
    if (event.key === "Escape") button.focus();
    if (to === undefined) return;
    event.preventDefault();
    entries[(to + entries.length) % entries.length]?.focus();
  });
}

/** Ask for the server's key; resolves with {key, remember}, or null when the person turns away. */
export function askForKey() {
  const dialog = part("key-dialog");
  const input = part("key-input");
  input.value = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener(
      "close",
      () => {
        const key = input.value.trim();
        resolve(dialog.returnValue === "use" && key ? { key, remember: part("key-remember").checked } : null);
        input.value = "";
        dialog.returnValue = "";
      },
      { once: true },
    );
  });
}

/** The list of keys. */
export function showHelp() {
  part("help-dialog").showModal();
}
