// Where questions are written: the field with its chips, the part of the clip they are about, and what to ask first.

import { branchOf, objectOf } from "./document.js";
import { suggested } from "./clips.js";
import { createComposer } from "./composer.js";
import { clock, iconButton, make, part } from "./dom.js";
import { drafts } from "./storage.js";

const GROUND = { auto: "auto", yes: true, no: false };

/** The form under the conversation. */
export function createQuestion({ book, ui, asking, messages, drawing, toEnd }) {
  const field = part("question");
  const ground = part("ground");

  const composer = createComposer({
    field,
    list: part("choices"),
    doc: () => book.get(),
    onChange(pieces) {
      drafts.save(book.get().id, pieces);
      book.amend((doc) => ({ ...doc, draft: pieces }));
    },
    onSubmit: submit,
  });

  function submit() {
    const pieces = trimmed(composer.pieces());
    if (!book.get().file) return;
    if (!pieces.length) return field.focus();
    if (asking.busy()) return messages.note("An answer is still being written. Wait for it, or stop it first.", { id: "busy" });
    drafts.save(book.get().id, []);
    composer.show([]);
    drawing.finish();
    asking.ask(pieces, { ground: GROUND[ground.value], span: ui.get().span });
    ui.set({ span: null });
    toEnd();
  }

  function showSpan({ span }) {
    const box = part("ask-span");
    box.hidden = span === null;
    if (!span) return;
    const text = `About ${clock(span[0])} to ${clock(span[1])}`;
    box.replaceChildren(make("span", { text }), iconButton("Ask about the whole clip", "close", () => ui.set({ span: null })));
  }

  function showSuggestions(doc) {
    const box = part("suggestions");
    const asked = branchOf(doc).turns.map((turn) => turn.pieces.map((piece) => piece.text ?? "<region>").join("").trim());
    const left = (doc.suggestions ?? []).filter(({ question }) => !asked.includes(question));
    part("welcome").hidden = asked.length > 0 || !doc.file;
    box.hidden = left.length === 0;
    box.replaceChildren(
      make("h2", { text: "Try asking" }),
      ...left.map((one) => make("button", { type: "button", class: "suggestion", text: readable(one.question), on: { click: () => take(one) } })),
    );
  }

  function take(one) {
    let pieces = [];
    book.commit("take a suggestion", (doc) => {
      const [next, words] = suggested(doc, one);
      // What is being written stays.
      pieces = doc.draft.length ? [...doc.draft, { text: " " }, ...words] : words;
      return { ...next, draft: pieces };
    });
    composer.show(pieces);
    drafts.save(book.get().id, pieces);
    composer.focus();
  }

  part("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
  // The placeholder is no text: pressing on it, or beside it, is pressing on the field.
  field.parentElement.addEventListener("click", (event) => event.target === field.parentElement && composer.focus());
  ui.watch((now, before) => now.span !== before.span && showSpan(now));
  book.watch((doc, before) => {
    if (doc.id !== before.id || doc.suggestions !== before.suggestions || doc.branches !== before.branches) showSuggestions(doc);
    if (doc.id !== before.id || JSON.stringify(doc.draft) !== JSON.stringify(composer.pieces())) composer.show(doc.draft);
    else if (doc.objects !== before.objects) composer.refresh();
  });

  return {
    focus: () => composer.focus(),
    /** Put an object into the question. */
    mention(key, focus = true) {
      if (objectOf(book.get(), key)) composer.insert(key, { focus });
    },
  };
}

function trimmed(pieces) {
  const kept = pieces.filter((piece) => piece.object || piece.text);
  const words = kept.some((piece) => piece.object || piece.text.trim());
  return words ? kept : [];
}

function readable(question) {
  return question.replaceAll("<region>", "this");
}
