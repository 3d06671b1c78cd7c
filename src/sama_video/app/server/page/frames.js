// Single frames of a clip as pictures, exactly as the model sees them.

const KEPT_BYTES = 192 * 2 ** 20;
const AT_ONCE = 4;

/** Frames of one clip, fetched on demand and kept while there is room. */
export function createFrames(api, file) {
  const { height, width, frames: count } = file.video;
  const most = Math.max(8, Math.floor(KEPT_BYTES / (height * width * 4)));
  const kept = new Map();
  const coming = new Map();
  const queue = [];
  let running = 0;
  let closed = false;
  let seen = null;

  /** Start what is wanted most; the latest wish is the most urgent. */
  function pump() {
    while (running < AT_ONCE && queue.length) {
      const job = queue.pop();
      running++;
      fetchFrame(job.index)
        .then(job.resolve, job.reject)
        .finally(() => {
          running--;
          coming.delete(job.index);
          pump();
        });
    }
  }

  async function fetchFrame(index) {
    const blob = await api.blob(`v1/files/${file.id}/frames/${index}`);
    const bitmap = await createImageBitmap(blob);
    if (closed) return bitmap;
    kept.set(index, bitmap);
    while (kept.size > most) {
      const oldest = [...kept.keys()].find((key) => key !== seen);
      kept.get(oldest).close();
      kept.delete(oldest);
    }
    return bitmap;
  }

  return {
    /** The picture if it is here already. */
    ready(index) {
      const bitmap = kept.get(index);
      if (bitmap) {
        kept.delete(index);
        kept.set(index, bitmap);
      }
      return bitmap ?? null;
    },
    /** The picture, fetched if need be. */
    get(index) {
      const bitmap = this.ready(index);
      if (bitmap) return Promise.resolve(bitmap);
      if (!coming.has(index)) {
        coming.set(index, new Promise((resolve, reject) => queue.push({ index, resolve, reject })));
        pump();
      }
      return coming.get(index);
    },
    /** This frame is on the stage: it is not let go before another is. */
    hold(index) {
      seen = index;
    },
    /** Have frames at hand that are likely to be wanted next; failures are met when they are. */
    expect(first, last) {
      const from = Math.max(0, first);
      const to = Math.min(count - 1, last, from + most - 2);
      for (let index = to; index >= from; index--) if (!kept.has(index)) this.get(index).catch(() => undefined);
    },
    close() {
      closed = true;
      for (const job of queue.splice(0)) job.reject(new DOMException("stopped", "AbortError"));
      for (const bitmap of kept.values()) bitmap.close();
      kept.clear();
    },
  };
}
