"""Which frames to take: pure functions from lengths to indices, no pixels."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np


def sparse_indices(num_frames: int, *, interval: int = 3, max_frames: int = 32, min_frames: int = 8) -> list[int]:
    """Pick the frames the language side sees, sorted and without repeats.

    Every `interval`-th frame; thinned evenly when that is more than `max_frames`, filled from an even spread over the
    clip when it is fewer than `min_frames`. The fill may hit frames already taken, so a short clip can give fewer than
    `min_frames` even though it has more; published checkpoints were trained that way.

    >>> sparse_indices(10)
    [0, 2, 3, 4, 6, 8, 9]
    >>> sparse_indices(0)
    []
    """
    taken = list(range(0, num_frames, interval))
    if len(taken) > max_frames:
        step = len(taken) / max_frames
        taken = [taken[int(i * step)] for i in range(max_frames)]
    missing = min_frames - len(taken)
    if missing > 0 and num_frames > 0:
        gap = num_frames / (missing + 1)
        taken += [int((i + 1) * gap) for i in range(missing)]
    return sorted(set(taken))


def training_dense_positions(num_sparse: int, num_dense: int = 5) -> list[int]:
    """Spread dense positions over the sparse list exactly as the published training code does.

    Each position is the middle of one of `num_dense` even spans. Lists shorter than `num_dense + 1` give repeats and
    even -1, which indexes the last frame; `spread_dense_positions` mends that.

    >>> training_dense_positions(32)
    [2, 8, 14, 20, 27]
    >>> training_dense_positions(3)
    [-1, -1, 0, 0, 1]
    """
    edges = [int(edge) for edge in np.linspace(0, num_sparse - 1, num_dense + 1)]
    return [(left + right - 1) // 2 for left, right in pairwise(edges)]


def spread_dense_positions(num_sparse: int, num_dense: int = 5) -> list[int]:
    """Spread dense positions over the sparse list: sorted, no repeats, none negative.

    The same as `training_dense_positions` wherever that is well formed; a list of at most `num_dense` is taken whole.

    >>> spread_dense_positions(32)
    [2, 8, 14, 20, 27]
    >>> spread_dense_positions(3)
    [0, 1, 2]
    """
    if num_sparse <= num_dense:
        return list(range(num_sparse))
    positions = {max(0, position) for position in training_dense_positions(num_sparse, num_dense)}
    spare = (position for position in range(num_sparse) if position not in positions)
    while len(positions) < num_dense:
        positions.add(next(spare))
    return sorted(positions)


def uniform_indices(num_frames: int, count: int) -> list[int]:
    """Pick `count` frames evenly from the first to the last; fewer when the clip is shorter.

    >>> uniform_indices(10, 4)
    [0, 3, 6, 9]
    >>> uniform_indices(2, 5)
    [0, 1]
    """
    if num_frames <= 0 or count <= 0:
        return []
    return sorted({int(index) for index in np.linspace(0, num_frames - 1, count)})


def window_slices(length: int, size: int, stride: int) -> Iterator[slice]:
    """Cut `length` items into windows of `size` that begin every `stride`; the last may be shorter.

    Stops at the first window that reaches the end, so no window lies wholly inside the one before.

    >>> list(window_slices(5, size=2, stride=2))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    for start in range(0, length, stride):
        stop = min(start + size, length)
        yield slice(start, stop)
        if stop == length:
            return


def tile_grid(width: int, height: int, *, tile: int = 448, max_tiles: int = 12) -> tuple[int, int]:
    """Choose into how many (columns, rows) of square tiles a single image is cut.

    The grid of at most `max_tiles` whose shape is closest to the image's. Among equal shapes the larger one wins
    when the image covers more than half of its pixels.

    >>> tile_grid(1280, 720)
    (4, 2)
    """
    grids = [(i, j) for i in range(1, max_tiles + 1) for j in range(1, max_tiles + 1) if i * j <= max_tiles]
    best, closest = (1, 1), float("inf")
    for columns, rows in sorted(grids, key=lambda grid: grid[0] * grid[1]):
        distance = abs(width / height - columns / rows)
        covers_half = width * height > 0.5 * tile * tile * columns * rows
        if distance < closest or (distance == closest and covers_half):
            best, closest = (columns, rows), distance
    return best
