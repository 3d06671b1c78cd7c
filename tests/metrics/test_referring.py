import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from pycocotools import mask as coco

from sama_video.errors import DataError, RegionError
from sama_video.metrics.referring import Overlap, encode_sums, mask_overlap, polygon_mask, referring_scores
from sama_video.regions import rle


def test_answer_without_a_mask_costs_both_scores_in_strict_and_one_in_the_reference():
    pictures = [[Overlap(50, 100), Overlap(0, 300, answered=False)], [Overlap(0, 0)]]
    strict, reference = (referring_scores(pictures, mode) for mode in ("strict", "reference"))
    assert (strict.ciou, strict.giou) == (50 / 400, 0.5)
    assert (reference.ciou, reference.giou) == pytest.approx((50 / 100, 0.5), abs=1e-6)
    assert strict.unanswered == reference.unanswered == 1


def test_precision_wants_more_than_the_threshold():
    found = referring_scores([[Overlap(60, 100), Overlap(61, 100), Overlap(95, 100)]], "strict").precision
    assert found == {0.5: 1.0, 0.6: pytest.approx(2 / 3), 0.7: pytest.approx(1 / 3), 0.8: pytest.approx(1 / 3),
                     0.9: pytest.approx(1 / 3)}  # fmt: skip


def test_reference_counts_in_single_precision():
    large = [[Overlap(2**24, 2**25)], *([Overlap(1, 2)] for _ in range(64))]
    assert referring_scores(large, "strict").ciou == (2**24 + 64) / (2**25 + 128)
    assert referring_scores(large, "reference").ciou == 0.5  # ones no longer change a sum of 2**24
    assert referring_scores([[Overlap(1, 3)]], "reference").giou == float(np.float32(1) / np.float32(3.00001))


def test_pictures_without_answers_or_expressions_count_as_what_they_are():
    found = referring_scores([[], [Overlap(0, 9, answered=False)]], "reference")
    assert (found.ciou, found.giou, found.unanswered) == (0, 0, 1)
    assert referring_scores([[Overlap(0, 0)]], "strict").ciou == 1
    with pytest.raises(DataError, match="no referring expressions"):
        referring_scores([[]], "strict")


def test_overlap_of_masks():
    left, right = np.zeros((2, 4, 4), dtype=bool)
    left[:, :2], right[:, 1:3] = True, True
    assert mask_overlap(rle.encode(left), rle.encode(right)) == Overlap(4, 12)
    assert mask_overlap(rle.encode(left), None) == Overlap(0, 8, answered=False)
    assert Overlap(0, 0).iou == 1


def test_overlapping_polygons_leave_a_hole_in_the_reference():
    left, right = np.zeros((2, 4, 4), dtype=bool)
    left[:3, :3], right[1:, 1:] = True, True
    parts = [rle.encode(left), rle.encode(right)]
    assert rle.decode(polygon_mask(parts)).tolist() == (left | right).tolist()
    summed = (left.astype(np.uint8) + right).astype(np.uint8)
    expected = coco.encode(np.asfortranarray(summed))["counts"].decode()
    assert polygon_mask(parts, reference=True) == {"size": [4, 4], "counts": expected}
    with pytest.raises(RegionError, match="no masks"):
        polygon_mask([], reference=True)


@given(npst.arrays(np.uint8, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=st.integers(0, 3)))
def test_sums_are_encoded_as_the_toolkit_encodes_them(values):
    assert encode_sums(values)["counts"] == coco.encode(np.asfortranarray(values))["counts"].decode()
