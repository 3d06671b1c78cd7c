import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from sama_video.metrics import overlap
from sama_video.regions import rle

A = np.array([[1, 1, 0], [0, 0, 0]], dtype=bool)
B = np.array([[0, 1, 1], [0, 0, 0]], dtype=bool)
EMPTY = np.zeros((2, 3), dtype=bool)


@pytest.mark.parametrize(
    ("a", "b", "empty", "expected"),
    [
        (A, A, 0.0, 1.0),
        (A, B, 0.0, 1 / 3),
        (A, EMPTY, 1.0, 0.0),
        (EMPTY, EMPTY, 0.0, 0.0),
        (EMPTY, EMPTY, 1.0, 1.0),
        (np.stack([A, EMPTY]), np.stack([B, EMPTY]), 1.0, 1 / 3),
        (np.stack([A, A]), np.stack([A, EMPTY]), 0.0, 0.5),
    ],
)
def test_mask_iou_by_hand(a, b, empty, expected):
    assert overlap.mask_iou(a, b, empty=empty) == pytest.approx(expected)


def test_region_similarity_counts_a_foretold_absence_as_right():
    predicted, true = np.stack([A, EMPTY, EMPTY]), np.stack([B, EMPTY, A])
    assert overlap.frame_ious(predicted, true, empty=1.0) == pytest.approx([1 / 3, 1, 0])
    assert overlap.region_similarity(predicted, true) == pytest.approx(4 / 9)
    assert math.isnan(overlap.region_similarity(predicted[:0], true[:0]))


def test_mean_iou_counts_each_pair_once():
    assert overlap.mean_iou([(A, A), (A, B)]) == pytest.approx(2 / 3)
    assert math.isnan(overlap.mean_iou([]))


@settings(max_examples=50, deadline=None)
@given(npst.arrays(np.bool_, st.tuples(st.just(2), st.integers(1, 4), st.integers(1, 6), st.integers(1, 6))))
def test_iou_is_symmetric_bounded_and_the_same_from_run_lengths(pair):
    a, b = pair
    value = overlap.mask_iou(a, b)
    assert value == overlap.mask_iou(b, a)
    assert 0.0 <= value <= 1.0
    areas = np.array([rle.overlap_areas(rle.encode(x), rle.encode(y)) for x, y in zip(a, b, strict=True)])
    assert overlap.iou_of_areas(areas[:, 0], areas[:, 1], empty=0.5) == pytest.approx(
        overlap.frame_ious(a, b, empty=0.5)
    )


def test_box_iou_compares_all_with_all():
    boxes = np.array([[0, 0, 2, 2], [0, 0, 0, 0], [1, 1, 3, 3]], dtype=float)
    expected = np.array([[1, 0, 1 / 7], [0, 0, 0], [1 / 7, 0, 1]])
    assert overlap.box_iou(boxes, boxes) == pytest.approx(expected)
    assert overlap.box_iou(boxes, np.array([[2.0, 0, 4, 2]]))[0, 0] == 0.0
    assert overlap.box_iou(boxes[:0], boxes).shape == (0, 3)
