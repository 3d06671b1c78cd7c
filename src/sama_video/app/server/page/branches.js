// Several conversations about one clip, as tabs; there is nothing to see while there is one.

import { withoutBranch } from "./document.js";
import { iconButton, make } from "./dom.js";

/** Shows the document's branches in `host`. */
export function createBranches({ host, book }) {
  const show = (id) => book.amend((doc) => (doc.branch === id ? doc : { ...doc, branch: id }));

  function render(doc) {
    host.hidden = doc.branches.length < 2;
    host.replaceChildren(...(host.hidden ? [] : doc.branches.map((branch) => tabOf(doc, branch))));
  }

  function tabOf(doc, branch) {
    const chosen = branch.id === doc.branch;
    const button = make("button", {
      type: "button",
      role: "tab",
      "aria-selected": String(chosen),
      "aria-controls": "log",
      tabindex: chosen ? 0 : -1,
      text: branch.name,
      on: { click: () => show(branch.id) },
    });
    const drop = () => book.commit("close a conversation", (page) => withoutBranch(page, branch.id));
    return make("span", { class: "branch", role: "presentation" }, button, iconButton(`Close ${branch.name}`, "close", drop));
  }

  host.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!move) return;
    const { branches, branch } = book.get();
    const at = branches.findIndex((candidate) => candidate.id === branch);
    show(branches[(at + move + branches.length) % branches.length].id);
    host.querySelector("[aria-selected=true]")?.focus();
    event.preventDefault();
  });
  book.watch((doc, before) => (doc.branches !== before.branches || doc.branch !== before.branch) && render(doc));
}
