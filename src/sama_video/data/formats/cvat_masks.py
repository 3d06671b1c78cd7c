"""CVAT's run lengths: of the mask's bounding box alone, along its rows, background first."""

import re
from typing import Final

import numpy as np

from sama_video.data.findings import Place
from sama_video.regions.rle import Rle, area, box_of, decode, encode

_RUNS: Final = re.compile(r"\s*[0-9]{1,9}\s*(,\s*[0-9]{1,9}\s*)*")


def read_cvat_mask(runs: str, box: tuple[int, int, int, int], size: tuple[int, int], place: Place) -> Rle | None:
    """The mask in the picture; None for an empty one.

    Args:
        runs: The attribute `rle`: numbers and commas.
        box: The attributes left, top, width and height, in pixels.
        size: Of the picture.
        place: Names the mask in a fault.

    Raises:
        FaultError: `bad_rle`, or `mask_size_mismatch` for a box that reaches beyond the picture.
    """
    left, top, width, height = box
    if width < 1 or height < 1 or left < 0 or top < 0 or left + width > size[1] or top + height > size[0]:
        raise place.fault("mask_size_mismatch", f"the mask's box {list(box)} is not inside {size[0]}x{size[1]}")
    if len(runs) > 12 * (width * height + 1) or _RUNS.fullmatch(runs) is None:
        raise place.fault("bad_rle", "the run lengths are no whole numbers parted by commas")
    counts = np.array([int(run) for run in runs.split(",")], dtype=np.int64)
    if counts.sum() != width * height:
        raise place.fault("bad_rle", f"run lengths cover {int(counts.sum())} pixels of {width}x{height}")
    mask = np.zeros(size, np.bool_)
    filled = np.arange(counts.size) % 2 == 1
    mask[top : top + height, left : left + width] = np.repeat(filled, counts).reshape(height, width)
    rle = encode(mask)
    return rle if area(rle) else None


def write_cvat_mask(rle: Rle) -> dict[str, str]:
    """The attributes of a mask that is not empty."""
    edges = box_of(rle)
    assert edges is not None, "not empty"
    x0, y0, x1, y1 = edges
    inside = decode(rle)[y0:y1, x0:x1].ravel()
    ends = np.append(np.flatnonzero(inside[1:] != inside[:-1]) + 1, inside.size)
    counts = np.diff(ends, prepend=0).tolist()
    runs = [0, *counts] if inside[0] else counts
    return {
        "rle": ", ".join(map(str, runs)),
        "left": str(x0),
        "top": str(y0),
        "width": str(x1 - x0),
        "height": str(y1 - y0),
    }
