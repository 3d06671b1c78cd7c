// Buttons and keys of the viewer: tools, zoom, playing, and what is being drawn.

import { clock, part, say } from "./dom.js";
import { objectOf } from "./document.js";
import { icon } from "./icons.js";
import { colour } from "./ink.js";
import { createKeyboard } from "./keyboard.js";
import { showHelp } from "./menus.js";
import { TOOLS } from "./tools.js";

const RATES = [1, 0.5, 0.25, 2];
const KEYS = { select: "v", point: "p", remove: "x", box: "b", paint: "m", erase: "e" };
const HINTS = {
  select: "Click an object to put it into the question",
  point: "Click an object",
  remove: "Click what does not belong to the object",
  box: "Drag a box around an object",
  paint: "Paint over an object",
  erase: "Erase from an object",
};

/** Wire the viewer's buttons to what they do. */
export function createControls({ book, ui, stage, workspace, drawing, header, question, video }) {
  const buttons = new Map([...part("tools").children].map((button) => [button.dataset.tool, button]));
  const player = () => workspace.player();

  function showTool({ tool, active }) {
    for (const [name, button] of buttons) {
      button.setAttribute("aria-checked", String(name === tool));
      button.tabIndex = name === tool ? 0 : -1;
    }
    part("stage").dataset.tool = tool;
    part("brush-box").hidden = tool !== "paint" && tool !== "erase";
    const object = objectOf(book.get(), active);
    part("drawing-bar").hidden = !object;
    if (object) {
      say(part("drawing-name"), object.name);
      colour(part("drawing-bar"), object.slot);
    }
    const hint = part("stage-hint");
    hint.hidden = book.get().objects.length > 0;
    say(hint, HINTS[tool]);
  }

  function showTime({ wanted, playing }) {
    const { video: clip } = book.get().file ?? {};
    if (!clip) return;
    say(part("now-time"), clock(clip.times[wanted]));
    say(part("now-frame"), `frame ${wanted} / ${clip.frames - 1}`);
    const button = part("play");
    if (button.dataset.shows === String(playing)) return;
    button.dataset.shows = String(playing);
    button.replaceChildren(icon(playing ? "pause" : "play"));
    button.setAttribute("aria-label", playing ? "Pause" : "Play");
  }

  function zoom(factor) {
    if (factor) stage.zoomAt(factor);
    else stage.fit();
    showZoom();
  }

  function showZoom() {
    const text = `${Math.round(stage.zoom() * 100)} %`;
    say(part("zoom-fit"), text);
    part("zoom-fit").setAttribute("aria-label", `Zoom ${text}, show all`);
  }

  function nextRate() {
    const button = part("rate");
    const rate = RATES[(RATES.indexOf(Number(button.dataset.rate ?? 1)) + 1) % RATES.length];
    button.dataset.rate = String(rate);
    say(button, `${rate}×`);
    button.setAttribute("aria-label", `Speed ${rate}x`);
    player()?.setRate(rate);
  }

  function mute() {
    video.muted = !video.muted;
    part("mute").setAttribute("aria-pressed", String(video.muted));
    part("mute").replaceChildren(icon(video.muted ? "mute" : "sound"));
  }

  function brush(value) {
    const size = Math.max(1, Math.min(120, Math.round(value)));
    part("brush").value = String(size);
    ui.set({ brush: size });
  }

  /** Begin or end the part of the clip that the next question is about. */
  function mark(end) {
    const { times, seconds } = book.get().file.video;
    const { wanted: frame, span } = ui.get();
    const at = end ? (times[frame + 1] ?? seconds) : times[frame];
    const [from, to] = span ?? [0, seconds];
    const next = end ? [Math.min(from, times[frame]), at] : [at, Math.max(to, times[frame + 1] ?? seconds)];
    ui.set({ span: next });
  }

  function moveTool(event) {
    const move = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!move) return;
    const next = TOOLS[(TOOLS.indexOf(ui.get().tool) + move + TOOLS.length) % TOOLS.length];
    ui.set({ tool: next });
    buttons.get(next).focus();
    event.preventDefault();
    event.stopPropagation();
  }

  const press = (id, act) => part(id).addEventListener("click", act);
  for (const [name, button] of buttons) button.addEventListener("click", () => ui.set({ tool: name }));
  part("tools").addEventListener("keydown", moveTool);
  press("done-drawing", () => drawing.finish());
  press("zoom-in", () => zoom(1.4));
  press("zoom-out", () => zoom(1 / 1.4));
  press("zoom-fit", () => zoom(null));
  press("play", () => player()?.toggle());
  press("step-back", () => player()?.step(-1));
  press("step-on", () => player()?.step(1));
  press("rate", nextRate);
  press("mute", mute);
  part("brush").addEventListener("input", (event) => brush(Number(event.target.value)));
  part("stage").addEventListener("wheel", () => requestAnimationFrame(showZoom), { passive: true });

  const inClip = (act) => () => player() && act();
  createKeyboard({
    space: inClip(() => player().toggle()),
    ",": inClip(() => player().step(-1)),
    ".": inClip(() => player().step(1)),
    "<": inClip(() => player().step(-10)),
    ">": inClip(() => player().step(10)),
    arrowleft: inClip(() => player().step(-1)),
    arrowright: inClip(() => player().step(1)),
    home: inClip(() => player().seek(0)),
    end: inClip(() => player().seek(book.get().file.video.frames - 1)),
    i: inClip(() => mark(false)),
    o: inClip(() => mark(true)),
    "+": inClip(() => zoom(1.4)),
    "=": inClip(() => zoom(1.4)),
    "-": inClip(() => zoom(1 / 1.4)),
    0: inClip(() => zoom(null)),
    "[": () => brush(ui.get().brush / 1.3 - 0.5),
    "]": () => brush(ui.get().brush * 1.3 + 0.5),
    n: () => drawing.finish(),
    g: inClip(() => part("stage").focus()),
    escape: () => drawing.finish(),
    "/": inClip(() => question.focus()),
    "?": showHelp,
    "ctrl+z": () => header.step(true),
    "ctrl+shift+z": () => header.step(false),
    "ctrl+y": () => header.step(false),
    ...Object.fromEntries(Object.entries(KEYS).map(([tool, key]) => [key, inClip(() => ui.set({ tool }))])),
  });

  ui.watch((now, before) => {
    if (now.tool !== before.tool || now.active !== before.active || now.clip !== before.clip) showTool(now);
    if (now.wanted !== before.wanted || now.playing !== before.playing || now.clip !== before.clip) showTime(now);
    if (now.frame !== before.frame || now.clip !== before.clip) part("stage").dataset.frame = String(now.frame);
    if (now.brush !== before.brush) part("brush").value = String(now.brush);
    if (now.clip !== before.clip) showZoom();
  });
  book.watch((doc, before) => {
    if (doc.objects !== before.objects || doc.id !== before.id) showTool(ui.get());
    if (doc.id !== before.id) {
      showTime(ui.get());
      part("mute").hidden = !doc.file?.video.has_audio;
    }
  });
  showTool(ui.get());
}
