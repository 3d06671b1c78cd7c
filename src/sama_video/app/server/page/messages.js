// What the page has to say: errors stay until they are dealt with, notes go by themselves.

import { iconButton, make } from "./dom.js";

const NOTE_MILLISECONDS = 6000;

/** The corner of the page that speaks. `alerts` and `status` are live regions. */
export function createMessages(alerts, status) {
  const shown = new Map();

  function close(id) {
    shown.get(id)?.remove();
    shown.delete(id);
  }

  return {
    /** An error and what can be done about it; the same `id` replaces the last one. */
    error(text, { id = text, action = null, label = "Try again" } = {}) {
      close(id);
      const box = make("div", { class: "message error" }, make("p", { text }));
      if (action) {
        const press = () => {
          close(id);
          action();
        };
        box.append(make("button", { type: "button", class: "quiet", text: label, on: { click: press } }));
      }
      box.append(iconButton("Dismiss", "close", () => close(id)));
      shown.set(id, box);
      alerts.append(box);
    },
    /** Something worth knowing that needs no answer. */
    note(text, { id = text } = {}) {
      close(id);
      const box = make("div", { class: "message note" }, make("p", { text }));
      box.append(iconButton("Dismiss", "close", () => close(id)));
      shown.set(id, box);
      status.append(box);
      setTimeout(() => shown.get(id) === box && close(id), NOTE_MILLISECONDS);
    },
    close,
  };
}
