// COCO run lengths: masks as short strings, the same as regions/rle.py reads and writes.
//
// Runs go down the columns, background first. A string's numbers are six-bit characters with five bits of number each;
// from the fourth run on they are differences to the run two before.

const MAX_PIXELS = 2 ** 26;

export class RleError extends Error {}

/** Run lengths of a mask, checked: they fill the picture exactly. */
export function runsOf(rle) {
  const [height, width] = sizeOf(rle);
  if (typeof rle.counts !== "string") throw new RleError("mask counts are no string; give COCO's compressed string.");
  const runs = unpack(rle.counts);
  let sum = 0;
  for (const run of runs) {
    if (run < 0) throw new RleError("mask counts hold a negative run; give COCO's string unchanged.");
    sum += run;
  }
  if (sum !== height * width) {
    throw new RleError(`mask counts cover ${sum} pixels, but size [${height}, ${width}] has ${height * width}.`);
  }
  return runs;
}

/** A mask as bytes, 1 inside, row after row. */
export function decode(rle) {
  const [height, width] = sizeOf(rle);
  return decodeWindow(rle, [0, 0, width, height]);
}

/** The part of a mask inside a half-open box, as bytes, row after row. */
export function decodeWindow(rle, [x0, y0, x1, y1]) {
  const height = rle.size[0];
  const wide = x1 - x0;
  const mask = new Uint8Array(wide * (y1 - y0));
  eachColumnRun(runsOf(rle), height, (x, top, bottom) => {
    if (x < x0 || x >= x1) return;
    for (let y = Math.max(top, y0); y < Math.min(bottom, y1); y++) mask[(y - y0) * wide + x - x0] = 1;
  });
  return mask;
}

/** Bytes, row after row, as run lengths. */
export function encode(mask, height, width) {
  const runs = [];
  let inside = 0;
  let length = 0;
  for (let x = 0; x < width; x++) {
    for (let y = 0; y < height; y++) {
      const value = mask[y * width + x] ? 1 : 0;
      if (value !== inside) {
        runs.push(length);
        length = 0;
        inside = value;
      }
      length++;
    }
  }
  runs.push(length);
  return { size: [height, width], counts: pack(runs) };
}

/** Pixels in the mask. */
export function area(rle) {
  return runsOf(rle).reduce((sum, run, place) => (place % 2 ? sum + run : sum), 0);
}

/** Smallest half-open box [x0, y0, x1, y1] around the mask; null for an empty one. */
export function boxOf(rle) {
  let box = null;
  eachColumnRun(runsOf(rle), rle.size[0], (x, top, bottom) => {
    if (!box) box = [x, top, x + 1, bottom];
    else box = [box[0], Math.min(box[1], top), x + 1, Math.max(box[3], bottom)];
  });
  return box;
}

/** Whether the mask covers a pixel. */
export function contains(rle, x, y) {
  const [height, width] = rle.size;
  if (x < 0 || y < 0 || x >= width || y >= height) return false;
  const place = Math.floor(x) * height + Math.floor(y);
  let end = 0;
  let inside = false;
  for (const run of runsOf(rle)) {
    end += run;
    if (place < end) return inside;
    inside = !inside;
  }
  return false;
}

/** Pixels in the intersection of two masks, and in their union. */
export function overlap(a, b) {
  const [endsA, endsB] = [endsOf(a), endsOf(b)];
  let [placeA, placeB, at, shared, united] = [0, 0, 0, 0, 0];
  while (placeA < endsA.length && placeB < endsB.length) {
    const end = Math.min(endsA[placeA], endsB[placeB]);
    // Odd runs are inside.
    if (placeA % 2 && placeB % 2) shared += end - at;
    if (placeA % 2 || placeB % 2) united += end - at;
    if (endsA[placeA] === end) placeA++;
    if (endsB[placeB] === end) placeB++;
    at = end;
  }
  return [shared, united];
}

function endsOf(rle) {
  let end = 0;
  return runsOf(rle).map((run) => (end += run));
}

function sizeOf(rle) {
  const size = rle && rle.size;
  const whole = Array.isArray(size) && size.length === 2 && size.every((side) => Number.isInteger(side) && side > 0);
  if (!whole || size[0] * size[1] > MAX_PIXELS) throw new RleError("mask size is no [height, width] in pixels.");
  return size;
}

function eachColumnRun(runs, height, visit) {
  let start = 0;
  runs.forEach((run, place) => {
    const end = start + run;
    if (place % 2) {
      for (let at = start; at < end; ) {
        const x = Math.floor(at / height);
        const stop = Math.min(end, (x + 1) * height);
        visit(x, at - x * height, stop - x * height);
        at = stop;
      }
    }
    start = end;
  });
}

function unpack(counts) {
  const runs = [];
  let at = 0;
  while (at < counts.length) {
    let value = 0;
    let shift = 0;
    let code;
    do {
      code = counts.charCodeAt(at++) - 48;
      if (Number.isNaN(code)) throw new RleError("mask counts are cut off in the middle of a run.");
      if (code < 0 || code > 63) throw new RleError("mask counts hold characters that run lengths never use.");
      if (shift > 25) throw new RleError("mask counts hold a run longer than any picture.");
      value |= (code & 31) << shift;
      shift += 5;
    } while (code & 32);
    if (code & 16 && shift < 32) value |= -1 << shift;
    runs.push(runs.length > 2 ? value + runs[runs.length - 2] : value);
  }
  return runs;
}

function pack(runs) {
  let text = "";
  runs.forEach((run, place) => {
    let value = place > 2 ? run - runs[place - 2] : run;
    let more = true;
    while (more) {
      let code = value & 31;
      value >>= 5;
      more = code & 16 ? value !== -1 : value !== 0;
      if (more) code |= 32;
      text += String.fromCharCode(code + 48);
    }
  });
  return text;
}
