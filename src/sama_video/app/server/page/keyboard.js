// Keys that work wherever no text is being written.

/** Listen for keys; `acts` maps names such as "ctrl+z" or "p" to what they do. */
export function createKeyboard(acts) {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || document.querySelector("dialog[open]")) return;
    const name = nameOf(event);
    const writing = isWriting(event.target);
    if (writing && !WHILE_WRITING.has(name)) return;
    if (event.key === " " && isControl(event.target)) return;
    const act = acts[name];
    if (!act || (event.repeat && event.key === " ")) return;
    event.preventDefault();
    act(event);
  });
}

const WHILE_WRITING = new Set(["escape"]);

function nameOf(event) {
  const key = event.key.toLowerCase();
  const held = event.ctrlKey || event.metaKey ? "ctrl+" : "";
  const shifted = event.shiftKey && (held || key.length > 1) ? "shift+" : "";
  return `${held}${shifted}${key === " " ? "space" : key}`;
}

function isWriting(target) {
  return target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName);
}

/** Space presses a control that has the focus. */
function isControl(target) {
  return target.tagName === "BUTTON" || /^(button|menuitem|radio)$/.test(target.getAttribute?.("role") ?? "");
}
