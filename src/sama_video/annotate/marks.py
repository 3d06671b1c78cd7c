"""Marks on one picture: an outline, box or tint for each object, and its number where it covers nothing.

Outlines run outside their objects, numbers keep off every object or stand in a margin beside the picture. The
thirteen colours that the colour-blind tell apart are used again beyond the thirteenth object, in dashes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, UInt8
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from sama_video.regions.ink import WHITE, Colour, font, palette, text_on

SAFE_COLOURS: Final = 13
"""How many colours of the palette keep apart under every common colour blindness."""

_STEP: Final = 3  # pixels between the places that are tried for a number
_NEAR: Final = 2.5  # plates between an object and its number, beyond which the margin is clearer
_SAMPLED: Final = 48  # outline points that stand for an object when distances are taken

Rectangle = tuple[int, int, int, int]
Mask = Bool[np.ndarray, "height width"]
Picture = UInt8[np.ndarray, "height width 3"]


@dataclass(frozen=True)
class Mark:
    """What tells one object from the others.

    Attributes:
        number: The N of `objN`, shown on the picture.
        dashes: 0 for a solid line; above, how often the colours have been used before.
    """

    number: int
    colour: Colour
    dashes: int

    @property
    def name(self) -> str:
        """Such as `#e69f00`, or `#e69f00 dashed 1`."""
        shown = "#" + "".join(f"{channel:02x}" for channel in self.colour)
        return shown if not self.dashes else f"{shown} dashed {self.dashes}"


def mark_of(object_id: str) -> Mark:
    """The mark of an object, the same in every picture.

    >>> mark_of("obj1").name, mark_of("obj14").name
    ('#e69f00', '#e69f00 dashed 1')
    """
    number = int(object_id.removeprefix("obj"))
    dashes, place = divmod(number - 1, SAFE_COLOURS)
    return Mark(number, palette(f"obj{place + 1}"), dashes)


def paint_marks(
    picture: Picture, masks: Mapping[str, Mask], *, outline: int, box: int, fill: float | int
) -> NDArray[np.uint8]:
    """A copy of a picture with its objects marked, their numbers left out.

    Args:
        picture: At its final size.
        masks: Of the same size, by object id; an empty one is passed over.
        outline, box: Width of the line in pixels; 0 for none.
        fill: Share of an object's colour that covers it.
    """
    painted = picture.copy()
    shown = {object_id: mask for object_id, mask in masks.items() if mask.any()}
    taken = np.sum([mask.astype(np.uint8) for mask in shown.values()], axis=0, dtype=np.uint8) if shown else None
    for object_id, mask in shown.items():
        assert taken is not None
        mark = mark_of(object_id)
        if fill:
            tint = np.array(mark.colour, dtype=np.float32) * fill
            painted[mask] = (painted[mask] * np.float32(1 - fill) + tint + 0.5).astype(np.uint8)
        if outline:
            others = taken > mask
            # A thin rim of black or white keeps the line visible on a ground of its own colour.
            painted[_rings(mask, others, outline + 1) & ~others] = text_on(mark.colour)
            _paint_line(painted, _rings(mask, others, outline), mark)
    for object_id, mask in shown.items():
        if box:
            _paint_line(painted, _frame_of(bounds(mask), mask.shape, box), mark_of(object_id))
    return painted


def add_numbers(
    picture: Picture, masks: Mapping[str, Mask], size: int
) -> tuple[Image.Image, dict[str, Rectangle], tuple[int, int]]:
    """Put each object's number beside it, or in a margin where there is no room that covers nothing.

    Args:
        picture: With its marks.
        masks: By object id, of its size.
        size: Of the type in pixels.

    Returns:
        The picture, wider where margins were needed; the plate of each number on it; the width of the two margins.
    """
    shown = {object_id: mask for object_id, mask in masks.items() if mask.any()}
    covered = np.logical_or.reduce(list(shown.values())) if shown else np.zeros(picture.shape[:2], dtype=np.bool_)
    plates: dict[str, Rectangle] = {}
    for object_id in sorted(shown, key=lambda key: (-int(shown[key].sum()), key)):
        plate = _free_place(_plate_size(object_id, size), shown[object_id], covered)
        if plate is not None:
            plates[object_id] = plate
            covered[plate[1] : plate[3], plate[0] : plate[2]] = True
    outside = [object_id for object_id in shown if object_id not in plates]
    canvas, margins = _with_margins(picture, outside, shown, size)
    plates = {key: _moved(plate, margins[0]) for key, plate in plates.items()}
    plates |= _margin_plates(outside, shown, margins, canvas.size, size)
    pen = ImageDraw.Draw(canvas)
    for object_id, plate in plates.items():
        _draw_number(pen, object_id, plate, _nearest_edge(shown[object_id], plate, margins[0]), size)
    return canvas, plates, margins


def bounds(mask: Mask) -> Rectangle:
    """The half-open box around a mask that is not empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _rings(mask: NDArray[np.bool_], others: NDArray[np.bool_], width: int) -> NDArray[np.bool_]:
    """The pixels just outside a mask; on a neighbour's pixels only the innermost ring, to show where it ends."""
    inner = grown = _grown(mask)
    for _ in range(width - 1):
        grown = _grown(grown)
    ring: NDArray[np.bool_] = (grown & ~mask & ~others) | (inner & ~mask)
    return ring


def _grown(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    grown = mask.copy()
    grown[1:] |= mask[:-1]
    grown[:-1] |= mask[1:]
    grown[:, 1:] |= mask[:, :-1]
    grown[:, :-1] |= mask[:, 1:]
    return grown


def _frame_of(box: Rectangle, shape: tuple[int, ...], width: int) -> NDArray[np.bool_]:
    """The pixels of a box's line, outside of it."""
    line = np.zeros(shape[:2], dtype=np.bool_)
    x0, y0, x1, y1 = box
    line[max(0, y0 - width) : y1 + width, max(0, x0 - width) : x1 + width] = True
    line[y0:y1, x0:x1] = False
    return line


def _paint_line(picture: NDArray[np.uint8], line: NDArray[np.bool_], mark: Mark) -> None:
    """Colour a line; dashes alternate with black or white, whichever differs more."""
    picture[line] = mark.colour
    if mark.dashes:
        rows, columns = np.nonzero(line)
        period = max(3, 9 - 2 * mark.dashes)
        gaps = ((rows + columns) // period) % 2 == 1
        picture[rows[gaps], columns[gaps]] = text_on(mark.colour)


def _plate_size(object_id: str, size: int) -> tuple[int, int]:
    face = font(size)
    ascent, descent = face.getmetrics()
    return round(face.getlength(str(mark_of(object_id).number))) + size // 2, ascent + descent


def _free_place(size: tuple[int, int], mask: NDArray[np.bool_], covered: NDArray[np.bool_]) -> Rectangle | None:
    """The nearest plate that covers no object and no other plate; None if all are far away."""
    wide, high = size
    height, width = mask.shape
    reach = round(_NEAR * high)
    x0, y0, x1, y1 = bounds(mask)
    columns = np.arange(max(0, x0 - wide - reach), min(width - wide, x1 + reach) + 1, _STEP)
    rows = np.arange(max(0, y0 - high - reach), min(height - high, y1 + reach) + 1, _STEP)
    if not len(columns) or not len(rows):
        return None
    sums = np.pad(np.cumsum(np.cumsum(covered, axis=0, dtype=np.int32), axis=1), ((1, 0), (1, 0)))
    top, left = np.meshgrid(rows, columns, indexing="ij")
    hidden = sums[top + high, left + wide] - sums[top, left + wide] - sums[top + high, left] + sums[top, left]
    top, left = top[hidden == 0], left[hidden == 0]
    if not len(top):
        return None
    gaps = _gaps(mask, left, top, wide, high)
    best = int(gaps.argmin())
    if gaps[best] > reach:
        return None
    x, y = int(left[best]), int(top[best])
    return x, y, x + wide, y + high


def _gaps(
    mask: NDArray[np.bool_], left: NDArray[np.int64], top: NDArray[np.int64], wide: int, high: int
) -> NDArray[np.float64]:
    """Distance of each plate from the nearest of some points of the outline."""
    xs, ys = _outline_points(mask)
    across = np.maximum(np.maximum(left[:, None] - xs, xs - (left[:, None] + wide)), 0)
    down = np.maximum(np.maximum(top[:, None] - ys, ys - (top[:, None] + high)), 0)
    gaps: NDArray[np.float64] = np.sqrt(across**2 + down**2).min(axis=1)
    return gaps


def _outline_points(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    ys, xs = np.nonzero(mask & _grown(~mask))
    if not len(ys):
        ys, xs = np.nonzero(mask)
    chosen = np.linspace(0, len(ys) - 1, min(_SAMPLED, len(ys))).astype(np.int64)
    return xs[chosen], ys[chosen]


def _with_margins(
    picture: NDArray[np.uint8], outside: Sequence[str], masks: Mapping[str, NDArray[np.bool_]], size: int
) -> tuple[Image.Image, tuple[int, int]]:
    """The picture between white margins, as wide as the numbers that go there."""
    sides = [_on_left(masks[object_id]) for object_id in outside]
    widest = max((_plate_size(object_id, size)[0] for object_id in outside), default=0) + 8
    margins = (widest if any(sides) else 0, widest if not all(sides) else 0)
    canvas = Image.new("RGB", (picture.shape[1] + sum(margins), picture.shape[0]), WHITE)
    canvas.paste(Image.fromarray(picture), (margins[0], 0))
    return canvas, margins


def _on_left(mask: NDArray[np.bool_]) -> bool:
    x0, _, x1, _ = bounds(mask)
    return bool(x0 + x1 < mask.shape[1])


def _margin_plates(
    outside: Sequence[str],
    masks: Mapping[str, NDArray[np.bool_]],
    margins: tuple[int, int],
    canvas: tuple[int, int],
    size: int,
) -> dict[str, Rectangle]:
    """Plates in the margins, from top to bottom as their objects are, none on another."""
    plates: dict[str, Rectangle] = {}
    for is_left in (True, False):
        side = sorted(
            (key for key in outside if _on_left(masks[key]) == is_left), key=lambda key: sum(bounds(masks[key])[1::2])
        )
        below = canvas[1]
        tops: list[int] = []
        for key in reversed(side):
            wide, high = _plate_size(key, size)
            _, y0, _, y1 = bounds(masks[key])
            below = max(0, min((y0 + y1 - high) // 2, below - high - 2))
            tops.append(below)
        for key, top in zip(side, reversed(tops), strict=True):
            wide, high = _plate_size(key, size)
            x = 4 if is_left else canvas[0] - wide - 4
            top = max([top, *(p[3] + 2 for k, p in plates.items() if k in side)])
            plates[key] = (x, top, x + wide, top + high)
    return plates


def _moved(plate: Rectangle, right: int) -> Rectangle:
    return plate[0] + right, plate[1], plate[2] + right, plate[3]


def _nearest_edge(mask: NDArray[np.bool_], plate: Rectangle, margin: int) -> tuple[int, int]:
    """The point of an object's outline that is nearest to its plate."""
    xs, ys = _outline_points(mask)
    xs = xs + margin
    x, y = (plate[0] + plate[2]) / 2, (plate[1] + plate[3]) / 2
    best = int(((xs - x) ** 2 + (ys - y) ** 2).argmin())
    return int(xs[best]), int(ys[best])


def _draw_number(pen: ImageDraw.ImageDraw, object_id: str, plate: Rectangle, edge: tuple[int, int], size: int) -> None:
    mark = mark_of(object_id)
    ink = text_on(mark.colour)
    x, y = min(max(edge[0], plate[0]), plate[2] - 1), min(max(edge[1], plate[1]), plate[3] - 1)
    if abs(x - edge[0]) + abs(y - edge[1]) > 4:
        pen.line((x, y, *edge), fill=ink, width=2)
        pen.line((x, y, *edge), fill=mark.colour, width=1)
    pen.rectangle((plate[0], plate[1], plate[2] - 1, plate[3] - 1), fill=mark.colour, outline=ink)
    middle = ((plate[0] + plate[2]) / 2, (plate[1] + plate[3]) / 2)
    pen.text(middle, str(mark.number), font=font(size), fill=ink, anchor="mm")
