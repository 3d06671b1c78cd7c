"""A shard answered on a Ray cluster: pieces of it go to workers, and the answers come back here to be stored.

Workers need the benchmark's files under the same path, and nothing of the run's folder. A worker that dies is started
again and goes on from what is stored.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, no_type_check

from sama_video.bench.models import one_line
from sama_video.bench.predicting import Job, Predictor, Report, progress_of
from sama_video.bench.records import prediction_to_json
from sama_video.bench.sharding import Shard
from sama_video.bench.store import Question, RunFolder, RunInfo
from sama_video.bench.task import Json, Prediction
from sama_video.errors import MissingExtraError, SamaError
from sama_video.remote.cluster import join_cluster, machines, one_worker_each

ATTEMPTS = 3
"""How often a piece is given to a worker before its deaths are told."""

ANSWERS_AHEAD = 8
"""How many answers a worker may have ready before one of them is stored."""


@dataclass(frozen=True)
class Opened:
    """The first that a worker sends: what it is about to answer."""

    run: RunInfo
    manifest: tuple[Question, ...]


@dataclass(frozen=True)
class Refused:
    """What a worker sends instead of answers when the job cannot be done."""

    reason: str


Sent: TypeAlias = Opened | Refused | dict[str, Json]


@dataclass
class Piece:
    """A part of the shard that one worker answers, and how often one began with it."""

    shard: Shard
    attempts: int = 0


def run_on_ray(job: Job, folder: RunFolder, shard: Shard, report: Report, *, address: str, workers: int) -> None:
    """Answer a shard on a cluster; what is stored is what one process would have stored.

    Args:
        address: Of the cluster; `local` starts one on this machine, `auto` finds the one that is running.
        workers: How many models; 1 means one for each GPU of the cluster, or for each machine if it has none.

    Raises:
        SamaError: There is no such cluster, the folder holds another run, or a worker refused the job.
        RuntimeError: A worker broke down, or died over and over; its answers so far are stored.
    """
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError("ray", "ray") from error
    started = not ray.is_initialized()
    if started:
        join_cluster(ray, address)
    try:
        count = workers if workers > 1 else one_worker_each(ray)
        pieces = [Piece(shard.piece(index, count)) for index in range(count)]
        with folder.writer(shard) as writer:
            counter = _Counter(shard, report, folder.answered())
            for sent in _gather(ray, _starter(ray, job, folder, count), pieces):
                if isinstance(sent, Opened):
                    folder.create(sent.run, sent.manifest)
                    counter.begin(sent.manifest)
                else:
                    writer.append(sent)
                    counter.advance(sent)
    finally:
        if started:
            ray.shutdown()


@no_type_check  # a checker's wrapper would hide from Ray that it yields
def answer_piece(job: Job, shard: Shard, known: Mapping[str, Prediction]) -> Iterator[Sent]:
    """What a worker does."""
    try:
        predictor = Predictor(job)
        yield Opened(predictor.run, predictor.manifest)
        for prediction in predictor.answers(shard, known):
            yield prediction_to_json(prediction)
    except SamaError as error:
        yield Refused(one_line(error))


class _Counter:
    """Counts for the report, however often a worker begins anew."""

    def __init__(self, shard: Shard, report: Report, known: Mapping[str, Prediction]) -> None:
        self.shard = shard
        self.report = report
        self.known = known
        self.stored: set[str] = set()
        self.begun = (0, 0)

    def begin(self, manifest: tuple[Question, ...]) -> None:
        self.begun = progress_of(self.shard, manifest, self.known)
        self.report(self.begun[0] + len(self.stored), self.begun[1])

    def advance(self, row: Mapping[str, Json]) -> None:
        self.stored.add(row["id"])
        self.report(self.begun[0] + len(self.stored), self.begun[1])


Start: TypeAlias = Callable[[Piece], Any]
"""Gives a piece to a worker, with what is known by then; the stream of what it sends comes back."""


def _gather(ray: Any, start: Start, pieces: list[Piece]) -> Iterator[Opened | dict[str, Json]]:
    """Whatever the workers send, as it comes."""
    going = {start(piece): piece for piece in pieces}
    while going:
        stream = ray.wait(list(going), num_returns=1, fetch_local=False)[0][0]
        try:
            sent: Sent = ray.get(next(stream))
        except StopIteration:
            del going[stream]
        except ray.exceptions.RayTaskError as error:
            raise RuntimeError(f"a worker broke down: {one_line(error.cause or error)}") from error
        except ray.exceptions.RayError as error:
            piece = going.pop(stream)
            if piece.attempts >= ATTEMPTS:
                raise RuntimeError(
                    f"the workers of shard {piece.shard} died {ATTEMPTS} times ({one_line(error)}); "
                    "the same command goes on from there"
                ) from error
            going[start(piece)] = piece
        else:
            if isinstance(sent, Refused):
                raise SamaError(sent.reason)
            yield sent


def _starter(ray: Any, job: Job, folder: RunFolder, count: int) -> Start:
    worker = ray.remote(answer_piece).options(
        num_returns="streaming",
        max_retries=0,  # ours begin anew with what is known by then
        _generator_backpressure_num_objects=ANSWERS_AHEAD,
        **_resources(ray, count),
    )

    def start(piece: Piece) -> Any:
        piece.attempts += 1
        return worker.remote(job, piece.shard, folder.answered())

    return start


def _resources(ray: Any, count: int) -> dict[str, float | int]:
    """What each of some workers may use: a GPU each, or else its share of a machine's processors."""
    if int(ray.cluster_resources().get("GPU", 0)) >= count:
        return {"num_gpus": 1, "num_cpus": 1}
    found = machines(ray)
    on_one = -(-count // max(1, len(found)))
    return {"num_cpus": max(1, int(min((machine["CPU"] for machine in found), default=1)) // on_one)}
