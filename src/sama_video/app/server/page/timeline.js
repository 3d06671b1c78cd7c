// Under the player: the ruler to scrub on, and a row for each object with its name, its acts, and where it is visible.

import { maskOn, objectOf } from "./document.js";
import { arrange, clock, iconButton, make, say } from "./dom.js";
import { colour } from "./ink.js";

/** Stretches [first, last] of frames on which an object is visible. */
export function visibleRuns(object, count) {
  const runs = [];
  for (let frame = 0; frame < count; frame++) {
    if (!maskOn(object, frame)) continue;
    if (runs.at(-1)?.[1] === frame - 1) runs.at(-1)[1] = frame;
    else runs.push([frame, frame]);
  }
  return runs;
}

/**
 * Shows and drives time and objects.
 *
 * @param acts seek(frame), step(by), span(from, to), mention, goTo, refine, rename, hide, forget, again, finish, light
 */
export function createTimeline({ host, ruler, rows, book, ui, tracking, acts }) {
  const shown = new Map();

  // time

  function showFrame({ wanted: frame, span }) {
    const { video } = book.get().file ?? {};
    if (!video) return;
    host.style.setProperty("--at", String((frame + 0.5) / video.frames));
    ruler.setAttribute("aria-valuemax", String(video.frames - 1));
    ruler.setAttribute("aria-valuenow", String(frame));
    ruler.setAttribute("aria-valuetext", `frame ${frame}, ${clock(video.times[frame])}`);
    host.classList.toggle("has-span", span !== null);
    if (span) {
      host.style.setProperty("--span-from", String(share(video, span[0])));
      host.style.setProperty("--span-to", String(share(video, span[1])));
    }
  }

  /** Where a time lies on the ruler, which has one place for each frame. */
  function share({ times, seconds, frames }, time) {
    let frame = times.findIndex((begin) => begin > time) - 1;
    if (frame < 0) frame = time <= 0 ? 0 : frames - 1;
    const end = times[frame + 1] ?? seconds;
    return Math.min(1, (frame + (time - times[frame]) / Math.max(1e-6, end - times[frame])) / frames);
  }

  function frameAtPointer(event, element) {
    const bounds = element.getBoundingClientRect();
    const { frames } = book.get().file.video;
    return Math.max(0, Math.min(frames - 1, Math.floor(((event.clientX - bounds.left) / bounds.width) * frames)));
  }

  function scrubOn(element) {
    element.addEventListener("pointerdown", (event) => {
      if (!book.get().file || event.button !== 0) return;
      element.setPointerCapture(event.pointerId);
      acts.seek(frameAtPointer(event, element));
    });
    element.addEventListener("pointermove", (event) => {
      if (element.hasPointerCapture?.(event.pointerId)) acts.seek(frameAtPointer(event, element));
    });
  }

  function showTicks({ video }) {
    const marks = ruler.querySelector(".ticks");
    const step = niceStep(video.seconds);
    const ticks = [];
    for (let time = step; time < video.seconds - step / 4; time += step) {
      const tick = make("span", { class: "tick", text: time < 60 ? `${+time.toFixed(2)} s` : clock(time, 0) });
      tick.style.setProperty("--place", String(share(video, time)));
      ticks.push(tick);
    }
    marks.replaceChildren(...ticks);
  }

  ruler.addEventListener("keydown", (event) => {
    const last = (book.get().file?.video.frames ?? 1) - 1;
    const { wanted: frame } = ui.get();
    const far = Math.max(2, Math.round(last / 10));
    const to = { ArrowLeft: frame - 1, ArrowDown: frame - 1, ArrowRight: frame + 1, ArrowUp: frame + 1, PageUp: frame + far, PageDown: frame - far, Home: 0, End: last }[event.key];
    if (to === undefined || event.ctrlKey || event.metaKey) return;
    acts.seek(event.shiftKey && event.key.startsWith("Arrow") ? frame + (to - frame) * 10 : to);
    event.preventDefault();
    event.stopPropagation();
  });
  scrubOn(ruler);

  // objects

  function render(doc) {
    const elements = doc.objects.map((object) => renderRow(doc, object));
    for (const key of shown.keys()) if (!objectOf(doc, key)) shown.delete(key);
    arrange(rows, elements);
  }

  function renderRow(doc, object) {
    let row = shown.get(object.key);
    if (!row) shown.set(object.key, (row = newRow(object)));
    const { active } = ui.get();
    row.element.classList.toggle("active", active === object.key);
    row.element.classList.toggle("hidden-object", object.hidden);
    if (row.object !== object) {
      colour(row.element, object.slot);
      say(row.number, String(object.slot));
      say(row.name, object.name);
      nameActs(row, object);
      row.hide.setAttribute("aria-pressed", String(object.hidden));
      showStrip(row, object, doc.file.video);
      row.object = object;
    }
    row.refine.setAttribute("aria-pressed", String(active === object.key));
    showState(row, object);
    return row.element;
  }

  function newRow({ key }) {
    const press = (act) => () => act(key);
    const row = {
      number: make("span", { class: "number", "aria-hidden": "true" }),
      name: make("button", { type: "button", class: "name", on: { click: press(acts.goTo), dblclick: () => rename(key) } }),
      strip: make("div", { class: "strip", role: "img" }, make("div", { class: "runs" })),
      state: make("span", { class: "state" }),
      mention: iconButton("Ask about", "mention", press(acts.mention)),
      rename: iconButton("Rename", "edit", () => rename(key)),
      refine: iconButton("Refine", "refine", () => (ui.get().active === key ? acts.finish() : acts.refine(key))),
      hide: iconButton("Hide", "eye", () => acts.hide(key, !objectOf(book.get(), key).hidden)),
      forget: iconButton("Forget", "forget", press(acts.forget)),
      object: null,
    };
    const label = make("div", { class: "label" }, row.number, row.name, row.state);
    const buttons = make("div", { class: "acts" }, row.mention, row.rename, row.refine, row.hide, row.forget);
    row.element = make("li", { class: "object", data: { key } }, label, row.strip, buttons);
    row.element.addEventListener("pointerenter", () => acts.light(key));
    row.element.addEventListener("pointerleave", () => acts.light(null));
    row.element.addEventListener("focusin", () => acts.light(key));
    row.element.addEventListener("focusout", () => acts.light(null));
    row.name.addEventListener("keydown", (event) => {
      if (event.key === "F2") rename(key);
      if (event.key === "Delete") acts.forget(key);
    });
    scrubOn(row.strip);
    return row;
  }

  function nameActs(row, { name, hidden }) {
    const named = { mention: `Ask about ${name}`, rename: `Rename ${name}`, refine: `Refine ${name}`, forget: `Forget ${name}` };
    named.hide = `${hidden ? "Show" : "Hide"} ${name}`;
    for (const [act, label] of Object.entries(named)) {
      row[act].setAttribute("aria-label", label);
      row[act].title = label;
    }
    row.name.title = `Go to where ${name} is best seen; double-click or F2 to rename`;
  }

  function showStrip(row, object, video) {
    const runs = visibleRuns(object, video.frames);
    const bars = runs.map(([first, last]) => placed("run", first / video.frames, (last + 1 - first) / video.frames));
    const shownBy = object.sightings.map((seen) => placed("sighting", (seen.frame + 0.5) / video.frames, 0));
    row.strip.firstChild.replaceChildren(...bars, ...shownBy);
    const spans = runs.slice(0, 8).map(([first, last]) => `${clock(video.times[first])} to ${clock(video.times[last + 1] ?? video.seconds)}`);
    const more = runs.length > 8 ? ` and ${runs.length - 8} more times` : "";
    row.strip.setAttribute("aria-label", runs.length ? `${object.name} is visible ${spans.join(", ")}${more}` : `${object.name} is not visible`);
  }

  function showState(row, object) {
    const job = tracking.tracking(object.key);
    const working = tracking.masking(object.key) ? "finding…" : job ? `${Math.round((100 * job.done) / Math.max(1, job.total))} %` : "";
    const trouble = object.trouble ?? object.sightings.find((seen) => seen.trouble)?.trouble ?? null;
    row.element.classList.toggle("working", Boolean(working));
    row.element.style.setProperty("--done", job ? String(job.done / Math.max(1, job.total)) : "0");
    if (trouble) {
      if (!row.state.querySelector("button")) {
        const again = iconButton(`Try again: ${trouble}`, "retry", () => acts.again(object.key));
        row.state.replaceChildren(again);
      }
    } else say(row.state, working);
  }

  function rename(key) {
    const row = shown.get(key);
    const object = objectOf(book.get(), key);
    if (!row || !object || row.element.querySelector("input")) return;
    const input = make("input", { class: "rename", value: object.name, "aria-label": `New name of ${object.name}`, maxlength: 80 });
    let closed = false;
    const close = (save) => {
      if (closed) return;
      closed = true;
      const back = input === document.activeElement;
      const value = input.value;
      input.replaceWith(row.name);
      if (save) acts.rename(key, value);
      if (back) row.name.focus();
    };
    input.addEventListener("keydown", (event) => {
      if (event.key === "Enter") close(true);
      if (event.key === "Escape") close(false);
      event.stopPropagation();
    });
    input.addEventListener("blur", () => close(true));
    row.name.replaceWith(input);
    input.select();
  }

  book.watch((doc, before) => {
    if (doc.id !== before.id) {
      shown.clear();
      rows.replaceChildren();
    }
    if (doc.file && doc.file !== before.file) showTicks(doc.file);
    if (doc.file) render(doc);
  });
  ui.watch((now, before) => {
    if (now.wanted !== before.wanted || now.span !== before.span || now.clip !== before.clip) showFrame(now);
    if (now.active !== before.active) render(book.get());
  });
  return { refresh: () => book.get().file && render(book.get()) };
}

function placed(kind, from, width) {
  const bar = make("span", { class: kind });
  bar.style.setProperty("--from", String(from));
  bar.style.setProperty("--wide", String(width));
  return bar;
}

function niceStep(seconds) {
  const rough = seconds / 6;
  const power = 10 ** Math.floor(Math.log10(rough));
  const unit = [1, 2, 5, 10].find((candidate) => candidate * power >= rough);
  return unit * power;
}
