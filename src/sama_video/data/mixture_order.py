"""The arithmetic of an order that nobody stores: permutations and shares as functions of position."""

from collections.abc import Sequence
from fractions import Fraction
from math import isqrt
from typing import Final

from sama_video.data.building.draws import scrambled

MAX_SEED: Final = 2**63

_ROUNDS: Final = 6


def permuted(place: int, count: int, key: int) -> int:
    """Where a permutation of `count` places, drawn by the key, takes a place; no list of it is made.

    A Feistel network over pairs of digits below `ceil(sqrt(count))`, walked on until it comes back below `count`, which
    takes little more than one step on average: a permutation of any number of records in no memory.

    >>> sorted(permuted(place, 10, key=3) for place in range(10))
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    """
    base = isqrt(count - 1) + 1
    while True:
        left, right = divmod(place, base)
        for number in range(_ROUNDS):
            left, right = right, (left + scrambled(key ^ (right * (_ROUNDS + 1) + number))) % base
        place = left * base + right
        if place < count:
            return place


class Apportionment:
    """How many of the first n draws each share gets: exact, never falling, and within a few draws of n times the share.

    Shares are split two and two as in a tree, and at each fork the left branch gets its part of the draws that arrive,
    rounded. A fork of two can neither lose a draw nor take one back, so the counts are those of one endless order.
    """

    def __init__(self, shares: Sequence[Fraction]) -> None:
        self._shares = tuple(shares)
        self._left = {
            (low, high): sum(shares[low : (low + high) // 2], Fraction()) / sum(shares[low:high], Fraction())
            for low, high in _forks(0, len(shares))
        }

    def counts(self, draws: int) -> list[int]:
        """Draws of each share among the first so many."""
        counts = [0] * len(self._shares)
        waiting = [(0, len(self._shares), draws)]
        while waiting:
            low, high, here = waiting.pop()
            if high - low == 1:
                counts[low] = here
                continue
            part, middle = self._left[low, high], (low + high) // 2
            left = (2 * here * part.numerator + part.denominator) // (2 * part.denominator)
            waiting += [(low, middle, left), (middle, high, here - left)]
        return counts


def _forks(low: int, high: int) -> list[tuple[int, int]]:
    if high - low < 2:
        return []
    middle = (low + high) // 2
    return [(low, high), *_forks(low, middle), *_forks(middle, high)]


def shuffled_block(before: Sequence[int], after: Sequence[int], key: int, number: int) -> tuple[list[int], list[int]]:
    """The lanes of a block's positions in shuffled order, and for each position how many of its lane came before.

    Args:
        before, after: Draws of each lane up to the block's first position, and up to its end.
        key: Of the order.
        number: Of the block.
    """
    labels = [lane for lane, (begin, end) in enumerate(zip(before, after, strict=True)) for _ in range(end - begin)]
    block_key = scrambled(key ^ scrambled(number))
    lanes = [labels[permuted(slot, len(labels), block_key)] for slot in range(len(labels))]
    seen, turns = list(before), []
    for lane in lanes:
        turns.append(seen[lane])
        seen[lane] += 1
    return lanes, turns
