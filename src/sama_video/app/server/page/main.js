// The page put together: what is kept, what is shown, and what happens when something is pressed.

import { createApi } from "./api.js";
import { createAsking } from "./asking.js";
import { createBranches } from "./branches.js";
import { createClips } from "./clips.js";
import { createConversation } from "./conversation.js";
import { createControls } from "./controls.js";
import { forkAfter, objectOf } from "./document.js";
import { part, say } from "./dom.js";
import { createDrawing } from "./drawing.js";
import { createHeader } from "./header.js";
import { placeIcons } from "./icons.js";
import { freshId } from "./ids.js";
import { askForKey } from "./menus.js";
import { createMessages } from "./messages.js";
import { createQuestion } from "./question.js";
import { createStage } from "./stage.js";
import { createStart } from "./start.js";
import { drafts, holdSession, openStorage, tab } from "./storage.js";
import { createBook, createStore } from "./store.js";
import { createTimeline } from "./timeline.js";
import { createTools } from "./tools.js";
import { createTracking } from "./tracking.js";
import { createWorkspace } from "./workspace.js";
import { frameAt } from "./player.js";

const NOTHING = { id: null, file: null, objects: [], branches: [{ id: "none", name: "", turns: [] }], branch: "none", draft: [] };
const SEEN = { frame: 0, wanted: 0, playing: false, tool: "point", active: null, lit: null, brush: 16, span: null };

const FULL = "This browser has no room left to keep the session; download it, or forget older ones.";
const LOST = "The server does not answer. What you wrote and drew is kept here; the page goes on when the server is back.";

placeIcons(document);
const book = createBook(NOTHING);
const ui = createStore({ ...SEEN, clip: null });
const messages = createMessages(part("alerts"), part("notes"));
const storage = await openStorage(() => messages.error(FULL, { id: "full" }));
const announce = (text) => say(part("announce"), text);

const api = createApi({
  askForKey,
  onState(state) {
    if (state === "lost") return messages.error(LOST, { id: "lost" });
    messages.close("lost");
    messages.note("The server is back.", { id: "back" });
    workspace.wake();
    tracking.wake();
  },
});

const stage = createStage({ host: part("stage"), picture: part("picture"), marks: part("marks") });
const workspace = createWorkspace({ api, book, ui, stage, video: part("video"), onTrouble: frameTrouble });
const drawing = createDrawing(book, ui);
const tracking = createTracking({
  book,
  api,
  onProgress: () => timeline?.refresh(),
  onTrouble: (text, key) => messages.error(text, { id: "drawing", action: key ? () => drawing.again(key) : null }),
});
const asking = createAsking({
  book,
  api,
  onTrouble: (error) => error.code === "file_missing" && restoreClip(),
  onProgress: () => conversation?.render(),
});

/** On a narrow page the picture may be above the part that is seen. */
const showPicture = () => part("stage").scrollIntoView({ block: "nearest" });

const acts = {
  light: (key) => ui.set({ lit: key }),
  seek: (frame) => workspace.player()?.seek(frame),
  goTo(key) {
    const frame = drawing.bestFrame(key);
    if (frame === null) return;
    showPicture();
    acts.seek(frame);
    ui.set({ lit: key });
    announce(`${objectOf(book.get(), key).name}, frame ${frame}`);
  },
  /** A span of time in an answer: play it; a moment, or less motion wished: go to its beginning. */
  playSpan(from, to) {
    const { times } = book.get().file.video;
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    showPicture();
    ui.set({ span: to === null ? null : [from, to] });
    if (to === null || calm) acts.seek(frameAt(times, from));
    else workspace.player().playSpan(from, to);
  },
  mention: (key) => question.mention(key),
  refine: (key) => drawing.refine(key),
  finish: () => drawing.finish(),
  rename: (key, name) => drawing.rename(key, name),
  hide: (key, hidden) => drawing.hide(key, hidden),
  forget: (key) => drawing.forget(key),
  again: (key) => drawing.again(key),
  ask: (pieces, options) => asking.ask(pieces, options),
  retry: (id) => asking.retry(id),
  stop: (id) => asking.stop(id),
  fork: (id) => book.commit("fork", (doc) => forkAfter(doc, id)),
  async copy(text) {
    try {
      await navigator.clipboard.writeText(text);
      announce("Copied");
    } catch {
      // Browsers offer the clipboard on safe origins only.
      messages.note("The browser did not allow copying; select the text instead.");
    }
  },
};

const timeline = createTimeline({ host: part("timeline"), ruler: part("ruler"), rows: part("objects"), book, ui, tracking, acts });
const conversation = createConversation({ host: part("turns"), log: part("log"), book, ui, asking, acts });
const question = createQuestion({ book, ui, asking, messages, drawing, toEnd: () => conversation.toEnd() });
const clips = createClips({ api, storage, messages, show, onProgress: (state) => start.progress(state), chooseVideo: () => start.chooseVideo() });
const start = createStart({ clips: () => clips, storage, go: goOn });
const header = createHeader({ api, book, messages, announce, start, clips, home });
createTools({
  host: part("stage"),
  stage,
  ui,
  drawing,
  player: workspace.player,
  size: workspace.size,
  pick: (key) => key && question.mention(key, false),
  note: (text) => messages.note(text, { id: "tool" }),
});
createBranches({ host: part("branches"), book });
createControls({ book, ui, stage, workspace, drawing, header, question, video: part("video") });

/** Put a session on the page; `blob` is its clip where the page has it. */
async function show(doc, blob = null) {
  messages.close("opening");
  if (!(await holdSession(doc.id))) {
    doc = { ...doc, id: freshId() };
    await holdSession(doc.id);
    messages.note("This session is open in another tab. Here is a copy of it; both go on by themselves.");
  }
  asking.stopAll();
  book.open({ ...doc, draft: doc.draft ?? [] });
  ui.set({ ...SEEN, brush: Math.max(4, Math.round(doc.file.video.height / 16)), clip: doc.id });
  tab.show(doc.id);
  storage.save(doc);
  part("start").hidden = true;
  part("work").hidden = false;
  workspace.open(doc, blob);
  tracking.wake();
  part("log").scrollTop = part("log").scrollHeight;
}

/** A session that this browser has kept. */
async function goOn(id) {
  await storage.flush();
  const doc = await storage.session(id);
  if (!doc) return home();
  const written = drafts.read(id);
  await show({ ...doc, draft: written.length ? written : (doc.draft ?? []) }, await storage.clip(doc.file.id));
  restoreClip(false);
}

/** See that the server has the clip; bring it back if this browser kept it. */
async function restoreClip(tell = true) {
  const { file } = book.get();
  if (!file) return;
  try {
    await clips.ensure(file);
    if (tell) messages.note("The server has the clip again; ask once more.");
    workspace.wake();
    tracking.wake();
  } catch (error) {
    if (!error.lost) messages.error(error.message, { id: "clip", action: () => start.chooseVideo(), label: "Choose the video" });
  }
}

function frameTrouble(error, again) {
  if (error.status === 404) restoreClip(false);
  else if (!error.lost) messages.error(error.message, { id: "frame", action: again });
}

async function home() {
  await storage.flush();
  asking.stopAll();
  workspace.close();
  holdSession(null);
  tab.show(null);
  book.open(NOTHING);
  part("work").hidden = true;
  part("start").hidden = false;
  start.showRecent();
  part("choose-video").focus();
}

book.watch((doc) => {
  if (!doc.file) return;
  storage.save(doc);
  part("no-objects").hidden = doc.objects.length > 0;
  const { active, lit } = ui.get();
  if (active && !objectOf(doc, active)) ui.set({ active: null });
  if (lit && !objectOf(doc, lit)) ui.set({ lit: null });
});
ui.watch((now, before) => {
  if (now.lit === before.lit) return;
  for (const element of document.querySelectorAll("[data-key]")) element.classList.toggle("lit", element.dataset.key === now.lit);
});

const kept = tab.session();
if (kept) await goOn(kept);
else start.showRecent();
document.documentElement.dataset.ready = "yes";
