// Pointing at the stage: with a mouse, a pen, fingers, or the keys alone.

import { createStroke } from "./brush.js";

const STILL_PIXELS = 5;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export const TOOLS = ["select", "point", "remove", "box", "paint", "erase"];

/**
 * Connects a stage's element with what its tools do.
 *
 * @param pick called with an object's key when one is chosen, and null when nothing is there
 */
export function createTools({ host, stage, ui, drawing, player, size, pick, note }) {
  const pointers = new Map();
  let gesture = null;
  let cursor = null;
  let corner = null;

  const inside = ([x, y]) => x >= 0 && y >= 0 && x < size()[1] && y < size()[0];
  const clamped = ([x, y]) => [Math.max(0, Math.min(size()[1], x)), Math.max(0, Math.min(size()[0], y))];
  const pixel = ([x, y]) => [Math.min(size()[1] - 1, Math.floor(x)), Math.min(size()[0] - 1, Math.floor(y))];

  function radius() {
    return Math.max(0.5, ui.get().brush / 2);
  }

  function click(point, label) {
    if (!inside(point)) return;
    const under = stage.objectAt(point);
    if (label === 0 && !ui.get().active) {
      if (!under) return note("Click on the object first; then take away what does not belong to it.");
      drawing.refine(under);
    }
    drawing.point(...pixel(point), label);
  }

  function startStroke(point, adding) {
    if (!adding && !ui.get().active) {
      const under = stage.objectAt(point);
      if (!under) return void note("Start on the object you want to erase from.");
      drawing.refine(under);
    }
    const [height, width] = size();
    const slot = drawing.nextSlot();
    const stroke = createStroke({ mask: drawing.maskHere(), height, width, radius: radius(), adding, slot });
    stage.setScene({ layer: stroke.layer, layerFor: ui.get().active });
    stroke.to(point);
    return {
      move(at) {
        stroke.to(at);
        stage.draw();
      },
      end() {
        stage.setScene({ layer: null, layerFor: null });
        drawing.mask(stroke.result(), adding ? "paint" : "erase");
      },
      drop: () => stage.setScene({ layer: null, layerFor: null }),
    };
  }

  function startBox(point) {
    const [ax, ay] = clamped(point);
    const slot = drawing.nextSlot();
    let corners = null;
    return {
      move(at) {
        const [bx, by] = clamped(at);
        corners = [Math.min(ax, bx), Math.min(ay, by), Math.max(ax, bx), Math.max(ay, by)];
        stage.setScene({ box: { corners, slot } });
      },
      end() {
        stage.setScene({ box: null });
        if (corners) finishBox(corners);
      },
      drop: () => stage.setScene({ box: null }),
    };
  }

  function finishBox([x0, y0, x1, y1]) {
    const whole = [Math.floor(x0), Math.floor(y0), Math.ceil(x1), Math.ceil(y1)];
    if (whole[2] - whole[0] >= 2 && whole[3] - whole[1] >= 2) drawing.box(whole);
  }

  function startPan(event) {
    let [x, y] = [event.clientX, event.clientY];
    return {
      move: (_, at) => {
        stage.panBy(at.clientX - x, at.clientY - y);
        [x, y] = [at.clientX, at.clientY];
      },
      end() {},
      drop() {},
    };
  }

  function startClick(event, act) {
    const from = [event.clientX, event.clientY];
    const pan = stage.zoom() > 1 ? startPan(event) : null;
    let moved = false;
    return {
      move(point, at) {
        moved ||= Math.hypot(at.clientX - from[0], at.clientY - from[1]) > STILL_PIXELS;
        if (moved) pan?.move(point, at);
      },
      end: (point) => !moved && act(point),
      drop() {},
    };
  }

  function begin(event, point) {
    const { tool } = ui.get();
    if (event.button === 1) return startPan(event);
    const taking = event.button === 2 || event.altKey;
    // Drawing is about one frame: time stands still for it.
    if (tool !== "select") player().pause();
    if (tool === "select") return startClick(event, (at) => pick(inside(at) ? stage.objectAt(at) : null));
    if (tool === "point" || tool === "remove") {
      const label = (tool === "point") !== taking ? 1 : 0;
      return startClick(event, (at) => click(at, label));
    }
    if (tool === "box") return startBox(point);
    return startStroke(point, (tool === "paint") !== taking);
  }

  function startPinch() {
    gesture?.drop();
    let [last, spread] = pinch();
    return {
      move() {
        if (pointers.size < 2) return;
        const [now, wide] = pinch();
        stage.panBy(now[0] - last[0], now[1] - last[1]);
        const bounds = host.getBoundingClientRect();
        stage.zoomAt(wide / spread, [now[0] - bounds.left, now[1] - bounds.top]);
        [last, spread] = [now, wide];
      },
      end() {},
      drop() {},
    };
  }

  function pinch() {
    const [a, b] = [...pointers.values()];
    const middle = [(a.clientX + b.clientX) / 2, (a.clientY + b.clientY) / 2];
    return [middle, Math.max(1, Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY))];
  }

  function hover(point) {
    const { active, tool } = ui.get();
    if (tool === "select" || !active) ui.set({ lit: inside(point) ? stage.objectAt(point) : null });
    const brush = tool === "paint" || tool === "erase";
    stage.setScene({ cursor: brush && inside(point) ? { x: point[0], y: point[1], radius: radius() } : null });
  }

  host.addEventListener("pointerdown", (event) => {
    if (!player() || event.button > 2) return;
    host.focus({ preventScroll: true });
    hideCursor();
    host.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, event);
    if (pointers.size === 2) gesture = startPinch();
    else if (pointers.size === 1) gesture = begin(event, stage.toClip(event.clientX, event.clientY)) ?? null;
    event.preventDefault();
  });
  host.addEventListener("pointermove", (event) => {
    if (!player()) return;
    const point = stage.toClip(event.clientX, event.clientY);
    if (pointers.has(event.pointerId)) pointers.set(event.pointerId, event);
    if (event.pointerType === "mouse") hover(point);
    for (const at of event.getCoalescedEvents?.() ?? [event]) gesture?.move(stage.toClip(at.clientX, at.clientY), at);
  });
  const finish = (ended) => (event) => {
    if (!pointers.delete(event.pointerId)) return;
    const last = gesture;
    if (pointers.size === 0) gesture = null;
    if (ended && pointers.size === 0) last?.end(stage.toClip(event.clientX, event.clientY));
    else if (!ended) last?.drop();
  };
  host.addEventListener("pointerup", finish(true));
  host.addEventListener("pointercancel", finish(false));
  host.addEventListener("pointerleave", () => {
    ui.set({ lit: null });
    if (!cursor) stage.setScene({ cursor: null });
  });
  host.addEventListener("contextmenu", (event) => event.preventDefault());
  host.addEventListener("wheel", (event) => {
    if (!player()) return;
    event.preventDefault();
    const bounds = host.getBoundingClientRect();
    stage.zoomAt(Math.exp(-event.deltaY * 0.0022), [event.clientX - bounds.left, event.clientY - bounds.top]);
  }, { passive: false });

  // keys

  function hideCursor() {
    cursor = corner = null;
    stage.setScene({ cursor: null, box: null });
  }

  function moveCursor([dx, dy], far) {
    const [height, width] = size();
    cursor ??= [width / 2, height / 2];
    const step = (far ? 24 : 4) / stage.scale();
    const by = Math.max(1, Math.round(step));
    cursor = [Math.max(0, Math.min(width - 1, cursor[0] + dx * by)), Math.max(0, Math.min(height - 1, cursor[1] + dy * by))];
    const brush = ["paint", "erase"].includes(ui.get().tool);
    stage.setScene({ cursor: { x: cursor[0], y: cursor[1], radius: brush ? radius() : null } });
    if (corner) stage.setScene({ box: { corners: spanned(corner, cursor), slot: drawing.nextSlot() } });
    ui.set({ lit: ui.get().active ? null : stage.objectAt(cursor) });
  }

  function press(taking) {
    const { tool } = ui.get();
    if (!cursor) return moveCursor([0, 0], false);
    if (tool === "select") return pick(stage.objectAt(cursor));
    player().pause();
    if (tool === "point" || tool === "remove") return click(cursor, (tool === "point") !== taking ? 1 : 0);
    if (tool === "box") return pressCorner();
    const stroke = startStroke(cursor, (tool === "paint") !== taking);
    stroke?.end();
  }

  function pressCorner() {
    if (!corner) {
      corner = cursor;
      return;
    }
    finishBox(spanned(corner, cursor));
    corner = null;
    stage.setScene({ box: null });
  }

  host.addEventListener("keydown", (event) => {
    if (!player() || event.ctrlKey || event.metaKey) return;
    if (ARROWS[event.key]) moveCursor(ARROWS[event.key], event.shiftKey);
    else if (event.key === "Enter") press(event.altKey || event.shiftKey);
    else if (event.key === "Escape" && (corner || cursor)) hideCursor();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  host.addEventListener("blur", hideCursor);
}

function spanned([ax, ay], [bx, by]) {
  return [Math.min(ax, bx), Math.min(ay, by), Math.max(ax, bx), Math.max(ay, by)];
}
