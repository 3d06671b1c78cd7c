"""Two runs are compared on what both answered, and only when they measured the same thing."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from fake_bench import FakeModel, FakeTask, OpenedSource

from sama_video.bench.compare import Comparison, compare
from sama_video.bench.models import Outcome
from sama_video.bench.predicting import Job, run_shard
from sama_video.bench.scoring import ToolsChoice, score_run
from sama_video.bench.sharding import Shard
from sama_video.bench.store import RunFolder
from sama_video.bench.task import Mode, TaskOptions
from sama_video.errors import ConfigError, DataError

BOTH: tuple[Mode, ...] = ("reference", "strict")


class RightModel(FakeModel):
    """Gives the reference's words and masks."""

    def answer(self, samples, options, known):  # type: ignore[no-untyped-def]
        for sample in samples:
            yield Outcome(
                sample.sample_id, sample.reference_text, sample.reference_phrases, sample.reference_tracks(), (0,)
            )


class LikeFake(FakeTask):
    """The same questions with one clip changed, so other data."""

    def sample(self, video: int, turn: int):  # type: ignore[no-untyped-def]
        made = super().sample(video, turn)
        return replace(made, question="Something else?") if (video, turn) == (0, 0) else made


def scored(
    folder: Path,
    model: FakeModel | None = None,
    modes: tuple[Mode, ...] = BOTH,
    tools: ToolsChoice | None = None,
    **changes: object,
) -> RunFolder:
    job = replace(Job(FakeTask(), OpenedSource(model or FakeModel()), TaskOptions()), **changes)
    made = RunFolder(folder)
    run_shard(job, made, Shard(), lambda done, total: None)
    score_run(made, modes, tools or ToolsChoice(), 1, task=job.task)
    return made


def compared(a: RunFolder, b: RunFolder) -> Comparison:
    return compare(a, b, task=FakeTask())


def test_the_better_run_is_higher_in_every_mode(tmp_path: Path) -> None:
    found = compared(scored(tmp_path / "a", RightModel()), scored(tmp_path / "b"))
    assert (found.questions, found.videos, found.notes) == (12, 4, ())
    differences = {(one.name, one.mode): one for one in found.differences}
    exact = differences["exact", "reference"]
    assert (exact.a, exact.b, exact.value) == pytest.approx((1.0, 8 / 12, 4 / 12))
    assert exact.low > 0
    assert (exact.verdict, exact.videos) == ("A is higher", 4)
    assert exact.p_value < 0.01
    assert differences["iou/strict", "strict"].value == pytest.approx(0.5)


def test_the_other_way_round_the_signs_change(tmp_path: Path) -> None:
    a, b = scored(tmp_path / "a", RightModel()), scored(tmp_path / "b")
    there, back = compared(a, b).differences[0], compared(b, a).differences[0]
    assert (back.value, back.low, back.high) == pytest.approx((-there.value, -there.high, -there.low))
    assert back.verdict == "B is higher"


def test_equal_runs_show_no_difference(tmp_path: Path) -> None:
    found = compared(scored(tmp_path / "a"), scored(tmp_path / "b", FakeModel(revision="2")))
    exact = found.differences[0]
    assert (exact.value, exact.low, exact.high, exact.verdict) == (0, 0, 0, "no difference shown")
    text = found.to_markdown()
    assert "| exact, % | 66.7 | 66.7 | 0.0 | 0.0 to 0.0 | 1.000 | no difference shown |" in text
    assert "not the same as shown to be equal" in text


def test_a_figure_without_interval_has_no_verdict(tmp_path: Path) -> None:
    found = compared(scored(tmp_path / "a"), scored(tmp_path / "b"))
    count = next(one for one in found.differences if one.name == "count")
    assert (count.value, count.low, count.verdict, count.unit) == (0, None, "no interval", "questions")


def test_questions_that_one_run_failed_are_left_out_of_both_and_it_is_said(tmp_path: Path) -> None:
    a = scored(tmp_path / "a", RightModel())
    b = scored(tmp_path / "b", FakeModel(failing=frozenset({"0/0", "0/1", "0/2", "2/0"})))
    found = compared(a, b)
    assert (found.questions, found.videos) == (8, 3)
    assert "Run B is incomplete." in found.notes[0]
    assert "The question sets differ: 4 were answered by A alone and 0 by B alone" in found.notes[1]
    assert all(f"> **{note}**" in found.to_markdown() for note in found.notes)
    assert next(one for one in found.differences if one.name == "count").a == 8


def test_a_run_cut_short_is_compared_on_its_questions(tmp_path: Path) -> None:
    found = compared(scored(tmp_path / "a"), scored(tmp_path / "b", limit=6))
    assert found.questions == 6
    assert "6 were answered by A alone" in found.notes[-1]


def test_json_has_every_figure_with_its_verdict(tmp_path: Path) -> None:
    document = compared(scored(tmp_path / "a", RightModel()), scored(tmp_path / "b")).to_json()
    assert json.loads(json.dumps(document)) == document
    assert (document["schema"], document["task"]) == ("sama-comparison/1", "fake")
    assert document["differences"][0]["verdict"] == "A is higher"
    assert {"name", "mode", "subset", "a", "b", "value", "low", "high", "p_value"} <= set(document["differences"][0])


def test_other_options_are_refused(tmp_path: Path) -> None:
    a, b = scored(tmp_path / "a"), scored(tmp_path / "b", options=TaskOptions(history="self"))
    with pytest.raises(ConfigError, match="differ in options .*measure different things"):
        compared(a, b)


def test_other_data_are_refused(tmp_path: Path) -> None:
    a, b = scored(tmp_path / "a"), scored(tmp_path / "b", task=LikeFake())
    with pytest.raises(ConfigError, match="differ in data"):
        compared(a, b)


def test_other_ways_of_scoring_are_refused(tmp_path: Path) -> None:
    a, b = scored(tmp_path / "a"), scored(tmp_path / "b", tools=ToolsChoice("overlap"))
    with pytest.raises(ConfigError, match="differ in phrase similarity .exact and overlap."):
        compared(a, b)
    with pytest.raises(ConfigError, match="differ in modes"):
        compared(a, scored(tmp_path / "c", modes=("strict",)))


def test_another_benchmark_is_refused_in_one_line(tmp_path: Path) -> None:
    a, b = scored(tmp_path / "a"), scored(tmp_path / "b")
    told = json.loads((b.path / "run.json").read_text())
    (b.path / "run.json").write_text(json.dumps({**told, "task": "other"}))
    with pytest.raises(ConfigError, match="differ in task .fake and other.") as refusal:
        compared(a, b)
    assert "\n" not in str(refusal.value)


def test_runs_without_a_common_question_are_refused(tmp_path: Path) -> None:
    every = [f"{video}/{turn}" for video in range(4) for turn in range(3)]
    a = scored(tmp_path / "a", FakeModel(failing=frozenset(every[:6])))
    b = scored(tmp_path / "b", FakeModel(failing=frozenset(every[6:])))
    with pytest.raises(ConfigError, match="no question that both answered"):
        compared(a, b)


def test_a_run_that_is_not_scored_is_refused(tmp_path: Path) -> None:
    a, b = scored(tmp_path / "a"), scored(tmp_path / "b")
    b.scores_path.unlink()
    with pytest.raises(DataError, match="is not scored"):
        compared(a, b)
