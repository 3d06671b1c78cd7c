"""J and F of video object segmentation: how far masks overlap, and how far their contours run together.

J is the intersection over union of a frame, 1 where both masks are empty. F counts contour pixels of either mask that
have a contour pixel of the other within a tolerance: the harmonic mean of the shares found in both directions.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float

from sama_video.errors import DataError
from sama_video.metrics.contours import Contour, contours, shared
from sama_video.metrics.tracks import Size, Track, num_frames
from sama_video.regions.rle import Rle, difference

BOUND: Final = 0.008
"""Tolerance of F as a share of the picture's diagonal."""

_BLOCK_BYTES: Final = 2**28
"""Contours in memory at once, were every mask as large as its picture: they are worked out by blocks of frames."""


@dataclass(frozen=True, eq=False)
class FrameScores:
    """J and F, frame by frame."""

    j: Float[np.ndarray, "*tracks frames"]
    f: Float[np.ndarray, "*tracks frames"]


def jf_series(
    true: Track, predicted: Track, size: Size, *, void: Track | None = None, bound: float | int = BOUND
) -> FrameScores:
    """J and F of one object on each frame.

    Args:
        true: Reference masks, one entry a frame.
        predicted: Masks of the same frames.
        size: Height and width of all masks.
        void: Pixels that count on neither side.
        bound: Tolerance of F, as a share of the diagonal; from 1 on, in pixels.

    Raises:
        DataError: No frames, tracks of unlike lengths, or a mask of another size.
    """
    table = jf_table([true], [predicted], size, void=void, bound=bound)
    return FrameScores(table.j[0, 0], table.f[0, 0])


def jf_table(
    true: Sequence[Track],
    predicted: Sequence[Track],
    size: Size,
    *,
    void: Track | None = None,
    bound: float | int = BOUND,
) -> FrameScores:
    """J and F of every predicted object against every true one, `[predicted, true, frame]`.

    Each mask's contour is worked out once, so matching many proposals costs little more than their number.
    """
    length = num_frames([*true, *predicted, *([] if void is None else [void])], size)
    radius = tolerance(size, bound)
    scores: Float[np.ndarray, "2 predicted true frames"] = np.empty((2, len(predicted), len(true), length))
    frame_bytes = (len(predicted) + len(true)) * size[0] * size[1] * 3 // 8
    frames = max(1, min(64, _BLOCK_BYTES // max(frame_bytes, 1)))
    for begin in range(0, length, frames):
        block = slice(begin, begin + frames)
        rows, columns = ([_without(track[block], void and void[block]) for track in side] for side in (predicted, true))
        scores[..., block] = _table(rows, columns, size, radius)
    return FrameScores(*scores)


def tolerance(size: Size, bound: float | int = BOUND) -> int:
    """Pixels within which contours count as met: a share of the diagonal rounded up, or `bound` itself from 1 on.

    >>> tolerance((480, 854))
    8
    """
    if not bound > 0 or (bound >= 1 and bound != int(bound)):
        raise DataError(f"tolerance {bound} of F; give a share of the diagonal between 0 and 1, or whole pixels.")
    return int(bound) if bound >= 1 else math.ceil(bound * math.sqrt(size[0] ** 2 + size[1] ** 2))


def _without(masks: Track, void: Track | None) -> Track:
    if void is None:
        return masks
    return [
        rle if rle is None or ignored is None else difference(rle, ignored)
        for rle, ignored in zip(masks, void, strict=True)
    ]


def _table(rows: Sequence[Track], columns: Sequence[Track], size: Size, radius: int) -> np.ndarray:
    row_contours = [_contours(row, columns, size, radius) for row in rows]
    column_contours = [_contours(column, rows, size, radius) for column in columns]
    cells = [
        [
            [_scores(*pair, size) for pair in zip(row, column, of_row, of_column, strict=True)]
            for column, of_column in zip(columns, column_contours, strict=True)
        ]
        for row, of_row in zip(rows, row_contours, strict=True)
    ]
    return np.moveaxis(np.array(cells, dtype=np.float64), -1, 0)


def _contours(track: Track, others: Sequence[Track], size: Size, radius: int) -> list[Contour]:
    """Contours of a track's masks, but none where every other track has the very same mask."""
    wanted = [
        rle if any(rle != other[idx] for other in others) else None  # equal masks need no contour to agree
        for idx, rle in enumerate(track)
    ]
    return contours(wanted, size, radius)


def _scores(a: Rle | None, b: Rle | None, of_a: Contour, of_b: Contour, size: Size) -> tuple[float, float]:
    """J and F of two masks."""
    if a == b:
        return 1.0, 1.0
    if of_a.length == 0 or of_b.length == 0:
        # One of them is empty or fills the picture: all of the smaller one is shared, and there are no two contours.
        inside, together = sorted((of_a.area, of_b.area))
        inside = inside if together == size[0] * size[1] else 0
        return (inside / together if together else 1.0), float(of_a.length == of_b.length)
    edges_of_a, inside, edges_of_b = shared(of_a, of_b)
    precision, recall = edges_of_a / of_a.length, edges_of_b / of_b.length
    f = 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0
    return inside / (of_a.area + of_b.area - inside), f
