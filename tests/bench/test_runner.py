"""Answers asked once, stored at once; however a run is cut up, ended or begun again, the same is stored."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from fake_bench import FakeModel, FakeSource, FakeTask, OpenedSource, box_track

from sama_video.bench.keys import code_version
from sama_video.bench.predicting import Job, fitted, run_shard, survey
from sama_video.bench.runner import run_job
from sama_video.bench.scoring import ToolsChoice, score_run
from sama_video.bench.sharding import Shard
from sama_video.bench.store import RunFolder
from sama_video.bench.task import Sample, TaskOptions
from sama_video.errors import ConfigError, DataError, SamaError

RUN_ME = Path(__file__).with_name("run_me.py")


def quiet(done: int, total: int) -> None:
    pass


def job(model: object = None, videos: int = 4, **changes: object) -> Job:
    source = FakeSource() if model is None else OpenedSource(model) if isinstance(model, FakeModel) else model
    return replace(Job(FakeTask(videos), source, TaskOptions()), **changes)


def lines(folder: RunFolder) -> list[dict[str, object]]:
    """Every stored line but how long it took, by id."""
    rows = []
    for path in (folder.path / "predictions").glob("*.jsonl"):
        rows += [json.loads(line) for line in path.read_text().splitlines()]
    return sorted(({key: row[key] for key in row if key != "seconds"} for row in rows), key=lambda row: row["id"])


def scores(folder: RunFolder, task: FakeTask | None = None) -> tuple[bytes, bytes]:
    score_run(folder, ("reference", "strict"), ToolsChoice(), 1, task=task or FakeTask())
    return folder.scores_path.read_bytes(), folder.rows_path.read_bytes()


def test_every_question_is_asked_once_with_its_clip_opened_once_a_video(tmp_path: Path) -> None:
    model = FakeModel()
    told: list[tuple[int, int]] = []
    run_shard(job(model), RunFolder(tmp_path), Shard(), lambda *state: told.append(state))
    assert model.asked == [f"{video}/{turn}" for video in range(4) for turn in range(3)]
    assert len({id(clip) for clip in model.clips}) == 4
    assert told[0] == (0, 12)
    assert told[-1] == (12, 12)
    assert len(told) == 13


def test_a_line_holds_the_question_the_reference_and_the_answer(tmp_path: Path) -> None:
    run_shard(job(), RunFolder(tmp_path), Shard(), quiet)
    stored = {row.sample_id: row for row in RunFolder(tmp_path).predictions()}
    row = stored["1/0"]
    assert row.pred_text == row.gt_text == "<p> thing 1 </p> [SEG] at 0"
    assert row.gt_tracks == (box_track(0),)
    assert row.pred_tracks == (box_track(1),)
    assert (row.task, row.part, row.subset, row.video, row.question_id) == ("fake", "fake", "odd", "v1", "3")
    assert (row.dialogue, row.turn_idx, row.frames, row.seconds) == ("d1", 0, (0, 2), 0.25)
    assert (row.model, row.model_hash, row.code_version) == ("fake model", "1", code_version())
    assert row.facts == {"letter": "A"}
    assert row.error is None
    assert len({row.key for row in stored.values()}) == 12


def test_a_second_run_asks_nothing(tmp_path: Path) -> None:
    run_shard(job(), RunFolder(tmp_path), Shard(), quiet)
    before = lines(RunFolder(tmp_path))
    model = FakeModel()
    run_shard(job(model), RunFolder(tmp_path), Shard(), quiet)
    assert model.asked == []
    assert lines(RunFolder(tmp_path)) == before


def test_what_failed_is_recorded_and_asked_again(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    run_shard(job(FakeModel(failing=frozenset({"0/1", "2/2"}))), folder, Shard(), quiet)
    assert str(folder.state()) == "10 of 12 questions answered; 2 failed (cannot say)"
    failed = next(row for row in folder.predictions() if row.sample_id == "0/1")
    assert (failed.pred_text, failed.pred_tracks, failed.error) == (None, (), "cannot say")
    assert failed.gt_tracks == (box_track(1),)
    model = FakeModel()
    run_shard(job(model), folder, Shard(), quiet)
    assert model.asked == ["0/1", "2/2"]
    assert folder.state().complete


def test_a_model_that_breaks_down_leaves_the_other_videos_alone(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    run_shard(job(FakeModel(crash_on="1/1")), folder, Shard(), quiet)
    assert dict(folder.state().failed) == {"RuntimeError: out of memory": 2}
    assert [row.sample_id for row in folder.predictions() if row.error] == ["1/1", "1/2"]


class Blind(FakeTask):
    """The clip of one video is broken."""

    def clip(self, video):
        if video == 2:
            raise DataError("frames are missing")
        return super().clip(video)


def test_a_video_that_cannot_be_opened_is_a_failure_of_its_questions(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    run_shard(job(task=Blind()), folder, Shard(), quiet)
    assert dict(folder.state().failed) == {"frames are missing": 3}
    run_shard(job(), folder, Shard(), quiet)
    assert folder.state().complete


class Silent(FakeModel):
    """Answers the first question of each video, and one that nobody asked."""

    def answer(self, samples, options, known):
        yield from list(super().answer(samples[:1], options, known))
        yield from super().answer([replace(samples[0], sample_id="nobody")], options, known)


def test_a_question_without_an_answer_is_a_failure(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    run_shard(job(Silent()), folder, Shard(), quiet)
    assert dict(folder.state().failed) == {"the model gave no answer": 8}


@pytest.mark.parametrize("count", [2, 3])
def test_shards_store_what_one_run_stores(tmp_path: Path, count: int) -> None:
    whole, parts = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "parts")
    run_shard(job(), whole, Shard(), quiet)
    for index in range(count):
        run_shard(job(), parts, Shard(index, count), quiet)
    assert lines(parts) == lines(whole)
    assert scores(parts) == scores(whole)


def test_a_run_goes_on_in_other_shards(tmp_path: Path) -> None:
    whole, cut = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "cut")
    run_shard(job(), whole, Shard(), quiet)
    run_shard(job(), cut, Shard(0, 3), quiet)
    model = FakeModel()
    run_shard(job(model), cut, Shard(), quiet)
    assert 0 < len(model.asked) < 12
    assert lines(cut) == lines(whole)


def test_two_workers_store_what_one_process_stores(tmp_path: Path) -> None:
    one, two = RunFolder(tmp_path / "one"), RunFolder(tmp_path / "two")
    run_job(job(), one, Shard(), quiet)
    told: list[tuple[int, int]] = []
    run_job(job(), two, Shard(), lambda *state: told.append(state), workers=2)
    assert told[-1] == (12, 12)
    assert lines(two) == lines(one)
    assert scores(two) == scores(one)
    assert len(list((tmp_path / "two" / "predictions").glob("*.jsonl"))) == 2


def test_workers_tell_why_they_refused(tmp_path: Path) -> None:
    run_job(job(), RunFolder(tmp_path), Shard(), quiet)
    other = job(FakeSource(revision="2"))
    with pytest.raises(SamaError, match='model_hash "1", but this one has "2"'):
        run_job(other, RunFolder(tmp_path), Shard(), quiet, workers=2)


class Dying(FakeTask):
    """Its process is killed when the third video is opened."""

    def clip(self, video):
        if video == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().clip(video)


def test_a_worker_that_dies_is_told_and_its_answers_are_kept(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="exit code -9.*the same command goes on"):
        run_job(job(task=Dying()), RunFolder(tmp_path), Shard(), quiet, workers=2)
    assert RunFolder(tmp_path).state().answered > 0
    run_job(job(), RunFolder(tmp_path), Shard(), quiet)
    assert RunFolder(tmp_path).state().complete


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"options": TaskOptions(history="self")}, "options"),
        ({"options": TaskOptions(seed=1)}, "options"),
        ({"limit": 5}, "data_hash"),
        ({"model": FakeSource(revision="2")}, "model_hash"),
    ],
)
def test_another_run_does_not_join(tmp_path: Path, changes: dict[str, object], told: str) -> None:
    run_shard(job(), RunFolder(tmp_path), Shard(), quiet)
    with pytest.raises(ConfigError, match=told):
        run_shard(replace(job(), **changes), RunFolder(tmp_path), Shard(), quiet)


def test_answers_to_other_pictures_are_not_used_again(tmp_path: Path) -> None:
    run_shard(job(), RunFolder(tmp_path), Shard(), quiet)
    with pytest.raises(DataError, match="the stored answer to 0/0 is to other pictures or masks than v0 has now"):
        run_shard(job(task=FakeTask(shade=1)), RunFolder(tmp_path), Shard(), quiet)


def test_a_model_that_reads_no_clips_needs_none(tmp_path: Path) -> None:
    source = FakeSource(reads_clips=False)
    run_shard(job(source), RunFolder(tmp_path / "a"), Shard(), quiet)
    run_shard(job(source, task=FakeTask(shade=1)), RunFolder(tmp_path / "a"), Shard(), quiet)
    assert RunFolder(tmp_path / "a").state().complete


def test_a_limited_run_is_never_whole(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    model = FakeModel()
    run_shard(job(model, limit=4), folder, Shard(), quiet)
    assert model.asked == ["0/0", "0/1", "0/2", "1/0"]
    assert folder.run.limit == 4
    assert not folder.state().complete
    assert str(folder.state()) == "4 of 4 questions answered; the run has only the first 4 of the benchmark"


def test_a_limit_that_cuts_nothing_is_none(tmp_path: Path) -> None:
    run_shard(job(limit=12), RunFolder(tmp_path), Shard(), quiet)
    assert RunFolder(tmp_path).run.limit is None
    run_shard(job(), RunFolder(tmp_path), Shard(), quiet)
    assert RunFolder(tmp_path).state().complete


def test_the_hash_of_the_data_tells_every_difference() -> None:
    task = FakeTask()
    samples = list(task.samples(None, TaskOptions()))

    def digest(changed: Sample) -> str:
        return survey([changed, *samples[1:]], None)[1]

    first = samples[0]
    changes = [
        {"question": "Other?"},
        {"regions": ()},
        {"reference_text": "other"},
        {"reference_phrases": ()},
        {"facts": {"letter": "B"}},
        {"prompt": {"frame": 1}},
        {"ground": True},
        {"subset": "odd"},
        {"video": "v9"},
        {"frames": (0,)},
        {"turn_idx": 5},
    ]
    hashes = {digest(replace(first, **change)) for change in changes} | {digest(first)}
    assert len(hashes) == len(changes) + 1
    assert digest(first) == survey(samples, None)[1]


def test_two_questions_of_one_id_are_refused() -> None:
    sample = FakeTask().sample(0, 0)
    with pytest.raises(DataError, match="two questions of the benchmark have the id 0/0"):
        survey([sample, sample], None)


def test_predicted_tracks_are_made_to_fit_the_references_or_refused() -> None:
    reference = (box_track(0),)
    short = (box_track(1)[:1],)
    assert fitted(short, reference) == (((short[0][0], None, None),), None)
    assert fitted(((*box_track(1), None),), reference)[1] == "a predicted track has 4 frames, but the reference has 3"
    other = ({"size": [2, 2], "counts": "13"}, None, None)
    assert fitted((other,), reference)[1] == "a predicted mask is 2x2, but the references are 8x10"
    assert fitted((other,), ()) == ((other,), None)


def test_code_that_answers_is_part_of_the_version() -> None:
    version, _, digest = code_version().partition("+")
    assert version
    assert len(digest) == 12


# Kills: a run ended anywhere and begun again is the run that was never ended.


def start(out: Path, *words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, str(RUN_ME), str(out), *words])


def stored(out: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in out.glob("predictions/*.jsonl"))


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is POSIX's")
@pytest.mark.slow
def test_a_run_killed_anywhere_gives_the_same_scores(tmp_path: Path) -> None:
    task = FakeTask(videos=10)
    assert start(tmp_path / "whole").wait(60) == 0
    expected = scores(RunFolder(tmp_path / "whole"), task)
    rng = random.Random(0)
    cut, kills = tmp_path / "cut", 0
    for words in ((), ("2",), (), ("2",), ()):
        goal = stored(cut) + rng.randrange(1, 6)
        process = start(cut, *words)
        while stored(cut) < goal and process.poll() is None:
            time.sleep(rng.random() * 0.01)
        process.kill()
        kills += process.wait(60) == -signal.SIGKILL
        wait_for_orphans(cut)
    assert kills >= 3
    assert RunFolder(cut).state().missing > 0
    assert start(cut).wait(60) == 0
    assert scores(RunFolder(cut), task) == expected
    assert lines(RunFolder(cut)) == lines(RunFolder(tmp_path / "whole"))


def wait_for_orphans(cut: Path) -> None:
    """Workers whose parent was killed end with their next answer."""
    before = -1
    while stored(cut) != before:
        before = stored(cut)
        time.sleep(0.3)


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is POSIX's")
@pytest.mark.slow
def test_two_processes_with_one_shard_do_not_mix(tmp_path: Path) -> None:
    first = start(tmp_path)
    while stored(tmp_path) == 0:
        time.sleep(0.01)
    with pytest.raises(ConfigError, match="another process is answering shard 0/1"):
        run_shard(job(videos=10), RunFolder(tmp_path), Shard(), quiet)
    assert first.wait(60) == 0
    assert len(lines(RunFolder(tmp_path))) == 30
