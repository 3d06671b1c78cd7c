"""Several processes on one machine, each with a model and a piece of the shard of its own."""

import multiprocessing
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any, Literal, TypeAlias

from sama_video.bench.models import one_line
from sama_video.bench.predicting import Job, Report, run_shard
from sama_video.bench.sharding import Shard
from sama_video.bench.store import RunFolder
from sama_video.errors import SamaError

Told: TypeAlias = tuple[Literal["progress"], int, int] | tuple[Literal["refused", "broken", "over"], str]


@dataclass
class Worker:
    """A process at work, and what it told last."""

    process: BaseProcess
    ear: Any  # its class is another one on each system
    done: int = 0
    total: int = 0
    end: tuple[str, str] | None = field(default=None)

    def hear(self) -> bool:
        """Take one message in; False when there will be no more."""
        try:
            told: Told = self.ear.recv()
        except EOFError:
            self.process.join()
            code = self.process.exitcode
            self.end = self.end or ("broken", f"it ended with exit code {code} before it was done")
            return False
        if told[0] == "progress":
            self.done, self.total = told[1], told[2]
            return True
        self.end = (told[0], told[1])
        return True


def run_workers(job: Job, folder: RunFolder, shard: Shard, report: Report, *, workers: int) -> None:
    """Answer a shard in several processes; whatever one of them could not do is told when all have ended.

    Raises:
        SamaError: A worker refused the job.
        RuntimeError: A worker broke down; its answers so far are stored.
    """
    context = multiprocessing.get_context("spawn")
    team: list[Worker] = []
    try:
        for index in range(workers):
            ear, mouth = context.Pipe(duplex=False)
            words = (job, folder.path, shard.piece(index, workers), index, workers, mouth)
            process = context.Process(target=_work, args=words, daemon=True)
            process.start()
            mouth.close()
            team.append(Worker(process, ear))
        _listen(team, report)
    finally:
        for worker in team:
            worker.process.terminate()
            worker.process.join()
            worker.ear.close()
    _tell_ends(team)


def _listen(team: Sequence[Worker], report: Report) -> None:
    open_ears = {worker.ear: worker for worker in team}
    while open_ears:
        for ear in wait(list(open_ears)):
            if not open_ears[ear].hear():
                del open_ears[ear]
        report(sum(worker.done for worker in team), sum(worker.total for worker in team))


def _tell_ends(team: Sequence[Worker]) -> None:
    ends = [worker.end for worker in team if worker.end is not None]
    for kind, text in ends:
        if kind == "refused":
            raise SamaError(text)
    for index, (kind, text) in enumerate(ends):
        if kind == "broken":
            raise RuntimeError(f"worker {index} of {len(team)} broke down: {text}; the same command goes on from there")


def _work(job: Job, folder: os.PathLike[str], shard: Shard, index: int, workers: int, mouth: Any) -> None:
    """What a worker does; the pipe breaks when its parent is gone, and then it ends as well."""
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))
    try:
        run_shard(job, RunFolder(os.fspath(folder)), shard, lambda *state: mouth.send(("progress", *state)), index)
        mouth.send(("over", ""))
    except (KeyboardInterrupt, BrokenPipeError):
        return
    except SamaError as error:
        mouth.send(("refused", one_line(error)))
    # It has no terminal of its own: whatever went wrong is its parent's to tell.
    except Exception as error:
        mouth.send(("broken", one_line(error)))
