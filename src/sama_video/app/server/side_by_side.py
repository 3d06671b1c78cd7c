"""Answers that one device makes at once: their texts grow together, and their masks follow one after the other."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from sama_video.app.server.jobs import Emit, Job, Watch
from sama_video.app.server.problems import GoneError
from sama_video.chat.session import TextOver
from sama_video.model.decoding import Unread
from sama_video.model.joint_reading import JointReader

Desk = TypeVar("Desk")


@dataclass(eq=False)
class _Open(Generic[Desk]):
    """An answer that is being made."""

    job: Job[Desk]
    steps: Iterator[Unread | TextOver]
    unread: Unread | None = None


class SideBySide(Generic[Desk]):
    """The answers under way on a device. Only its thread uses this.

    A newcomer is read in as soon as there is room, and then its next token is read with everybody's, in one pass of the
    decoder; nobody waits for company. Who has all of its text waits for its masks in line. Between two frames of
    somebody's masks, texts of newcomers grow: a text takes a moment, masks take as long as the clip is.

    Args:
        most: How many answers are under way at once.
        take: Gives the next answer that waits, if that is what comes next.
        ended: Told how each ended; None for well.
        emit: Makes the function by which a job tells its events.
    """

    def __init__(
        self,
        desk: Desk,
        watch: Watch,
        most: int,
        *,
        take: Callable[[], Job[Desk] | None],
        ended: Callable[[Job[Desk], BaseException | None], None],
        emit: Callable[[Job[Desk]], Emit],
    ) -> None:
        self._desk, self._watch, self._most = desk, watch, most
        self._take, self._ended, self._emit = take, ended, emit
        self._growing: list[_Open[Desk]] = []
        self._late: deque[_Open[Desk]] = deque()
        self._reader = JointReader()
        self._is_busy = False
        self._masking = 0

    @property
    def is_waiting(self) -> bool:
        """Whether anybody waits for masks."""
        return bool(self._late)

    def grow(self, first: Job[Desk] | None = None) -> None:
        """Make the texts of an answer, and of those that wait; called in the middle of that it does nothing."""
        if self._is_busy:
            return
        self._is_busy = True
        try:
            newcomer = first or self._next()
            while newcomer is not None or self._growing:
                if newcomer is not None:
                    self._begin(newcomer)
                self._read()
                newcomer = self._next()
        finally:
            self._is_busy = False

    def make_masks(self) -> None:
        """Make the masks of whoever has waited longest for them, and end its answer."""
        one = self._late.popleft()
        self._masking += 1
        try:
            self._advance(one)
        finally:
            self._masking -= 1

    def close(self) -> None:
        """Undo every answer under way."""
        for one in [*self._growing, *self._late]:
            self._give_up(one)
        self._growing.clear()
        self._late.clear()

    def _next(self) -> Job[Desk] | None:
        under_way = len(self._growing) + len(self._late) + self._masking
        return self._take() if under_way < self._most else None

    def _begin(self, job: Job[Desk]) -> None:
        assert job.steps is not None
        one = _Open(job, job.steps(self._desk, self._emit(job)))
        self._growing.append(one)
        self._advance(one)

    def _read(self) -> None:
        """Read everybody's next token, and let them go on from it."""
        for one in [one for one in self._growing if one.job.gone.is_set()]:
            self._growing.remove(one)
            self._give_up(one)
        company = list(self._growing)
        try:
            with self._watch.on(None):
                self._reader.read([one.unread for one in company if one.unread is not None])
        except Exception as error:  # such as a device that is out of memory
            for one in company:
                self._growing.remove(one)
                self._give_up(one, error)
            return
        for one in company:
            self._advance(one)

    def _advance(self, one: _Open[Desk]) -> None:
        """Go on with an answer until its next token is to be read, its text is over, or all of it is."""
        outcome: BaseException | None = None
        try:
            with self._watch.on(one.job):  # type: ignore[arg-type]
                step = next(one.steps, None)
        except Exception as error:
            step, outcome = None, error
        if isinstance(step, Unread):
            one.unread = step
            return
        if one in self._growing:
            self._growing.remove(one)
        if isinstance(step, TextOver):
            self._reader.leave(step.state)
            self._late.append(one)
            return
        if one.unread is not None:
            self._reader.leave(one.unread.state, keep=False)
        self._ended(one.job, outcome)

    def _give_up(self, one: _Open[Desk], error: Exception | None = None) -> None:
        if one.unread is not None:
            self._reader.leave(one.unread.state, keep=False)
        with self._watch.on(None):
            one.steps.close()  # type: ignore[attr-defined]
        self._ended(one.job, error or GoneError())
