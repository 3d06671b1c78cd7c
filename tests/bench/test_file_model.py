"""Answers made elsewhere are joined to a benchmark's questions by their ids, and every misfit is told."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from fake_bench import FakeSource, FakeTask, box_track

from sama_video.bench.models import ModelChoice
from sama_video.bench.models.file import RecordSource
from sama_video.bench.predicting import Job, run_shard
from sama_video.bench.sharding import Shard
from sama_video.bench.store import RunFolder
from sama_video.bench.task import Prediction, TaskOptions
from sama_video.errors import ConfigError, DataError


def record(sample_id: str, **changes: object) -> dict[str, object]:
    return {
        "id": sample_id,
        "pred_text": f"<p> A Thing </p> [SEG] of {sample_id}",
        "pred_masks": [box_track(2)],
    } | changes


def write(path: Path, *records: dict[str, object]) -> ModelChoice:
    path.write_text("\n".join(json.dumps(row) for row in records))
    return ModelChoice(f"file:{path}")


ALL = [record(f"{video}/{turn}") for video in range(2) for turn in range(3)]


def run(tmp_path: Path, choice: ModelChoice, **changes: object) -> RunFolder:
    folder = RunFolder(tmp_path / "run")
    job = replace(Job(FakeTask(videos=2), choice, TaskOptions()), **changes)
    run_shard(job, folder, Shard(), lambda done, total: None)
    return folder


def found(folder: RunFolder) -> dict[str, Prediction]:
    return {row.sample_id: row for row in folder.predictions()}


def test_records_become_the_answers_of_the_run(tmp_path: Path) -> None:
    given = record("0/1", pred_phrases=["a", "b"], frames=[0, 2], seconds=4, history=[["before", "yes"]])
    folder = run(tmp_path, write(tmp_path / "p.jsonl", *ALL[:1], given, *ALL[2:]))
    rows = found(folder)
    assert rows["0/0"].pred_text == "<p> A Thing </p> [SEG] of 0/0"
    assert rows["0/0"].pred_phrases == ("a thing",)
    assert rows["0/0"].pred_tracks == (box_track(2),)
    assert rows["0/0"].gt_tracks == (box_track(0),)
    assert rows["0/1"].pred_phrases == ("a", "b")
    assert (rows["0/1"].frames, rows["0/1"].seconds, rows["0/1"].history) == ((0, 2), 4.0, (("before", "yes"),))
    assert folder.state().complete
    assert folder.run.model == "file:p.jsonl"


def test_another_file_is_another_model(tmp_path: Path) -> None:
    run(tmp_path, write(tmp_path / "p.jsonl", *ALL))
    with pytest.raises(ConfigError, match="model_hash"):
        run(tmp_path, write(tmp_path / "p.jsonl", record("0/0", pred_text="Other."), *ALL[1:]))


def test_answers_that_are_missing_or_do_not_fit_are_failures(tmp_path: Path) -> None:
    small = ({"size": [2, 2], "counts": "13"}, None, None)
    rows = [
        record("0/1", pred_text=None),
        record("0/2", pred_text=None, error="timed out"),
        record("1/0", pred_masks=[[None] * 4]),
        record("1/1", pred_masks=[small]),
        record("1/2", pred_masks=[[{"size": [8, 10], "counts": "zzz"}]]),
    ]
    folder = run(tmp_path, write(tmp_path / "p.jsonl", *rows))
    errors = {sample_id: row.error for sample_id, row in found(folder).items()}
    assert errors["0/0"] == errors["0/1"] == "no prediction given"
    assert errors["0/2"] == "timed out"
    assert errors["1/0"] == "a predicted track has 4 frames, but the reference has 3"
    assert errors["1/1"] == "a predicted mask is 2x2, but the references are 8x10"
    assert "line 5: pred_masks[0]: mask counts" in str(errors["1/2"])


def test_an_empty_answer_is_an_answer(tmp_path: Path) -> None:
    folder = run(tmp_path, write(tmp_path / "p.jsonl", record("0/0", pred_text="", pred_masks=[]), *ALL[1:]))
    assert folder.state().complete
    assert found(folder)["0/0"].pred_text == ""


def test_ids_that_nobody_asks_are_refused_with_their_number(tmp_path: Path) -> None:
    choice = write(tmp_path / "p.jsonl", *ALL, *(record(f"x/{index}") for index in range(4)))
    with pytest.raises(DataError, match=r"has 4 records with ids that fake does not ask \(x/0, x/1, x/2, \.\.\.\)"):
        run(tmp_path, choice)


def test_records_of_another_part_are_left_alone(tmp_path: Path) -> None:
    choice = write(tmp_path / "p.jsonl", *ALL, record("x/0", part="C"))
    assert run(tmp_path, choice).state().complete
    with pytest.raises(DataError, match=r"no record of fake \(part fake\), only of: C"):
        run(tmp_path / "b", write(tmp_path / "c.jsonl", record("x/0", part="C")))


def test_a_limited_run_takes_what_it_asks(tmp_path: Path) -> None:
    folder = run(tmp_path, write(tmp_path / "p.jsonl", *ALL), limit=2)
    assert str(folder.state()) == "2 of 2 questions answered; the run has only the first 2 of the benchmark"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"id": "0/0", "pred_text": "a"}\n{"id": "0/0", "pred_text": "b"}', "line 2: a second record of 0/0"),
        ('{"pred_text": "a"}', "line 1: the record has no 'id'"),
        ("[1]", "line 1: a record is a JSON object, not a list"),
        ('{"id": "0/0"', "line 1 is not JSON"),
    ],
)
def test_a_file_that_is_none_is_refused_by_its_line(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(text)
    with pytest.raises(DataError, match=told):
        ModelChoice(f"file:{path}").open()


def test_options_of_a_model_that_runs_are_refused(tmp_path: Path) -> None:
    spec = write(tmp_path / "p.jsonl", *ALL).spec
    with pytest.raises(ConfigError, match="--quantize, --max-frames has no meaning"):
        ModelChoice(spec, {"quantize": "int4", "max_frames": 4}).open()
    assert ModelChoice(spec, {"seed": 3}).open(local_rank=1)


def test_records_with_references_need_no_files(tmp_path: Path) -> None:
    run(tmp_path / "ours", FakeSource())
    path = tmp_path / "ours" / "run" / "predictions" / "shard-0-of-1.jsonl"
    rows = [json.loads(line) | {"part": "G"} for line in path.read_text().splitlines()]
    rows = rows[::2] + rows[1::2]
    choice = write(tmp_path / "p.jsonl", *rows, record("C/1", part="C"))
    task = FakeTask()
    task.name = "sama-bench-g"
    folder = run(tmp_path, choice, task=task, source=RecordSource(tmp_path / "p.jsonl", "sama-bench-g"))
    again, ours = found(folder), found(RunFolder(tmp_path / "ours" / "run"))
    assert set(again) == set(ours)
    for sample_id, row in again.items():
        for name in (
            "gt_tracks",
            "pred_tracks",
            "gt_text",
            "pred_text",
            "subset",
            "video",
            "turn_idx",
            "facts",
            "dialogue",
        ):
            assert getattr(row, name) == getattr(ours[sample_id], name)
    assert [question.video for question in folder.manifest()] == ["v0"] * 3 + ["v1"] * 3


def test_records_without_references_need_the_files(tmp_path: Path) -> None:
    choice = write(tmp_path / "p.jsonl", *ALL)
    with pytest.raises(
        DataError, match=r"line 1: the record has no video, subset, gt_text, gt_phrases, gt_masks; give"
    ):
        run(tmp_path, choice, source=RecordSource(tmp_path / "p.jsonl", "fake"))
