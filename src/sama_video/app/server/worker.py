"""One thread for each device, which alone touches its model; jobs come to it through a fair, bounded queue.

A job may be quick, such as one mask after a click: it is done between two events of a longer one, so that who points
does not wait until somebody's video is tracked to its end.
"""

import asyncio
import logging
import math
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from sama_video.app.server.fair_queue import FairQueue
from sama_video.app.server.metrics import Metrics
from sama_video.app.server.problems import ApiError, GoneError, as_api_error

LOG = logging.getLogger(__name__)
REMEMBERED_HOMES = 4096
FIRST_GUESS_SECONDS = 5.0

Desk = TypeVar("Desk")
Event = TypeVar("Event")
Emit = Callable[[Event], None]
"""Hands an event to whoever waits; raises when nobody does any more, or the time is over."""


@dataclass(frozen=True)
class _Failed:
    error: ApiError


class _End:
    pass


@dataclass(eq=False)
class _Job(Generic[Desk]):
    """Something to be done at a device, and the way back to whoever waits for it."""

    run: Callable[[Desk, Callable[[object], None]], None]
    topic: str
    quick: bool
    loop: asyncio.AbstractEventLoop
    events: "asyncio.Queue[object]"
    since: float = field(default_factory=time.monotonic)
    gone: threading.Event = field(default_factory=threading.Event)

    def tell(self, event: object) -> None:
        """Send an event to the waiting side, from any thread."""
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.events.put_nowait, event)


class Workers(Generic[Desk]):
    """The threads and their queue.

    Args:
        desks: For each device what its thread works with.
        waiting: How many jobs may wait.
        job_seconds: How long a job may run.
    """

    def __init__(self, desks: Sequence[Desk], *, waiting: int, job_seconds: float | int, metrics: Metrics) -> None:
        self._desks = tuple(desks)
        self._job_seconds = job_seconds
        self._metrics = metrics
        self._queue: FairQueue[_Job[Desk]] = FairQueue(waiting)
        self._quick: FairQueue[_Job[Desk]] = FairQueue(waiting)
        self._running: set[_Job[Desk]] = set()
        self._homes: OrderedDict[str, int] = OrderedDict()
        self._changed = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._draining = self._closed = False
        self._usual_seconds = FIRST_GUESS_SECONDS

    # what the event loop calls

    def start(self) -> None:
        """Start a thread for each device."""
        for idx in range(len(self._desks)):
            thread = threading.Thread(target=self._work, args=(idx,), name=f"sama-device-{idx}", daemon=True)
            thread.start()
            self._threads.append(thread)

    async def submit(
        self, client: str, topic: str, run: Callable[[Desk, Callable[[object], None]], None], *, quick: bool = False
    ) -> AsyncIterator[object]:
        """Wait for a device, and give the job's events as they come; closing this iterator ends the job.

        Args:
            client: Whose turn in the queue it takes.
            topic: Jobs of one topic prefer the same device, which remembers what they need.
            run: Called with the device's desk and a function that hands an event over.
            quick: It takes a moment, and touches nothing that another job may be in the middle of.

        Raises:
            ApiError: 429 when the queue is full, 503 when the server stops, or what the job ended with.
        """
        job = _Job(run, topic, quick, asyncio.get_running_loop(), asyncio.Queue())
        self._enter(client, job)
        try:
            while not isinstance(event := await job.events.get(), _End):
                if isinstance(event, _Failed):
                    raise event.error
                yield event
        finally:
            self._leave(job)

    @property
    def draining(self) -> bool:
        """Whether new jobs are refused because the server is about to stop."""
        return self._draining

    @property
    def busy(self) -> tuple[int, int]:
        """How many jobs wait, and how many run."""
        with self._changed:
            return len(self._queue) + len(self._quick), len(self._running)

    def drain(self) -> None:
        """Take nothing new; what was taken is still done."""
        self._draining = True

    def close(self) -> None:
        """End the threads; jobs that still wait or run are told that the server stops."""
        with self._changed:
            self._draining = self._closed = True
            left = list(self._running)
            for queue in (self._queue, self._quick):
                while (job := queue.take(0)) is not None:
                    left.append(job)
            for job in left:
                job.tell(_Failed(_stopping()))
                job.gone.set()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(timeout=5)

    def _enter(self, client: str, job: _Job[Desk]) -> None:
        if self._draining:
            raise _stopping()
        with self._changed:
            home = self._home_of(job.topic)
            leaving = (self._quick if job.quick else self._queue).put(client, job, home)
            retry_after = self._retry_after()
            self._changed.notify_all()
        if leaving is not None:
            self._metrics.refused.inc()
            refusal = ApiError(
                429,
                f"{self._queue.bound} requests wait already, which is all this server lets wait; "
                f"send it again in {retry_after} s.",
                code="queue_full",
                headers={"Retry-After": str(retry_after)},
            )
            if leaving is job:
                raise refusal
            leaving.tell(_Failed(refusal))

    def _leave(self, job: _Job[Desk]) -> None:
        job.gone.set()
        with self._changed:
            (self._quick if job.quick else self._queue).remove(job)

    def _home_of(self, topic: str) -> int:
        """The device that served a topic last, or the one with the fewest topics of late."""
        if topic not in self._homes:
            counts = [0] * len(self._desks)
            for home in self._homes.values():
                counts[home] += 1
            self._homes[topic] = counts.index(min(counts))
        self._homes.move_to_end(topic)
        if len(self._homes) > REMEMBERED_HOMES:
            self._homes.popitem(last=False)
        return self._homes[topic]

    def _retry_after(self) -> int:
        expected = self._usual_seconds * (len(self._queue) + 1) / len(self._desks)
        return max(1, min(120, math.ceil(expected)))

    # what the threads do

    def _work(self, idx: int) -> None:
        quick_first = True
        while (job := self._next(idx, quick_first)) is not None:
            quick_first = not job.quick  # in turns: neither kind keeps the other waiting for ever
            self._do(idx, job)

    def _do(self, idx: int, job: _Job[Desk]) -> None:
        self._metrics.queue_seconds.observe(time.monotonic() - job.since)
        began = time.monotonic()
        job.tell(self._outcome(idx, job))
        with self._changed:
            self._running.discard(job)
            if not job.quick:
                self._usual_seconds += 0.2 * (time.monotonic() - began - self._usual_seconds)
            self._changed.notify_all()

    def _do_a_quick_one(self, idx: int) -> None:
        with self._changed:
            job = None if self._closed else self._taken(self._quick, idx)
        if job is not None:
            self._do(idx, job)

    def _next(self, idx: int, quick_first: bool) -> _Job[Desk] | None:
        queues = (self._quick, self._queue) if quick_first else (self._queue, self._quick)
        with self._changed:
            while not self._closed:
                for queue in queues:
                    job = self._taken(queue, idx)
                    if job is not None:
                        return job
                self._changed.wait()
        return None

    def _taken(self, queue: "FairQueue[_Job[Desk]]", idx: int) -> _Job[Desk] | None:
        """The next of a queue, which runs from now on. The lock is held."""
        job = queue.take(idx)
        if job is not None:
            self._running.add(job)
            self._homes[job.topic] = idx
        return job

    def _outcome(self, idx: int, job: _Job[Desk]) -> _Failed | _End:
        deadline = time.monotonic() + self._job_seconds

        def emit(event: object) -> None:
            if job.gone.is_set():
                raise GoneError
            if time.monotonic() > deadline:
                raise ApiError(
                    503,
                    f"the answer took longer than {self._job_seconds:g} s, which is this server's limit; "
                    "ask about a shorter clip or a span of it.",
                    code="time_limit",
                )
            job.tell(event)
            if not job.quick:
                self._do_a_quick_one(idx)

        try:
            job.run(self._desks[idx], emit)
        except GoneError:
            self._metrics.cancelled.inc()
        except Exception as error:
            told = as_api_error(error)
            if told.status == 500:
                LOG.error("job failed", exc_info=error)
            return _Failed(told)
        return _End()


def _stopping() -> ApiError:
    return ApiError(
        503, "the server is about to stop; send it again in a moment.", code="stopping", headers={"Retry-After": "5"}
    )
