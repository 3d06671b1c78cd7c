"""Mixture: weighted parts read in an endless order that is a pure function of position.

    mixture = Mixture([MixturePart("sama", sama, 3), MixturePart("mevis", mevis)], seed=0)
    for position in mixture.positions(rank=1, ranks=8):
        record = mixture.record(position)

Which record stands at a position depends on the seed and the parts alone: not on workers, on ranks, or on what was read
before. So any number of ranks share one order by taking every n-th position, and a run goes on from one number.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final, Generic, TypeAlias, TypeVar

from sama_video.data.building.draws import hash_of
from sama_video.data.findings import FaultError
from sama_video.data.mixture_order import MAX_SEED, Apportionment, permuted, shuffled_block
from sama_video.data.mixture_shares import MixturePart, Number, lanes_of, pass_length
from sama_video.data.records import DialogueRecord, Task
from sama_video.errors import DataError, DialogueError, RegionError, VideoError

Item = TypeVar("Item")
Balance: TypeAlias = str | Mapping[str, Number]
"""equal, none, or a share for each task."""

BLOCK: Final = 128
"""Positions among which the parts' turns are shuffled; every block holds the parts in their shares, to a record."""

MAX_REFUSALS: Final = 1000
"""So many unusable records in a row are no accident."""

STATE_SCHEMA: Final = "sama-mixture/1"
REFUSALS: Final = (DataError, VideoError, RegionError, DialogueError)
"""Errors that say that a record is unusable; anything else is a mistake of the program or its settings."""

_LOGGER: Final = logging.getLogger(__name__)


@dataclass(frozen=True)
class Choice:
    """What stands at a position.

    Attributes:
        part: Place in `Mixture.parts`.
        index: Record of the part's store.
        epoch: How often every record of this part and task was drawn before.
        seed: For whatever the reader draws for this position, from 0 to 2**63 - 1.
    """

    part: int
    index: int
    epoch: int
    seed: int


@dataclass(frozen=True)
class Refusal:
    """A record that could not be used.

    Attributes:
        reason: One of `findings.FAULTS`.
        detail: The error, one line.
    """

    part: str
    index: int
    reason: str
    detail: str


@dataclass(frozen=True)
class Drawn(Generic[Item]):
    """What a position gave.

    Attributes:
        choice: Of the record that was used.
        refused: Records that stood before it and could not be used; count them with `Mixture.count`.
    """

    position: int
    choice: Choice
    item: Item
    refused: tuple[Refusal, ...]


class Mixture:
    """An endless order of records out of several parts.

    Args:
        parts: At least one, each with a name and with records.
        seed: Of the order and of every `Choice.seed`.
        balance: Shares of the task types: "equal" gives each type that occurs the same share, a mapping gives it as
            stated (a type that is left out is never drawn), "none" leaves it to the parts' weights. Inside a type,
            parts share by their weights.
        weighting: "draws": a part's weight is its share of the draws, whatever its size. "passes": its share is weight
            times size, so that a part of weight 4 is seen four times while one of weight 1 is seen once.
        strict: Raise at the first record that cannot be used.
    """

    def __init__(
        self,
        parts: Sequence[MixturePart],
        *,
        seed: int = 0,
        balance: Balance = "equal",
        weighting: str = "draws",
        strict: bool = False,
    ) -> None:
        self.parts = tuple(parts)
        self.seed = seed
        self.strict = strict
        self.weighting = weighting
        self.position = 0
        self.drops: dict[str, Counter[str]] = {}
        self.lanes = lanes_of(self.parts, balance, weighting)
        self._apportionment = Apportionment([lane.share for lane in self.lanes])
        self._key = hash_of("mixture", str(seed))
        self._keys = [hash_of("lane", str(seed), self.parts[lane.part].name, str(lane.task)) for lane in self.lanes]
        self._block: tuple[int, list[int], list[int]] = (-1, [], [])

    @property
    def pass_length(self) -> int:
        """Draws of one pass: all records once, or each part as often as its weight says, see `mixture_shares`."""
        sizes = [len(part.store) for part in self.parts]
        return pass_length(sizes, [part.weight for part in self.parts], self.weighting)

    def choice(self, position: int) -> Choice:
        """What stands at a position, from 0."""
        lane, turn = self._turn(position)
        return self._choice(position, lane, turn)

    def record(self, position: int) -> DialogueRecord:
        """The record at a position, or the next one of its part and task that can be used; refusals are counted.

        Raises:
            FaultError: The record cannot be used, and the mixture is strict.
            DataError: A thousand records in a row cannot be used, or all of them.
        """
        drawn = self.draw(position)
        self.count(drawn.refused)
        return drawn.item

    def draw(self, position: int) -> Drawn[DialogueRecord]:
        """As `record`, but changes nothing, so that worker processes can hand refusals back to be counted."""
        return self.draw_with(position, lambda record, choice: record)

    def draw_with(self, position: int, make: Callable[[DialogueRecord, Choice], Item]) -> Drawn[Item]:
        """What `make` gives for the record at a position; a record that it refuses is replaced like any other.

        Args:
            position: From 0.
            make: Decodes and encodes, say. One of `REFUSALS` means that the record is unusable.
        """
        lane, turn = self._turn(position)
        refused: list[Refusal] = []
        for step in range(min(len(self.lanes[lane]), MAX_REFUSALS)):
            choice = self._choice(position, lane, turn + step)
            try:
                record = self.parts[choice.part].store.record(choice.index, choice.epoch)
                return Drawn(position, choice, make(record, choice), tuple(refused))
            except REFUSALS as error:
                if self.strict:
                    raise
                refused.append(Refusal(self.parts[choice.part].name, choice.index, _reason_of(error), str(error)))
        raise DataError(
            f"part {self.parts[self.lanes[lane].part].name!r}: {len(refused)} records in a row cannot be used, the "
            f"last because: {refused[-1].detail} Check the data with sama data check."
        )

    def count(self, refused: Sequence[Refusal]) -> None:
        """Add refusals to `drops`; the first of each reason and part is logged."""
        for one in refused:
            reasons = self.drops.setdefault(one.part, Counter())
            reasons[one.reason] += 1
            level = logging.WARNING if reasons[one.reason] == 1 else logging.DEBUG
            _LOGGER.log(level, "%s: record %d left out (%s): %s", one.part, one.index, one.reason, one.detail)

    def positions(self, rank: int = 0, ranks: int = 1, start: int | None = None) -> Iterator[int]:
        """Positions of one rank, without end: `start + rank`, then every `ranks`-th.

        Args:
            start: First position of rank 0; where `restore` or `stream` left off if not given.
        """
        if not 0 <= rank < ranks:
            raise DataError(f"rank {rank} of {ranks} ranks; ranks count from 0.")
        position = (self.position if start is None else start) + rank
        while True:
            yield position
            position += ranks

    def stream(self, rank: int = 0, ranks: int = 1) -> Iterator[DialogueRecord]:
        """Records of one rank, without end, counting refusals and moving `position` on for `state`."""
        for position in self.positions(rank, ranks):
            record = self.record(position)
            self.position = position - rank + ranks
            yield record

    def state(self, position: int | None = None) -> dict[str, Any]:
        """All that `restore` needs to go on, as JSON.

        Args:
            position: The first position of rank 0 that was not used yet; that of `stream` if not given.
        """
        return {
            "schema": STATE_SCHEMA,
            "position": self.position if position is None else position,
            "drops": {part: dict(sorted(reasons.items())) for part, reasons in sorted(self.drops.items())},
            **self._identity(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where `state` was taken.

        Raises:
            DataError: It was taken of another mixture, whose order is another.
        """
        if state.get("schema") != STATE_SCHEMA:
            raise DataError(
                f"mixture state has the schema {state.get('schema')!r}; this version reads {STATE_SCHEMA!r}."
            )
        for key, now in self._identity().items():
            if state.get(key) != now:
                raise DataError(
                    f"the state is of a mixture with {key} {state.get(key)!r}, but this one has {now!r}; "
                    "resume with the same data and settings, or start anew."
                )
        self.position = int(state["position"])
        self.drops = {part: Counter(reasons) for part, reasons in state["drops"].items()}

    def _identity(self) -> dict[str, Any]:
        """What the order follows from."""
        lanes = [[self.parts[lane.part].name, lane.task, len(lane), str(lane.share)] for lane in self.lanes]
        return {"seed": self.seed, "block": BLOCK, "lanes": lanes}

    def _turn(self, position: int) -> tuple[int, int]:
        """Which lane a position belongs to, and how many earlier positions do."""
        if position < 0:
            raise DataError(f"position {position} of a mixture; positions count from 0.")
        number, slot = divmod(position, BLOCK)
        known, lanes, turns = self._block
        if known != number:
            before, after = (self._apportionment.counts(edge * BLOCK) for edge in (number, number + 1))
            lanes, turns = shuffled_block(before, after, self._key, number)
            self._block = (number, lanes, turns)
        return lanes[slot], turns[slot]

    def _choice(self, position: int, lane_number: int, turn: int) -> Choice:
        lane = self.lanes[lane_number]
        epoch, place = divmod(turn, len(lane))
        place = permuted(place, len(lane), hash_of(str(self._keys[lane_number]), str(epoch)))
        return Choice(lane.part, lane.index(place), epoch, hash_of(str(self._key), str(position)) % MAX_SEED)

    def shares(self) -> list[tuple[str, Task | None, int, Fraction]]:
        """For each part and task: name, task (None where tasks are not told apart), records, share of the draws."""
        return [(self.parts[lane.part].name, lane.task, len(lane), lane.share) for lane in self.lanes]


def _reason_of(error: Exception) -> str:
    if isinstance(error, FaultError):
        return error.reason
    return "unreadable_video" if isinstance(error, VideoError) else "schema_error"


__all__ = [
    "REFUSALS",
    "Balance",
    "Choice",
    "Drawn",
    "Mixture",
    "MixturePart",
    "Refusal",
]
