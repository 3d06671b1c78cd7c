// The clip on the stage: its frames, its player, and the masks of the document that belong to the frame that is seen.

import { maskOn, objectOf, sightingOn } from "./document.js";
import { createFrames } from "./frames.js";
import { createPlayer } from "./player.js";

/**
 * Shows a session's clip.
 *
 * @param video a video element; used where the browser can play the clip
 * @param onTrouble called with (error, again) when a frame does not come
 */
export function createWorkspace({ api, book, ui, stage, video, onTrouble }) {
  let frames = null;
  let player = null;
  let address = null;

  function close() {
    player?.close();
    stage.setPicture(null);
    frames?.close();
    if (address) URL.revokeObjectURL(address);
    [player, frames, address] = [null, null, null];
  }

  async function setSource(file, blob) {
    // A key cannot be sent with a video element's own requests, so the clip is then fetched whole.
    if (!blob && api.key()) blob = await api.blob(`v1/files/${file.id}/content`).catch(() => null);
    if (book.get().file !== file) return;
    if (blob) address = URL.createObjectURL(blob);
    video.src = address ?? api.url(`v1/files/${file.id}/content`).href;
  }

  function scene(doc, { frame, active, lit, playing }) {
    const objects = doc.objects.filter((object) => !object.hidden).map((object) => {
      const seen = sightingOn(object, frame);
      const drawn = active === object.key && !playing;
      return {
        key: object.key,
        slot: object.slot,
        mask: maskOn(object, frame),
        label: lit === object.key || active === object.key ? object.name : null,
        points: drawn && seen ? seen.points : [],
        labels: drawn && seen ? seen.labels : [],
        box: drawn && seen && (seen.stale || !seen.mask) ? seen.box : null,
      };
    });
    // The object being drawn lies on top.
    return objects.sort((a, b) => (a.key === active) - (b.key === active));
  }

  function redraw() {
    const doc = book.get();
    if (!doc.file) return;
    const { lit } = ui.get();
    const objects = scene(doc, ui.get());
    stage.setScene({ objects, lit: objectOf(doc, lit) ? lit : null });
  }

  book.watch(redraw);
  ui.watch((now, before) => {
    if (["frame", "lit", "active", "playing"].some((key) => now[key] !== before[key])) redraw();
  });

  return {
    player: () => player,
    size: () => [book.get().file.video.height, book.get().file.video.width],
    /** Show a document's clip; `blob` is the clip itself where the page has it. */
    open(doc, blob, frame = 0) {
      close();
      const { file } = doc;
      stage.setSize(file.video.height, file.video.width);
      frames = createFrames(api, file);
      player = createPlayer({
        file,
        frames,
        video,
        show(index, picture) {
          stage.setPicture(picture);
          ui.set({ frame: index });
        },
        onState: ({ playing, frame: wanted }) => ui.set({ playing, wanted }),
        onTrouble,
      });
      setSource(file, blob);
      player.seek(frame);
      redraw();
    },
    close,
    /** Try again for the frame that should be seen. */
    wake: () => player && !player.playing() && player.seek(player.wanted()),
  };
}
