// The page before there is a clip: choose or drop one, or go on with what this browser has kept.

import { iconButton, make, part, say } from "./dom.js";
import { branchOf } from "./document.js";

/**
 * The start screen, and dropping files anywhere.
 *
 * @param go opens a session that this browser has kept
 */
export function createStart({ clips, storage, go }) {
  const videoFile = part("video-file");
  const sessionFile = part("session-file");
  let over = 0;

  const chooseVideo = () => videoFile.click();
  const chooseSession = () => sessionFile.click();

  function takeFrom(input, take) {
    input.addEventListener("change", () => {
      const [file] = input.files;
      input.value = "";
      if (file) take(file);
    });
  }

  takeFrom(videoFile, clips().video);
  takeFrom(sessionFile, clips().saved);
  part("choose-video").addEventListener("click", chooseVideo);
  part("choose-demo").addEventListener("click", () => clips().demo());
  part("choose-session").addEventListener("click", chooseSession);

  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragenter", (event) => {
    if (hasFiles(event) && ++over) document.body.classList.add("dropping");
  });
  document.addEventListener("dragleave", (event) => {
    if (hasFiles(event) && --over <= 0) document.body.classList.remove("dropping");
  });
  document.addEventListener("dragover", (event) => hasFiles(event) && event.preventDefault());
  document.addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    over = 0;
    document.body.classList.remove("dropping");
    const [file] = event.dataTransfer.files;
    if (file) clips().dropped(file);
  });

  function entry(doc) {
    const turns = branchOf(doc).turns.length;
    const told = `${turns} ${turns === 1 ? "turn" : "turns"}, ${doc.objects.length} ${doc.objects.length === 1 ? "object" : "objects"}`;
    const when = new Date(doc.savedAt).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
    const button = make("button", { type: "button", class: "session", on: { click: () => go(doc.id) } });
    button.append(make("span", { class: "session-name", text: doc.file.filename }), make("span", { class: "dim", text: `${told} · ${when}` }));
    const forget = async () => {
      await storage.forget(doc.id);
      showRecent();
    };
    return make("li", {}, button, iconButton(`Forget ${doc.file.filename}`, "close", forget));
  }

  async function showRecent() {
    const sessions = await storage.recent();
    part("recent").hidden = sessions.length === 0;
    part("recent-list").replaceChildren(...sessions.slice(0, 8).map(entry));
  }

  part("upload-cancel").addEventListener("click", () => cancel?.());
  let cancel = null;

  return {
    chooseVideo,
    chooseSession,
    showRecent,
    /** How far a clip is on its way; null hides it. */
    progress(state) {
      cancel = state?.cancel ?? null;
      part("upload").hidden = state === null;
      if (!state) return;
      part("upload-bar").value = state.share;
      say(part("upload-name"), state.share < 1 ? `Sending ${state.name}` : `Checking ${state.name}`);
    },
  };
}
