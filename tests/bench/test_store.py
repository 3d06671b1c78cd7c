"""What a run leaves on disk, and what of it survives a kill."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from fake_bench import box_track
from hypothesis import given
from hypothesis import strategies as st

from sama_video.bench.lines import cut_torn_line, read_lines, write_whole
from sama_video.bench.lock import hold_lock
from sama_video.bench.sharding import Shard
from sama_video.bench.store import Question, RunFolder, RunInfo, prediction_from_json, prediction_to_json
from sama_video.bench.task import Prediction
from sama_video.errors import ConfigError, DataError

RUN = RunInfo("fake", 1, "some model", "abc", "def", {"history": "single", "limit": None}, "1.0+0", 0)
MANIFEST = tuple(Question(f"q{index}", f"v{index // 2}", "all", index % 2) for index in range(4))


def prediction(sample_id: str = "q0", **changes: object) -> Prediction:
    whole = Prediction(
        sample_id=sample_id,
        task="fake",
        part="fake",
        subset="all",
        video="v0",
        question_id="7",
        question="Who?",
        gt_text="<p> The dog </p> [SEG].",
        gt_phrases=("the dog",),
        gt_tracks=(box_track(1), box_track(2)),
        pred_text="<p> Ein Hund – «Äh» </p> [SEG].",
        pred_phrases=("ein hund",),
        pred_tracks=(box_track(3),),
        history=(("Before?", "Yes."),),
        frames=(0, 2),
        prompt={"frame": 0, "kind": "box", "frames": [0]},
        dialogue="d",
        turn_idx=1,
        facts={"options": ["a", "b"]},
        model="m",
        model_hash="mh",
        data_hash="dh",
        code_version="c",
        seed=3,
        seconds=1.5,
        key="k",
    )
    return replace(whole, **changes)


def fill(folder: RunFolder, shard: Shard, *rows: Prediction) -> None:
    with folder.writer(shard) as writer:
        for row in rows:
            writer.append(prediction_to_json(row))


def made(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "run")
    folder.create(RUN, MANIFEST)
    return folder


def test_a_prediction_comes_back_from_its_line() -> None:
    line = json.loads(json.dumps(prediction_to_json(prediction())))
    assert prediction_from_json(line, "here") == prediction()
    assert prediction_from_json(line, "here", trusted=True) == prediction()
    bare = prediction_from_json(line, "here", masks=False)
    assert bare == prediction(gt_tracks=(), pred_tracks=())


def test_the_line_has_the_fields_of_the_specification() -> None:
    names = "id part subset video question_id question history gt_text pred_text gt_phrases pred_phrases gt_masks "
    names += "pred_masks frames prompt model model_hash data_hash code_version seed seconds"
    assert set(names.split()) <= set(prediction_to_json(prediction()))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"id": None}, "line 3: id is None"),
        ({"id": 5}, "line 3: id is 5"),
        ({"pred_phrases": "x"}, "pred_phrases is 'x', which is no list"),
        ({"pred_phrases": [1]}, "pred_phrases holds 1, which is no text"),
        ({"frames": [0.5]}, "frames holds 0.5, which is no frame index"),
        ({"pred_masks": [[{"size": [2, 2]}]]}, r"pred_masks\[0\]: mask has the keys size"),
        ({"pred_masks": [{"size": [2, 2]}]}, "pred_masks holds .* instead of a list"),
        ({"pred_masks": [[None, {"size": [2, 2], "counts": "9999"}]]}, r"pred_masks\[0\]: mask counts"),
        ({"history": ["before"]}, "history holds 'before'"),
        ({"seed": True}, "seed is True"),
        ({"pred_text": 4}, "pred_text is 4"),
    ],
)
def test_a_damaged_record_is_refused_by_field(change: dict[str, object], problem: str) -> None:
    line = prediction_to_json(prediction()) | change
    with pytest.raises(DataError, match=problem):
        prediction_from_json(line, "p.jsonl, line 3")


def test_a_record_of_another_program_may_leave_out_what_is_ours() -> None:
    read = prediction_from_json({"id": "G/1", "question_id": 1, "pred_text": "Yes."}, "here")
    assert (read.sample_id, read.question_id, read.pred_text, read.error) == ("G/1", "1", "Yes.", None)
    turns = [{"question": "a", "answer": "b"}, ["c", "d"]]
    assert prediction_from_json({"id": "x", "history": turns}, "here").history == (("a", "b"), ("c", "d"))
    with pytest.raises(DataError, match="has no 'id'"):
        prediction_from_json({"pred_text": "Yes."}, "here")


def test_a_run_is_created_once_and_joined_by_the_same(tmp_path: Path) -> None:
    folder = made(tmp_path)
    before = (folder.path / "run.json").read_bytes()
    folder.create(RUN, MANIFEST[:1])
    assert (folder.path / "run.json").read_bytes() == before
    assert folder.run == RUN
    assert folder.manifest() == MANIFEST
    document = json.loads(before)
    assert document["schema"] == "sama-run/1"
    first = json.loads((folder.path / "manifest.jsonl").read_text().splitlines()[0])
    assert first == {"id": "q0", "video": "v0", "subset": "all", "turn": 0}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"model": "other"}, 'model "some model", but this one has "other"'),
        ({"task": "refcoco"}, 'task "fake"'),
        ({"data_hash": "x"}, 'data_hash "def"'),
        ({"options": {"history": "self", "limit": None}}, '"history": "single".*"history": "self"'),
        ({"code_version": "2"}, "code_version"),
    ],
)
def test_another_run_is_refused_by_what_differs(tmp_path: Path, change: dict[str, object], told: str) -> None:
    folder = made(tmp_path)
    with pytest.raises(ConfigError, match=told):
        folder.create(replace(RUN, **change), MANIFEST)


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no run \(run.json is missing\)"):
        _ = RunFolder(tmp_path).run
    (tmp_path / "run.json").write_text('{"schema": "sama-run/1"}')
    with pytest.raises(DataError, match="is damaged"):
        _ = RunFolder(tmp_path).run


def test_shards_are_merged_in_the_order_of_the_manifest(tmp_path: Path) -> None:
    folder = made(tmp_path)
    fill(folder, Shard(1, 2), prediction("q3"), prediction("q1"))
    fill(folder, Shard(0, 2), prediction("q2"), prediction("q0"))
    assert [row.sample_id for row in folder.predictions()] == ["q0", "q1", "q2", "q3"]
    assert {path.name for path in (folder.path / "predictions").glob("*.jsonl")} == {
        "shard-0-of-2.jsonl",
        "shard-1-of-2.jsonl",
    }
    assert str(folder.state()) == "4 of 4 questions answered"
    assert folder.state().complete


def test_an_answer_goes_before_a_failure_and_the_newer_line_before_the_older(tmp_path: Path) -> None:
    folder = made(tmp_path)
    failure = prediction("q0", error="no memory", pred_text=None)
    fill(folder, Shard(0, 1), failure, prediction("q0", pred_text="first"), prediction("q0", pred_text="second"))
    fill(folder, Shard(1, 2), failure, replace(failure, sample_id="q1"))
    fill(folder, Shard(1, 2), prediction("q1", error="no luck", pred_text=None))
    found = {row.sample_id: row for row in folder.predictions()}
    assert found["q0"].pred_text == "second"
    assert found["q1"].error == "no luck"
    assert set(folder.answered()) == {"q0"}
    state = folder.state()
    assert (state.answered, dict(state.failed), state.missing, state.complete) == (1, {"no luck": 1}, 2, False)
    assert str(state) == "1 of 4 questions answered; 2 not asked yet; 1 failed (no luck)"


def test_a_torn_last_line_is_overlooked_and_then_cut_off(tmp_path: Path) -> None:
    folder = made(tmp_path)
    fill(folder, Shard(), prediction("q0"), prediction("q1"))
    path = folder.path / "predictions" / "shard-0-of-1.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    assert set(folder.answered()) == {"q0"}
    fill(folder, Shard(), prediction("q1"))
    assert path.read_bytes() == whole


def test_a_damaged_line_within_is_refused_by_its_number(tmp_path: Path) -> None:
    folder = made(tmp_path)
    fill(folder, Shard(), prediction("q0"), prediction("q1"))
    path = folder.path / "predictions" / "shard-0-of-1.jsonl"
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first[:50] + b"\n" + second)
    with pytest.raises(DataError, match=r"shard-0-of-1.jsonl, line 1 is not JSON"):
        folder.newest()


def test_an_answer_that_was_not_asked_for_is_refused(tmp_path: Path) -> None:
    folder = made(tmp_path)
    fill(folder, Shard(), prediction("q9"))
    with pytest.raises(DataError, match="an answer to q9, which is not in manifest.jsonl"):
        list(folder.predictions())


def test_one_process_writes_a_shard_at_a_time(tmp_path: Path) -> None:
    folder = made(tmp_path)
    with folder.writer(Shard(0, 2)):
        with pytest.raises(ConfigError, match="another process is answering shard 0/2"), folder.writer(Shard(0, 2)):
            pass
        with folder.writer(Shard(1, 2)):
            pass
    with folder.writer(Shard(0, 2)):
        pass


def test_a_lock_is_waited_for_without_a_refusal(tmp_path: Path) -> None:
    with hold_lock(tmp_path / "lock"):
        pass
    with hold_lock(tmp_path / "lock"):
        pass


@given(text=st.binary(max_size=40))
def test_cutting_keeps_exactly_the_whole_lines(tmp_path_factory: pytest.TempPathFactory, text: bytes) -> None:
    path = tmp_path_factory.mktemp("cut") / "lines"
    path.write_bytes(text)
    cut_torn_line(path)
    assert path.read_bytes() == text[: text.rfind(b"\n") + 1]


def test_a_long_torn_line_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"1\n" + b"x" * 200_000)
    cut_torn_line(path)
    assert path.read_bytes() == b"1\n"


def test_places_of_lines_point_at_them(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes('"ä"\n\n[1]\n2'.encode())
    assert [(str(place), value) for place, value in read_lines(path)] == [
        (f"{path}, line 1", "ä"),
        (f"{path}, line 3", [1]),
    ]
    assert [value for _, value in read_lines(path, growing=False)] == ["ä", [1], 2]


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    write_whole(tmp_path / "a", "old")
    with pytest.raises(UnicodeEncodeError):
        write_whole(tmp_path / "a", "\ud800")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "old"
