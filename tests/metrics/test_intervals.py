import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sama_video.metrics.intervals import (
    Interval,
    Statistic,
    by_key,
    interval,
    mean_of,
    mean_of_ratios,
    mean_over_clusters,
    mean_over_questions,
    paired_interval,
    ratio,
    restrict,
)

VIDEOS = ["a", "a", "a", "b", "c"]
VALUES = [1.0, 0.0, 0.5, 1.0, None]
fractions = st.floats(0, 1)
questions = st.lists(st.tuples(st.sampled_from("abcdef"), fractions), min_size=1, max_size=30)


def value(statistic):
    return interval(statistic, resamples=10).value


def test_means_weigh_questions_or_videos_alike():
    assert value(mean_over_questions(VIDEOS, VALUES)) == pytest.approx(2.5 / 4)
    assert value(mean_over_clusters(VIDEOS, VALUES)) == pytest.approx((0.5 + 1.0) / 2)


def test_ratios_are_pooled_or_averaged():
    hits, targets = [1, 0, 1, 2, 0], [2, 0, 2, 2, 0]
    assert value(ratio(VIDEOS, hits, targets)) == pytest.approx(4 / 6)
    assert value(mean_of_ratios(VIDEOS, hits, targets)) == pytest.approx((2 / 4 + 2 / 2) / 2)
    assert value(mean_of_ratios(VIDEOS, hits, targets, empty=0.0)) == pytest.approx((2 / 4 + 2 / 2 + 0) / 3)


def test_nothing_has_no_figure_unless_told_what_it_is_worth():
    assert interval(mean_over_questions([], [])) == Interval(None, None, None)
    assert interval(mean_over_clusters(VIDEOS, [None, math.nan, None, None, None])) == Interval(None, None, None)
    assert value(ratio(["a", "b"], [0, 0], [0, 0])) is None
    assert interval(ratio(["a", "b"], [0, 0], [0, 0], empty=0.0)) == Interval(0.0, 0.0, 0.0)


def test_one_video_has_no_interval():
    assert interval(mean_over_questions(["a", "a"], [0.0, 1.0])) == Interval(0.5, None, None)


def test_equal_videos_have_an_interval_without_width():
    found = interval(mean_over_clusters(["a", "b", "c"], [0.25, 0.25, 0.25]))
    assert (found.low, found.high) == (0.25, 0.25)


def test_interval_of_a_mean_has_the_width_of_its_standard_error():
    rng = np.random.default_rng(3)
    values = rng.normal(size=400)
    found = interval(mean_over_questions([str(place) for place in range(400)], values.tolist()), resamples=4000)
    width = 2 * 1.96 * values.std() / math.sqrt(400)
    assert found.high - found.low == pytest.approx(width, rel=0.08)
    assert found.low < found.value < found.high


def test_resampling_goes_by_video_not_by_question():
    # Ten videos of twenty questions that agree within a video: the interval is that of ten values, not of two hundred.
    videos = [str(place) for place in range(10) for _ in range(20)]
    values = [float(place % 2) for place in range(10) for _ in range(20)]
    alone = interval(mean_over_questions([str(place) for place in range(200)], values))
    grouped = interval(mean_over_questions(videos, values))
    assert grouped.high - grouped.low > 3 * (alone.high - alone.low)


def test_resamples_without_a_figure_are_left_out():
    found = interval(ratio(["a", "b", "c"], [1, 0, 0], [2, 0, 0]))
    assert found == Interval(0.5, 0.5, 0.5)


@given(questions)
def test_order_of_questions_does_not_matter_and_the_figure_lies_in_range(rows):
    videos, values = zip(*rows, strict=True)
    found = interval(mean_over_questions(videos, values), resamples=50)
    again = interval(mean_over_questions(videos[::-1], values[::-1]), resamples=50)
    assert found == again
    if found.low is not None:
        assert min(values) - 1e-9 <= found.low <= found.high <= max(values) + 1e-9


def test_seed_and_number_of_resamples_are_the_callers():
    statistic = mean_over_questions([str(place) for place in range(20)], [place * 0.37 % 1 for place in range(20)])
    assert interval(statistic) == interval(statistic)
    assert interval(statistic, seed=1) != interval(statistic)
    assert interval(statistic, resamples=700, level=0.5).high < interval(statistic, resamples=700).high


def test_mean_of_figures_is_resampled_together():
    first = mean_over_questions(["a", "b", "c"], [0.0, 1.0, 1.0])
    second = mean_over_questions(["b", "c", "d"], [0.0, 0.0, 1.0])
    joined = mean_of([first, second])
    assert joined.clusters == ("a", "b", "c", "d")
    assert value(joined) == pytest.approx((2 / 3 + 1 / 3) / 2)
    opposite = mean_of([ratio(["a", "b"], [1, 0], [1, 1]), ratio(["a", "b"], [0, 1], [1, 1])])
    assert interval(opposite) == Interval(0.5, 0.5, 0.5)  # what one gains in a resample the other loses
    assert value(mean_of([first, mean_over_questions(["a"], [None])])) is None


def test_paired_difference_uses_shared_videos_only():
    a = mean_over_clusters(["a", "b", "c"], [0.5, 0.7, 0.0])
    b = mean_over_clusters(["d", "b", "a"], [1.0, 0.6, 0.4])
    found = paired_interval(a, b)
    assert found.clusters == 2
    assert (found.value, found.low, found.high) == pytest.approx((0.1, 0.1, 0.1))
    assert found.share == pytest.approx(2 / 2001)


def test_paired_difference_is_surer_than_two_intervals():
    rng = np.random.default_rng(0)
    videos, hard = [str(place) for place in range(100)], rng.uniform(size=100)
    worse = mean_over_clusters(videos, hard.tolist())
    better = mean_over_clusters(videos, (hard + rng.normal(0.02, 0.02, size=100)).tolist())
    found = paired_interval(better, worse)
    assert 0 < found.low < found.value < found.high < 0.05
    assert interval(better).low < interval(worse).high  # alone, they cannot be told apart
    turned = paired_interval(worse, better)
    assert (turned.value, turned.low, turned.high) == pytest.approx((-found.value, -found.high, -found.low))
    assert turned.share == found.share


def test_equal_runs_differ_by_nothing():
    run = mean_over_clusters(["a", "b", "c"], [0.1, 0.5, 0.9])
    found = paired_interval(run, run)
    assert (found.value, found.low, found.high, found.share) == (0.0, 0.0, 0.0, 1.0)


def test_runs_without_a_shared_video_cannot_be_compared():
    found = paired_interval(mean_over_clusters(["a"], [1.0]), mean_over_clusters(["b"], [1.0]))
    assert (found.value, found.low, found.share, found.clusters) == (None, None, None, 0)


def test_restricting_keeps_the_order_asked_for():
    statistic = restrict(mean_over_questions(["a", "b", "c"], [0.1, 0.2, 0.3]), ["c", "x", "a"])
    assert statistic.clusters == ("c", "a")
    assert value(statistic) == pytest.approx(0.2)


def test_any_function_of_sums_will_do():
    parts = np.array([[3.0, 4.0], [0.0, 0.0]])
    statistic = Statistic(("a", "b"), parts, lambda sums: np.hypot(sums[..., 0], sums[..., 1]))
    found = interval(statistic)
    assert (found.value, found.low, found.high) == (5.0, 0.0, 10.0)


def test_statistics_can_be_sent_to_other_processes():
    statistic = mean_of([ratio(["a", "b"], [1, 2], [3, 3]), mean_over_questions(["a"], [0.5])])
    assert value(pickle.loads(pickle.dumps(statistic))) == value(statistic)


def test_grouping_keeps_first_appearance():
    assert list(by_key(["b", "a", "b"]).items()) == [("b", [0, 2]), ("a", [1])]
