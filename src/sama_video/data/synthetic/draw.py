"""Draw: random choices that come out the same on every machine.

A library's `uniform(low, high)` may be one fused operation on one processor and two on another, and `normal` goes
through functions whose last digit differs between C libraries. Here every number is a whole number or 53 random bits,
and all arithmetic on them is Python's own, one rounded operation at a time.
"""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np
from jaxtyping import Float64, UInt8

Choice = TypeVar("Choice")


class Draw:
    """A stream of choices.

    Args:
        key: Whole numbers that name the stream: a seed and what it is for. Streams of different keys are independent.
    """

    def __init__(self, *key: int) -> None:
        self._bits = np.random.default_rng(list(key))

    def below(self, count: int) -> int:
        """A whole number from 0 to `count` - 1."""
        return int(self._bits.integers(count))

    def whole(self, bounds: tuple[int, int]) -> int:
        """A whole number within bounds, both included."""
        return bounds[0] + self.below(bounds[1] - bounds[0] + 1)

    def between(self, low: float | int, high: float | int) -> float:
        """A number from `low` up to `high`."""
        return low + (high - low) * self._unit()

    def within(self, bounds: tuple[float, float]) -> float:
        """A number within bounds."""
        return self.between(*bounds)

    def chance(self, share: float | int) -> bool:
        """True in that share of cases."""
        return self._unit() < share

    def pick(self, choices: Sequence[Choice]) -> Choice:
        """One of several, all alike."""
        return choices[self.below(len(choices))]

    def weighted(self, weights: Mapping[Choice, float]) -> Choice:
        """One of several by weight."""
        rest = self._unit() * sum(weights.values())
        chosen = next(iter(weights))
        for choice, weight in weights.items():
            if weight > 0:
                chosen = choice
            rest -= weight
            if rest < 0:
                break
        return chosen

    def shuffled(self, choices: Sequence[Choice]) -> list[Choice]:
        """All of several in random order."""
        rest, order = list(choices), []
        while rest:
            order.append(rest.pop(self.below(len(rest))))
        return order

    def units(self, *shape: int) -> Float64[np.ndarray, "*shape"]:
        """An array of numbers from 0 up to 1."""
        values: np.ndarray = self._bits.random(shape)
        return values

    def bytes(self, *shape: int) -> UInt8[np.ndarray, "*shape"]:
        """An array of whole numbers from 0 to 255."""
        values: np.ndarray = self._bits.integers(256, size=shape, dtype=np.uint8)
        return values

    def _unit(self) -> float:
        return float(self._bits.random())
