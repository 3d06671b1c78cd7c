"""The fake benchmark in a process of its own, to be killed: run_me.py OUT [WORKERS]."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "fixtures"))

from fake_bench import FakeSource, FakeTask

from sama_video.bench.predicting import Job
from sama_video.bench.runner import run_job
from sama_video.bench.sharding import Shard
from sama_video.bench.store import RunFolder
from sama_video.bench.task import TaskOptions

if __name__ == "__main__":
    job = Job(FakeTask(videos=10), FakeSource(pause=0.02), TaskOptions())
    workers = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    run_job(job, RunFolder(sys.argv[1]), Shard(), lambda done, total: None, workers=workers)
