"use strict";
// Texts come from models and reviewers: they only ever enter the page as text, never as markup.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const field = (id) => document.getElementById(id);
  const framed = window.parent !== window;
  const WORDS = { accept: "Accepted", fix: "Fixed", reject: "Rejected" };
  const [START, END] = data.marks;
  const TOKEN = new RegExp("(" + START + "|" + END + "|<obj[0-9]+>)");

  let reviewer = "";
  let entry = null;
  let before = null;
  let editing = false;
  let shown = 0;
  let lit = [];
  let work = original();

  function original() {
    return {
      turns: data.draft.turns.map((turn) => ({ question: turn.question, answer: turn.answer, taken: false })),
      descriptions: data.draft.descriptions.map((one) => ({ text: one.text, taken: false })),
    };
  }

  function element(name, kind, text) {
    const made = document.createElement(name);
    if (kind) made.className = kind;
    if (text !== undefined) made.textContent = text;
    return made;
  }

  // ---- where decisions are kept: in the index that holds this page, else in this browser
  const key = () => [data.schema, reviewer, data.sample, data.content].join(" ");
  const tellIndex = (message) => window.parent.postMessage({ sama: data.schema, ...message }, "*");

  function keep(done) {
    if (framed) return tellIndex({ is: "entry", sample: data.sample, content: data.content, entry, done });
    try {
      if (entry === null) localStorage.removeItem(key()); else localStorage.setItem(key(), JSON.stringify(entry));
    } catch {
      field("status").textContent = "This browser keeps nothing for this page: open index.html in another one.";
    }
  }

  function recall() {
    try {
      reviewer = localStorage.getItem(data.schema + " reviewer") ?? "";
      field("name").value = reviewer;
      take(JSON.parse(localStorage.getItem(key()) ?? "null"));
    } catch {
      take(null);
    }
  }

  function take(found) {
    entry = found;
    work = original();
    if (entry?.decision === "fix") {
      const places = new Map(entry.turns.map((turn) => [turn.place, turn]));
      work.turns.forEach((turn, at) => {
        const kept = places.get(at + 1);
        if (kept) Object.assign(turn, { question: kept.question, answer: kept.answer }); else turn.taken = true;
      });
      const texts = new Map(entry.descriptions.map((one) => [one.object, one.text]));
      work.descriptions.forEach((one, at) => {
        const name = data.draft.descriptions[at].object;
        if (texts.has(name)) one.text = texts.get(name); else one.taken = true;
      });
    }
    field("note").value = entry?.note ?? "";
    render();
  }

  // ---- deciding
  const stamp = () => new Date().toISOString();
  const withNote = () => (field("note").value.trim() ? { note: field("note").value.trim() } : {});

  function hasName() {
    if (reviewer) return true;
    if (framed) tellIndex({ is: "name" });
    else { field("status").textContent = "Write your name first: decisions are kept under it."; field("name").focus(); }
    return false;
  }

  function decide(decision) {
    if (!hasName()) return;
    before = entry;
    editing = false;
    entry = { decision, time: stamp(), ...withNote() };
    work = original();
    render();
    keep(true);
  }

  function changes() {
    const first = original();
    const differs = (one, other) => JSON.stringify({ ...one, taken: 0 }) !== JSON.stringify({ ...other, taken: 0 });
    const all = [...work.turns.map((turn, at) => [turn, first.turns[at]]), ...work.descriptions.map((one, at) => [one, first.descriptions[at]])];
    return {
      taken: all.filter(([one]) => one.taken).length,
      changed: all.filter(([one, other]) => !one.taken && differs(one, other)).length,
    };
  }

  // A fix is kept with every change, so that nothing typed is ever lost; without any it is no decision.
  function edited() {
    if (!hasName()) return;
    const { taken, changed } = changes();
    if (!taken && !changed) {
      if (entry?.decision === "fix") { entry = null; keep(false); }
    } else {
      entry = { decision: "fix", time: stamp(), ...withNote(), ...asWanted() };
      keep(false);
    }
    status();
  }

  function asWanted() {
    const turns = work.turns.map((turn, at) => ({
      place: at + 1, task: data.draft.turns[at].task, question: turn.question, answer: turn.answer, spans: data.draft.turns[at].spans, taken: turn.taken,
    }));
    const texts = work.descriptions.map((one, at) => ({ object: data.draft.descriptions[at].object, text: one.text, taken: one.taken }));
    const kept = (rows) => rows.filter((row) => !row.taken).map(({ taken, ...row }) => row);
    return { turns: kept(turns), descriptions: kept(texts) };
  }

  function fix() {
    if (!hasName()) return;
    editing = !editing;
    if (editing) before = entry;
    render();
    if (editing) document.querySelector(".edit")?.focus();
    else if (entry?.decision === "fix" && framed) keep(true);
  }

  function undo() {
    if (before === null && entry === null) return;
    const last = entry;
    editing = false;
    take(before);
    before = last;
    keep(false);
  }

  function status() {
    const { taken, changed } = changes();
    const parts = [];
    if (entry) parts.push(WORDS[entry.decision] + (entry.time ? ", " + new Date(entry.time).toLocaleString() : ""));
    if (changed) parts.push(changed + (changed === 1 ? " text changed" : " texts changed"));
    if (taken) parts.push(taken + " taken out");
    if (editing && !changed && !taken) parts.push("Change words in place, choose another object, or take a turn out. Esc ends.");
    if (!entry && !editing) parts.push(reviewer ? "Undecided" : "Undecided. Write your name to decide.");
    const empty = [...document.querySelectorAll(".phrase .edit")].some((part) => !part.textContent.trim());
    if (empty) parts.push("A phrase has no words: the checks will drop its turn.");
    field("status").textContent = parts.join(" · ");
    field("status").className = "status " + (entry?.decision ?? "faint");
    for (const name of ["accept", "fix", "reject"]) field(name).setAttribute("aria-pressed", String(entry?.decision === name));
    field("fix").firstElementChild.textContent = editing ? "Done" : "Fix";
    field("undo").disabled = entry === null && before === null;
    for (const part of document.querySelectorAll("[data-part]")) markPart(part);
  }

  function markPart(part) {
    const [kind, at] = part.dataset.part.split(" ");
    const [now, first] = [work[kind][at], original()[kind][at]];
    const text = now.taken ? "taken out" : JSON.stringify(now) !== JSON.stringify(first) ? "changed" : "";
    part.querySelector(".state").textContent = text;
    part.classList.toggle("taken", now.taken);
  }

  // ---- texts
  const objectOf = (name) => data.objects.find((one) => one.id === name);

  function chip(name) {
    const known = objectOf(name);
    const made = element("span", "chip " + (known ? name : "") + (known?.dashes ? " dashed" : ""), known ? String(known.number) : name);
    made.tabIndex = editing ? -1 : 0;
    lightable(made, [name]);
    return made;
  }

  function picker(name, pick) {
    const made = element("select");
    made.setAttribute("aria-label", "Object");
    for (const one of data.objects) {
      const option = element("option", "", one.number + (one.label ? " " + one.label : ""));
      option.value = one.id;
      option.selected = one.id === name;
      made.append(option);
    }
    made.addEventListener("change", () => pick(made.value));
    return made;
  }

  function editable(text, change) {
    const made = element("span", "edit", text);
    made.contentEditable = "plaintext-only";
    if (made.contentEditable !== "plaintext-only") made.contentEditable = "true";
    made.spellcheck = true;
    made.addEventListener("input", () => change(made.textContent.replace(/\s+/g, " ")));
    made.addEventListener("keydown", (event) => { if (event.key === "Enter") event.preventDefault(); });
    return made;
  }

  // A text in pieces, tags and phrases kept as they are; gives each change back as the whole text.
  function words(text, change) {
    const tokens = text.split(TOKEN);
    const made = element("span", "text");
    const set = (at, value) => { tokens[at] = value; change(tokens.join("")); };
    let phrase = null;
    tokens.forEach((token, at) => {
      const inside = phrase !== null && phrase.isOpen;
      if (token === START) {
        phrase = { box: element("span", "phrase"), isOpen: true, names: namesAfter(tokens, at) };
        made.append(phrase.box);
        dress(phrase);
      } else if (token === END) {
        if (phrase) phrase.isOpen = false;
      } else if (at % 2) {
        const name = token.slice(1, -1);
        made.append(editing ? picker(name, (chosen) => { set(at, "<" + chosen + ">"); edited(); render(); }) : chip(name));
      } else if (editing && !(isTag(tokens[at + 1]) && (isTag(tokens[at - 1]) || tokens[at - 1] === END) && !token.trim())) {
        (inside ? phrase.box : made).append(editable(token, (value) => { set(at, value); edited(); }));
      } else {
        (inside ? phrase.box : made).append(token);
      }
    });
    return made;
  }

  const isTag = (token) => token !== undefined && token.startsWith("<obj");

  function namesAfter(tokens, start) {
    const end = tokens.indexOf(END, start);
    const names = [];
    for (let at = end + 2; end >= 0 && isTag(tokens[at]) && !tokens[at - 1].trim(); at += 2) names.push(tokens[at].slice(1, -1));
    return names;
  }

  function dress(phrase) {
    const [first] = phrase.names;
    if (first && objectOf(first)) phrase.box.classList.add(first);
    if (!editing) { phrase.box.tabIndex = 0; phrase.box.setAttribute("role", "button"); }
    lightable(phrase.box, phrase.names);
  }

  function part(kind, at, title, fill) {
    const box = element("li", kind === "turns" ? "turn" : "told");
    box.dataset.part = kind + " " + at;
    const head = element("div", "head");
    head.append(...title, element("span", "state"));
    if (editing) {
      const take = element("button", "take", work[kind][at].taken ? "Put back" : "Take out");
      take.type = "button";
      take.addEventListener("click", () => { work[kind][at].taken = !work[kind][at].taken; edited(); render(); });
      head.append(take);
    }
    box.append(head);
    fill(box);
    return box;
  }

  function line(kind, name, row) {
    const made = element("p", name);
    made.append(words(row[kind], (value) => { row[kind] = value; }));
    return made;
  }

  function renderTexts() {
    field("turns").replaceChildren(...work.turns.map((turn, at) => {
      const { task, spans } = data.draft.turns[at];
      const moments = (spans ?? []).map(([start, end]) => start.toFixed(2) + "–" + end.toFixed(2) + " s").join(", ");
      const title = [element("span", "", (at + 1) + " · " + task.replaceAll("_", " "))];
      if (moments) title.push(element("span", "", moments));
      return part("turns", at, title, (box) => box.append(line("question", "question", turn), line("answer", "answer", turn)));
    }));
    if (!work.turns.length) field("turns").append(element("li", "faint", "none"));
    field("descriptions").replaceChildren(...work.descriptions.map((one, at) => {
      const title = [chip(data.draft.descriptions[at].object), element("span", "", objectOf(data.draft.descriptions[at].object)?.label ?? "")];
      return part("descriptions", at, title, (box) => box.append(line("text", "text", one)));
    }));
    field("descriptions-title").hidden = !work.descriptions.length;
  }

  function render() {
    document.body.classList.toggle("editing", editing);
    renderTexts();
    light([]);
    status();
  }

  // ---- pictures
  const strip = [...field("strip").querySelectorAll("button")];
  const scrub = field("scrub");
  const decoded = new Map();

  // COCO's compressed run lengths: five bits a character, from the fourth run on the difference to the run before last.
  function runsOf(text) {
    const runs = [];
    for (let at = 0; at < text.length;) {
      let value = 0, bits = 0, code;
      do {
        code = text.charCodeAt(at++) - 48;
        value |= (code & 31) << bits;
        bits += 5;
      } while (code & 32);
      if (code & 16) value |= -1 << bits;
      if (runs.length > 2) value += runs[runs.length - 2];
      runs.push(value);
    }
    return runs;
  }

  function maskImage(at, name) {
    const id = at + " " + name;
    if (decoded.has(id)) return decoded.get(id);
    const { inner, height, masks } = data.pictures[at];
    const [red, green, blue] = objectOf(name).colour;
    const made = document.createElement("canvas");
    [made.width, made.height] = [inner, height];
    const image = new ImageData(inner, height);
    let pixel = 0, filled = false;
    for (const run of runsOf(masks[name])) {
      for (let end = pixel + run; pixel < end; pixel++) {
        if (filled) image.data.set([red, green, blue, 255], 4 * ((pixel % height) * inner + Math.floor(pixel / height)));
      }
      filled = !filled;
    }
    made.getContext("2d").putImageData(image, 0, 0);
    if (decoded.size > 64) decoded.clear();
    decoded.set(id, made);
    return made;
  }

  function paint() {
    const picture = data.pictures[shown];
    if (!picture) return;
    const canvas = field("overlay");
    const image = field("picture");
    [canvas.width, canvas.height] = [picture.width, picture.height];
    Object.assign(canvas.style, { left: image.offsetLeft + "px", top: image.offsetTop + "px", width: image.offsetWidth + "px", height: image.offsetHeight + "px" });
    canvas.style.objectFit = "contain";
    const pen = canvas.getContext("2d");
    const here = Object.keys(picture.masks);
    const chosen = lit.filter((name) => here.includes(name));
    if (chosen.length) {
      pen.fillStyle = "rgb(0 0 0 / 0.45)";
      pen.fillRect(picture.left, 0, picture.inner, picture.height);
      pen.globalCompositeOperation = "destination-out";
      for (const name of chosen) pen.drawImage(maskImage(shown, name), picture.left, 0);
      pen.globalCompositeOperation = "source-over";
    }
    const masked = field("masks").getAttribute("aria-pressed") === "true";
    for (const name of chosen.length ? chosen : masked ? here : []) {
      pen.globalAlpha = chosen.length ? 0.4 : 0.2;
      pen.drawImage(maskImage(shown, name), picture.left, 0);
    }
    pen.globalAlpha = 1;
    canvas.dataset.lit = chosen.join(" ");
  }

  function show(at) {
    if (!data.pictures.length) return;
    shown = Math.max(0, Math.min(data.pictures.length - 1, at));
    inMotion(false);
    const picture = data.pictures[shown];
    const image = field("picture");
    image.src = strip[shown].firstElementChild.src;
    image.alt = strip[shown].firstElementChild.alt;
    [image.width, image.height] = [picture.width, picture.height];
    scrub.value = shown;
    field("moment").textContent = picture.seconds.toFixed(2) + " s · " + (shown + 1) + "/" + data.pictures.length;
    field("moment").title = "frame " + picture.frame;
    strip.forEach((button, place) => button.setAttribute("aria-current", String(place === shown)));
    const [left, right] = [strip[shown].offsetLeft - field("strip").offsetLeft, strip[shown].offsetWidth];
    field("strip").scrollLeft = left - (field("strip").clientWidth - right) / 2;
    renderObjects();
    paint();
  }

  function renderObjects() {
    const here = data.pictures[shown]?.masks ?? {};
    field("objects").replaceChildren(...data.objects.map((one) => {
      const button = element("button");
      button.type = "button";
      button.dataset.object = one.id;
      button.append(element("span", "chip " + one.id + (one.dashes ? " dashed" : ""), String(one.number)));
      if (one.label) button.append(element("span", "", one.label));
      if (data.pictures.length && !(one.id in here)) button.append(element("span", "away", "not in this picture"));
      button.classList.toggle("lit", lit.includes(one.id));
      lightable(button, [one.id]);
      const item = element("li");
      item.append(button);
      return item;
    }));
  }

  function light(names) {
    lit = names;
    for (const one of document.querySelectorAll("[data-names]")) {
      one.classList.toggle("lit", names.length > 0 && one.dataset.names.split(" ").some((name) => names.includes(name)));
    }
    paint();
  }

  // To the nearest picture that shows one of these objects.
  function find(names) {
    const shows = (at) => names.some((name) => name in data.pictures[at].masks);
    const places = data.pictures.map((_, at) => at).filter(shows);
    if (!places.length || shows(shown)) return;
    show(places.reduce((best, at) => (Math.abs(at - shown) < Math.abs(best - shown) ? at : best)));
  }

  function lightable(box, names) {
    if (!names.length) return;
    box.dataset.names = names.join(" ");
    const on = () => light(names);
    const off = () => light([]);
    box.addEventListener("pointerenter", on);
    box.addEventListener("pointerleave", off);
    box.addEventListener("focusin", on);
    box.addEventListener("focusout", off);
    const go = () => { find(names); light(names); };
    box.addEventListener("click", go);
    box.addEventListener("keydown", (event) => {
      if ((event.key === "Enter" || event.key === " ") && event.target === box && !editing) { event.preventDefault(); go(); }
    });
  }

  function inMotion(wanted) {
    const video = field("moving");
    if (!video.src) return;
    field("motion").setAttribute("aria-pressed", String(wanted));
    video.hidden = !wanted;
    field("picture").hidden = field("overlay").hidden = wanted;
    if (wanted) video.play().catch(() => { field("status").textContent = "The clip does not start by itself: press its play button."; });
    else video.pause();
  }

  function openMoving() {
    const text = field("mp4").textContent;
    if (!text) return;
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    field("moving").src = URL.createObjectURL(new Blob([bytes], { type: "video/mp4" }));
    field("motion").hidden = false;
  }

  // ---- keys
  const toggle = (id) => field(id).setAttribute("aria-pressed", String(field(id).getAttribute("aria-pressed") !== "true"));
  function go(by) {
    if (framed) return tellIndex({ is: "go", by });
    const link = document.querySelector(by > 0 ? "#alone .after" : "#alone .before");
    if (link) location.assign(link.href);
  }
  const KEYS = {
    a: () => decide("accept"), f: fix, r: () => decide("reject"), u: undo,
    m: () => { toggle("masks"); paint(); }, c: () => inMotion(field("motion").getAttribute("aria-pressed") !== "true"),
    n: () => go(1), p: () => go(-1), s: () => { if (framed) tellIndex({ is: "save" }); },
    ArrowLeft: () => show(shown - 1), ArrowRight: () => show(shown + 1),
    Escape: () => { if (editing) fix(); },
  };
  const press = (name) => { if (Object.hasOwn(KEYS, name)) { KEYS[name](); return true; } return false; };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.isContentEditable || event.target.closest("input, select, video");
    if (typing && event.key !== "Escape") return;
    if (event.key === "Escape") event.target.blur();
    if (press(event.key)) event.preventDefault();
  });
  window.addEventListener("message", (event) => {
    if (event.source !== window.parent || !framed || event.data?.sama !== data.schema) return;
    if (event.data.is === "key") return void press(event.data.key);
    if (event.data.is === "state" && event.data.sample === data.sample) {
      reviewer = event.data.reviewer;
      if (!editing) take(event.data.entry);
    }
  });

  field("accept").addEventListener("click", () => decide("accept"));
  field("reject").addEventListener("click", () => decide("reject"));
  field("fix").addEventListener("click", fix);
  field("undo").addEventListener("click", undo);
  field("note").addEventListener("change", () => {
    if (!entry || !hasName()) return;
    const { note, ...rest } = entry;
    entry = { ...rest, time: stamp(), ...withNote() };
    keep(false);
    status();
  });
  field("name").addEventListener("change", () => {
    try { localStorage.setItem(data.schema + " reviewer", field("name").value.trim()); } catch { /* keep() tells it */ }
    recall();
  });
  field("back").addEventListener("click", () => show(shown - 1));
  field("on").addEventListener("click", () => show(shown + 1));
  scrub.addEventListener("input", () => show(Number(scrub.value)));
  field("masks").addEventListener("click", KEYS.m);
  field("motion").addEventListener("click", KEYS.c);
  strip.forEach((button, place) => button.addEventListener("click", () => show(place)));
  field("picture").addEventListener("load", paint);
  window.addEventListener("resize", paint);

  field("footage").hidden = !data.pictures.length;
  scrub.max = Math.max(0, data.pictures.length - 1);
  openMoving();
  render();
  show(0);
  renderObjects();
  if (framed) tellIndex({ is: "hello" });
  else { field("alone").hidden = field("name-field").hidden = false; recall(); }
  document.documentElement.dataset.ready = "";
})();
