"""One thread for each device, which alone touches its model; jobs come to it through a fair, bounded queue.

Answers are made side by side, as `side_by_side` tells. A job may be quick, such as one mask after a click: it is done
between two events of a longer one, so that who points does not wait until somebody's video is tracked to its end.
"""

import asyncio
import logging
import math
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Sequence
from typing import Generic, TypeVar

from sama_video.app.server.fair_queue import FairQueue
from sama_video.app.server.jobs import Emit, Ended, Failed, Job, Run, Steps, Topic, Watch
from sama_video.app.server.metrics import Metrics
from sama_video.app.server.problems import ApiError, GoneError, as_api_error
from sama_video.app.server.side_by_side import SideBySide

LOG = logging.getLogger(__name__)
REMEMBERED_HOMES = 4096
FIRST_GUESS_SECONDS = 5.0

Desk = TypeVar("Desk")


class Workers(Generic[Desk]):
    """The threads and their queue.

    Args:
        desks: For each device what its thread works with.
        waiting: How many jobs may wait.
        job_seconds: How long a device may work at one job.
        together: How many answers a device makes side by side.
    """

    def __init__(
        self,
        desks: Sequence[Desk],
        *,
        waiting: int,
        job_seconds: float | int,
        metrics: Metrics,
        together: int = 1,
    ) -> None:
        self.desks = tuple(desks)
        self._job_seconds, self._together = job_seconds, together
        self._watches = threading.local()
        self._metrics = metrics
        self._queue: FairQueue[Job[Desk]] = FairQueue(waiting)
        self._quick: FairQueue[Job[Desk]] = FairQueue(waiting)
        self._running: dict[Job[Desk], int] = {}
        self._homes: OrderedDict[Topic, int] = OrderedDict()
        self._changed = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._draining = self._closed = False
        self._usual_seconds = FIRST_GUESS_SECONDS

    # what the event loop calls

    def start(self) -> None:
        """Start a thread for each device."""
        for idx in range(len(self.desks)):
            thread = threading.Thread(target=self._work, args=(idx,), name=f"sama-device-{idx}", daemon=True)
            thread.start()
            self._threads.append(thread)

    async def submit(
        self,
        client: str,
        topic: Topic,
        run: Run[Desk] | None = None,
        *,
        steps: Steps[Desk] | None = None,
        quick: bool = False,
    ) -> AsyncIterator[object]:
        """Wait for a device, and give the job's events as they come; closing this iterator ends the job.

        Args:
            client: Whose turn in the queue it takes.
            topic: Jobs of one topic prefer the same device, which remembers what they need.
            run: Called with the device's desk and a function that hands an event over; or
            steps: the same for an answer, which may be made beside others.
            quick: It takes a moment, and touches nothing that another job may be in the middle of.

        Raises:
            ApiError: 429 when the queue is full, 503 when the server stops, or what the job ended with.
        """
        job = Job(run, steps, topic, quick, self._job_seconds, asyncio.get_running_loop(), asyncio.Queue())
        self._enter(client, job)
        try:
            while not isinstance(event := await job.events.get(), Ended):
                if isinstance(event, Failed):
                    raise event.error
                yield event
        finally:
            self._leave(job)

    def check(self) -> None:
        """On a device's thread: whether the job that it works at should go on.

        Raises:
            GoneError: Nobody waits for it any more.
            ApiError: Its time is over.
        """
        watch = getattr(self._watches, "watch", None)
        if watch is not None:
            watch.check()

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
                job.tell(Failed(_stopping()))
                job.gone.set()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(timeout=5)

    def _enter(self, client: str, job: Job[Desk]) -> None:
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
            leaving.tell(Failed(refusal))

    def _leave(self, job: Job[Desk]) -> None:
        job.gone.set()
        with self._changed:
            (self._quick if job.quick else self._queue).remove(job)

    def _home_of(self, topic: Topic) -> int:
        """The device that served a topic last; for a new conversation the one that served its clip.

        What nobody served goes to the device with the fewest topics of late.
        """
        home = self._homes.get(topic, self._homes.get(topic.about_clip))
        if home is None:
            counts = Counter(self._homes.values())
            home = min(range(len(self.desks)), key=lambda idx: counts[idx])
        self._settle(topic, home)
        return home

    def _settle(self, topic: Topic, home: int) -> None:
        self._homes.setdefault(topic.about_clip, home)
        self._homes[topic] = home
        for kind in (topic.about_clip, topic):
            self._homes.move_to_end(kind)
        while len(self._homes) > REMEMBERED_HOMES:
            self._homes.popitem(last=False)

    def _retry_after(self) -> int:
        expected = self._usual_seconds * (len(self._queue) + 1) / len(self.desks)
        return max(1, min(120, math.ceil(expected)))

    # what the threads do

    def _work(self, idx: int) -> None:
        self._watches.watch = Watch()
        answers = self._watches.answers = SideBySide(
            self.desks[idx],
            self._watches.watch,
            self._together,
            take=lambda: self._next_answer(idx),
            ended=self._tell_end,
            emit=lambda job: self._emit(idx, job),
        )
        quick_first = True
        while not self._closed:
            if answers.is_waiting:
                self._do_a_quick_one(idx)
                answers.grow()
                answers.make_masks()
            elif (job := self._next(idx, quick_first)) is not None:
                quick_first = not job.quick  # in turns: neither kind keeps the other waiting for ever
                self._do(idx, job)
        answers.close()

    def _do(self, idx: int, job: Job[Desk]) -> None:
        if job.steps is not None:
            self._watches.answers.grow(job)
            return
        assert job.run is not None
        outcome: BaseException | None = None
        try:
            with self._watches.watch.on(job):
                job.run(self.desks[idx], self._emit(idx, job))
        except Exception as error:
            outcome = error
        self._tell_end(job, outcome)

    def _emit(self, idx: int, job: Job[Desk]) -> Emit:
        """How a job tells its events; what waits and takes but a moment is done in between."""

        def emit(event: object) -> None:
            self._watches.watch.check()
            job.tell(event)
            if not job.quick:
                self._do_a_quick_one(idx)
                self._watches.answers.grow()

        return emit

    def _do_a_quick_one(self, idx: int) -> None:
        with self._changed:
            job = None if self._closed else self._begun(idx, self._quick.take(idx, idle=self._idle()))
        if job is not None:
            self._do(idx, job)

    def _next_answer(self, idx: int) -> Job[Desk] | None:
        """The next job, if it is an answer for this device."""
        with self._changed:
            if self._closed:
                return None
            return self._begun(idx, self._queue.take(idx, only=lambda job: job.steps is not None))

    def _next(self, idx: int, quick_first: bool) -> Job[Desk] | None:
        """Wait for the next job of any kind."""
        queues = (self._quick, self._queue) if quick_first else (self._queue, self._quick)
        with self._changed:
            while not self._closed:
                for queue in queues:
                    if (job := self._begun(idx, queue.take(idx, idle=self._idle()))) is not None:
                        return job
                self._changed.wait()
        return None

    def _idle(self) -> set[int]:
        """Devices without a job; they look for one of their own at once."""
        return set(range(len(self.desks))).difference(self._running.values())

    def _begun(self, idx: int, job: Job[Desk] | None) -> Job[Desk] | None:
        """A job that was taken runs from now on. The lock is held."""
        if job is not None:
            self._running[job] = idx
            self._settle(job.topic, idx)
            self._metrics.queue_seconds.observe(time.monotonic() - job.since)
            self._changed.notify_all()  # others may now take what waits for this device
        return job

    def _tell_end(self, job: Job[Desk], error: BaseException | None) -> None:
        with self._changed:  # before anybody is told, so that who goes on at once finds the device free
            self._running.pop(job, None)
            if not job.quick:
                self._usual_seconds += 0.2 * (job.spent - self._usual_seconds)
            self._changed.notify_all()
        if error is None:
            job.tell(Ended())
        elif isinstance(error, GoneError):
            self._metrics.cancelled.inc()
            job.tell(Ended())
        else:
            told = as_api_error(error)
            if told.status == 500:
                LOG.error("job failed", exc_info=error)
            job.tell(Failed(told))


def _stopping() -> ApiError:
    return ApiError(
        503, "the server is about to stop; send it again in a moment.", code="stopping", headers={"Retry-After": "5"}
    )
