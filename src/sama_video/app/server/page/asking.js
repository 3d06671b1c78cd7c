// Questions on their way to the server, and answers on their way back into the document.

import { nameFrom } from "./answer_text.js";
import {
  changeObject,
  changeTurn,
  maskOn,
  namesBefore,
  newTurn,
  objectOf,
  turnOf,
  turnsBefore,
  withObject,
  withTurn,
} from "./document.js";
import { area, overlap } from "./rle.js";

const MOST_COMPARED = 64;

/** A question in the server's words. `asked` lists, for each tag in order, the object it means. */
export function userMessage(doc, turn) {
  const known = invert(namesBefore(doc, turn.id));
  const told = toldBefore(doc, turn.id);
  const sent = new Map();
  const regions = [];
  const asked = [];
  const text = turn.pieces.map((piece) => (piece.object ? tag(piece.object) : piece.text)).join("");

  function tag(key) {
    const object = objectOf(doc, key);
    if (!object) return "it";
    asked.push(key);
    const unchanged = known.has(key) && told[key] === object.revision;
    if (unchanged || !region(object)) return known.has(key) ? `<${known.get(key)}>` : object.name;
    regions.push(sent.get(key) ?? region(object));
    sent.set(key, regions.at(-1));
    return "<region>";
  }

  const content = [{ type: "text", text: text.trim() }, ...regions.map((shown) => ({ type: "region", region: shown }))];
  const revisions = Object.fromEntries(asked.map((key) => [key, objectOf(doc, key).revision]));
  return { message: { role: "user", content }, asked, told: revisions };
}

/** The whole conversation up to a turn, and the turn's own question, as the request's messages. */
export function messagesOf(doc, turn) {
  const messages = turnsBefore(doc, turn.id).flatMap((past) => [
    past.message,
    { role: "assistant", content: past.content, ...(past.grounding ? { grounding: past.grounding } : {}) },
  ]);
  const all = [...messages, turn.message];
  const clip = { type: "video_url", video_url: { url: doc.file.id } };
  return all.map((message, place) => (place ? message : { ...message, content: [clip, ...message.content] }));
}

/** The document after an answer's grounding: its names, new objects for what it speaks of, names for what was drawn. */
export function withGrounding(doc, turnId, grounding) {
  const turn = turnOf(doc, turnId);
  if (!turn) return doc;
  const names = { ...namesBefore(doc, turnId) };
  const fresh = namedByQuestion(turn, grounding, names);
  Object.assign(names, fresh);
  let next = doc;
  const told = {};
  const masklets = new Map((grounding.masklets ?? []).map((masklet) => [masklet.object, masklet]));
  const spoken = [...(grounding.objects ?? []).map((object) => object.id), ...masklets.keys()];
  for (const name of new Set(spoken)) {
    const called = (grounding.phrases ?? []).find((phrase) => phrase.object === name);
    const masklet = masklets.get(name) ?? null;
    if (!objectOf(next, names[name])) {
      if (names[name] || !masklet) continue;
      const drawn = sameObject(next, masklet, new Set(Object.values(names)));
      if (drawn) {
        fresh[name] = names[name] = drawn.key;
        told[drawn.key] = drawn.revision;
        next = changeObject(next, drawn.key, (object) => (called ? named(object, called) : {}));
        continue;
      }
      const parts = { from: "answer", slot: Number(name.slice(3)) || null, masklet, tracked: 0 };
      let object;
      [next, object] = withObject(next, called ? { ...parts, name: nameFrom(called.text) } : parts);
      fresh[name] = names[name] = object.key;
    } else {
      next = changeObject(next, names[name], (object) => ({
        ...(masklet && !object.masklet && !object.sightings.length ? { masklet, tracked: object.revision } : {}),
        ...(called ? named(object, called) : {}),
      }));
    }
  }
  return changeTurn(next, turnId, (before) => ({
    grounding,
    names: { ...before.names, ...fresh },
    told: { ...before.told, ...told },
  }));
}

/** An object that nobody named takes the words of an answer for its name. */
function named(object, { text }) {
  return !object.named && /^Object \d+$/.test(object.name) ? { name: nameFrom(text) } : {};
}

/** What was drawn before and is the same thing: their masks overlap by half where both are known, as for the server. */
function sameObject(doc, masklet, taken) {
  const shared = (object) => {
    let [inside, all] = [0, 0];
    const step = Math.ceil(masklet.frames.length / MOST_COMPARED);
    for (const { frame, mask } of masklet.frames) {
      if (frame % step) continue;
      const own = maskOn(object, frame);
      const [both, either] = own && mask ? overlap(own, mask) : [0, 0];
      [inside, all] = [inside + both, all + either];
    }
    return all ? inside / all : 0;
  };
  return doc.objects.find((object) => !taken.has(object.key) && shared(object) >= 0.5);
}

/** Runs turns: one request each, written into the document as it comes in. */
export function createAsking({ book, api, onTrouble, onProgress }) {
  const running = new Map();

  async function run(id, mine) {
    book.amend((doc) => changeTurn(doc, id, () => ({ ...userMessage(doc, turnOf(doc, id)), ...BLANK })));
    onProgress(id);
    try {
      await receive(id, mine);
      book.amend((doc) => changeTurn(doc, id, () => ({ status: "done" })));
    } catch (error) {
      const status = error.name === "AbortError" ? "stopped" : "failed";
      const trouble = status === "failed" ? error.message : null;
      book.amend((doc) => changeTurn(doc, id, () => ({ status, trouble })));
      if (trouble) onTrouble(error);
    } finally {
      running.delete(id);
      onProgress(id);
    }
  }

  async function receive(id, mine) {
    const doc = book.get();
    const turn = turnOf(doc, id);
    const body = { model: "default", messages: messagesOf(doc, turn), stream: true, ground: turn.ground };
    if (turn.span) body.span = turn.span;
    const onWait = (seconds) => {
      mine.wait = seconds;
      onProgress(id);
    };
    for await (const event of api.stream("v1/chat/completions", body, { signal: mine.stop.signal, onWait })) {
      mine.wait = null;
      const delta = event.choices?.[0]?.delta ?? {};
      if (event.progress) mine.progress = event.progress;
      if (delta.content) book.amend((page) => changeTurn(page, id, (t) => ({ content: t.content + delta.content })));
      if (delta.grounding) book.amend((page) => withGrounding(page, id, delta.grounding));
      onProgress(id);
    }
  }

  /** A turn that was undone needs no answer; one that came back by a step or a reload gets none by itself. */
  function reconcile(doc) {
    for (const [id, { stop }] of running) if (!turnOf(doc, id)) stop.abort();
    const cut = doc.branches.flatMap((branch) => branch.turns).filter((turn) => turn.status === "asking");
    const left = cut.filter((turn) => !running.has(turn.id));
    if (left.length) {
      book.amend((page) => left.reduce((next, turn) => changeTurn(next, turn.id, () => ({ status: "stopped" })), page));
    }
  }

  book.watch(reconcile);
  return {
    /** Ask; `insteadOf` is a turn that this question replaces, with all that came after it. */
    ask(pieces, { ground = "auto", span = null, insteadOf = null } = {}) {
      const turn = newTurn(pieces, ground, span);
      this.stopAll();
      const mine = { stop: new AbortController(), progress: null, wait: null };
      running.set(turn.id, mine);
      const written = (doc) => (insteadOf ? doc : { ...doc, draft: [] });
      book.commit(insteadOf ? "ask again" : "ask", (doc) => withTurn(written(doc), turn, insteadOf));
      run(turn.id, mine);
      return turn.id;
    },
    /** The same question once more, from where it stood. */
    retry(id) {
      const turn = turnOf(book.get(), id);
      if (turn) this.ask(turn.pieces, { ground: turn.ground, span: turn.span, insteadOf: id });
    },
    stop: (id) => running.get(id)?.stop.abort(),
    stopAll() {
      for (const { stop } of running.values()) stop.abort();
    },
    state: (id) => running.get(id) ?? null,
    busy: () => running.size > 0,
  };
}

const BLANK = { content: "", grounding: null, names: {}, status: "asking", trouble: null };

/** What the question's unknown objects are called now: the server tells each region's name, in the order of the tags. */
function namedByQuestion(turn, grounding, known) {
  const told = (grounding.regions ?? []).map((region) => region.object);
  const pairs = turn.asked.map((key, place) => [told[place], key]);
  const named = new Set(Object.values(known));
  return Object.fromEntries(pairs.filter(([name, key]) => name && !(name in known) && !named.has(key)));
}

/** Which state of each object the conversation has been shown before a turn. */
function toldBefore(doc, turnId) {
  const told = {};
  for (const turn of turnsBefore(doc, turnId)) {
    for (const key of Object.values(turn.names)) told[key] ??= objectOf(doc, key)?.from === "answer" ? 0 : undefined;
    Object.assign(told, turn.told);
  }
  return told;
}

/** How an object is shown to the server: the latest mask a person gave, else where it is largest. */
function region(object) {
  const shown = object.sightings.filter((seen) => seen.mask && !seen.stale).at(-1);
  if (shown) return { frame: shown.frame, mask: shown.mask };
  const asked = object.sightings.at(-1);
  if (asked?.points.length) return { frame: asked.frame, points: asked.points, labels: asked.labels };
  if (asked?.box) return { frame: asked.frame, box: asked.box };
  const frame = bestFrame(object);
  return frame === null ? null : { frame, mask: maskOn(object, frame) };
}

function bestFrame(object) {
  let [best, most] = [null, 0];
  object.masklet?.frames.forEach(({ frame, mask }) => {
    const size = mask ? area(mask) : 0;
    if (size > most) [best, most] = [frame, size];
  });
  return best;
}

function invert(names) {
  return new Map(Object.entries(names).map(([name, key]) => [key, name]));
}
