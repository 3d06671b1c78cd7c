"""Scores follow from the stored answers alone, and are the same bytes each time."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from fake_bench import FakeModel, FakeTask, OpenedSource

from sama_video.bench.predicting import Job, run_shard
from sama_video.bench.scoring import ToolsChoice, score_run
from sama_video.bench.sharding import Shard
from sama_video.bench.store import RunFolder
from sama_video.bench.task import Mode, Prediction, Row, ScoreTools, Summary, TaskOptions
from sama_video.errors import ConfigError, DataError, RegionError

BOTH: tuple[Mode, ...] = ("reference", "strict")


def ran(tmp_path: Path, model: FakeModel | None = None, **changes: object) -> RunFolder:
    folder = RunFolder(tmp_path / "run")
    job = Job(FakeTask(), OpenedSource(model or FakeModel()), TaskOptions())
    run_shard(replace(job, **changes), folder, Shard(), lambda done, total: None)
    return folder


def score(folder: RunFolder, task: FakeTask | None = None, **options: object) -> dict[str, object]:
    return score_run(folder, BOTH, ToolsChoice(), task=task or FakeTask(), **options)


def test_scores_hold_the_figures_of_both_modes_with_intervals(tmp_path: Path) -> None:
    folder = ran(tmp_path)
    document = score(folder)
    assert json.loads(folder.scores_path.read_text()) == document
    assert list(document)[:4] == ["schema", "task", "model", "complete"]
    told = {key: document[key] for key in ("schema", "complete", "questions", "videos", "missing", "failed", "limit")}
    assert told == {
        "schema": "sama-scores/1",
        "complete": True,
        "questions": 12,
        "videos": 4,
        "missing": 0,
        "failed": {},
        "limit": None,
    }
    assert (document["similarity"], document["judge"]) == ("exact", None)
    measures = {(row["name"], row["mode"]): row for row in document["measures"]}
    assert len(measures) == 6
    exact = measures["exact", "strict"]
    assert exact["value"] == pytest.approx(8 / 12)
    assert exact["low"] <= exact["value"] <= exact["high"]
    assert measures["count", "reference"] == {
        "name": "count",
        "mode": "reference",
        "subset": "",
        "value": 12.0,
        "low": None,
        "high": None,
        "unit": "questions",
        "missing": None,
    }
    assert set(document["fake"]) == {"reference", "strict"}
    assert document["fake"]["strict"] == pytest.approx([0.5] * 12)


def test_every_question_has_a_row_in_each_mode(tmp_path: Path) -> None:
    folder = ran(tmp_path)
    score(folder)
    rows = [json.loads(line) for line in folder.rows_path.read_text().splitlines()]
    assert [(row["id"], row["mode"]) for row in rows[:3]] == [
        ("0/0", "reference"),
        ("0/0", "strict"),
        ("0/1", "reference"),
    ]
    assert len(rows) == 24
    assert rows[5] == {
        "id": "0/2",
        "video": "v0",
        "subset": "even",
        "mode": "strict",
        "turn": 2,
        "values": {"exact": 0.0, "iou": 0.5},
        "sums": {"words": 1.0},
        "texts": {"candidate": "nonsense"},
    }


def test_the_number_of_workers_changes_no_byte(tmp_path: Path) -> None:
    folder = ran(tmp_path)
    found = []
    for workers in (1, 2, None):
        score(folder, workers=workers)
        found.append((folder.scores_path.read_bytes(), folder.rows_path.read_bytes()))
    assert found[0] == found[1] == found[2]


def test_what_failed_has_no_row_and_makes_the_scores_incomplete(tmp_path: Path) -> None:
    folder = ran(tmp_path, FakeModel(failing=frozenset({"0/0"}), crash_on="3/2"))
    document = score(folder)
    assert document["complete"] is False
    assert document["failed"] == {"RuntimeError: out of memory": 1, "cannot say": 1}
    assert document["questions"] == 12
    assert len(folder.rows_path.read_text().splitlines()) == 20
    # Wrong answers are 2 of each dialogue's third; the failures are not among the wrong ones.
    assert next(row for row in document["measures"] if row["name"] == "exact")["value"] == pytest.approx(7 / 10)


def test_a_run_that_is_not_over_is_scored_on_what_there_is(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    job = Job(FakeTask(), OpenedSource(FakeModel()), TaskOptions())
    shard = next(Shard(index, 2) for index in (0, 1) if 0 < sum(Shard(index, 2).holds(f"v{v}") for v in range(4)) < 4)
    run_shard(job, folder, shard, lambda done, total: None)
    document = score(folder)
    assert document["complete"] is False
    assert 0 < document["missing"] < 12
    assert len(document["fake"]["strict"]) == 12 - document["missing"]


def test_a_limited_run_is_incomplete(tmp_path: Path) -> None:
    document = score(ran(tmp_path, limit=5))
    assert (document["complete"], document["limit"], document["questions"]) == (False, 5, 5)


class StrictOnly(FakeTask):
    modes = ("strict",)


def test_a_task_without_a_mode_is_scored_in_the_others_or_refused(tmp_path: Path) -> None:
    folder = ran(tmp_path)
    assert {row["mode"] for row in score(folder, StrictOnly())["measures"]} == {"strict"}
    with pytest.raises(ConfigError, match="fake is scored in strict mode, not reference"):
        score_run(folder, ("reference",), ToolsChoice(), task=StrictOnly())


class Newer(FakeTask):
    version = 2


def test_answers_to_another_version_of_the_task_are_not_scored(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="asked by version 1 of fake, but this is version 2"):
        score(ran(tmp_path), Newer())


class Picky(FakeTask):
    def score_question(self, prediction: Prediction, mode: Mode, tools: ScoreTools) -> Row:
        if prediction.sample_id == "2/1":
            raise RegionError("masks have two sizes")
        return super().score_question(prediction, mode, tools)


@pytest.mark.parametrize("workers", [1, 2])
def test_what_cannot_be_scored_is_told_with_its_line(tmp_path: Path, workers: int) -> None:
    with pytest.raises(DataError, match=r"shard-0-of-1.jsonl, line 8: 2/1 cannot be scored: masks have two sizes"):
        score(ran(tmp_path), Picky(), workers=workers)


def test_an_answer_of_another_subset_than_the_manifests_is_refused(tmp_path: Path) -> None:
    folder = ran(tmp_path)
    path = folder.path / "predictions" / "shard-0-of-1.jsonl"
    path.write_text(path.read_text().replace('"subset": "odd"', '"subset": "even"', 1))
    with pytest.raises(DataError, match=r"the answer to 1/0 is of video 'v1' and subset 'even'"):
        score(folder)


class Vague(FakeTask):
    """Has a figure that is no number."""

    def score_question(self, prediction: Prediction, mode: Mode, tools: ScoreTools) -> Row:
        return replace(super().score_question(prediction, mode, tools), values={"exact": float("nan"), "iou": None})

    def summarise(self, rows: Sequence[Row], mode: Mode, tools: ScoreTools) -> Summary:
        return replace(super().summarise(rows, mode, tools), document={})


def test_what_is_no_number_becomes_null(tmp_path: Path) -> None:
    folder = ran(tmp_path)
    document = score(folder, Vague())
    assert [row["value"] for row in document["measures"][:2]] == [None, None]
    assert json.loads(folder.rows_path.read_text().splitlines()[0])["values"] == {"exact": None, "iou": None}


def test_tools_are_those_that_were_chosen() -> None:
    judged: Mapping[str, Mapping[str, float]] = {"0/0": {"clair": 0.5}}
    tools = ToolsChoice("overlap", False, judged, "offline")()
    assert tools.similarity(["a red dog"], ["the red dog"]) == [[1.0]]
    assert (tools.similarity_name, tools.captions, tools.judge_name) == ("overlap", None, "offline")
    assert ToolsChoice()().similarity(["a red dog"], ["the red dog"]) == [[0.0]]


def test_scoring_never_imports_torch() -> None:
    code = "import sys, sama_video.bench.scoring, sama_video.bench.runner as r; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
