// The document of a session as plain values, and what may happen to it. Nothing here touches the page or the network.
//
// An object has a `key` for its lifetime and a `slot`, which numbers it and gives its colour. The conversation knows
// objects by names of its own (obj1, obj2, ...); each turn keeps which name stood for which key, so every branch of the
// conversation has its own names, and going back in one takes back what it named.

import { freshId } from "./ids.js";

export const SCHEMA = "sama-page/1";

/** A session about a clip, nothing said yet; `file` is the server's document of it. */
export function newSession(file) {
  const branch = { id: freshId(), name: "Conversation 1", turns: [] };
  return { schema: SCHEMA, id: freshId(), file, objects: [], branches: [branch], branch: branch.id, draft: [] };
}

// objects

/** The object with a key, or undefined. */
export function objectOf(doc, key) {
  return doc.objects.find((object) => object.key === key);
}

/** The document with one more object. `parts` may set name, sightings, masklet, slot and `from`. */
export function withObject(doc, parts) {
  const slot = freeSlot(doc, parts.slot);
  const object = {
    key: freshId(),
    name: `Object ${slot}`,
    named: false,
    hidden: false,
    from: "drawn",
    revision: 0,
    tracked: -1,
    sightings: [],
    masklet: null,
    trouble: null,
    ...parts,
    slot,
  };
  return [{ ...doc, objects: [...doc.objects, object].sort((a, b) => a.slot - b.slot) }, object];
}

/** The document with an object changed; the same document when it is not there any more. */
export function changeObject(doc, key, change) {
  const before = objectOf(doc, key);
  if (!before) return doc;
  const after = { ...before, ...change(before) };
  return { ...doc, objects: doc.objects.map((object) => (object === before ? after : object)) };
}

/** The document without an object, and without its chips in what is being written. */
export function withoutObject(doc, key) {
  return {
    ...doc,
    objects: doc.objects.filter((object) => object.key !== key),
    draft: doc.draft.filter((piece) => piece.object !== key),
  };
}

/** Change what a person showed of an object on one frame; the object is to be tracked anew. */
export function changeSighting(doc, key, frame, change) {
  return changeObject(doc, key, (object) => {
    const before = sightingOn(object, frame) ?? blankSighting(object, frame);
    const after = { ...before, ...change(before) };
    const others = object.sightings.filter((sighting) => sighting.frame !== frame);
    return {
      sightings: [...others, after].sort((a, b) => a.frame - b.frame),
      revision: object.revision + 1,
      trouble: null,
    };
  });
}

/** What a person showed of an object on a frame, or undefined. */
export function sightingOn(object, frame) {
  return object.sightings.find((sighting) => sighting.frame === frame);
}

/** An object's mask on a frame: what was shown there, else what was tracked; null where it is not visible. */
export function maskOn(object, frame) {
  const shown = sightingOn(object, frame);
  if (shown && (shown.mask || !shown.stale)) return shown.mask;
  return trackedOn(object, frame);
}

function trackedOn(object, frame) {
  return object.masklet?.frames[frame]?.mask ?? null;
}

function blankSighting(object, frame) {
  const mask = trackedOn(object, frame);
  return { frame, points: [], labels: [], box: null, hint: mask, mask, stale: false, trouble: null };
}

function freeSlot(doc, wanted) {
  const taken = new Set(doc.objects.map((object) => object.slot));
  if (wanted && !taken.has(wanted)) return wanted;
  let slot = 1;
  while (taken.has(slot)) slot++;
  return slot;
}

// turns

/** The branch of the conversation that is shown. */
export function branchOf(doc) {
  return doc.branches.find((branch) => branch.id === doc.branch) ?? doc.branches[0];
}

/** The turn with an id in any branch, or undefined. */
export function turnOf(doc, id) {
  return doc.branches.flatMap((branch) => branch.turns).find((turn) => turn.id === id);
}

/** A question as asked; `pieces` are texts and objects in order. */
export function newTurn(pieces, ground = "auto", span = null) {
  return {
    id: freshId(),
    pieces,
    ground,
    span,
    message: null,
    asked: [],
    names: {},
    told: {},
    content: "",
    grounding: null,
    status: "asking",
    trouble: null,
  };
}

/** The document with a turn at the end of its branch, or in the place of another and of all that came after it. */
export function withTurn(doc, turn, insteadOf = null) {
  const branch = branchOf(doc);
  const place = insteadOf ? branch.turns.findIndex((other) => other.id === insteadOf) : branch.turns.length;
  const turns = [...branch.turns.slice(0, place < 0 ? branch.turns.length : place), turn];
  return pruned(changeBranch(doc, { ...branch, turns }), doc);
}

/** The document with a turn changed; the same document when it is not there any more. */
export function changeTurn(doc, id, change) {
  const branch = doc.branches.find((candidate) => candidate.turns.some((turn) => turn.id === id));
  if (!branch) return doc;
  const turns = branch.turns.map((turn) => (turn.id === id ? { ...turn, ...change(turn) } : turn));
  return changeBranch(doc, { ...branch, turns });
}

/** The document with a new branch, shown, that goes on after a turn. */
export function forkAfter(doc, id) {
  const from = branchOf(doc);
  const place = from.turns.findIndex((turn) => turn.id === id);
  const branch = {
    id: freshId(),
    name: `Conversation ${doc.branches.length + 1}`,
    turns: from.turns.slice(0, place + 1).map((turn) => ({ ...turn, id: freshId() })),
  };
  return { ...doc, branches: [...doc.branches, branch], branch: branch.id };
}

/** The document without a branch; the last one stays. */
export function withoutBranch(doc, id) {
  if (doc.branches.length < 2) return doc;
  const branches = doc.branches.filter((branch) => branch.id !== id);
  return pruned({ ...doc, branches, branch: doc.branch === id ? branches[0].id : doc.branch }, doc);
}

/** Which object each of the conversation's names stands for before a turn (or at the end): {obj1: key}. */
export function namesBefore(doc, turnId = null) {
  const names = {};
  for (const turn of turnsBefore(doc, turnId)) Object.assign(names, turn.names);
  return names;
}

/** Turns of the branch that holds a turn, up to it, which count as said; all of the shown branch without a turn. */
export function turnsBefore(doc, turnId = null) {
  const branch = doc.branches.find((candidate) => candidate.turns.some((turn) => turn.id === turnId)) ?? branchOf(doc);
  const place = branch.turns.findIndex((turn) => turn.id === turnId);
  const turns = place < 0 ? branch.turns : branch.turns.slice(0, place);
  return turns.filter((turn) => turn.status === "done");
}

function changeBranch(doc, branch) {
  return { ...doc, branches: doc.branches.map((other) => (other.id === branch.id ? branch : other)) };
}

/** Take out objects that only the dropped turns spoke of; what a person drew, named or refined stays. */
function pruned(doc, before) {
  const spokenOf = (page) => new Set(page.branches.flatMap((branch) => branch.turns.flatMap(keysOf)));
  const [now, then] = [spokenOf(doc), spokenOf(before)];
  const lost = (object) =>
    object.from === "answer" && !object.named && !object.sightings.length && then.has(object.key) && !now.has(object.key);
  const inDraft = new Set(doc.draft.map((piece) => piece.object));
  return { ...doc, objects: doc.objects.filter((object) => inDraft.has(object.key) || !lost(object)) };
}

function keysOf(turn) {
  return [...turn.pieces.map((piece) => piece.object), ...Object.values(turn.names)].filter(Boolean);
}
