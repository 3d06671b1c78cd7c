"""Masks and their contours as bits, cut to the surroundings of each mask: what F of video segmentation is made of.

Sixty-four pixels of a column stand in one word, the columns of many masks side by side on one sheet, so that a contour
and everything near it take a few shifts of a few thousand words, not a convolution of a picture. A contour is worked
out once for each mask, whatever it is compared with.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import isqrt
from typing import Final

import numpy as np
from jaxtyping import Int, UInt8, UInt64

from sama_video.metrics.strips import Strips, cut_strips
from sama_video.metrics.tracks import Size, Track

_WORD: Final = 64
_SHEET_WORDS: Final = 2**14
"""Words to a sheet, more only for a single large mask: small enough to stay in a core's cache."""

_READ_CHARACTERS: Final = 2**17
"""Characters of run lengths unpacked together, more only for a single ragged mask: a hundred masks or so."""


@dataclass(frozen=True, eq=False)
class Contour:
    """One mask's pixels, contour and surroundings.

    Attributes:
        area: Pixels of the mask.
        length: Pixels of its contour; 0 for an empty mask and for one that fills the picture.
        x: Column of the picture where `bits` begin.
        word: Where they begin among the words of a column, 64 rows each.
        bits: The contour, the mask, and all within reach of the contour; None where there is no contour.
    """

    area: int
    length: int = 0
    x: int = 0
    word: int = 0
    bits: UInt64[np.ndarray, "3 words columns"] | None = None


EMPTY: Final = Contour(0)


def contours(masks: Track, size: Size, radius: int) -> list[Contour]:
    """The contour of each mask, and what lies within `radius` pixels of it; the masks are checked run lengths.

    A pixel belongs to the contour when it differs from its right, its lower or its lower right neighbour; beyond the
    picture, the border pixels go on, so the border itself is no contour.
    """
    found = [EMPTY] * len(masks)
    reach = min(radius, size[0] - 1), min(radius, size[1] - 1)
    for known in _readings(masks):
        strips = cut_strips([rle for rle in (masks[idx] for idx in known) if rle is not None], size)
        for idx, area in zip(known, strips.areas.tolist(), strict=True):
            found[idx] = Contour(area)
        for batch in _batches(_zones(strips, size, reach)):
            for zone, contour in zip(batch, _on_sheet(batch, strips, size, radius, reach), strict=True):
                found[known[zone.mask]] = contour
    return found


def _readings(masks: Track) -> Iterator[list[int]]:
    """Positions of the masks that are not None, in portions to be unpacked together."""
    portion, characters = list[int](), 0
    for idx, rle in enumerate(masks):
        if rle is None:
            continue
        if portion and characters + len(rle["counts"]) > _READ_CHARACTERS:
            yield portion
            portion, characters = [], 0
        portion.append(idx)
        characters += len(rle["counts"])
    if portion:
        yield portion


def shared(a: Contour, b: Contour) -> tuple[int, int, int]:
    """Pixels of a's contour near b's, pixels in both masks, pixels of b's contour near a's; both have a contour."""
    assert a.bits is not None
    assert b.bits is not None
    words = range(max(a.word, b.word), min(a.word + a.bits.shape[1], b.word + b.bits.shape[1]))
    columns = range(max(a.x, b.x), min(a.x + a.bits.shape[2], b.x + b.bits.shape[2]))
    if not (words and columns):
        return 0, 0, 0
    # The middle layer is the mask itself, so turning the order of b's layers pairs contour with surroundings.
    both = _window(a, a.bits, words, columns) & _window(b, b.bits[::-1], words, columns)
    first, middle, last = _count_bits(both).reshape(3, -1).sum(axis=1, dtype=np.int64).tolist()
    return first, middle, last


def _window(
    contour: Contour, bits: UInt64[np.ndarray, "3 words columns"], words: range, columns: range
) -> UInt64[np.ndarray, "3 shared_words shared_columns"]:
    return bits[
        :,
        words.start - contour.word : words.stop - contour.word,
        columns.start - contour.x : columns.stop - contour.x,
    ]


@dataclass(frozen=True)
class _Zone:
    """Room of one mask on a sheet: its box grown by the reach, to whole words of rows.

    Attributes:
        strips: Its strips among those of all masks.
        x0, x1, y1: Left, right and lower side of its box.
        left: Column of the picture where the room begins; below 0 when the mask is that near to the border.
        word: Where it begins among the words of a column.
    """

    mask: int
    strips: slice
    x0: int
    x1: int
    y1: int
    left: int
    columns: int
    word: int
    words: int


def _zones(strips: Strips, size: Size, reach: Size) -> Iterator[_Zone]:
    """The room of each mask that has a contour."""
    first = np.flatnonzero(np.diff(strips.masks, prepend=-1))
    if first.size == 0:
        return
    facts = (
        strips.masks[first],
        first,
        np.append(first[1:], strips.masks.size),
        np.minimum.reduceat(strips.columns, first),
        np.maximum.reduceat(strips.columns, first) + 1,
        np.minimum.reduceat(strips.tops, first),
        np.maximum.reduceat(strips.bottoms, first),
    )
    for mask, begin, end, x0, x1, y0, y1 in zip(*(fact.tolist() for fact in facts), strict=True):
        left = x0 - 1 - reach[1]  # a contour begins one pixel before the mask
        right = x1 + max(reach[1], 1)  # one column at least, where the border pixels go on
        word = max(y0 - 1 - reach[0], 0) // _WORD
        words = min(y1 + reach[0], size[0]) // _WORD + 1 - word
        yield _Zone(mask, slice(begin, end), x0, x1, y1, left, right - left, word, words)


def _batches(zones: Iterator[_Zone]) -> Iterator[list[_Zone]]:
    """Zones that go on one sheet together."""
    batch, columns, words = list[_Zone](), 0, 0
    for zone in zones:
        columns, words = columns + zone.columns, max(words, zone.words)
        if batch and columns * words > _SHEET_WORDS:
            yield batch
            batch, columns, words = [], zone.columns, zone.words
        batch.append(zone)
    if batch:
        yield batch


def _on_sheet(zones: list[_Zone], strips: Strips, size: Size, radius: int, reach: Size) -> Iterator[Contour]:
    """Contours of the masks of one sheet."""
    ends = np.cumsum([zone.columns for zone in zones]).tolist()
    begins = [0, *ends[:-1]]
    bits = np.zeros((3, max(zone.words for zone in zones), ends[-1]), dtype=np.uint64)
    edges, masks, near = bits
    _fill(masks, zones, begins, strips, size)
    _mark_edges(masks, edges)
    for zone, begin in zip(zones, begins, strict=True):
        _clear_outside(bits[:2], zone, begin, size)
    _spread_disk(edges, near, radius, reach)
    lengths = np.add.reduceat(_count_bits(edges).sum(axis=0, dtype=np.int64), begins).tolist()
    for zone, begin, end, length in zip(zones, begins, ends, lengths, strict=True):
        yield Contour(int(strips.areas[zone.mask]), length, zone.left, zone.word, bits[:, : zone.words, begin:end])


def _fill(
    sheet: UInt64[np.ndarray, "words columns"], zones: list[_Zone], begins: list[int], strips: Strips, size: Size
) -> None:
    """Draw masks on an empty sheet: mark where each strip begins and ends; each mark flips all pixels below it."""
    chosen = slice(zones[0].strips.start, zones[-1].strips.stop)
    counts = [zone.strips.stop - zone.strips.start for zone in zones]
    across = np.repeat([begin - zone.left for zone, begin in zip(zones, begins, strict=True)], counts)
    up = np.repeat([zone.word * _WORD for zone in zones], counts)
    columns, tops, bottoms = strips.columns[chosen] + across, strips.tops[chosen] - up, strips.bottoms[chosen] - up
    bottoms = bottoms + (strips.bottoms[chosen] == size[0])  # the border pixels go on below
    last = strips.columns[chosen] == size[1] - 1  # and to the right
    for rows in (tops, bottoms):
        _flip(sheet, rows, columns)
        _flip(sheet, rows[last], columns[last] + 1)
    for distance in (1, 2, 4, 8, 16, 32):
        sheet ^= sheet << distance
    for word in range(1, len(sheet)):
        sheet[word] ^= -(sheet[word - 1] >> 63)  # all of it, where the word above ends inside the mask


def _flip(
    sheet: UInt64[np.ndarray, "words columns"], rows: Int[np.ndarray, " marks"], columns: Int[np.ndarray, " marks"]
) -> None:
    """Flip single pixels; the end of a strip that fills its column lies below the sheet and needs no mark."""
    words = rows // _WORD
    there = words < len(sheet)
    places, bits = words * sheet.shape[1] + columns, np.uint64(1) << (rows - words * _WORD).astype(np.uint64)
    np.bitwise_xor.at(sheet.reshape(-1), places[there], bits[there])


def _mark_edges(masks: UInt64[np.ndarray, "words columns"], edges: UInt64[np.ndarray, "words columns"]) -> None:
    """Mark every pixel that differs from its right, its lower or its lower right neighbour."""
    lower = masks >> 1
    lower[:-1] |= masks[1:] << 63
    np.bitwise_xor(masks, lower, out=edges)
    edges[:, :-1] |= masks[:, :-1] ^ masks[:, 1:]
    edges[:, :-1] |= masks[:, :-1] ^ lower[:, 1:]


def _clear_outside(bits: UInt64[np.ndarray, "layers words columns"], zone: _Zone, begin: int, size: Size) -> None:
    """Take away what was drawn just beyond the picture."""
    height, width = size
    if zone.x0 == 0:
        bits[..., begin - 1 - zone.left] = 0
    if zone.x1 == width:
        bits[..., begin + width - zone.left] = 0
    if zone.y1 == height:
        word, row = divmod(height, _WORD)
        bits[:, word - zone.word, begin : begin + zone.columns] &= (1 << row) - 1


def _spread_disk(
    edges: UInt64[np.ndarray, "words columns"], near: UInt64[np.ndarray, "words columns"], radius: int, reach: Size
) -> None:
    """Mark all within `radius` of an edge: bars of rows that grow from the disk's last column towards its middle one.

    Nothing of a picture is farther than `reach` from anything else in it.
    """
    bars, height = edges.copy(), 0
    for offset in range(reach[1], -1, -1):
        wanted = min(isqrt(radius**2 - offset**2), reach[0])
        while height < wanted:
            # A longer step would grow from rows outside the sheet, or skip a word.
            step = min(wanted - height, height + 1, _WORD - 1)
            bars = _spread_rows(bars, step)
            height += step
        if offset:
            near[:, offset:] |= bars[:, :-offset]
            near[:, :-offset] |= bars[:, offset:]
    near |= bars


def _spread_rows(bars: UInt64[np.ndarray, "words columns"], step: int) -> UInt64[np.ndarray, "words columns"]:
    """Each pixel with those `step` rows above and below."""
    grown, shifted = bars << step, bars >> step
    grown |= bars
    grown |= shifted
    if len(bars) > 1:
        grown[1:] |= np.right_shift(bars[:-1], _WORD - step, out=shifted[:-1])
        grown[:-1] |= np.left_shift(bars[1:], _WORD - step, out=shifted[1:])
    return grown


def _count_bits(words: UInt64[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    if hasattr(np, "bitwise_count"):
        return np.asarray(np.bitwise_count(words))
    return _count_bits_by_table(words)  # NumPy 1


def _count_bits_by_table(words: UInt64[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    octets = np.ascontiguousarray(words)[..., None].view(np.uint8)
    table = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(axis=1, dtype=np.uint8)
    return np.asarray(table[octets].sum(axis=-1, dtype=np.uint8))
