// A field to write a question in, with objects as chips between the words.

import { objectOf } from "./document.js";
import { make } from "./dom.js";
import { colour } from "./ink.js";

/** A chip for an object, as it stands in a question. */
export function chip(object, properties = {}) {
  const element = make(properties.on ? "button" : "span", { class: "chip", data: { key: object.key }, ...properties });
  element.append(make("span", { class: "chip-number", "aria-hidden": "true", text: String(object.slot) }), object.name);
  return colour(element, object.slot);
}

/**
 * Make an element a field for questions.
 *
 * @param doc gives the document, whose objects can be named
 * @param onChange called with the pieces as they are written
 * @param onSubmit called when Enter is pressed
 */
export function createComposer({ field, list, doc, onChange, onSubmit }) {
  let caret = null;
  let choices = [];
  let chosen = 0;

  field.contentEditable = "plaintext-only";
  if (field.contentEditable !== "plaintext-only") field.contentEditable = "true";

  function chipFor(key) {
    const object = objectOf(doc(), key);
    return object ? chip(object, { contenteditable: "false" }) : null;
  }

  function pieces() {
    const found = [];
    const text = (value) => {
      if (!value) return;
      if (found.at(-1)?.text !== undefined) found.at(-1).text += value;
      else found.push({ text: value });
    };
    const walk = (node) => {
      if (node.nodeType === Node.TEXT_NODE) text(node.data.replaceAll("\u00a0", " "));
      else if (node.dataset?.key) found.push({ object: node.dataset.key });
      else if (node.nodeName === "BR") text("\n");
      else {
        if (node !== field && node.previousSibling) text("\n");
        node.childNodes.forEach(walk);
      }
    };
    walk(field);
    if (found.at(-1)?.text === "\n") found.pop();
    return found;
  }

  function show(written) {
    field.replaceChildren();
    for (const piece of written) {
      const child = piece.object ? chipFor(piece.object) : document.createTextNode(piece.text);
      if (child) field.append(child);
    }
    caret = null;
    mark();
  }

  function mark() {
    field.classList.toggle("empty", !pieces().some((piece) => piece.object || piece.text.trim()));
  }

  function changed() {
    mark();
    onChange(pieces());
  }

  function caretRange() {
    const selection = document.getSelection();
    if (selection.rangeCount && field.contains(selection.anchorNode)) return selection.getRangeAt(0).cloneRange();
    if (caret && field.contains(caret.startContainer)) return caret;
    const end = document.createRange();
    end.selectNodeContents(field);
    end.collapse(false);
    return end;
  }

  function placeCaret(range) {
    caret = range;
    const selection = document.getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
  }

  /** Put an object in where the caret is, or last was. */
  function insert(key, { focus = true, range = caretRange() } = {}) {
    const element = chipFor(key);
    if (!element) return;
    range.deleteContents();
    const before = document.createRange();
    before.selectNodeContents(field);
    before.setEnd(range.startContainer, range.startOffset);
    const gap = before.toString().length && !/\s$/.test(before.toString()) ? " " : "";
    const tail = document.createTextNode(" ");
    range.insertNode(tail);
    range.insertNode(element);
    if (gap) range.insertNode(document.createTextNode(gap));
    const after = document.createRange();
    after.setStart(tail, 1);
    after.collapse(true);
    if (focus) {
      field.focus();
      placeCaret(after);
    } else caret = after;
    changed();
  }

  // names after an @

  function mention() {
    const range = caretRange();
    const { startContainer: node, startOffset: offset } = range;
    const found = node.nodeType === Node.TEXT_NODE && /(?:^|\s)@([^\s@]{0,20})$/.exec(node.data.slice(0, offset));
    if (!found) return closeList();
    const beginning = found[1].toLowerCase();
    choices = doc().objects.filter((object) => `${object.slot} ${object.name}`.toLowerCase().includes(beginning));
    chosen = Math.min(chosen, Math.max(0, choices.length - 1));
    if (!choices.length) return closeList();
    list.replaceChildren(...choices.map(choice));
    list.hidden = false;
    field.setAttribute("aria-activedescendant", `${list.id}-${chosen}`);
  }

  function choice(object, place) {
    const take = (event) => {
      event.preventDefault();
      choose(place);
    };
    const option = make("li", {
      id: `${list.id}-${place}`,
      role: "option",
      "aria-selected": String(place === chosen),
      on: { pointerdown: take },
    });
    option.append(chip(object));
    return option;
  }

  function choose(place) {
    const range = caretRange();
    const at = range.startContainer.data.slice(0, range.startOffset).lastIndexOf("@");
    range.setStart(range.startContainer, at);
    closeList();
    insert(choices[place].key, { range });
  }

  function closeList() {
    list.hidden = true;
    chosen = 0;
    field.removeAttribute("aria-activedescendant");
  }

  function keyInList(event) {
    const move = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (move) {
      chosen = (chosen + move + choices.length) % choices.length;
      mention();
    } else if (event.key === "Enter" || event.key === "Tab") choose(chosen);
    else if (event.key === "Escape") closeList();
    else return false;
    event.preventDefault();
    event.stopPropagation();
    return true;
  }

  field.addEventListener("input", () => {
    mention();
    changed();
  });
  field.addEventListener("keydown", (event) => {
    if (!list.hidden && keyInList(event)) return;
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      onSubmit();
    }
  });
  field.addEventListener("paste", (event) => {
    if (field.contentEditable === "plaintext-only") return;
    event.preventDefault();
    document.execCommand("insertText", false, event.clipboardData.getData("text/plain"));
  });
  field.addEventListener("drop", (event) => event.preventDefault());
  field.addEventListener("blur", () => {
    caret = caretRange();
    closeList();
  });

  return {
    pieces,
    show,
    insert,
    /** Names and colours may have changed; chips of objects that are gone go too. */
    refresh() {
      for (const element of field.querySelectorAll(".chip")) {
        const now = chipFor(element.dataset.key);
        if (!now) element.remove();
        else if (now.textContent !== element.textContent) element.replaceWith(now);
      }
      mark();
    },
    focus() {
      field.focus();
      placeCaret(caretRange());
    },
  };
}
