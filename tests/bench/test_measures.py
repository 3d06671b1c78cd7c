"""Measures: which rows count, with which weights, under which name."""

import pytest

from sama_video.bench import measures
from sama_video.bench.task import Measure, Row, ScoreTools
from sama_video.metrics.intervals import interval
from sama_video.metrics.similarity import exact

TOOLS = ScoreTools(exact, "exact")


def row(video: str, value: float | None, subset: str = "a", turn_idx: int = 0, **sums: float | int) -> Row:
    summed = {name: float(number) for name, number in sums.items()}
    return Row(f"{video}/{turn_idx}/{value}", video, subset, "strict", turn_idx, values={"score": value}, sums=summed)


def value(measure: Measure) -> float | None:
    return interval(measure.statistic).value if measure.statistic is not None else measure.value


ROWS = [row("v", 1.0), row("v", 0.0), row("v", 0.0), row("w", 1.0), row("w", None)]


def test_a_mean_over_questions_leaves_out_those_without_a_value() -> None:
    assert value(measures.mean(ROWS, "score", "strict")) == 0.5


def test_a_mean_over_videos_weighs_videos_alike() -> None:
    assert value(measures.mean_over_videos(ROWS, "score", "strict")) == pytest.approx((1 / 3 + 1) / 2)


def test_a_figure_without_any_value_is_missing_and_not_0() -> None:
    for measure in (
        measures.mean([row("v", None)], "score", "strict"),
        measures.mean_over_videos([], "score", "strict"),
        measures.rate([], "tp", "n", "strict", name="recall"),
        measures.share([], lambda row: True, "strict", name="share"),
    ):
        assert measure.missing == measures.NO_ROWS
        assert value(measure) is None


def test_a_rate_is_a_sum_over_sums() -> None:
    rows = [row("v", 0.0, tp=1, n=2, p=4), row("w", 0.0, tp=3, n=4, p=6)]
    assert value(measures.rate(rows, "tp", "n", "strict", name="recall")) == 4 / 6
    assert value(measures.rate(rows, "tp", ("n", "p"), "strict", name="f1", times=2)) == 8 / 16
    assert value(measures.rate([row("v", 0.0, tp=0, n=0)], "tp", "n", "strict", name="recall")) == 0.0


def test_a_misspelt_sum_is_no_0() -> None:
    with pytest.raises(KeyError):
        measures.rate([row("v", 0.0, tp=1)], "tp", "positives", "strict", name="recall")


def test_a_share_counts_questions() -> None:
    assert value(measures.share(ROWS, lambda row: row.video == "v", "strict", name="share")) == 3 / 5


def build(rows, subset):
    return (measures.mean(rows, "score", "strict", subset=subset),)


def test_subsets_stand_beside_the_whole_where_there_are_several() -> None:
    rows = [row("v", 1.0, "a"), row("w", 0.0, "b")]
    found = {measure.subset: value(measure) for measure in measures.with_subsets(rows, build)}
    assert found == {"": 0.5, "a": 1.0, "b": 0.0}
    assert [measure.subset for measure in measures.with_subsets(rows[:1], build)] == [""]


def test_turns_count_from_1_in_their_order() -> None:
    rows = [row("v", 0.0, turn_idx=10), row("v", 1.0, turn_idx=0), row("w", 0.5, turn_idx=1)]
    found = {measure.subset: value(measure) for measure in measures.by_turn(rows, build)}
    assert list(found.items()) == [("turn 1", 1.0), ("turn 2", 0.5), ("turn 11", 0.0)]
    assert measures.by_turn(rows[:1], build) == ()


def test_a_judge_counts_only_what_it_scored() -> None:
    rows = [row("v", 0.0), row("v", 1.0), row("w", 0.5)]
    tools = ScoreTools(
        exact, "exact", judge={rows[0].sample_id: {"dim": 2.0}, rows[2].sample_id: {"dim": 4.0}}, judge_name="j"
    )
    assert value(measures.judged(rows, "dim", "strict", tools, unit="0-5")) == 3.0
    assert measures.judged_counts(rows, tools) == {"scored": 2, "unscored": 1}
    assert measures.judged(rows, "other", "strict", tools).missing == "j scored none of these answers"
    assert measures.judged(rows, "dim", "strict", TOOLS).missing == measures.NOT_JUDGED
