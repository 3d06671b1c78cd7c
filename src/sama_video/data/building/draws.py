"""Drawing that never changes: the same key gives the same draws with every version of every library."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final, TypeVar

Item = TypeVar("Item")

_MASK: Final = 2**64 - 1


def hash_of(*words: object) -> int:
    """64 bits that depend on every word's text; the same on every machine, always."""
    text = b"\0".join(str(word).encode("utf-8", "surrogatepass") for word in words)
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big")


def scrambled(value: int) -> int:
    """64 bits from 64 bits, one to one, without a pattern that is of use to anybody (the mixer of SplitMix64)."""
    value = (value + 0x9E3779B97F4A7C15) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


class Draws:
    """Draws that follow from a key.

    >>> Draws("a", 1).shuffled([1, 2, 3]) == Draws("a", 1).shuffled([1, 2, 3])
    True
    """

    def __init__(self, *key: object) -> None:
        self._state = hash_of(*key)

    def below(self, count: int) -> int:
        """A number from 0, below `count`."""
        self._state = (self._state + 1) & _MASK
        # 64 bits spread over a few items: the bias is far below anything that could be measured.
        return scrambled(self._state) * count >> 64

    def choice(self, items: Sequence[Item]) -> Item:
        """One of the items."""
        return items[self.below(len(items))]

    def shuffled(self, items: Sequence[Item]) -> list[Item]:
        """The items in another order."""
        mixed = list(items)
        for place in range(len(mixed) - 1, 0, -1):
            other = self.below(place + 1)
            mixed[place], mixed[other] = mixed[other], mixed[place]
        return mixed
