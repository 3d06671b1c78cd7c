"""Expression by expression: J and F as MeViS, Ref-DAVIS17 and Ref-SAV count them, and ReVOS with A and R.

Each expression is a sample of its own; its reference mask is whatever any of its instances covers. All figures are
fractions; where a script rounds percentages to two decimals, `reference` rounds alike.
"""

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
from jaxtyping import Float, Int

from sama_video.errors import DataError
from sama_video.metrics.boundary import BOUND, jf_series
from sama_video.metrics.tracks import Mode, Size, Track, num_frames, united
from sama_video.regions.rle import Rle, area, filled_runs


@dataclass(frozen=True)
class ExpressionScores:
    """Means over the frames of one expression, or over expressions."""

    j: float
    f: float


@dataclass(frozen=True)
class ExpressionTotals(ExpressionScores):
    """Means over expressions, and the mean of both."""

    jf: float


@dataclass(frozen=True)
class RevosScores(ExpressionScores):
    """ReVOS: also how much of the picture is right, and how little is marked that should not be.

    Attributes:
        a: Share of pixels that agree.
        r: One less the false foreground in relation to the video's foreground, at least 0.
    """

    a: float
    r: float


@dataclass(frozen=True)
class RevosTotals:
    """Means over the expressions of each type; `overall` gives both types the same weight. NaN for a type unseen."""

    referring: RevosScores
    reasoning: RevosScores
    overall: RevosScores


REFERRING, REASONING = 0, 1
"""`type_id` of the expressions that count; 2, for what is not there, is left out."""


def expression_scores(
    instances: Sequence[Track], predicted: Track | None, size: Size, *, bound: float | int = BOUND
) -> ExpressionScores:
    """J and F of one expression, over all frames; 0 for a video without predictions."""
    length = num_frames([*instances, *([] if predicted is None else [predicted])], size)
    if predicted is None:
        return ExpressionScores(0.0, 0.0)
    frames = jf_series(united(instances, length), predicted, size, bound=bound)
    return ExpressionScores(float(frames.j.mean()), float(frames.f.mean()))


def expression_totals(scores: Sequence[ExpressionScores], mode: Mode) -> ExpressionTotals:
    """Means over expressions; `reference` rounds each figure to 0.01 %, as the scripts print it."""
    if not scores:
        raise DataError("no expressions to average; give the scores of at least one.")
    j, f = np.mean([(one.j, one.f) for one in scores], axis=0).tolist()
    totals = (j, f, (j + f) / 2)
    return ExpressionTotals(*(map(_rounded, totals) if mode == "reference" else totals))


def foreground_track(annotations: Sequence[Track], size: Size) -> tuple[Rle | None, ...]:
    """A video's foreground as ReVOS means it: all annotations that any of its expressions uses, united."""
    return united(annotations, num_frames(annotations, size))


def revos_scores(
    instances: Sequence[Track],
    predicted: Track | None,
    foreground: Track,
    size: Size,
    mode: Mode,
    *,
    png_value: int = 255,
    bound: float | int = BOUND,
) -> RevosScores:
    """J, F, A and R of one ReVOS expression; all 0 for a video without predictions.

    Args:
        instances: The expression's annotations, one track each.
        foreground: The video's foreground, see `foreground_track`.
        mode: `reference` calculates A and R with the bytes of the files (Q24): a pixel's true value is the number of
            instances there, its predicted value is `png_value`, and both wrap at 256. `strict` compares masks.
        png_value: What predicted foreground is in the files: 255, as the published scripts write it, or 1.
    """
    num_frames([*instances, foreground, *([] if predicted is None else [predicted])], size)
    if png_value not in (1, 255):
        raise DataError(f"foreground stored as {png_value}; published files hold 255 or 1.")
    if predicted is None:
        return RevosScores(0.0, 0.0, 0.0, 0.0)
    scores = expression_scores(instances, predicted, size, bound=bound)
    positive = np.array([0 if rle is None else area(rle) for rle in foreground], dtype=np.int64)
    a, r = _agreement(_counts_of_instances(instances, predicted, size), positive, mode, png_value).mean(axis=1).tolist()
    return RevosScores(scores.j, scores.f, a, r)


def revos_totals(scores: Sequence[RevosScores], types: Sequence[int], mode: Mode) -> RevosTotals:
    """Means over referring and over reasoning expressions; `reference` rounds each expression to 0.01 % first."""
    if len(scores) != len(types) or not scores:
        raise DataError(f"{len(scores)} ReVOS scores and {len(types)} types; give a type for each, at least one.")
    referring, reasoning = (
        _revos_mean([one for one, kind in zip(scores, types, strict=True) if kind == wanted], mode)
        for wanted in (REFERRING, REASONING)
    )
    halves = zip(astuple(referring), astuple(reasoning), strict=True)
    return RevosTotals(referring, reasoning, RevosScores(*((one + other) / 2 for one, other in halves)))


def _revos_mean(scores: Sequence[RevosScores], mode: Mode) -> RevosScores:
    if not scores:
        return RevosScores(math.nan, math.nan, math.nan, math.nan)
    values = [[_rounded(value) if mode == "reference" else value for value in astuple(one)] for one in scores]
    return RevosScores(*np.mean(values, axis=0).tolist())


def _agreement(
    counted: Int[np.ndarray, "frames 2 counts"], positive: Int[np.ndarray, " frames"], mode: Mode, png_value: int
) -> Float[np.ndarray, "2 frames"]:
    """A and R of each frame, from its pixels by prediction and number of instances, and from its foreground."""
    unmarked, marked = counted[:, 0], counted[:, 1]
    if mode == "strict":
        equal = unmarked[:, 0] + marked[:, 1:].sum(axis=1)
        share = np.where(positive > 0, marked[:, 0] / np.maximum(positive, 1), marked[:, 0] > 0)
    else:
        values = np.arange(counted.shape[2]) % 256
        equal = unmarked[:, values == 0].sum(axis=1) + marked[:, values == png_value].sum(axis=1)
        share = marked @ ((1 - values) % 256 * png_value % 256) / (positive + 1e-6)
    return np.stack([equal / counted.sum(axis=(1, 2)), np.maximum(1 - share, 0)])


def _counts_of_instances(
    instances: Sequence[Track], predicted: Track, size: Size
) -> Int[np.ndarray, "frames 2 counts"]:
    """How many pixels of each frame lie in so many instances, from 0 up: those not predicted, and those predicted."""
    pixels, length, num_counts = size[0] * size[1], len(predicted), len(instances) + 1
    # Frames end to end are one line along which instances begin and end; predicted stretches count on from num_counts.
    places, steps = [np.arange(length) * pixels], [np.zeros(length, dtype=np.int64)]
    for track, step in [*((track, 1) for track in instances), (predicted, num_counts)]:
        for borders, sign in zip(filled_runs(track, pixels), (step, -step), strict=True):
            places.append(borders)
            steps.append(np.full(borders.size, sign, dtype=np.int64))
    borders = np.concatenate(places)
    order = np.argsort(borders, kind="stable")
    heights, lengths = np.cumsum(np.concatenate(steps)[order]), np.diff(borders[order], append=length * pixels)
    cells = borders[order] // pixels * (2 * num_counts) + heights
    inside = lengths > 0  # where several borders meet, the line is between them only in name
    counted = np.bincount(cells[inside], weights=lengths[inside], minlength=length * 2 * num_counts)
    return counted.astype(np.int64).reshape(length, 2, num_counts)


def _rounded(value: float) -> float:
    return round(100 * value, 2) / 100
