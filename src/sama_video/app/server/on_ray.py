"""Jobs done by replicas on a Ray cluster; Ray Serve starts them, watches them, and finds the right one.

A conversation goes to one replica by a hash of its beginning, where its cache is. When that one is full or dead another
takes it, which costs time only, as long as the caller sends its groundings back. A clip is sent to a replica that does
not have it.
"""

import asyncio
import hashlib
import math
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool

from sama_video.app.server.conversations import ConversationStats
from sama_video.app.server.fair_queue import FairQueue
from sama_video.app.server.files import ClipStore
from sama_video.app.server.jobs import Failed, Run, Steps, Topic
from sama_video.app.server.metrics import Metrics
from sama_video.app.server.problems import ApiError
from sama_video.app.server.replica import Done, NeedsClip, Replica, Task
from sama_video.app.server.settings import Limits, ServerSettings
from sama_video.app.server.state import Desk, ModelTold
from sama_video.errors import MissingExtraError
from sama_video.remote.cluster import join_cluster, one_worker_each

APPLICATION = "sama-video"
ROUTER = "ray.serve.experimental.consistent_hash_router.ConsistentHashRouter"
QUICK_BESIDE = 16
"""Quick jobs that a replica takes beside its answers."""

ATTEMPTS = 3
"""How often a clip is sent to replicas that do not have it, before the job is given up."""


@dataclass(frozen=True)
class Cluster:
    """Replicas that run.

    Attributes:
        handle: Of their deployment.
        told: What callers are told of their model.
    """

    handle: Any
    count: int
    told: ModelTold


def start_replicas(
    settings: ServerSettings, model: str, load_arguments: Mapping[str, Any], *, address: str, replicas: int | None
) -> Cluster:
    """Start replicas on a cluster, and wait until they are ready; also where an event loop runs, as in a notebook.

    Args:
        address: Of the cluster; `local` starts one on this machine, `auto` finds the one that is running.
        replicas: By default one for each GPU, or for each machine of a cluster without any.

    Raises:
        ConfigError: No cluster answers there.
        MissingExtraError: Ray Serve is not installed.
    """
    try:
        import ray
        from ray import serve
        from ray.serve.config import RequestRouterConfig
    except ImportError as error:
        raise MissingExtraError("ray[serve]", "ray") from error
    if not ray.is_initialized():
        join_cluster(ray, address)
    count = replicas or one_worker_each(ray)
    serve.start(proxy_location="Disabled")
    router: Any = ROUTER  # which Ray loads by its name
    deployment: Any = serve.deployment(
        name="replica",
        num_replicas=count,
        max_ongoing_requests=settings.limits.together + QUICK_BESIDE,
        ray_actor_options=_resources(ray, count),
        request_router_config=RequestRouterConfig(request_router_class=router),
        graceful_shutdown_timeout_s=settings.limits.stop_seconds,
    )
    deployed = deployment(Replica).bind(settings, model, dict(load_arguments))
    handle = serve.run(deployed, name=APPLICATION, route_prefix=None)
    with ThreadPoolExecutor(1) as apart:  # Ray Serve waits for no result on the thread of an event loop
        told = apart.submit(lambda: handle.told.remote().result()).result()
    return Cluster(handle, count, told)


def stop_replicas() -> None:
    """End the replicas; the cluster goes on."""
    from ray import serve

    serve.delete(APPLICATION)


class _Place:
    """A job's place in the queue."""

    def __init__(self) -> None:
        self.begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Replicas:
    """Jobs sent to replicas, fair between clients. Only the event loop uses this."""

    def __init__(self, cluster: Cluster, limits: Limits, store: ClipStore, metrics: Metrics) -> None:
        self.cluster = cluster
        self._store, self._metrics = store, metrics
        self._room = cluster.count * limits.together
        self._queue: FairQueue[_Place] = FairQueue(limits.waiting)
        self._running: set[_Place] = set()
        self._stats: dict[str, ConversationStats] = {}
        self._usual_seconds = 5.0
        self._draining = self._closed = False

    def start(self) -> None:
        """The replicas run already."""

    @property
    def draining(self) -> bool:
        """Whether new jobs are refused because the server is about to stop."""
        return self._draining

    @property
    def busy(self) -> tuple[int, int]:
        """How many jobs wait, and how many run."""
        return len(self._queue), len(self._running)

    def stats(self) -> Sequence[ConversationStats]:
        """What each replica remembered of conversations after its last job."""
        return list(self._stats.values())

    def forget(self, clip_id: str) -> None:
        """Drop a clip, and what is remembered about it, on every replica."""
        self.cluster.handle.broadcast("forget", clip_id)

    def drain(self) -> None:
        """Take nothing new; what was taken is still done."""
        self._draining = True

    def close(self) -> None:
        """End jobs that still wait, and the replicas."""
        if not self._closed:
            self._draining = self._closed = True
            stop_replicas()

    async def submit(
        self,
        client: str,
        topic: Topic,
        run: Run[Desk] | None = None,
        *,
        steps: Steps[Desk] | None = None,
        quick: bool = False,
    ) -> AsyncIterator[object]:
        """Wait for room, send a job, and give its events as they come; closing this iterator ends the job.

        Raises:
            ApiError: 429 when the queue is full, 503 when the server stops or a replica died, or what the job ended
                with.
        """
        since, place = time.monotonic(), _Place()
        self._enter(client, place, quick)
        try:
            await place.begun
            self._metrics.queue_seconds.observe(time.monotonic() - since)
            began = time.monotonic()
            async for event in self._events(Task(client, topic, run, steps, quick)):
                yield event
            self._usual_seconds += 0.2 * (time.monotonic() - began - self._usual_seconds)
        finally:
            self._leave(place)

    async def _events(self, task: Task) -> AsyncIterator[object]:
        parts = (task.topic.holder, task.topic.clip_id, task.topic.opening)
        home = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
        replica = self.cluster.handle.options(session_id=home)
        for _ in range(ATTEMPTS):
            needs_clip = False
            async for event in _received(replica.options(stream=True).do.remote(task)):
                if isinstance(event, NeedsClip):
                    needs_clip = True
                elif isinstance(event, Failed):
                    raise event.error
                elif isinstance(event, Done):
                    self._stats[event.replica] = event.stats
                else:
                    yield event
            if not needs_clip:
                return
            path = await run_in_threadpool(self._store.path, task.topic.clip_id)
            await replica.keep.remote(await run_in_threadpool(path.read_bytes))
        raise _lost()

    def _enter(self, client: str, place: _Place, quick: bool) -> None:
        if self._draining:
            raise ApiError(
                503, "the server is about to stop; send it again in a moment.", code="stopping",
                headers={"Retry-After": "5"},
            )  # fmt: skip
        if quick:
            self._begin(place)
            return
        leaving = self._queue.put(client, place)
        if leaving is not None:
            refusal = self._refusal()
            if leaving is place:
                raise refusal
            leaving.begun.set_exception(refusal)
        self._fill()

    def _refusal(self) -> ApiError:
        self._metrics.refused.inc()
        expected = self._usual_seconds * (len(self._queue) + 1) / self._room
        retry_after = str(max(1, min(120, math.ceil(expected))))
        return ApiError(
            429,
            f"{self._queue.bound} requests wait already, which is all this server lets wait; "
            f"send it again in {retry_after} s.",
            code="queue_full",
            headers={"Retry-After": retry_after},
        )

    def _leave(self, place: _Place) -> None:
        self._running.discard(place)
        self._queue.remove(place)
        self._fill()

    def _fill(self) -> None:
        while len(self._running) < self._room and (place := self._queue.take(0)) is not None:
            self._begin(place)

    def _begin(self, place: _Place) -> None:
        self._running.add(place)
        place.begun.set_result(None)


async def _received(response: Any) -> AsyncIterator[object]:
    """What a replica sends; a job whose events nobody reads any more is ended there."""
    from ray.exceptions import RayError, TaskCancelledError

    over = False
    try:
        async for event in response:
            yield event
        over = True
    except TaskCancelledError:
        over = True
        raise
    except RayError as error:
        over = True
        raise _lost() from error
    finally:
        if not over:
            response.cancel()


def _lost() -> ApiError:
    return ApiError(
        503, "the machine that worked at this was lost; send it again.", code="replica_lost",
        headers={"Retry-After": "5"},
    )  # fmt: skip


def _resources(ray: Any, count: int) -> dict[str, float | int]:
    """What each replica may use."""
    return {"num_cpus": 1, "num_gpus": 1} if ray.cluster_resources().get("GPU", 0) >= count else {"num_cpus": 1}
