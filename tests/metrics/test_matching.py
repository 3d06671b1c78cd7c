import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from sama_video.errors import RegionError
from sama_video.metrics import matching
from sama_video.metrics.overlap import mask_iou
from sama_video.regions import rle

TOP, BOTTOM, ALL = ([[row in rows] * 2 for row in range(4)] for rows in ({0, 1}, {2, 3}, {0, 1, 2, 3}))


def track(*frames):
    return [None if frame is None else rle.encode(np.array(frame, dtype=bool)) for frame in frames]


def alike(rows, columns, value=1.0):
    return np.full((rows, columns), value)


masks = npst.arrays(np.bool_, (2, 3, 4))  # frames height width
objects = st.lists(masks, max_size=3)


def coded(volumes):
    """Tracks of run lengths; an empty frame is null as often as not."""
    return [[rle.encode(frame) if frame.any() or place else None for place, frame in enumerate(one)] for one in volumes]


@given(objects, objects, st.sampled_from([0.0, 1.0]))
def test_iou_matrix_is_that_of_the_unpacked_volumes(rows, columns, empty):
    found = matching.iou_matrix(coded(rows), coded(columns), empty=empty)
    assert found.shape == (len(rows), len(columns))
    expected = [[mask_iou(row, column, empty=empty) for column in columns] for row in rows]
    assert found.tolist() == expected


def test_tracks_of_different_lengths_are_refused():
    with pytest.raises(RegionError, match="1 and 2 frames"):
        matching.iou_matrix([track(TOP)], [track(TOP, TOP)], empty=0.0)


def test_masks_of_different_sizes_are_refused():
    with pytest.raises(RegionError, match="sizes"):
        matching.iou_matrix([track(TOP)], [track(TOP[:2])], empty=0.0)


def test_one_right_mask_of_three_is_perfect_for_the_reference_and_a_third_for_strict():
    true = [track(TOP), track(BOTTOM), track(ALL)]
    reference = matching.reference_score([track(TOP)], true, alike(3, 1))
    strict = matching.strict_score([track(TOP)], true, alike(3, 1))
    assert (reference.miou, reference.positives, len(reference.matches)) == (1.0, 3, 1)
    assert (strict.miou_over_gt, strict.miou_over_max, len(strict.matches)) == pytest.approx((1 / 3, 1 / 3, 1))


def test_invented_masks_cost_only_in_miou_over_max():
    predicted = [track(TOP), track(BOTTOM)]
    strict = matching.strict_score(predicted, [track(TOP)], alike(1, 2))
    assert (strict.miou_over_gt, strict.miou_over_max, strict.num_predicted) == (1.0, 0.5, 2)


@pytest.mark.parametrize(
    ("num_predicted", "num_true", "strict", "counted"), [(0, 0, 1.0, False), (1, 0, 0.0, True), (0, 1, 0.0, False)]
)
def test_questions_without_masks(num_predicted, num_true, strict, counted):
    predicted, true = [track(TOP)] * num_predicted, [track(TOP)] * num_true
    phrases = alike(num_true, num_predicted)
    found = matching.strict_score(predicted, true, phrases)
    assert (found.miou_over_gt, found.miou_over_max, found.matches) == (strict, strict, ())
    reference = matching.reference_score(predicted, true, phrases)
    assert (reference.miou, reference.counted, reference.matches) == (0.0, counted, ())


def test_an_absence_foretold_is_right_only_by_strict_rules():
    absent = [track(None, None)]
    assert matching.reference_score(absent, absent, alike(1, 1)).miou == 0.0
    strict = matching.strict_score(absent, absent, alike(1, 1))
    assert (strict.miou_over_gt, len(strict.matches)) == (1.0, 1)


def test_an_answer_without_phrases_leaves_the_recall_of_the_reference():
    reference = matching.reference_score([track(TOP)], [track(TOP)], alike(1, 0))
    assert (reference.counted, reference.positives, reference.miou) == (False, 0, 1.0)
    strict = matching.strict_score([track(TOP)], [track(TOP)], alike(1, 0))
    assert (strict.num_true, strict.matches) == (1, ())


def test_reference_looks_up_the_similarity_at_the_transposed_place():
    # Prediction 0 is object 1 and says so; the script reads the similarity of object 0 and phrase 1 for it.
    predicted, true = [track(BOTTOM), track(TOP)], [track(TOP), track(BOTTOM)]
    crossed = np.array([[0.0, 1.0], [0.0, 0.0]])  # only object 0 and phrase 1 are alike
    assert matching.reference_score(predicted, true, crossed).matches == ((0, 1),)
    assert matching.strict_score(predicted, true, crossed).matches == ((0, 1),)  # object 0, prediction 1
    assert matching.reference_score(predicted, true, crossed.T).matches == ()


def test_reference_stops_at_the_first_pair_that_fails_and_strict_goes_on():
    predicted = true = [track(TOP), track(BOTTOM)]
    only_second = np.array([[0.0, 0.0], [0.0, 1.0]])
    assert matching.reference_score(predicted, true, only_second).matches == ()
    assert matching.strict_score(predicted, true, only_second).matches == ((1, 1),)


def test_picture_scores_keep_the_orientation_and_count_unanswered_pictures():
    predicted, true = [track(BOTTOM), track(TOP)], [track(TOP), track(BOTTOM)]
    score = matching.image_reference_score(predicted, true, np.array([[0.0, 1.0], [1.0, 0.0]]))
    assert (score.matches, score.miou) == (((0, 1), (1, 0)), 1.0)
    nothing = matching.image_reference_score([], true, alike(2, 0))
    assert (nothing.counted, nothing.positives, nothing.miou, nothing.matches) == (True, 2, 0.0, ())


def test_an_empty_union_in_a_picture_has_no_guard():
    score = matching.image_reference_score([track(None), track(TOP)], [track(None), track(TOP)], alike(2, 2))
    assert score.miou == 0.0  # NaN is the largest entry, and not above 0
    assert score.matches == ((0, 0), (1, 1))  # but not below the threshold either


def test_ties_go_to_the_first_by_rows():
    assert matching.greedy_pairs(np.ones((2, 2)), np.ones((2, 2), dtype=bool)) == ((0, 0), (1, 1))
    assert matching.matches_until_failure(np.ones((2, 3)), np.ones((3, 2))) == ((0, 0), (1, 1))


@pytest.mark.slow
@settings(max_examples=40)
@given(objects, objects, st.randoms(use_true_random=False))
def test_scores_are_fractions_and_a_perfect_answer_in_any_order_is_perfect(predicted, true, random):
    found = matching.strict_score(coded(predicted), coded(true), alike(len(true), len(predicted)))
    assert 0.0 <= found.miou_over_max <= found.miou_over_gt <= 1.0
    assert len(found.matches) <= min(len(predicted), len(true))
    order = random.sample(range(len(true)), len(true))
    again = matching.strict_score([coded(true)[place] for place in order], coded(true), alike(len(true), len(true)))
    assert (again.miou_over_gt, again.miou_over_max, len(again.matches)) == (1.0, 1.0, len(true))
    reference = matching.reference_score(coded(predicted), coded(true), alike(len(true), len(predicted)))
    assert 0.0 <= reference.miou <= 1.0


def test_scoring_leaves_the_similarities_as_they_were():
    phrases = alike(1, 1)
    matching.reference_score([track(TOP)], [track(TOP)], phrases)
    assert phrases.tolist() == [[1.0]]


def test_f1_is_the_harmonic_mean():
    assert matching.f1(1, 2, 4) == pytest.approx(2 * 0.5 * 0.25 / 0.75)
    assert matching.f1(0, 0, 0) == 0.0
