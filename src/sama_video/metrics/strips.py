"""Run lengths of many masks as strips of single columns: what is drawn when masks become bits."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from sama_video.metrics.tracks import Size
from sama_video.regions.rle import Rle, unpack


@dataclass(frozen=True, eq=False)
class Strips:
    """Filled pixels of many masks, of those that have a contour: rows [top, bottom) of one column each, by mask.

    Attributes:
        areas: Of all masks, those without a contour too.
    """

    masks: Int[np.ndarray, " strips"]
    columns: Int[np.ndarray, " strips"]
    tops: Int[np.ndarray, " strips"]
    bottoms: Int[np.ndarray, " strips"]
    areas: Int[np.ndarray, " masks"]


def cut_strips(rles: Sequence[Rle], size: Size) -> Strips:
    """Cut the runs of all masks, which go down one column and on at the top of the next, at the ends of columns."""
    height, width = size
    runs, counts = unpack(rles)
    first = np.cumsum(counts) - counts
    ends = np.cumsum(runs)  # every mask fills a picture, so this counts on from mask to mask by whole pictures
    filled = ((np.arange(runs.size) - np.repeat(first, counts)) % 2 == 1) & (runs > 0)
    areas = np.add.reduceat(np.where(filled, runs, 0), first) if rles else counts
    filled &= np.repeat(areas < height * width, counts)
    starts, last = (ends - runs)[filled], ends[filled] - 1
    columns, last_columns = starts // height, last // height
    tops, bottoms = starts - columns * height, last - last_columns * height + 1
    if not np.array_equal(columns, last_columns):
        pieces = last_columns - columns + 1
        of = np.repeat(np.arange(pieces.size), pieces)
        step = np.arange(of.size) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        columns = columns[of] + step
        tops = np.where(step == 0, tops[of], 0)
        bottoms = np.where(step == pieces[of] - 1, bottoms[of], height)
    masks = columns // width
    return Strips(masks, columns - masks * width, tops, bottoms, areas)
