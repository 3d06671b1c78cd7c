// The conversation: questions with their chips, answers with phrases coloured like their masks, and what went wrong.

import { partsOf } from "./answer_text.js";
import { branchOf, namesBefore, objectOf } from "./document.js";
import { arrange, iconButton, make, wordButton } from "./dom.js";
import { chip, createComposer } from "./composer.js";
import { colour } from "./ink.js";

const NEAR_THE_END = 80;
const PRESSED = "button, [role=button]";

/**
 * Shows the turns of the document's branch.
 *
 * @param acts what can be done: goTo(key), light(key or null), playSpan(from, to), ask, retry, stop, fork, copy
 */
export function createConversation({ host, log, book, ui, asking, acts }) {
  const shown = new Map();
  let editing = null;

  function render(doc) {
    const { scrollHeight, scrollTop, clientHeight } = scrolled();
    const atEnd = scrollHeight - scrollTop - clientHeight < NEAR_THE_END;
    const turns = branchOf(doc).turns;
    const elements = turns.map((turn, place) => renderTurn(doc, turn, place));
    for (const id of shown.keys()) if (!turns.some((turn) => turn.id === id)) shown.delete(id);
    arrange(host, elements);
    if (atEnd) toEnd();
  }

  /** What the turns are scrolled in: their own pane, or the whole page where that is narrow. */
  function scrolled() {
    return log.scrollHeight > log.clientHeight ? log : document.scrollingElement;
  }

  function toEnd() {
    const pane = scrolled(); // asked now, for what was added may have made it another
    pane.scrollTop = pane.scrollHeight;
  }

  function renderTurn(doc, turn, place) {
    const signature = JSON.stringify(signatureOf(doc, turn));
    let entry = shown.get(turn.id);
    if (!entry) {
      entry = { element: make("article", { class: "turn", data: { turn: turn.id } }), signature: null };
      shown.set(turn.id, entry);
    }
    entry.element.setAttribute("aria-label", `Turn ${place + 1}`);
    if (entry.signature !== signature) {
      entry.signature = signature;
      if (editing === turn.id) {
        if (!entry.element.querySelector(".editor")) entry.element.replaceChildren(editor(doc, turn));
      } else keepingFocus(entry.element, () => entry.element.replaceChildren(...bodyOf(doc, turn)));
    }
    return entry.element;
  }

  /** All that a turn's looks depend on. */
  function signatureOf(doc, turn) {
    const keys = [...turn.pieces.map((piece) => piece.object), ...Object.values(namesBefore(doc, turn.id)), ...Object.values(turn.names)];
    const looks = [...new Set(keys)].map((key) => objectOf(doc, key)).map((o) => o && [o.key, o.slot, o.name]);
    const { status, content, trouble, grounding } = turn;
    return [status, content, trouble, grounding !== null, looks, asking.state(turn.id), editing === turn.id];
  }

  function bodyOf(doc, turn) {
    const body = [questionOf(doc, turn), answerOf(doc, turn)];
    const note = noteOf(turn);
    if (note) body.push(note);
    body.push(actionsOf(turn));
    return body;
  }

  function questionOf(doc, turn) {
    const question = make("div", { class: "question" }, make("span", { class: "sr", text: "You: " }));
    for (const piece of turn.pieces) {
      const object = piece.object && objectOf(doc, piece.object);
      if (object) question.append(chip(object, { type: "button", title: "Go to where it is best seen", on: pointing(object.key) }));
      else question.append(piece.object ? "(forgotten)" : piece.text);
    }
    return question;
  }

  function answerOf(doc, turn) {
    const names = { ...namesBefore(doc, turn.id), ...turn.names };
    const answer = make("div", { class: "answer", "aria-busy": String(turn.status === "asking") });
    answer.append(make("span", { class: "sr", text: "Sama: " }));
    for (const part of partsOf(turn.content, turn.grounding?.phrases)) {
      if (part.phrase) answer.append(phraseOf(part, objectOf(doc, names[part.phrase.object])));
      else if (part.from !== undefined) answer.append(timeOf(part));
      else answer.append(part.text);
    }
    if (turn.status === "asking") answer.append(make("span", { class: "caret", "aria-hidden": "true" }));
    return answer;
  }

  function phraseOf({ text, phrase }, object) {
    if (object) {
      const title = `${object.name}: go to where it is best seen`;
      const { click, ...on } = pointing(object.key);
      return colour(wordButton(text, click, { class: "phrase", title, data: { key: object.key }, on }), object.slot);
    }
    const reason = phrase.object ? "forgotten" : (phrase.reason ?? "no mask");
    return make("span", { class: "phrase unseen", text, title: reason }, make("span", { class: "sr", text: ` (${reason})` }));
  }

  function timeOf({ text, from, to }) {
    const press = () => acts.playSpan(from, to);
    const title = to === null ? "Go to this moment" : "Play this part";
    return wordButton(text, press, { class: "time", title });
  }

  function pointing(key) {
    const light = () => acts.light(key);
    const dark = () => acts.light(null);
    return { click: () => acts.goTo(key), pointerenter: light, pointerleave: dark, focus: light, blur: dark };
  }

  function noteOf(turn) {
    if (turn.status === "failed") {
      const again = make("button", { type: "button", class: "quiet", text: "Ask again", on: { click: () => acts.retry(turn.id) } });
      return make("div", { class: "turn-note error" }, make("p", { text: turn.trouble }), again);
    }
    if (turn.status === "stopped") {
      return make("div", { class: "turn-note" }, make("p", { text: "Stopped. This turn is not part of the conversation." }));
    }
    const state = asking.state(turn.id);
    if (turn.status !== "asking" || !state) return null;
    if (state.wait) return make("div", { class: "turn-note", text: `The server is busy; trying again in ${state.wait} s.` });
    if (state.progress) {
      const { done, total } = state.progress;
      const bar = make("progress", { max: total, value: done, "aria-label": "Tracking what the answer names" });
      return make("div", { class: "turn-note" }, make("span", { text: "Tracking" }), bar);
    }
    return turn.content ? null : make("div", { class: "turn-note", text: "Looking at the video…" });
  }

  function actionsOf(turn) {
    const row = make("div", { class: "turn-actions" });
    if (turn.status === "asking") {
      const press = () => acts.stop(turn.id);
      row.append(make("button", { type: "button", class: "quiet", icon: "stop", data: { f: "stop" }, on: { click: press } }, "Stop"));
      return row;
    }
    row.append(
      iconButton("Edit the question", "edit", () => edit(turn.id), { data: { f: "edit" } }),
      iconButton("Ask again", "retry", () => acts.retry(turn.id), { data: { f: "retry" } }),
    );
    if (turn.status === "done") {
      row.append(
        iconButton("Fork from here", "fork", () => acts.fork(turn.id), { data: { f: "fork" } }),
        iconButton("Copy the answer", "copy", () => acts.copy(turn.content), { data: { f: "copy" } }),
      );
    }
    return row;
  }

  // editing a question in its place

  function edit(id) {
    editing = id;
    render(book.get());
    shown.get(id)?.element.querySelector(".field")?.focus();
  }

  function editor(doc, turn) {
    const field = make("div", { class: "field", role: "textbox", "aria-multiline": "true", "aria-label": "Edit the question" });
    const list = make("ul", { class: "choices", role: "listbox", id: `choices-${turn.id}`, "aria-label": "Objects", hidden: true });
    const finish = (again) => {
      editing = null;
      const pieces = composer.pieces();
      if (again && pieces.length) acts.ask(pieces, { ground: turn.ground, span: turn.span, insteadOf: turn.id });
      render(book.get());
      shown.get(turn.id)?.element.querySelector("[data-f=edit]")?.focus();
    };
    const composer = createComposer({ field, list, doc: () => book.get(), onChange: () => undefined, onSubmit: () => finish(true) });
    composer.show(turn.pieces);
    field.addEventListener("keydown", (event) => event.key === "Escape" && finish(false));
    const box = make("div", { class: "editor" }, field, list);
    box.append(
      make("button", { type: "button", class: "primary", text: "Ask again", on: { click: () => finish(true) } }),
      make("button", { type: "button", class: "quiet", text: "Cancel", on: { click: () => finish(false) } }),
      make("p", { class: "hint", text: "Later turns give way to the new answer. Undo brings them back." }),
    );
    return box;
  }

  book.watch((doc, before) => {
    if (doc.id !== before.id) {
      shown.clear();
      editing = null;
      host.replaceChildren();
    }
    render(doc);
  });
  return {
    render: () => render(book.get()),
    toEnd,
  };
}

/** Redraw, and give the focus back to what stands in its place. */
function keepingFocus(element, redraw) {
  const active = element.contains(document.activeElement) ? document.activeElement : null;
  const place = active && [...element.querySelectorAll(PRESSED)].indexOf(active);
  const name = active?.dataset.f;
  redraw();
  if (!active) return;
  const again = name ? element.querySelector(`[data-f=${name}]`) : element.querySelectorAll(PRESSED)[place];
  again?.focus();
}
