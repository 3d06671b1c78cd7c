import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from sama_video.errors import DataError
from sama_video.metrics.boundary import jf_series
from sama_video.metrics.expressions import (
    ExpressionScores,
    RevosScores,
    expression_scores,
    expression_totals,
    foreground_track,
    revos_scores,
    revos_totals,
)
from sama_video.regions import rle

SIZE = (6, 8)


def encoded(frames: np.ndarray) -> list[rle.Rle | None]:
    return [rle.encode(mask) if mask.any() else None for mask in frames]


def by_bytes(instances: np.ndarray, predicted: np.ndarray, foreground: np.ndarray, value: int) -> tuple[float, float]:
    """A and R with 8-bit pictures, as a reader of PNG files would calculate them."""
    true = instances.astype(np.uint8).sum(axis=0, dtype=np.uint8)
    stored = predicted.astype(np.uint8) * np.uint8(value)
    equal = [(a == b).mean() for a, b in zip(true, stored, strict=True)]
    false = ((np.uint8(1) - true) * stored).sum(axis=(1, 2), dtype=np.uint64)
    kept = [max(1 - int(cost) / (mask.sum() + 1e-6), 0) for cost, mask in zip(false, foreground, strict=True)]
    return float(np.mean(equal)), float(np.mean(kept))


clips = npst.arrays(np.bool_, st.tuples(st.integers(2, 5), st.integers(1, 3), st.just(6), st.just(8)))


@given(clips, st.sampled_from([1, 255]))
def test_reference_keeps_the_arithmetic_of_bytes(layers, value):
    instances, predicted = layers[:-1], layers[-1]
    foreground = encoded(instances.any(axis=0))
    tracks = [encoded(one) for one in instances]
    found = revos_scores(tracks, encoded(predicted), foreground, SIZE, "reference", png_value=value)
    expected = by_bytes(instances, predicted, instances.any(axis=0), value)
    assert (found.a, found.r) == pytest.approx(expected, abs=1e-12)


@given(clips)
def test_strict_compares_masks(layers):
    true, predicted = layers[:-1].any(axis=0), layers[-1]
    found = revos_scores([encoded(one) for one in layers[:-1]], encoded(predicted), encoded(true), SIZE, "strict")
    assert found.a == pytest.approx((true == predicted).mean())
    wrong, positive = (predicted & ~true).sum(axis=(1, 2)), true.sum(axis=(1, 2))
    expected = [max(1 - w / p, 0) if p else float(w == 0) for w, p in zip(wrong, positive, strict=True)]
    assert found.r == pytest.approx(np.mean(expected))
    frames = jf_series(encoded(true), encoded(predicted), SIZE)
    assert (found.j, found.f) == pytest.approx((frames.j.mean(), frames.f.mean()))


def test_instances_are_united():
    left, right = np.zeros((2, 1, *SIZE), dtype=bool)
    left[0, :3, :3], right[0, 2:, 2:] = True, True
    both = encoded(left | right)
    assert expression_scores([encoded(left), encoded(right)], both, SIZE) == ExpressionScores(1.0, 1.0)
    assert rle.iou(foreground_track([encoded(left), encoded(right)], SIZE)[0], both[0]) == 1
    assert expression_scores([encoded(left)], both, SIZE).j == pytest.approx(9 / (left | right).sum())


def test_video_without_predictions_scores_nothing():
    true = encoded(np.ones((2, *SIZE), dtype=bool))
    assert expression_scores([true], None, SIZE) == ExpressionScores(0.0, 0.0)
    assert revos_scores([true], None, true, SIZE, "strict") == RevosScores(0.0, 0.0, 0.0, 0.0)
    with pytest.raises(DataError, match="2 and 3 frames"):
        expression_scores([true], [*true, None], SIZE)
    with pytest.raises(DataError, match="255 or 1"):
        revos_scores([true], true, true, SIZE, "reference", png_value=2)


def test_totals_are_rounded_in_the_reference_alone():
    scores = [ExpressionScores(1 / 3, 2 / 3), ExpressionScores(0.0, 0.0)]
    rounded, plain = (expression_totals(scores, mode) for mode in ("reference", "strict"))
    assert (rounded.j, rounded.f, rounded.jf) == pytest.approx((0.1667, 0.3333, 0.25), abs=1e-12)
    assert (plain.j, plain.f, plain.jf) == pytest.approx((1 / 6, 1 / 3, 1 / 4))
    with pytest.raises(DataError, match="no expressions"):
        expression_totals([], "strict")


def test_revos_weighs_both_types_alike_and_leaves_out_the_third():
    scores = [RevosScores(j, j, j, j) for j in (1 / 3, 0.5, 0.5, 0.9)]
    totals = revos_totals(scores, [0, 1, 1, 2], "strict")
    assert (totals.referring.j, totals.reasoning.j) == (pytest.approx(1 / 3), 0.5)
    assert totals.overall.r == pytest.approx((1 / 3 + 0.5) / 2)
    assert revos_totals(scores, [0, 1, 1, 2], "reference").referring.a == pytest.approx(0.3333, abs=1e-12)
    assert math.isnan(revos_totals(scores[:1], [0], "strict").overall.j)
    with pytest.raises(DataError, match="4 ReVOS scores and 1 types"):
        revos_totals(scores, [0], "strict")
