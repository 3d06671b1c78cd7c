"""Boxes and polygons as masks.

A box covers the pixels whose centres are in it, so a box on whole pixels is exact; one that is thinner than a pixel
covers the pixel it lies in. Polygons are filled by COCO's own routine, which CVAT's and Label Studio's converters use
as well: CVAT and Label Studio define no raster of their own.
"""

import math
from collections.abc import Sequence
from typing import Final

from sama_video.data.findings import Place
from sama_video.data.mask_entries import read_mask
from sama_video.regions.rle import Rle, as_rle

MAX_COORDINATE: Final = 2**15


def box_mask(edges: Sequence[object], size: tuple[int, int], place: Place) -> Rle | None:
    """The filled box `x0, y0, x1, y1`; None where no part of it is in the picture.

    Args:
        edges: Pixels of the picture, half open; may reach beyond it.
        size: Of the picture.
        place: Names the box in a fault.

    Raises:
        FaultError: `bad_box`: no four numbers, or no area.
    """
    x0, y0, x1, y1 = checked_box(edges, place)
    height, width = size
    left, right = _covered(x0, x1, width)
    top, bottom = _covered(y0, y1, height)
    if left >= right or top >= bottom:
        return None
    runs = [left * height + top, bottom - top]
    for _ in range(right - left - 1):
        runs += [height - (bottom - top), bottom - top]
    runs.append(height * width - sum(runs))
    return as_rle({"size": [height, width], "counts": runs})


def checked_box(edges: Sequence[object], place: Place) -> tuple[float, float, float, float]:
    """Four finite numbers with x0 < x1 and y0 < y1.

    Raises:
        FaultError: `bad_box`.
    """
    if len(edges) != 4:
        raise place.fault("bad_box", f"a box has {len(edges)} numbers; it should have four")
    x0, y0, x1, y1 = (checked_pixels(edge, place) for edge in edges)
    if not (x0 < x1 and y0 < y1):
        raise place.fault("bad_box", f"the box [{x0:g}, {y0:g}, {x1:g}, {y1:g}] has no area")
    return x0, y0, x1, y1


def checked_pixels(value: object, place: Place) -> float:
    """A coordinate or length in pixels, of a size that pictures have.

    Raises:
        FaultError: `bad_box`.
    """
    # Not a number compares false with everything.
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= MAX_COORDINATE:
        raise place.fault("bad_box", f"a box has {str(value)[:20]!r} where pixels should be")
    return float(value)


def turned_box_mask(
    edges: Sequence[object], degrees: float, pivot: tuple[float, float], size: tuple[int, int], place: Place
) -> Rle | None:
    """A box turned clockwise about a point, filled as the polygon of its corners.

    Raises:
        FaultError: `bad_box`.
    """
    if degrees % 360 == 0:
        return box_mask(edges, size, place)
    x0, y0, x1, y1 = checked_box(edges, place)
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    corners: list[float] = []
    for x, y in ((x0, y0), (x1, y0), (x1, y1), (x0, y1)):
        dx, dy = x - pivot[0], y - pivot[1]
        corners += [pivot[0] + dx * cos - dy * sin, pivot[1] + dx * sin + dy * cos]
    return polygon_mask(corners, size, place)


def polygon_mask(numbers: Sequence[object], size: tuple[int, int], place: Place) -> Rle | None:
    """The filled polygon `x, y, x, y, ...`, as COCO fills it.

    Raises:
        FaultError: `bad_rle`: fewer than three points, or coordinates that are none.
    """
    return read_mask([list(numbers)], place, size=size)


def _covered(start: float, end: float, side: int) -> tuple[int, int]:
    """First pixel and the pixel after the last of those between two edges, within the picture."""
    first, last = math.ceil(start - 0.5), math.ceil(end - 0.5)
    if first == last:
        first, last = math.floor(start), math.floor(start) + 1
    return max(first, 0), min(last, side)
