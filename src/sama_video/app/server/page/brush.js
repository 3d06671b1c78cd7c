// Painting a mask by hand, pixel by pixel.

import { palette } from "./ink.js";
import { decode, encode } from "./rle.js";

const ALPHA = 150;

/**
 * One stroke that adds to a mask or takes from it.
 *
 * The canvas `layer` shows the mask as it grows. It is written and never read: some browsers falsify what is read back.
 */
export function createStroke({ mask, height, width, radius, adding, slot }) {
  const pixels = mask ? decode(mask) : new Uint8Array(height * width);
  const layer = document.createElement("canvas");
  [layer.width, layer.height] = [width, height];
  const pen = layer.getContext("2d");
  const colour = palette(slot);
  let last = null;
  repaint(0, 0, width, height);

  function repaint(x0, y0, x1, y1) {
    if (x1 <= x0 || y1 <= y0) return;
    const image = pen.createImageData(x1 - x0, y1 - y0);
    for (let y = y0; y < y1; y++) {
      for (let x = x0; x < x1; x++) {
        if (pixels[y * width + x]) image.data.set([...colour, ALPHA], ((y - y0) * (x1 - x0) + x - x0) * 4);
      }
    }
    pen.putImageData(image, x0, y0);
  }

  /** Fill all pixels whose middle lies within the radius of a line. */
  function line([ax, ay], [bx, by]) {
    const x0 = Math.max(0, Math.floor(Math.min(ax, bx) - radius));
    const y0 = Math.max(0, Math.floor(Math.min(ay, by) - radius));
    const x1 = Math.min(width, Math.ceil(Math.max(ax, bx) + radius) + 1);
    const y1 = Math.min(height, Math.ceil(Math.max(ay, by) + radius) + 1);
    const [dx, dy] = [bx - ax, by - ay];
    const length = dx * dx + dy * dy || 1;
    for (let y = y0; y < y1; y++) {
      for (let x = x0; x < x1; x++) {
        const [px, py] = [x + 0.5 - ax, y + 0.5 - ay];
        const along = Math.max(0, Math.min(1, (px * dx + py * dy) / length));
        if ((px - along * dx) ** 2 + (py - along * dy) ** 2 <= radius * radius) pixels[y * width + x] = adding ? 1 : 0;
      }
    }
    repaint(x0, y0, x1, y1);
  }

  return {
    layer,
    to(point) {
      line(last ?? point, point);
      last = point;
    },
    /** Run lengths of what came out; null when nothing is left. */
    result: () => (pixels.includes(1) ? encode(pixels, height, width) : null),
  };
}
