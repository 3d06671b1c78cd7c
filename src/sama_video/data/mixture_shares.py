"""The parts of a mixture, and which share of its draws goes to each and to each task."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TypeAlias

import numpy as np
from jaxtyping import Int

from sama_video.data.records import TASKS, Task
from sama_video.data.stores.store import RecordStore
from sama_video.errors import DataError

Number: TypeAlias = int | float | Fraction
"""A weight. A float counts as the decimal number that it is written as: 0.1 is a tenth."""


@dataclass(frozen=True)
class MixturePart:
    """One source of a mixture.

    Attributes:
        name: Unique in the mixture; seeds the part's order, so a part keeps it when others come and go.
        weight: Share of the draws, or passes for each pass of a part of weight 1; see `Mixture`.
    """

    name: str
    store: RecordStore
    weight: Number = 1


@dataclass(frozen=True, eq=False)
class Lane:
    """Records of one part that are drawn in an order of their own.

    Attributes:
        part: Place among the mixture's parts.
        task: What they teach; None where tasks are not told apart.
        share: Of all draws.
        indices: The part's records; None for all of them.
    """

    part: int
    task: Task | None
    share: Fraction
    size: int
    indices: Int[np.ndarray, " records"] | None = field(repr=False)

    def __len__(self) -> int:
        return self.size

    def index(self, place: int) -> int:
        """The record at a place, from 0."""
        return place if self.indices is None else int(self.indices[place])


def lanes_of(parts: Sequence[MixturePart], balance: str | Mapping[str, Number], weighting: str) -> tuple[Lane, ...]:
    """The lanes of a mixture, in the order of its parts and, inside a part, of `TASKS`.

    Raises:
        DataError: A weight, a name or a balance that cannot be, or a part without records.
    """
    _check(parts, balance, weighting)
    weights = [_fraction(part.weight, f"weight of part {part.name!r}") for part in parts]
    sizes = [len(part.store) for part in parts]
    if balance == "none":
        masses = [weight * (size if weighting == "passes" else 1) for weight, size in zip(weights, sizes, strict=True)]
        return tuple(Lane(number, None, mass / sum(masses), sizes[number], None) for number, mass in enumerate(masses))
    by_task = [_by_task(part) for part in parts]
    shares = _task_shares(balance, {task for tasks in by_task for task in tasks})
    lanes = []
    for number, tasks in enumerate(by_task):
        for task, indices in tasks.items():
            mass = weights[number] * len(indices) / (1 if weighting == "passes" else sizes[number])
            lanes.append((number, task, mass, indices))
    masses_of = {task: sum((mass for _, told, mass, _ in lanes if told == task), Fraction()) for task in shares}
    return tuple(
        Lane(number, task, shares[task] * mass / masses_of[task], len(indices), _all_or(indices, sizes[number]))
        for number, task, mass, indices in lanes
        if task in shares
    )


def pass_length(sizes: Sequence[int], weights: Sequence[Number], weighting: str) -> int:
    """Draws of one pass over a mixture.

    A weight that is a share of the draws says nothing of passes: one is as many draws as there are records. A weight
    that means passes does: one is as many draws as see a part of weight 4 four times, and one of weight 1 once. Where
    tasks are balanced, the shares of the draws change, and their number does not.

    >>> pass_length([10, 100], [4, 1], "draws"), pass_length([10, 100], [4, 1], "passes")
    (110, 140)
    """
    if weighting != "passes":
        return sum(sizes)
    stated = [_fraction(weight, "a weight") for weight in weights]
    return max(1, round(sum(weight * size for weight, size in zip(stated, sizes, strict=True))))


def _check(parts: Sequence[MixturePart], balance: str | Mapping[str, Number], weighting: str) -> None:
    if not parts:
        raise DataError("the mixture has no parts; give at least one.")
    names = [part.name for part in parts]
    for part in parts:
        if names.count(part.name) > 1:
            raise DataError(f"two parts of the mixture are called {part.name!r}; give each a name of its own.")
        if len(part.store) == 0:
            raise DataError(f"part {part.name!r} has no records; take it out of the mixture or check its data.")
    if isinstance(balance, str) and balance not in ("equal", "none"):
        raise DataError(f"balance is {balance!r}; give equal, none, or a share for each task.")
    if weighting not in ("draws", "passes"):
        raise DataError(f"weighting is {weighting!r}; give draws or passes.")


def _by_task(part: MixturePart) -> dict[Task, Int[np.ndarray, " records"]]:
    codes = part.store.task_codes()
    found: dict[Task, Int[np.ndarray, " records"]] = {}
    for code, task in enumerate(TASKS):
        indices = np.flatnonzero(codes == code).astype(np.int32)
        if len(indices):
            found[task] = indices
    return found


def _task_shares(balance: str | Mapping[str, Number], present: set[Task]) -> dict[Task, Fraction]:
    if isinstance(balance, str):
        return {task: Fraction(1, len(present)) for task in TASKS if task in present}
    for task in balance:
        if task not in TASKS:
            raise DataError(f"balance names the task {task!r}; tasks are {', '.join(TASKS)}.")
        if task not in present:
            raise DataError(f"balance gives {task} a share, but no part has such records; leave it out.")
    stated = {task: _fraction(balance[task], f"balance of {task}") for task in TASKS if task in balance}
    if not stated:
        raise DataError("balance names no task; give equal, none, or a share for each task.")
    return {task: share / sum(stated.values()) for task, share in stated.items()}


def _fraction(number: Number, name: str) -> Fraction:
    if isinstance(number, bool) or not isinstance(number, int | float | Fraction) or not 0 < number < float("inf"):
        raise DataError(f"{name} is {number!r}; give a number above 0.")
    return Fraction(repr(number)) if isinstance(number, float) else Fraction(number)


def _all_or(indices: Int[np.ndarray, " records"], size: int) -> Int[np.ndarray, " records"] | None:
    """No list of indices where it would name all records."""
    return None if len(indices) == size else indices
