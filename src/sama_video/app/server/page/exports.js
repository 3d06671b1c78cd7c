// Files that a session becomes, and sessions that come from files.

import { branchOf, maskOn, namesBefore, newSession, newTurn, withObject } from "./document.js";
import { nameFrom } from "./answer_text.js";
import { freshId } from "./ids.js";

export const FORMATS = [
  { format: "session", label: "Session", hint: "JSON, opens again here" },
  { format: "overlay", label: "Video with masks", hint: "MP4" },
  { format: "coco", label: "COCO", hint: "masks" },
  { format: "youtube-vis", label: "YouTube-VIS", hint: "masks" },
  { format: "davis", label: "DAVIS", hint: "masks" },
  { format: "cvat", label: "CVAT", hint: "masks" },
  { format: "label-studio", label: "Label Studio", hint: "masks" },
];

/**
 * What is sent to have a file made.
 *
 * A session speaks of its objects as the conversation does; pictures and masks number them as the page does, so that
 * they have the page's colours.
 */
export function exportBody(doc, format) {
  const known = new Map(Object.entries(namesBefore(doc)).map(([name, key]) => [key, name]));
  const naming = format === "session" ? sessionNames(doc, known) : new Map(doc.objects.map((o) => [o.key, `obj${o.slot}`]));
  const kept = doc.objects.filter((object) => format === "session" || !object.hidden);
  const masklets = kept.map((object) => maskletOf(doc, object, naming.get(object.key)));
  const turns = branchOf(doc).turns.filter((turn) => turn.status === "done");
  return {
    file: doc.file.id,
    format,
    turns: turns.map((turn) => turnOut(doc, turn, naming)),
    masklets,
    names: Object.fromEntries(kept.map((object) => [naming.get(object.key), object.name])),
  };
}

/** A saved session, checked by the server, as a document of this page. */
export function sessionFrom(file, { turns, masklets, names = {} }) {
  let doc = newSession(file);
  const keys = {};
  for (const masklet of masklets) {
    const object = masklet.object;
    const called = names[object] ?? phraseFor(object, turns);
    const parts = { from: "answer", slot: Number(object.slice(3)) || null, masklet, tracked: 0 };
    let made;
    [doc, made] = withObject(doc, called ? { ...parts, name: called, named: object in names } : parts);
    keys[object] = made.key;
  }
  const met = new Set();
  const read = turns.map((turn) => turnIn(turn, keys, met, masklets));
  return { ...doc, branches: [{ ...doc.branches[0], turns: read }] };
}

/** Hand a file to the browser's downloads. */
export function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

function sessionNames(doc, known) {
  let last = Math.max(0, ...[...known.values()].map((name) => Number(name.slice(3))));
  return new Map(doc.objects.map((object) => [object.key, known.get(object.key) ?? `obj${++last}`]));
}

function maskletOf(doc, object, name) {
  const { frames, height, width } = doc.file.video;
  const rows = Array.from({ length: frames }, (_, frame) => {
    const tracked = object.masklet?.frames[frame];
    const mask = maskOn(object, frame);
    const same = tracked && tracked.mask?.counts === mask?.counts;
    return same ? tracked : { frame, mask, score: mask ? 1 : 0 };
  });
  return { object: name, height, width, frames: rows };
}

function turnOut(doc, turn, naming) {
  const renamed = (name) => {
    const key = turn.names[name] ?? namesBefore(doc, turn.id)[name];
    return naming.get(key) ?? null;
  };
  const text = turn.message.content.find((item) => item.type === "text").text;
  const shown = turn.message.content.filter((item) => item.type === "region").map((item) => item.region);
  let tags = 0;
  const regions = turn.asked.map((key, place) => {
    const tag = [...text.matchAll(/<region>|<obj\d+>/g)][place]?.[0];
    const object = naming.get(key) ?? null;
    return tag === "<region>" ? { ...shown[tags++], object } : { object };
  });
  const phrases = (turn.grounding?.phrases ?? []).map((phrase) => ({ ...phrase, object: phrase.object && renamed(phrase.object) }));
  const question = text.replace(/<(obj\d+)>/g, (tag, name) => (renamed(name) ? `<${renamed(name)}>` : tag));
  return { question, regions, text: turn.content, phrases, ...(turn.grounding?.raw ? { raw: turn.grounding.raw } : {}) };
}

function turnIn(turn, keys, met, masklets) {
  const tags = [...turn.question.matchAll(/<region>|<(obj\d+)>/g)];
  const asked = tags.map((tag, place) => keys[tag[1] ?? turn.regions[place]?.object]);
  const pieces = [];
  let done = 0;
  tags.forEach((tag, place) => {
    if (tag.index > done) pieces.push({ text: turn.question.slice(done, tag.index) });
    if (asked[place]) pieces.push({ object: asked[place] });
    done = tag.index + tag[0].length;
  });
  if (done < turn.question.length) pieces.push({ text: turn.question.slice(done) });
  const shown = turn.regions.filter((_, place) => tags[place]?.[0] === "<region>");
  const regions = shown.map(({ object, ...shape }) => ({ type: "region", region: Object.keys(shape).length ? shape : { object } }));
  const fromQuestion = turn.regions.map((region) => region.object).filter((name) => !met.has(name));
  const all = [...new Set([...turn.regions.map((r) => r.object), ...turn.phrases.map((p) => p.object).filter(Boolean)])];
  const fresh = all.filter((name) => !met.has(name));
  fresh.forEach((name) => met.add(name));
  return {
    ...newTurn(pieces),
    id: freshId(),
    message: { role: "user", content: [{ type: "text", text: turn.question }, ...regions] },
    asked: asked.filter(Boolean),
    names: Object.fromEntries(fresh.filter((name) => keys[name]).map((name) => [name, keys[name]])),
    told: Object.fromEntries(asked.filter(Boolean).map((key) => [key, 0])),
    content: turn.text,
    grounding: {
      raw: turn.raw,
      regions: turn.regions,
      phrases: turn.phrases,
      objects: all.map((id) => ({ id, from: fromQuestion.includes(id) ? "question" : "answer" })),
      masklets: masklets.filter((masklet) => all.includes(masklet.object)),
    },
    status: "done",
  };
}

function phraseFor(name, turns) {
  const found = turns.flatMap((turn) => turn.phrases).find((phrase) => phrase.object === name);
  return found ? nameFrom(found.text) : null;
}
