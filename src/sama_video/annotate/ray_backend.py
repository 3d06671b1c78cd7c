"""The work of the stages on a Ray cluster, by Ray Data; asking and the ledger stay with the caller.

Workers need the clips and inputs under the same paths, and nothing else. What they give is what this process would
have given, in another order, so the ledger holds the same whatever the number of workers.
"""

import logging
import pickle
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final

from sama_video.annotate.works import Job, Mapper, Work
from sama_video.errors import MissingExtraError, SamaError
from sama_video.remote.cluster import join_cluster

CHUNK: Final = 256
"""Subjects that are given to the cluster at a time: so many have their masklets in memory here."""


class RayMapper(Mapper):
    """Does work on a cluster; use it as a context manager.

    Args:
        address: `local` starts a cluster on this machine, `auto` finds the one that is running, or its address.
        workers: Tasks at a time; as many as there are processors by default.

    Raises:
        MissingExtraError: Ray is not installed.
        ConfigError: There is no such cluster.
    """

    def __init__(self, address: str, workers: int | None = None) -> None:
        try:
            import ray
            import ray.data
        except ImportError as error:
            # Ray Data wants packages that Ray alone does not bring.
            raise MissingExtraError(error.name or "ray", "ray") from error
        self._ray: Any = ray
        self.address = address
        self.workers = workers
        self._started = False

    def __enter__(self) -> "RayMapper":
        if not self._ray.is_initialized():
            join_cluster(self._ray, self.address)
            self._started = True
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        context = self._ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        return self

    def __exit__(self, *_: object) -> None:
        if self._started:
            self._ray.shutdown()

    def map(self, work: Work, jobs: Iterable[Job]) -> Iterator[tuple[str, Any]]:
        """What the work gives for each subject, as it comes.

        Raises:
            SamaError: What a worker raised on purpose.
            RuntimeError: A worker broke down; what came before is kept by whoever took it.
        """
        rest = iter(jobs)
        carried = pickle.dumps(work)
        while chunk := list(islice(rest, CHUNK)):
            yield from self._map_chunk(carried, chunk)

    def _map_chunk(self, work: bytes, jobs: list[Job]) -> Iterator[tuple[str, Any]]:
        rows = [{"work": work, "job": pickle.dumps(job)} for job in jobs]
        blocks = min(len(rows), 4 * (self.workers or self._processors()))
        data = self._ray.data.from_items(rows, override_num_blocks=blocks).map(do_one, concurrency=self.workers)
        try:
            for row in data.iter_rows():
                subject_id, result = pickle.loads(row["result"])
                if isinstance(result, SamaError):
                    raise result
                yield subject_id, result
        except self._ray.exceptions.RayError as error:
            line = " ".join(str(error).split())[-200:]
            raise RuntimeError(f"a worker broke down ({line}); the same command goes on from there") from error

    def _processors(self) -> int:
        return max(1, int(self._ray.cluster_resources().get("CPU", 1)))


def do_one(row: dict[str, Any]) -> dict[str, Any]:
    """What a worker does with one subject; errors that users are meant to read go back as values."""
    work, job = pickle.loads(row["work"]), pickle.loads(row["job"])
    try:
        result = work(job)
    except SamaError as error:
        result = SamaError(str(error))
    return {"result": pickle.dumps((job.subject_id, result))}
