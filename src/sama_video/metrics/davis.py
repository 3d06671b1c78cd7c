"""DAVIS: J and F of sequences summed up, for objects that were given and for proposals that must be matched first."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, Int

from sama_video.errors import DataError, MissingExtraError
from sama_video.metrics.boundary import BOUND, FrameScores, jf_series, jf_table
from sama_video.metrics.tracks import Mode, Size, Track, num_frames

MAX_PROPOSALS: Final = 20
"""Proposals that the unsupervised protocol allows for a sequence."""

_GOOD: Final = 0.5


@dataclass(frozen=True)
class SeriesStatistics:
    """One measure of one object over its frames.

    Attributes:
        mean: Mean over the frames that have a value.
        recall: Share of all frames above 0.5.
        decay: Mean of the first quarter less mean of the last; NaN where a quarter has no value.
    """

    mean: float
    recall: float
    decay: float


@dataclass(frozen=True)
class ObjectScores:
    """Both measures of one object."""

    j: SeriesStatistics
    f: SeriesStatistics


@dataclass(frozen=True)
class DavisTotals:
    """Means over objects, those of all sequences pooled."""

    jf_mean: float
    j: SeriesStatistics
    f: SeriesStatistics


@dataclass(frozen=True, eq=False)
class MatchedProposals:
    """Proposals with the objects they were matched to.

    Attributes:
        proposals: Matched proposals, ascending; those past the given ones stand for empty masks.
        objects: The true object of each.
        frames: J and F of each pair, in that order.
    """

    proposals: tuple[int, ...]
    objects: tuple[int, ...]
    frames: FrameScores


def series_statistics(values: Float[np.ndarray, " frames"], mode: Mode) -> SeriesStatistics:
    """Mean, recall and decay of one object's series.

    The published code keeps the cut points between the quarters in eight bits, so beyond 256 frames they wrap and the
    decay is NaN or that of other frames (Q21): `reference` does the same.
    """
    if values.size == 0:
        raise DataError("a series of no frames has no mean; give one value a frame.")
    cuts = _cut_points(values.size)
    if mode == "reference":
        cuts = cuts % 256
    first, last = (values[cuts[at] : cuts[at + 1] + 1] for at in (0, 3))
    return SeriesStatistics(_known_mean(values), float(np.mean(values > _GOOD)), _known_mean(first) - _known_mean(last))


def object_scores(frames: FrameScores, mode: Mode) -> tuple[ObjectScores, ...]:
    """Statistics of each object of a sequence, from its series `[object, frame]`."""
    return tuple(
        ObjectScores(series_statistics(j, mode), series_statistics(f, mode))
        for j, f in zip(frames.j, frames.f, strict=True)
    )


def semi_supervised(
    true: Sequence[Track], predicted: Sequence[Track], size: Size, mode: Mode, *, bound: float | int = BOUND
) -> tuple[ObjectScores, ...]:
    """Scores of objects whose first masks were given, so the first and the last frame are left out."""
    if len(true) != len(predicted):
        raise DataError(f"{len(predicted)} predicted objects for {len(true)} true ones; give a track for each.")
    if num_frames([*true, *predicted], size) < 3:
        raise DataError("a sequence without its first and last frame is empty; give at least three frames.")
    series = [jf_series(a[1:-1], b[1:-1], size, bound=bound) for a, b in zip(true, predicted, strict=True)]
    return object_scores(FrameScores(np.stack([one.j for one in series]), np.stack([one.f for one in series])), mode)


def unsupervised(
    true: Sequence[Track],
    proposals: Sequence[Track],
    size: Size,
    *,
    void: Track | None = None,
    bound: float | int = BOUND,
) -> MatchedProposals:
    """Match proposals to objects so that the mean of J and F is best; objects left over are met by empty masks.

    All frames count; `void` are pixels that nobody is judged on. Statistics follow by `object_scores`.

    Raises:
        DataError: More than 20 proposals, or tracks that do not belong together.
    """
    if len(proposals) > MAX_PROPOSALS:
        raise DataError(f"{len(proposals)} proposals, but the protocol allows {MAX_PROPOSALS}; give the best of them.")
    length = num_frames([*true, *proposals], size)
    empty: Track = [None] * length
    padded = [*proposals, *[empty] * (len(true) - len(proposals))]
    table = jf_table(true, padded, size, void=void, bound=bound)
    rows, columns = _best_pairs((table.j.mean(axis=-1) + table.f.mean(axis=-1)) / 2)
    return MatchedProposals(
        tuple(rows.tolist()), tuple(columns.tolist()), FrameScores(table.j[rows, columns], table.f[rows, columns])
    )


def davis_totals(objects: Sequence[ObjectScores]) -> DavisTotals:
    """Means over the objects of all sequences: an object counts once, however many share its sequence."""
    if not objects:
        raise DataError("no objects to average; give the scores of at least one sequence.")
    j, f = (_mean_statistics([getattr(one, measure) for one in objects]) for measure in ("j", "f"))
    return DavisTotals((j.mean + f.mean) / 2, j, f)


def _cut_points(length: int) -> Int[np.ndarray, "5"]:
    # A half is rounded up, not to even: that is what the tiny number is for.
    return (np.round(np.linspace(1, length, 5) + 1e-10) - 1).astype(np.int64)


def _known_mean(values: Float[np.ndarray, " frames"]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else math.nan


def _mean_statistics(series: Sequence[SeriesStatistics]) -> SeriesStatistics:
    mean, recall, decay = np.mean([(one.mean, one.recall, one.decay) for one in series], axis=0).tolist()
    return SeriesStatistics(mean, recall, decay)


def _best_pairs(
    scores: Float[np.ndarray, "proposals objects"],
) -> tuple[Int[np.ndarray, " pairs"], Int[np.ndarray, " pairs"]]:
    try:
        from scipy.optimize import linear_sum_assignment
    except ImportError:
        raise MissingExtraError("scipy", "bench") from None
    rows, columns = linear_sum_assignment(-scores)
    return rows, columns
