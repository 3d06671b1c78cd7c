// What a person does to objects: each act is one step that can be undone.

import { changeObject, changeSighting, maskOn, objectOf, withObject, withoutObject } from "./document.js";
import { area } from "./rle.js";

/** The acts of pointing, over the document and what the page shows (`ui`). */
export function createDrawing(book, ui) {
  /** The object that is being drawn; a new one when there is none. */
  function draw(label, change) {
    const { frame } = ui.get();
    let key = objectOf(book.get(), ui.get().active) ? ui.get().active : null;
    book.commit(label, (doc) => {
      let next = doc;
      if (!key) {
        const [grown, object] = withObject(doc, {});
        [next, key] = [grown, object.key];
      }
      return changeSighting(next, key, frame, change);
    });
    ui.set({ active: key });
  }

  function largest(object) {
    let [best, most] = [object.sightings[0]?.frame ?? 0, 0];
    for (let frame = 0; frame < (object.masklet?.frames.length ?? 0); frame++) {
      const mask = maskOn(object, frame);
      const size = mask ? area(mask) : 0;
      if (size > most) [best, most] = [frame, size];
    }
    return best;
  }

  return {
    /** A click: label 1 is on the object, 0 is off it. */
    point(x, y, label) {
      draw(label ? "add a point" : "take a point away", (sighting) => ({
        points: [...sighting.points, [x, y]],
        labels: [...sighting.labels, label],
        // The first click corrects the mask that is seen; later ones belong to the same correction.
        hint: sighting.points.length || sighting.stale ? sighting.hint : sighting.mask,
        stale: true,
        trouble: null,
      }));
    },
    box(corners) {
      draw("draw a box", () => ({ points: [], labels: [], box: corners, hint: null, stale: true, trouble: null }));
    },
    /** A mask painted by hand, null when all of it was erased; no server is asked. */
    mask(rle, label) {
      draw(label, () => ({ points: [], labels: [], box: null, hint: rle, mask: rle, stale: false, trouble: null }));
    },
    /** The mask that painting starts from. */
    maskHere() {
      const object = objectOf(book.get(), ui.get().active);
      return object ? maskOn(object, ui.get().frame) : null;
    },
    /** The colour of what is drawn next. */
    nextSlot() {
      const active = objectOf(book.get(), ui.get().active);
      return active ? active.slot : withObject(book.get(), {})[1].slot;
    },
    finish: () => ui.set({ active: null }),
    refine(key) {
      const { tool } = ui.get();
      ui.set({ active: key, tool: tool === "select" ? "point" : tool });
      if (objectOf(book.get(), key)?.hidden) this.hide(key, false);
    },
    rename(key, name) {
      const clean = name.replace(/\s+/g, " ").trim().slice(0, 80);
      if (!clean || objectOf(book.get(), key)?.name === clean) return;
      book.commit("rename", (doc) => changeObject(doc, key, () => ({ name: clean, named: true })));
    },
    hide: (key, hidden) => book.commit(hidden ? "hide" : "show", (doc) => changeObject(doc, key, () => ({ hidden }))),
    forget(key) {
      if (ui.get().active === key) ui.set({ active: null });
      book.commit("forget", (doc) => withoutObject(doc, key));
    },
    /** Ask the server anew for what failed. */
    again(key) {
      book.amend((doc) =>
        changeObject(doc, key, (object) => ({
          trouble: null,
          sightings: object.sightings.map((seen) => (seen.trouble ? { ...seen, trouble: null, stale: true } : seen)),
        })),
      );
    },
    /** The frame on which an object is seen best: where its mask is largest. */
    bestFrame(key) {
      const object = objectOf(book.get(), key);
      return object ? largest(object) : null;
    },
  };
}
