"""Masks, boxes, points and labels painted on frames; contact sheets come from here too."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import SupportsFloat

import numpy as np
from jaxtyping import Bool, UInt8
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from sama_video.regions.ink import BLACK, WHITE, Colour, fitted, font, palette, text_on
from sama_video.regions.sheet import SpokenTurn, Words, contact_sheet, tile_scale

__all__ = ["SpokenTurn", "Words", "contact_sheet", "draw_frame", "palette", "tile_scale"]

_LARGEST_TYPE = 44
_GOOD_PLACE = 0.5  # a label that costs less than this need not look further

Rectangle = tuple[int, int, int, int]


@dataclass(frozen=True)
class _Sizes:
    """Line widths and type that fit a picture's size."""

    line: int
    type: int

    @classmethod
    def of(cls, height: int, width: int) -> "_Sizes":
        short = min(height, width)
        readable = min(12, max(8, short // 13))
        return cls(max(1, round(short / 240)), min(max(readable, round(short / 24)), _LARGEST_TYPE))


def draw_frame(
    frame: UInt8[np.ndarray, "height width 3"],
    masks: Mapping[str, Bool[np.ndarray, "height width"]],
    *,
    labels: Mapping[str, str] | None = None,
    boxes: Mapping[str, Sequence[SupportsFloat]] | None = None,
    points: Mapping[str, Sequence[tuple[SupportsFloat, SupportsFloat, int]]] | None = None,
    alpha: float = 0.45,
    outline: bool = True,
    scale: float | int = 1.0,
) -> UInt8[np.ndarray, "new_height new_width 3"]:
    """Paint objects on a copy of a frame, each in its own colour.

    Labels stand beside their objects where there is room, inside the picture and apart from each other. An object whose
    mask is empty is left out, its label too.

    Args:
        frame: As decoded.
        masks: By object id.
        labels: By object id; None labels every object with its id, an empty mapping none.
        boxes: Half-open `xyxy` by object id, drawn as rectangles.
        points: `(x, y, label)` by object id; label 1 is drawn as a plus, 0 as a cross.
        alpha: How much of the colour covers a mask.
        outline: Whether masks get an edge.
        scale: How many times larger the result is than the frame; type and edges are drawn at the result's size, so
            that they stay readable. See `sheet.tile_scale`.
    """
    picture, shown = _enlarged(frame, masks, scale)
    sizes = _Sizes.of(*picture.shape[:2])
    for object_id, mask in shown.items():
        _paint_mask(picture, mask, palette(object_id), alpha, sizes.line if outline else 0)
    scaled_boxes = {key: tuple(float(side) * scale for side in box) for key, box in (boxes or {}).items()}
    image = Image.fromarray(picture)
    pen = ImageDraw.Draw(image)
    for object_id, box in scaled_boxes.items():
        _draw_box(pen, box, palette(object_id), sizes.line + 1)
    covered = np.logical_or.reduce(list(shown.values())) if shown else np.zeros(picture.shape[:2], dtype=np.bool_)
    for object_id, marks in (points or {}).items():
        for x, y, label in marks:
            disc = _draw_point(
                pen, ((float(x) + 0.5) * scale, (float(y) + 0.5) * scale), label, palette(object_id), sizes
            )
            covered[max(0, disc[1]) : max(0, disc[3]), max(0, disc[0]) : max(0, disc[2])] = True
    extents = {key: _extent(box) for key, box in scaled_boxes.items()}
    extents |= {key: _bounds(mask) for key, mask in shown.items()}
    texts = {key: key if labels is None else labels[key] for key in extents if labels is None or key in labels}
    _draw_tags(pen, texts, extents, covered, sizes)
    return np.array(image)


def _enlarged(
    frame: UInt8[np.ndarray, "height width 3"],
    masks: Mapping[str, Bool[np.ndarray, "height width"]],
    scale: float | int,
) -> tuple[NDArray[np.uint8], dict[str, NDArray[np.bool_]]]:
    """A writable copy of the frame, and the masks that show something, at the size of the result."""
    visible = {object_id: np.asarray(mask) for object_id, mask in masks.items() if mask.any()}
    size = max(1, round(frame.shape[1] * scale)), max(1, round(frame.shape[0] * scale))
    if size == (frame.shape[1], frame.shape[0]):
        return frame.copy(), visible
    picture = np.array(Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS))
    smooth = {
        object_id: np.asarray(Image.fromarray(mask).convert("L").resize(size, Image.Resampling.BILINEAR)) > 127
        for object_id, mask in visible.items()
    }
    return picture, {object_id: mask for object_id, mask in smooth.items() if mask.any()}


def _paint_mask(picture: NDArray[np.uint8], mask: NDArray[np.bool_], colour: Colour, alpha: float, line: int) -> None:
    """Tint the mask and draw its edge inside it, with a thin contrasting rim outside; works in place."""
    x0, y0, x1, y1 = _bounds(mask)
    height, width = mask.shape
    window = (slice(max(0, y0 - 1), min(height, y1 + 1)), slice(max(0, x0 - 1), min(width, x1 + 1)))
    inside, part = mask[window], picture[window]
    tint = np.array(colour, dtype=np.float32) * alpha
    part[inside] = (part[inside] * np.float32(1 - alpha) + tint + 0.5).astype(np.uint8)
    if line:
        core = inside
        for _ in range(line):
            core = _eroded(core)
        part[inside & ~core] = colour
    if line > 1:
        part[_eroded(~inside) ^ ~inside] = text_on(colour)


def _eroded(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask less its border pixels; what touches the picture's edge is no border."""
    wide = np.pad(mask, 1, mode="edge")
    return mask & wide[:-2, 1:-1] & wide[2:, 1:-1] & wide[1:-1, :-2] & wide[1:-1, 2:]


def _draw_box(pen: ImageDraw.ImageDraw, box: Sequence[float], colour: Colour, line: int) -> None:
    x0, y0, x1, y1 = _extent(box)
    pen.rectangle((x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)), outline=text_on(colour), width=line + 1)
    inner = (x0 + 1, y0 + 1, x1 - 2, y1 - 2)
    if inner[0] <= inner[2] and inner[1] <= inner[3]:
        pen.rectangle(inner, outline=colour, width=max(1, line - 1))


def _draw_point(
    pen: ImageDraw.ImageDraw, centre: tuple[float, float], label: int, colour: Colour, sizes: _Sizes
) -> Rectangle:
    """A disc with a plus (on the object) or a cross (off it); gives the place it takes."""
    x, y = centre
    radius = max(4.0, sizes.type * 0.45)
    edge, arm = text_on(colour), radius * 0.55
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour, outline=edge, width=max(1, sizes.line))
    slant = 0.7 * arm
    strokes = [(arm, 0.0), (0.0, arm)] if label == 1 else [(slant, slant), (slant, -slant)]
    for across, down in strokes:
        pen.line((x - across, y - down, x + across, y + down), fill=edge, width=max(1, sizes.line))
    return _extent((x - radius, y - radius, x + radius, y + radius))


def _draw_tags(
    pen: ImageDraw.ImageDraw,
    texts: Mapping[str, str],
    extents: Mapping[str, Rectangle],
    covered: NDArray[np.bool_],
    sizes: _Sizes,
) -> None:
    """Draw each object's label on a plate of its colour; the largest objects, which have least room, choose first."""
    face, padding = font(sizes.type), max(2, sizes.type // 5)
    placed: list[Rectangle] = []
    for object_id in sorted(texts, key=lambda key: -_area(extents[key])):
        colour = palette(object_id)
        text = fitted(texts[object_id], face, covered.shape[1] - 2 * padding)
        ascent, descent = face.getmetrics()
        size = (round(face.getlength(text)) + 2 * padding, ascent + descent + padding)
        plate = _place(size, extents[object_id], placed, covered)
        placed.append(plate)
        _draw_leader(pen, plate, extents[object_id], colour, sizes.line)
        pen.rectangle((plate[0], plate[1], plate[2] - 1, plate[3] - 1), fill=colour, outline=text_on(colour))
        pen.text((plate[0] + padding, plate[1] + padding // 2), text, font=face, fill=text_on(colour))


def _place(
    size: tuple[int, int], extent: Rectangle, placed: Sequence[Rectangle], covered: NDArray[np.bool_]
) -> Rectangle:
    """Where a label goes: beside its object, on nobody's label, and on as little of any mask as can be."""
    (wide, high), (x0, y0, x1, y1) = size, extent
    height, width = covered.shape
    above, below, left, right = y0 - high - 2, y1 + 2, x0 - wide - 2, x1 + 2
    centre_x, centre_y = (x0 + x1 - wide) // 2, (y0 + y1 - high) // 2
    wishes = [(x, y) for y in (above, below) for x in (x0, x1 - wide, centre_x)]
    wishes += [(x, y) for x in (right, left) for y in (y0, y1 - high, centre_y)]
    rows, columns = range(0, max(1, height - high), max(1, high)), range(0, max(1, width - wide), max(1, wide // 2))
    best, least = (0, 0, wide, high), float("inf")
    for rank, (x, y) in enumerate([*wishes, *((x, y) for y in rows for x in columns)]):
        if rank == len(wishes) and least < _GOOD_PLACE:
            break
        corner_x, corner_y = min(max(0, x), max(0, width - wide)), min(max(0, y), max(0, height - high))
        plate = (corner_x, corner_y, corner_x + wide, corner_y + high)
        distance = math.hypot(corner_x - centre_x, corner_y - centre_y) / min(height, width)
        away = rank * 0.01 if rank < len(wishes) else 0.4 + 2 * distance
        clashes = sum(_shared(plate, other) for other in placed)
        hidden = np.count_nonzero(covered[plate[1] : plate[3], plate[0] : plate[2]])
        cost = away + (20 * clashes + 1.2 * hidden) / (wide * high)
        if cost < least:
            best, least = plate, cost
    return best


def _draw_leader(pen: ImageDraw.ImageDraw, plate: Rectangle, extent: Rectangle, colour: Colour, line: int) -> None:
    """Tie a label that found no room beside its object to it."""
    grown = (plate[0] - 8, plate[1] - 8, plate[2] + 8, plate[3] + 8)
    if _shared(grown, extent):
        return
    ends = (
        (plate[0] + plate[2]) / 2,
        (plate[1] + plate[3]) / 2,
        (extent[0] + extent[2]) / 2,
        (extent[1] + extent[3]) / 2,
    )
    pen.line(ends, fill=BLACK if text_on(colour) == BLACK else WHITE, width=line + 2)
    pen.line(ends, fill=colour, width=line)


def _bounds(mask: NDArray[np.bool_]) -> Rectangle:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _extent(box: Sequence[float]) -> Rectangle:
    x0, y0, x1, y1 = box
    return round(x0), round(y0), round(x1), round(y1)


def _area(box: Rectangle) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def _shared(a: Rectangle, b: Rectangle) -> int:
    return max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))
