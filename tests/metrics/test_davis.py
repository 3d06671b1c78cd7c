import math
import sys

import numpy as np
import pytest

from sama_video.errors import DataError, MissingExtraError
from sama_video.metrics.boundary import FrameScores, jf_series
from sama_video.metrics.davis import (
    ObjectScores,
    davis_totals,
    object_scores,
    semi_supervised,
    series_statistics,
    unsupervised,
)
from sama_video.regions import rle

SIZE = (24, 32)


def square(x: int, side: int = 6) -> rle.Rle:
    mask = np.zeros(SIZE, dtype=bool)
    mask[4 : 4 + side, x : x + side] = True
    return rle.encode(mask)


def track(*columns: int | None) -> list[rle.Rle | None]:
    return [None if x is None else square(x) for x in columns]


def test_statistics_by_hand():
    values = np.array([1.0, 0.6, 0.5, 0.2, 0.0])
    found = series_statistics(values, "strict")
    assert (found.mean, found.recall, found.decay) == pytest.approx((0.46, 0.4, 0.8 - 0.1))
    assert series_statistics(values, "reference") == found


def test_frames_without_a_value_are_left_out_of_means_but_not_of_recall():
    found = series_statistics(np.array([math.nan, 1.0, 0.0, 1.0]), "reference")
    assert (found.mean, found.recall) == (pytest.approx(2 / 3), 0.5)
    assert math.isnan(series_statistics(np.full(3, math.nan), "reference").decay)
    with pytest.raises(DataError, match="no frames"):
        series_statistics(np.zeros(0), "strict")


def test_cut_points_wrap_in_the_reference_beyond_256_frames():
    falling = np.linspace(1, 0, 256)
    assert series_statistics(falling, "reference") == series_statistics(falling, "strict")
    falling = np.linspace(1, 0, 300)
    assert series_statistics(falling, "strict").decay == pytest.approx(0.75, abs=0.01)
    assert math.isnan(series_statistics(falling, "reference").decay)  # the last quarter is 224 to 299 - 256
    long = np.arange(1200.0)
    # Cut points 0, 300, 600, 899, 1199 become 0, 44, 88, 131, 175.
    assert series_statistics(long, "reference").decay == np.arange(45).mean() - np.arange(131, 176).mean()


def test_semi_supervised_leaves_out_the_given_frame_and_the_last():
    true, predicted = [track(1, 2, 3, 4, 5)], [track(20, 2, 3, 9, 20)]
    (found,) = semi_supervised(true, predicted, SIZE, "strict")
    inner = jf_series(true[0][1:-1], predicted[0][1:-1], SIZE)
    assert found == ObjectScores(series_statistics(inner.j, "strict"), series_statistics(inner.f, "strict"))
    assert found.j.mean == pytest.approx((1 + 1 + 6 / 66) / 3)
    with pytest.raises(DataError, match="at least three"):
        semi_supervised([track(1, 2)], [track(1, 2)], SIZE, "strict")
    with pytest.raises(DataError, match="2 predicted objects for 1"):
        semi_supervised(true, [*predicted, *predicted], SIZE, "strict")


def test_proposals_find_their_objects():
    true = [track(1, 2, 3), track(20, 20, 21)]
    found = unsupervised(true, [track(20, 20, 21), track(10, 10, 10), track(1, 2, 9)], SIZE)
    assert (found.proposals, found.objects) == ((0, 2), (1, 0))
    assert found.frames.j[0].tolist() == [1, 1, 1]
    assert found.frames.j[1].tolist() == [1, 1, 0]


def test_objects_without_a_proposal_are_met_by_empty_masks():
    found = unsupervised([track(1, 2), track(20, None)], [track(1, 2)], SIZE)
    assert (found.proposals, found.objects) == ((0, 1), (0, 1))
    assert found.frames.j.tolist() == [[1, 1], [0, 1]]
    assert unsupervised([track(1)], [], SIZE).frames.j.tolist() == [[0]]


def test_void_pixels_are_ignored_in_matching():
    found = unsupervised([track(1)], [[square(1, 8)]], SIZE, void=[rle.difference(square(1, 8), square(1))])
    assert found.frames.j.tolist() == found.frames.f.tolist() == [[1]]


def test_more_than_twenty_proposals_are_refused():
    with pytest.raises(DataError, match="21 proposals"):
        unsupervised([track(1)], [track(1)] * 21, SIZE)
    assert unsupervised([track(1)], [track(1)] * 20, SIZE).proposals == (0,)


def test_matching_without_scipy_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    with pytest.raises(MissingExtraError, match=r"sama-video\[bench\]"):
        unsupervised([track(1)], [track(1)], SIZE)


def test_totals_count_each_object_once():
    frames = FrameScores(np.array([[1.0, 1.0], [0.5, 0.0]]), np.array([[1.0, 0.0], [0.0, 0.0]]))
    totals = davis_totals([*object_scores(frames, "strict"), *object_scores(frames, "strict")[:1]])
    assert (totals.j.mean, totals.f.mean) == (pytest.approx(2.25 / 3), pytest.approx(1 / 3))
    assert totals.jf_mean == pytest.approx((2.25 / 3 + 1 / 3) / 2)
    with pytest.raises(DataError, match="no objects"):
        davis_totals([])
