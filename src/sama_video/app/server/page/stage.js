// The picture and what lies on it: masks, clicks, a box being drawn, a cursor. Knows pixels, not people or servers.

import { css, palette, textOn } from "./ink.js";
import { pathOf } from "./outline.js";
import { boxOf, contains } from "./rle.js";

const ALPHA = 0.45;
const LARGEST_ZOOM = 32;

/**
 * A place to see and to point.
 *
 * @param host the element that gets pointer and key events; its size is the stage's size
 * @param picture canvas of the picture
 * @param marks canvas above it
 */
export function createStage({ host, picture, marks }) {
  let source = null;
  let size = [1, 1];
  let scene = { objects: [], lit: null, box: null, cursor: null, layer: null, layerFor: null };
  let view = { zoom: 1, x: 0, y: 0 };
  let pending = false;
  let moved = true;
  const paths = new Map();

  new ResizeObserver(() => drawAll()).observe(host);

  /** Scale and shift from the clip's pixels to the stage's. */
  function placement() {
    const [height, width] = size;
    const fit = Math.min(host.clientWidth / width, host.clientHeight / height) || 1;
    const scale = fit * view.zoom;
    return {
      scale,
      left: (host.clientWidth - width * scale) / 2 + view.x,
      top: (host.clientHeight - height * scale) / 2 + view.y,
    };
  }

  /** Draw what lies on the picture soon; the picture itself only when it has moved. */
  function draw() {
    if (pending) return;
    pending = true;
    requestAnimationFrame(() => {
      pending = false;
      const place = placement();
      if (moved) drawPicture(place);
      moved = false;
      drawMarks(place);
    });
  }

  function drawAll() {
    moved = true;
    draw();
  }

  function prepared(canvas, { scale, left, top }) {
    const ratio = window.devicePixelRatio || 1;
    const [wide, high] = [Math.round(host.clientWidth * ratio), Math.round(host.clientHeight * ratio)];
    if (canvas.width !== wide || canvas.height !== high) [canvas.width, canvas.height] = [wide, high];
    const pen = canvas.getContext("2d");
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, wide, high);
    pen.setTransform(scale * ratio, 0, 0, scale * ratio, left * ratio, top * ratio);
    return pen;
  }

  function drawPicture(place) {
    const pen = prepared(picture, place);
    if (!source) return;
    pen.imageSmoothingEnabled = place.scale < 6;
    pen.imageSmoothingQuality = "high";
    pen.drawImage(source, 0, 0, size[1], size[0]);
  }

  function drawMarks(place) {
    const pen = prepared(marks, place);
    const unit = 1 / place.scale;
    for (const object of scene.objects) {
      if (object.mask && object.key !== scene.layerFor) drawMask(pen, object, unit);
    }
    if (scene.layer) pen.drawImage(scene.layer, 0, 0);
    for (const object of scene.objects) {
      if (object.box) drawBox(pen, object.box, palette(object.slot), unit, []);
      object.points.forEach(([x, y], place) => drawPoint(pen, x, y, object.labels[place], palette(object.slot), unit));
    }
    if (scene.box) drawBox(pen, scene.box.corners, palette(scene.box.slot), unit, [6 * unit, 4 * unit]);
    if (scene.cursor) drawCursor(pen, scene.cursor, unit);
  }

  function drawMask(pen, { mask, slot, key, label }, unit) {
    const colour = palette(slot);
    const path = cachedPath(mask);
    const [lit, dimmed] = [scene.lit === key, scene.lit !== null && scene.lit !== key];
    pen.fillStyle = css(colour, lit ? 0.6 : dimmed ? 0.24 : ALPHA);
    pen.fill(path, "evenodd");
    pen.lineJoin = "round";
    pen.strokeStyle = css(textOn(colour), dimmed ? 0.15 : 0.55);
    pen.lineWidth = (lit ? 5.5 : 3.5) * unit;
    pen.stroke(path);
    pen.strokeStyle = css(colour, dimmed ? 0.5 : 1);
    pen.lineWidth = (lit ? 3.2 : 2) * unit;
    pen.stroke(path);
    if (label) drawLabel(pen, mask, label, colour, unit);
  }

  function drawLabel(pen, mask, text, colour, unit) {
    const [x0, y0, x1, y1] = boundsOf(mask);
    const [height, width] = size;
    pen.font = `600 ${12.5 * unit}px ${getComputedStyle(host).fontFamily}`;
    const shown = text.length > 32 ? `${text.slice(0, 31)}…` : text;
    const [wide, high] = [pen.measureText(shown).width + 10 * unit, 20 * unit];
    const x = Math.max(0, Math.min(width - wide, (x0 + x1 - wide) / 2));
    const above = y0 - high - 4 * unit;
    const y = above >= 0 ? above : Math.min(height - high, y1 + 4 * unit);
    pen.fillStyle = css(colour);
    pen.beginPath();
    pen.roundRect(x, y, wide, high, 4 * unit);
    pen.fill();
    pen.fillStyle = css(textOn(colour));
    pen.textBaseline = "middle";
    pen.fillText(shown, x + 5 * unit, y + high / 2 + 0.5 * unit);
  }

  /** Paths are dear to make and asked for at each frame; the text of the run lengths names them. */
  function cachedPath(mask) {
    let entry = paths.get(mask.counts);
    if (!entry) entry = { path: pathOf(mask) };
    paths.delete(mask.counts);
    paths.set(mask.counts, entry);
    if (paths.size > 600) paths.delete(paths.keys().next().value);
    return entry.path;
  }

  function zoomAt(factor, at = null) {
    const before = placement();
    const zoom = Math.max(1, Math.min(LARGEST_ZOOM, view.zoom * factor));
    const [x, y] = at ?? [host.clientWidth / 2, host.clientHeight / 2];
    const grown = zoom / view.zoom;
    // What is under the pointer stays under it.
    const left = x - (x - before.left) * grown;
    const top = y - (y - before.top) * grown;
    view = { ...view, zoom };
    const centred = placement();
    view = { zoom, x: view.x + left - centred.left, y: view.y + top - centred.top };
    settle();
  }

  /** Keep the picture on the stage. */
  function settle() {
    const [height, width] = size;
    const { scale } = placement();
    const slackX = Math.max(0, (width * scale - host.clientWidth) / 2);
    const slackY = Math.max(0, (height * scale - host.clientHeight) / 2);
    const within = (value, slack) => Math.max(-slack, Math.min(slack, value));
    view = { zoom: view.zoom, x: within(view.x, slackX), y: within(view.y, slackY) };
    drawAll();
  }

  return {
    /** The clip's size; the view goes back to the whole picture. */
    setSize(height, width) {
      size = [height, width];
      source = null;
      view = { zoom: 1, x: 0, y: 0 };
      paths.clear();
      drawAll();
    },
    /** What to paint below, at once: a video would show its next picture in a moment. The stage closes video frames. */
    setPicture(image) {
      if (source !== image && isVideoFrame(source)) source.close();
      source = image;
      drawPicture(placement());
      moved = false;
      draw();
    },
    /** What lies on it; see `drawMarks`. */
    setScene(patch) {
      scene = { ...scene, ...patch };
      draw();
    },
    draw,
    zoomAt,
    panBy(dx, dy) {
      view = { ...view, x: view.x + dx, y: view.y + dy };
      settle();
    },
    fit() {
      view = { zoom: 1, x: 0, y: 0 };
      drawAll();
    },
    zoom: () => view.zoom,
    /** From the window's coordinates to the clip's pixels, which may lie outside the picture. */
    toClip(clientX, clientY) {
      const bounds = host.getBoundingClientRect();
      const { scale, left, top } = placement();
      return [(clientX - bounds.left - left) / scale, (clientY - bounds.top - top) / scale];
    },
    scale: () => placement().scale,
    /** The topmost object whose mask covers a place. */
    objectAt([x, y]) {
      const hit = scene.objects.filter((object) => object.mask && contains(object.mask, x, y));
      return hit.at(-1)?.key ?? null;
    },
  };
}

function isVideoFrame(image) {
  return typeof VideoFrame === "function" && image instanceof VideoFrame;
}

const boxes = new WeakMap();

function boundsOf(mask) {
  if (!boxes.has(mask)) boxes.set(mask, boxOf(mask));
  return boxes.get(mask);
}

function drawBox(pen, [x0, y0, x1, y1], colour, unit, dash) {
  pen.setLineDash(dash);
  pen.strokeStyle = css(textOn(colour), 0.8);
  pen.lineWidth = 3.5 * unit;
  pen.strokeRect(x0, y0, x1 - x0, y1 - y0);
  pen.strokeStyle = css(colour);
  pen.lineWidth = 2 * unit;
  pen.strokeRect(x0, y0, x1 - x0, y1 - y0);
  pen.setLineDash([]);
}

/** A disc with a plus (on the object) or a minus (off it). */
function drawPoint(pen, x, y, label, colour, unit) {
  const [cx, cy, radius, arm] = [x + 0.5, y + 0.5, 8 * unit, 4 * unit];
  pen.beginPath();
  pen.arc(cx, cy, radius, 0, 2 * Math.PI);
  pen.fillStyle = label ? css(colour) : "rgb(255 255 255)";
  pen.fill();
  pen.strokeStyle = label ? css(textOn(colour)) : "rgb(176 0 32)";
  pen.lineWidth = 2 * unit;
  pen.stroke();
  pen.beginPath();
  pen.moveTo(cx - arm, cy);
  pen.lineTo(cx + arm, cy);
  if (label) {
    pen.moveTo(cx, cy - arm);
    pen.lineTo(cx, cy + arm);
  }
  pen.stroke();
}

function drawCursor(pen, { x, y, radius }, unit) {
  const reach = radius ?? 12 * unit;
  for (const [colour, width] of [["rgb(0 0 0 / 0.7)", 3], ["rgb(255 255 255)", 1.3]]) {
    pen.strokeStyle = colour;
    pen.lineWidth = width * unit;
    pen.beginPath();
    if (radius) pen.arc(x, y, radius, 0, 2 * Math.PI);
    pen.moveTo(x - reach, y);
    pen.lineTo(x - reach / 3, y);
    pen.moveTo(x + reach / 3, y);
    pen.lineTo(x + reach, y);
    pen.moveTo(x, y - reach);
    pen.lineTo(x, y - reach / 3);
    pen.moveTo(x, y + reach / 3);
    pen.lineTo(x, y + reach);
    pen.stroke();
  }
}
