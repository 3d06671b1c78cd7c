// The border of a mask as lines that stay sharp at any zoom.

import { boxOf, decodeWindow } from "./rle.js";

const STEP = [
  [1, 0],
  [0, 1],
  [-1, 0],
  [0, -1],
];
// Cells ahead of a corner, for each direction: on the right hand (inside), then on the left.
const AHEAD = [
  [[0, 0], [0, -1]],
  [[-1, 0], [0, 0]],
  [[-1, -1], [-1, 0]],
  [[0, -1], [-1, -1]],
];

/** A mask's border as closed loops of [x, y] in the picture's pixels; holes are loops of their own. */
export function loopsOf(rle) {
  const box = boxOf(rle);
  if (!box) return [];
  const [x0, y0, x1, y1] = box;
  const grid = { mask: decodeWindow(rle, box), width: x1 - x0, height: y1 - y0 };
  const seen = new Uint8Array(grid.mask.length);
  const loops = [];
  for (let y = 0; y < grid.height; y++) {
    for (let x = 0; x < grid.width; x++) {
      // Every loop has an edge with the inside below it.
      if (!seen[y * grid.width + x] && filled(grid, x, y) && !filled(grid, x, y - 1)) {
        loops.push(follow(grid, seen, x, y).map(([px, py]) => [px + x0, py + y0]));
      }
    }
  }
  return loops;
}

/** The same as a path to fill ("evenodd") and to stroke; curves pass between the points, so that it does not look stepped. */
export function pathOf(rle) {
  const path = new Path2D();
  for (const loop of loopsOf(rle)) {
    path.moveTo(...middle(loop.at(-1), loop[0]));
    loop.forEach((point, place) => path.quadraticCurveTo(...point, ...middle(point, loop[(place + 1) % loop.length])));
    path.closePath();
  }
  return path;
}

function middle([ax, ay], [bx, by]) {
  return [(ax + bx) / 2, (ay + by) / 2];
}

/** Walk round with the inside on the right hand; gives the middles of edges beside a turn, so that stairs become slopes. */
function follow(grid, seen, startX, startY) {
  const points = [];
  let [x, y, direction] = [startX, startY, 0];
  let runStart = null;
  const turnAt = (end) => {
    points.push(runStart);
    if (end !== runStart) points.push(end);
  };
  do {
    if (direction === 0) seen[y * grid.width + x] = 1;
    const [dx, dy] = STEP[direction];
    const here = [x + dx / 2, y + dy / 2];
    runStart = runStart ?? here;
    x += dx;
    y += dy;
    const next = turned(grid, x, y, direction);
    if (next !== direction) {
      turnAt(here);
      runStart = null;
      direction = next;
    }
  } while (x !== startX || y !== startY || direction !== 0);
  if (runStart) points.push(runStart);
  return points;
}

function turned(grid, x, y, direction) {
  const [right, left] = AHEAD[direction];
  if (!filled(grid, x + right[0], y + right[1])) return (direction + 1) % 4;
  return filled(grid, x + left[0], y + left[1]) ? (direction + 3) % 4 : direction;
}

function filled(grid, x, y) {
  return x >= 0 && y >= 0 && x < grid.width && y < grid.height && grid.mask[y * grid.width + x] === 1;
}
