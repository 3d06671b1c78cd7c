"""A job done in one process, in several, or on a cluster; what is stored is the same."""

from sama_video.bench.on_ray import run_on_ray
from sama_video.bench.predicting import Job, Report, run_shard
from sama_video.bench.processes import run_workers
from sama_video.bench.sharding import Shard
from sama_video.bench.store import RunFolder


def run_job(
    job: Job,
    folder: RunFolder,
    shard: Shard,
    report: Report,
    *,
    workers: int = 1,
    ray: str | None = None,
    local_rank: int | None = None,
) -> None:
    """Answer one shard here, in several processes, or on a cluster; what is stored is the same."""
    if ray is not None:
        run_on_ray(job, folder, shard, report, address=ray, workers=workers)
    elif workers > 1:
        run_workers(job, folder, shard, report, workers=workers)
    else:
        run_shard(job, folder, shard, report, local_rank)
