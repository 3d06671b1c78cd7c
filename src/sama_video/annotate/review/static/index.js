"use strict";
// The index keeps the decisions; samples in its frame tell it of them, as browsers may keep files' stores apart.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const field = (id) => document.getElementById(id);
  const frame = field("frame");
  const MARKS = { accept: "✓", fix: "✎", reject: "✗" };
  const WORDS = { accept: "accepted", fix: "fixed", reject: "rejected" };
  const memory = new Map();
  let reviewer = "";
  let current = 0;

  // What a browser keeps; where it keeps nothing, the page says so and goes on from memory.
  const stored = {
    get(key) {
      try { return localStorage.getItem(key) ?? memory.get(key) ?? null; } catch { return memory.get(key) ?? null; }
    },
    set(key, value) {
      if (value === null) memory.delete(key); else memory.set(key, value);
      try {
        if (value === null) localStorage.removeItem(key); else localStorage.setItem(key, value);
      } catch {
        tell("This browser keeps nothing for this page: save your decisions before you leave it.");
      }
    },
  };
  const keyOf = (sample, name = reviewer) => [data.schema, name, sample.sample, sample.content].join(" ");
  const savedKey = () => [data.schema, "saved", reviewer].join(" ");

  function entryOf(sample) {
    const text = stored.get(keyOf(sample));
    try { return text === null ? null : JSON.parse(text); } catch { return null; }
  }

  function tell(text) {
    field("messages").replaceChildren();
    if (!text) return;
    const line = document.createElement("p");
    line.className = "problem";
    line.textContent = text;
    field("messages").append(line);
  }

  function accepts(sample, wanted) {
    const entry = entryOf(sample);
    if (wanted === "all") return true;
    if (wanted === "double") return sample.double;
    return wanted === "undecided" ? entry === null : entry !== null && entry.decision === wanted;
  }

  const matching = () => data.samples.map((_, place) => place).filter((place) => accepts(data.samples[place], field("filter").value));

  function element(name, kind, text) {
    const made = document.createElement(name);
    if (kind) made.className = kind;
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function row(place) {
    const sample = data.samples[place];
    const entry = entryOf(sample);
    const button = element("button");
    button.type = "button";
    button.dataset.place = place;
    if (place === current) button.setAttribute("aria-current", "true");
    const mark = element("span", entry ? entry.decision : "faint", entry ? MARKS[entry.decision] : "·");
    mark.setAttribute("aria-hidden", "true");
    const name = element("span", "", sample.title);
    name.append(element("span", "sr", entry ? ", " + WORDS[entry.decision] : ", undecided"));
    button.append(mark, name);
    if (sample.double) {
      const double = element("span", "double", "×2");
      double.title = "for two reviewers";
      button.append(double);
    }
    button.addEventListener("click", () => show(place));
    const item = element("li");
    item.append(button);
    return item;
  }

  function refresh() {
    const places = matching();
    field("list").replaceChildren(...places.map(row));
    if (!places.length) field("list").append(element("li", "faint", "none"));
    field("list").querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" });
    const entries = data.samples.map(entryOf).filter((entry) => entry !== null);
    field("progress").max = Math.max(1, data.samples.length);
    field("progress").value = entries.length;
    const last = stored.get(savedKey()) ?? "";
    const fresh = entries.filter((entry) => entry.time > last).length;
    field("count").textContent = entries.length + " of " + data.samples.length + " decided" + (fresh ? ", " + fresh + " not saved" : "");
    field("save").disabled = !entries.length || !reviewer;
  }

  function show(place) {
    if (!data.samples.length) return;
    current = place;
    history.replaceState(null, "", "#" + data.samples[place].sample);
    frame.contentWindow.location.replace(new URL(data.samples[place].page, location.href));
    refresh();
  }

  function step(by, undecided = false) {
    const places = undecided ? data.samples.map((_, place) => place) : matching();
    const wanted = places.filter((place) => !undecided || (entryOf(data.samples[place]) === null && accepts(data.samples[place], field("filter").value === "double" ? "double" : "all")));
    const next = by > 0 ? wanted.find((place) => place > current) ?? (undecided ? wanted[0] : undefined) : wanted.findLast((place) => place < current);
    if (next !== undefined) show(next);
    else if (undecided) tell("Every sample is decided: save the decisions.");
  }

  function save() {
    if (!needName()) return;
    const decided = data.samples.map((sample) => [sample, entryOf(sample)]).filter(([, entry]) => entry !== null);
    const now = new Date().toISOString();
    const text = JSON.stringify({
      schema: data.schema, reviewer, saved: now,
      decisions: decided.map(([sample, entry]) => ({ sample: sample.sample, content: sample.content, ...entry })),
    }, null, 1);
    const link = element("a");
    link.href = URL.createObjectURL(new Blob([text + "\n"], { type: "application/json" }));
    link.download = "decisions-" + (reviewer.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "") || "reviewer") + ".json";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    stored.set(savedKey(), now);
    tell("Put " + link.download + " beside this page, into " + data.folder + ", and run the same command again.");
    refresh();
  }

  // Decisions of an earlier file, for those who go on in another browser.
  function restore(text) {
    let found;
    try { found = JSON.parse(text); } catch { found = null; }
    if (!found || found.schema !== data.schema || typeof found.reviewer !== "string" || !Array.isArray(found.decisions)) {
      return tell("That is no file of decisions: choose one that this page saved.");
    }
    rename(found.reviewer);
    const places = new Map(data.samples.map((sample) => [sample.sample + " " + sample.content, sample]));
    let taken = 0;
    for (const { sample, content, ...entry } of found.decisions) {
      const known = places.get(sample + " " + content);
      if (!known || !(entry.decision in MARKS) || typeof entry.time !== "string") continue;
      stored.set(keyOf(known), JSON.stringify(entry));
      taken += 1;
    }
    const rest = found.decisions.length - taken;
    const left = rest ? "; " + rest + (rest === 1 ? " is" : " are") + " about other content and left out." : ".";
    tell(taken + (taken === 1 ? " decision was" : " decisions were") + " loaded" + left);
    show(current);
  }

  // Decisions belong to a name.
  function rename(name) {
    reviewer = name.trim();
    field("name").value = reviewer;
    stored.set(data.schema + " reviewer", reviewer || null);
    refresh();
    give();
  }

  function needName() {
    if (reviewer) return true;
    tell("Write your name first: decisions are kept under it.");
    field("name").focus();
    return false;
  }

  const send = (message) => frame.contentWindow.postMessage({ sama: data.schema, ...message }, "*");
  function give() {
    if (data.samples.length) send({ is: "state", reviewer, sample: data.samples[current].sample, entry: entryOf(data.samples[current]) });
  }

  window.addEventListener("message", (event) => {
    if (event.source !== frame.contentWindow || event.data?.sama !== data.schema) return;
    const said = event.data;
    const sample = data.samples[current];
    if (said.is === "hello") return give();
    if (said.is === "name") return void needName();
    if (said.is === "go") return step(said.by);
    if (said.is === "save") return save();
    if (said.is !== "entry" || said.sample !== sample.sample) return;
    if (said.content !== sample.content) return tell("This sample was written anew: load the page again.");
    if (!needName()) return;
    tell("");
    stored.set(keyOf(sample), said.entry === null ? null : JSON.stringify(said.entry));
    if (said.done && field("go-on").checked) step(1, true);
    refresh();
  });

  field("name").addEventListener("change", () => { tell(""); rename(field("name").value); });
  // Once there is a name, keys belong to the sample.
  field("name").addEventListener("keydown", (event) => { if (event.key === "Enter") { event.target.blur(); frame.focus(); } });
  field("filter").addEventListener("change", refresh);
  field("save").addEventListener("click", save);
  field("load").addEventListener("click", () => field("file").click());
  field("file").addEventListener("change", async () => {
    const [file] = field("file").files;
    if (file) restore(await file.text());
    field("file").value = "";
  });
  document.addEventListener("keydown", (event) => {
    if (event.target.closest("input, select") || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "s") { event.preventDefault(); return save(); }
    send({ is: "key", key: event.key });
  });

  reviewer = stored.get(data.schema + " reviewer") ?? "";
  field("name").value = reviewer;
  const wanted = decodeURIComponent(location.hash.slice(1));
  const found = data.samples.findIndex((sample) => sample.sample === wanted);
  if (data.samples.length) show(Math.max(0, found)); else refresh();
  if (!reviewer) field("name").focus();
  document.documentElement.dataset.ready = "";
})();
