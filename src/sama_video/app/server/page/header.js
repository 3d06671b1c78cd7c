// The bar at the top: undo, open, download, theme, help.

import { exportBody, download, FORMATS } from "./exports.js";
import { createMenu, showHelp } from "./menus.js";
import { part, say } from "./dom.js";

const THEMES = ["system", "light", "dark"];
const THEME = "sama.theme";

/**
 * Wire the top bar.
 *
 * @param start the start screen, which opens things
 * @param home goes back to it
 */
export function createHeader({ api, book, messages, announce, start, clips, home }) {
  const undoButton = part("undo");
  const redoButton = part("redo");

  function step(back) {
    const label = back ? book.undo() : book.redo();
    if (label) announce(`${back ? "Undone" : "Done again"}: ${label}`);
  }

  function showSteps() {
    for (const [button, label, word] of [[undoButton, book.canUndo(), "Undo"], [redoButton, book.canRedo(), "Redo"]]) {
      button.disabled = label === null;
      button.title = label ? `${word}: ${label}` : word;
      button.setAttribute("aria-label", button.title);
    }
  }

  async function save({ format, label }) {
    const doc = book.get();
    announce(`Making ${label}`);
    messages.note(`Making ${label}…`, { id: "export" });
    try {
      const made = await api.postForFile("v1/exports", exportBody(doc, format));
      download(made.blob, made.name ?? `${doc.file.filename}.${format}`);
      messages.note(`${label} is in your downloads.`, { id: "export" });
    } catch (error) {
      messages.close("export");
      if (error.name !== "AbortError") messages.error(`${label}: ${error.message}`, { id: "export", action: () => save({ format, label }) });
    }
  }

  function showTheme(theme) {
    document.documentElement.dataset.theme = theme;
    const button = part("theme");
    button.title = `Theme: ${theme === "system" ? "as the system" : theme}`;
    button.setAttribute("aria-label", button.title);
  }

  function nextTheme() {
    const now = document.documentElement.dataset.theme;
    const next = THEMES[(THEMES.indexOf(now) + 1) % THEMES.length];
    localStorage.setItem(THEME, next);
    showTheme(next);
  }

  undoButton.addEventListener("click", () => step(true));
  redoButton.addEventListener("click", () => step(false));
  part("theme").addEventListener("click", nextTheme);
  part("help").addEventListener("click", showHelp);
  createMenu(part("open-menu-button"), () => [
    { label: "A video…", iconName: "upload", press: start.chooseVideo },
    { label: "A saved session…", iconName: "open", press: start.chooseSession },
    { label: "The demo", iconName: "film", press: () => clips.demo() },
    { label: "Recent sessions", iconName: "retry", press: home },
  ]);
  createMenu(part("download-menu-button"), () =>
    FORMATS.map((entry) => ({ ...entry, press: () => save(entry), disabled: book.get().objects.length === 0 && entry.hint === "masks" })),
  );
  showTheme(THEMES.includes(localStorage.getItem(THEME)) ? localStorage.getItem(THEME) : "system");
  showSteps();

  book.watch((doc) => {
    showSteps();
    part("download-menu-button").disabled = !doc.file;
    say(part("clip-name"), doc.file?.filename ?? "");
    document.title = doc.file ? `${doc.file.filename} · Sama` : "Sama";
  });
  return { step };
}
