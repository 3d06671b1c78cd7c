"""What a device is asked to do, how long it took, and the way back to whoever waits for it."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from sama_video.app.server.problems import ApiError, GoneError
from sama_video.chat.session import TextOver
from sama_video.model.decoding import Unread

Desk = TypeVar("Desk")
Emit = Callable[[object], None]
"""Hands an event to whoever waits; raises when nobody does any more, or the time is over."""

Run = Callable[[Desk, Emit], None]
"""Does everything at once."""

Steps = Callable[[Desk, Emit], Iterator[Unread | TextOver]]
"""Makes an answer, and lets go wherever its next token is to be read, so that others may be made beside it."""


@dataclass(frozen=True)
class Topic:
    """What a job is about; whoever did one job of a topic remembers what the next one needs.

    Attributes:
        opening: What tells a conversation from others about the clip; empty for jobs about the clip alone.
    """

    holder: str
    clip_id: str
    opening: str = ""

    @property
    def about_clip(self) -> "Topic":
        """The clip alone."""
        return Topic(self.holder, self.clip_id)


@dataclass(frozen=True)
class Failed:
    """The end of a job that did not go well."""

    error: ApiError


class Ended:
    """The end of a job that did."""


@dataclass(eq=False)
class Job(Generic[Desk]):
    """Something to be done at a device.

    Attributes:
        run: What to do; or
        steps: the same for an answer, which may be made beside others.
        topic: Jobs of one topic prefer the same device, which remembers what they need.
        quick: It takes a moment, and touches nothing that another job may be in the middle of.
        gone: Set when nobody waits for it any more.
        spent: Seconds that the device gave it so far.
    """

    run: Run[Desk] | None
    steps: Steps[Desk] | None
    topic: Topic
    quick: bool
    seconds: float | int
    loop: asyncio.AbstractEventLoop
    events: "asyncio.Queue[object]"
    since: float = field(default_factory=time.monotonic)
    gone: threading.Event = field(default_factory=threading.Event)
    spent: float = 0.0

    def tell(self, event: object) -> None:
        """Send an event to the waiting side, from any thread."""
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.events.put_nowait, event)

    def check(self, spent: float) -> None:
        """Whether to go on.

        Raises:
            GoneError: Nobody waits any more.
            ApiError: The time is over.
        """
        if self.gone.is_set():
            raise GoneError
        if spent > self.seconds:
            raise ApiError(
                503,
                f"the answer took longer than {self.seconds:g} s, which is this server's limit; "
                "ask about a shorter clip or a span of it.",
                code="time_limit",
            )


class Watch:
    """Whose time it is on one thread: a job done in the middle of another stops the other's clock."""

    def __init__(self) -> None:
        self._running: list[Job[object] | None] = []
        self._since = time.monotonic()

    @contextmanager
    def on(self, job: "Job[object] | None") -> Iterator[None]:
        """Count the time inside to a job, or to nobody."""
        self._turn_page()
        self._running.append(job)
        try:
            yield
        finally:
            self._turn_page()
            self._running.pop()

    def check(self) -> None:
        """Whether the job whose time it is should go on; as for `Job.check`."""
        self._turn_page()
        job = self._running[-1] if self._running else None
        if job is not None:
            job.check(job.spent)

    def _turn_page(self) -> None:
        now = time.monotonic()
        if self._running and (job := self._running[-1]) is not None:
            job.spent += now - self._since
        self._since = now
