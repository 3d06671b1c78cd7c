"""A cluster stores what one process stores, even when a worker dies."""

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import fake_bench
import pytest
from fake_bench import FakeSource, FakeTask

from sama_video.bench.predicting import Job, run_shard
from sama_video.bench.runner import run_job
from sama_video.bench.scoring import ToolsChoice, score_run
from sama_video.bench.sharding import Shard
from sama_video.bench.store import RunFolder
from sama_video.bench.task import TaskOptions
from sama_video.errors import ConfigError, SamaError
from sama_video.remote.cluster import join_cluster

ray = pytest.importorskip("ray")

pytestmark = [
    pytest.mark.slow,
    # Ray's own processes and sockets outlive a test for a moment.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning"),
]

JOB = Job(FakeTask(), FakeSource(), TaskOptions())


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """Two processors; workers find the fake benchmark where this process does."""
    path = {"PYTHONPATH": str(Path(fake_bench.__file__).parent)}
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env={"env_vars": path})
    yield
    ray.shutdown()


def stored(folder: RunFolder) -> dict[str, object]:
    rows = [json.loads(line) for path in folder.path.glob("predictions/*.jsonl") for line in path.open()]
    assert len(rows) == len({row["id"] for row in rows})
    return {row["id"]: row | {"seconds": 0} for row in rows}


def scores(folder: RunFolder) -> tuple[bytes, bytes]:
    score_run(folder, ("reference", "strict"), ToolsChoice(), 1, task=FakeTask())
    return folder.scores_path.read_bytes(), folder.rows_path.read_bytes()


def test_two_workers_store_what_one_process_stores(tmp_path: Path) -> None:
    alone, cluster = RunFolder(tmp_path / "alone"), RunFolder(tmp_path / "cluster")
    run_shard(JOB, alone, Shard(), lambda done, total: None)
    told: list[tuple[int, int]] = []
    run_job(JOB, cluster, Shard(), lambda *state: told.append(state), ray="auto", workers=2)
    assert stored(cluster) == stored(alone)
    assert scores(cluster) == scores(alone)
    assert told[-1] == (12, 12)
    run_job(JOB, cluster, Shard(), lambda *state: told.append(state), ray="auto")
    assert told[-1] == (12, 12)
    assert stored(cluster) == stored(alone)


class DyingOnce(FakeTask):
    """Its process is killed the first time that the third video is opened."""

    def __init__(self, flag: Path) -> None:
        super().__init__()
        self.flag = flag

    def clip(self, video):
        if video == 2 and not self.flag.exists():
            self.flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().clip(video)


def test_a_worker_that_dies_is_started_again(tmp_path: Path) -> None:
    ray.cloudpickle.register_pickle_by_value(__import__(__name__, fromlist=["x"]))
    alone, cluster = RunFolder(tmp_path / "alone"), RunFolder(tmp_path / "cluster")
    run_shard(JOB, alone, Shard(), lambda done, total: None)
    dying = replace(JOB, task=DyingOnce(tmp_path / "died"))
    run_job(dying, cluster, Shard(), lambda done, total: None, ray="auto", workers=2)
    assert (tmp_path / "died").exists()
    assert stored(cluster) == stored(alone)


def test_workers_that_die_over_and_over_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ray.cloudpickle.register_pickle_by_value(__import__(__name__, fromlist=["x"]))
    monkeypatch.setattr("sama_video.bench.on_ray.ATTEMPTS", 1)
    folder, dying = RunFolder(tmp_path), replace(JOB, task=DyingOnce(tmp_path / "died"))
    with pytest.raises(RuntimeError, match="died 1 times .*; the same command goes on from there"):
        run_job(dying, folder, Shard(), lambda done, total: None, ray="auto", workers=2)
    run_job(dying, folder, Shard(), lambda done, total: None, ray="auto", workers=2)
    assert folder.state().complete


def test_a_refusal_of_a_worker_is_told_in_its_words(tmp_path: Path) -> None:
    run_shard(JOB, RunFolder(tmp_path), Shard(), lambda done, total: None)
    with pytest.raises(ConfigError, match='model_hash "1", but this one has "2"'):
        run_job(replace(JOB, model=FakeSource(revision="2")), RunFolder(tmp_path), Shard(), lambda *_: None, ray="auto")
    with pytest.raises(SamaError, match="is to other pictures or masks"):
        run_job(replace(JOB, task=FakeTask(shade=1)), RunFolder(tmp_path), Shard(), lambda *_: None, ray="auto")


def test_an_address_where_nobody_is_is_told_at_once() -> None:
    with pytest.raises(ConfigError, match=r"--ray 127.0.0.1:1: no cluster answers there \(ConnectionRefusedError"):
        join_cluster(ray, "127.0.0.1:1")
