// Keeps masks and tracks up to date: whatever was shown of an object and has no mask yet is asked for, at once; what
// changed is tracked through the clip as soon as the hand rests. It looks at the document alone, so it goes on by itself
// after an undo, a reload, or a server that was away.

import { changeObject, objectOf } from "./document.js";

const REST_MILLISECONDS = 1000;

/**
 * @param onProgress called whenever `masking`, `tracking` or `waiting` may say something else
 * @param onTrouble called with (message, key) when the server refuses
 */
export function createTracking({ book, api, onProgress, onTrouble }) {
  const masks = new Map();
  let job = null;
  let timer = null;
  let version = null;
  let asleep = false;

  function reconcile(doc, before) {
    if (!doc.file) return stopAll();
    if (before && before.id !== doc.id) stopAll();
    for (const object of doc.objects) {
      for (const seen of object.sightings) if (seen.stale && !seen.trouble) wantMask(doc, object, seen);
    }
    for (const [name, want] of masks) {
      const object = objectOf(doc, want.key);
      const seen = object?.sightings.find((sighting) => sighting.frame === want.frame);
      if (!seen?.stale || signature(seen) !== want.signature) drop(name);
    }
    if (job && !job.wanted.every(({ key, revision }) => objectOf(doc, key)?.revision === revision)) stopJob();
    const waiting = due(doc).map(({ key, revision }) => `${key}:${revision}`).join();
    if (!waiting || job || asleep) return;
    if (waiting !== version) {
      // The hand moves still: wait until it rests.
      version = waiting;
      clearTimeout(timer);
      timer = setTimeout(track, REST_MILLISECONDS);
    }
  }

  async function wantMask(doc, object, seen) {
    const name = `${object.key}:${seen.frame}`;
    if (masks.get(name)?.signature === signature(seen)) return;
    drop(name);
    const stop = new AbortController();
    const want = { key: object.key, frame: seen.frame, signature: signature(seen), stop };
    masks.set(name, want);
    onProgress();
    const region = seen.points.length
      ? { frame: seen.frame, points: seen.points, labels: seen.labels }
      : { frame: seen.frame, box: seen.box };
    try {
      const hint = await hintOf(doc, seen, stop.signal);
      const reply = await api.post("v1/masks", { file: doc.file.id, region, hint }, { signal: stop.signal });
      finish(want, { mask: reply.mask, score: reply.score ?? null, stale: false, trouble: null });
      if (!reply.mask) onTrouble("Nothing was found there; click on the object itself, or draw a box around it.");
    } catch (error) {
      if (error.name === "AbortError" || error.lost) return;
      finish(want, { stale: false, trouble: error.message });
      onTrouble(error.message, want.key);
    } finally {
      if (masks.get(name) === want) masks.delete(name);
      onProgress();
    }
  }

  /** Clicks after a box correct the mask that the box gave. */
  async function hintOf(doc, seen, signal) {
    if (!seen.points.length) return null;
    if (seen.hint || !seen.box) return seen.hint;
    const region = { frame: seen.frame, box: seen.box };
    return (await api.post("v1/masks", { file: doc.file.id, region, hint: null }, { signal })).mask;
  }

  function finish(want, outcome) {
    if (masks.get(`${want.key}:${want.frame}`) !== want) return;
    masks.delete(`${want.key}:${want.frame}`);
    book.amend((doc) =>
      changeObject(doc, want.key, (object) => ({
        sightings: object.sightings.map((seen) =>
          seen.frame === want.frame && signature(seen) === want.signature ? { ...seen, ...outcome } : seen,
        ),
      })),
    );
  }

  function drop(name) {
    masks.get(name)?.stop.abort();
    masks.delete(name);
  }

  async function track() {
    const doc = book.get();
    const wanted = due(doc).map(({ key, revision, sightings }) => ({ key, revision, sightings }));
    version = null;
    if (!wanted.length || job) return;
    const mine = { wanted, stop: new AbortController(), done: 0, total: doc.file.video.frames };
    job = mine;
    onProgress();
    const objects = wanted.map(({ sightings }, place) => ({ id: `obj${place + 1}`, sightings: shown(sightings) }));
    try {
      const body = { file: doc.file.id, objects, stream: true };
      for await (const event of api.stream("v1/tracks", body, { signal: mine.stop.signal })) {
        if (job !== mine) return;
        if (event.progress) Object.assign(mine, event.progress);
        if (event.masklet) place(wanted[Number(event.masklet.object.slice(3)) - 1], event.masklet);
        onProgress();
      }
    } catch (error) {
      if (job === mine && error.name !== "AbortError") failed(wanted, error);
    } finally {
      if (job === mine) job = null;
      onProgress();
      reconcile(book.get());
    }
  }

  function place({ key, revision }, masklet) {
    book.amend((doc) =>
      changeObject(doc, key, (object) =>
        object.revision === revision ? { masklet, tracked: revision, trouble: null } : {},
      ),
    );
  }

  function failed(wanted, error) {
    if (error.lost) {
      asleep = true;
      return;
    }
    for (const { key, revision } of wanted) {
      book.amend((doc) =>
        changeObject(doc, key, (object) => (object.revision === revision ? { trouble: error.message } : {})),
      );
    }
    onTrouble(error.message, wanted[0].key);
  }

  function stopJob() {
    job?.stop.abort();
    job = null;
  }

  function stopAll() {
    stopJob();
    clearTimeout(timer);
    version = null;
    for (const name of [...masks.keys()]) drop(name);
    onProgress();
  }

  book.watch(reconcile);
  return {
    /** Look again, as after a server came back. */
    wake() {
      version = null;
      asleep = false;
      reconcile(book.get());
    },
    masking: (key) => [...masks.values()].some((want) => want.key === key),
    tracking: (key) => (job?.wanted.some((object) => object.key === key) ? job : null),
    waiting: (key) => due(book.get()).some((object) => object.key === key),
  };
}

/** Objects whose track is older than what was shown of them. */
function due(doc) {
  return doc.objects.filter(
    (object) =>
      object.tracked !== object.revision &&
      !object.trouble &&
      object.sightings.some((seen) => seen.mask) &&
      object.sightings.every((seen) => !seen.stale),
  );
}

/** Masks that a person has seen and accepted are sent as they are. */
function shown(sightings) {
  return sightings.filter((seen) => seen.mask).map(({ frame, mask }) => ({ frame, mask }));
}

function signature(seen) {
  return JSON.stringify([seen.points, seen.labels, seen.box, seen.hint?.counts]);
}
