import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sama_video.errors import DataError
from sama_video.metrics.detection import THRESHOLDS, ClipTracks, PictureMasks, picture_precision, track_precision
from sama_video.regions import rle

SIZE = (40, 40)


def box(x: int, side: int = 10, size: tuple[int, int] = SIZE) -> rle.Rle:
    mask = np.zeros(size, dtype=bool)
    mask[:side, x : x + side] = True
    return rle.encode(mask)


def test_perfect_detections():
    found = picture_precision([PictureMasks([box(0), box(20)], [box(20), box(0)]), PictureMasks([box(5)], [box(5)])])
    assert (found["AP"], found["AP50"], found["AR100"], found["APs"]) == pytest.approx((1, 1, 1, 1))
    assert found["APl"] is None  # no large mask, so no figure


def test_order_in_the_file_decides_where_all_scores_are_alike():
    right, wrong = box(0), box(25)
    first = picture_precision([PictureMasks([right], [right, wrong])])
    second = picture_precision([PictureMasks([right], [wrong, right])])
    assert (first["AP"], second["AP"]) == (pytest.approx(1), pytest.approx(0.5))
    trusted = picture_precision([PictureMasks([right], [wrong, right], scores=[0.1, 0.9])])
    assert trusted["AP"] == pytest.approx(1)


def test_nothing_detected_scores_nothing():
    found = picture_precision([PictureMasks([box(0)], []), PictureMasks([], [])])
    assert (found["AP"], found["AR100"]) == (0, 0)
    assert picture_precision([PictureMasks([], [box(0)])])["AP"] is None


def test_what_does_not_fit_is_refused():
    with pytest.raises(DataError, match="no pictures"):
        picture_precision([])
    with pytest.raises(DataError, match="1 scores for 2"):
        picture_precision([PictureMasks([], [box(0), box(1)], scores=[1.0])])
    with pytest.raises(DataError, match="mask of 40x50"):
        picture_precision([PictureMasks([box(0)], [box(0, size=(40, 50))])])
    with pytest.raises(DataError, match="0 confidences for 1"):
        track_precision([ClipTracks([], [[box(0)]], [])])


def test_tracks_are_compared_as_volumes():
    true = [box(0), box(0), None, None]
    found = track_precision([ClipTracks([true], [[box(0), None, None, None]], [0.3])])
    assert (found.ap50, found.ap75) == (1, 0)
    assert found.ap == pytest.approx(0.1)
    assert list(found.by_threshold) == list(THRESHOLDS)
    assert THRESHOLDS[-1] == 0.95


def test_confidence_ranks_over_all_questions():
    right, wrong = [box(0)], [box(25)]
    sure = track_precision([ClipTracks([right], [right], [0.9]), ClipTracks([right], [wrong], [0.1])])
    unsure = track_precision([ClipTracks([right], [right], [0.1]), ClipTracks([right], [wrong], [0.9])])
    assert (sure.ap, unsure.ap) == pytest.approx((51 / 101, 51 / 101 / 2))
    assert math.isnan(track_precision([ClipTracks([], [wrong], [0.5])]).ap)
    assert track_precision([ClipTracks([right], [], [])]).ap == 0


@settings(max_examples=10)
@given(st.integers(0, 2**32 - 1))
def test_tracks_of_one_frame_score_as_the_toolkit_scores_pictures(seed):
    rng = np.random.default_rng(seed)
    masks = [[[box(int(x)) for x in rng.integers(0, 30, rng.integers(0, 5))] for _ in range(2)] for _ in range(4)]
    scores = [rng.choice([0.2, 0.5, 0.8], len(detected)).tolist() for _, detected in masks]
    pictures = [PictureMasks(true, detected, given) for (true, detected), given in zip(masks, scores, strict=True)]
    clips = [
        ClipTracks([[one] for one in true], [[one] for one in detected], given)
        for (true, detected), given in zip(masks, scores, strict=True)
    ]
    expected, found = picture_precision(pictures), track_precision(clips)
    if expected["AP"] is None:
        assert math.isnan(found.ap)
    else:
        assert (found.ap, found.ap50, found.ap75) == pytest.approx((expected["AP"], expected["AP50"], expected["AP75"]))
