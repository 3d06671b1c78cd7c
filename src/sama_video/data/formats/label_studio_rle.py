"""Label Studio's brush masks: RGBA bytes of a picture, run-length coded bit by bit.

The list of numbers 0-255 is a bit stream, highest bit first: 32 bits for how many values there are, 5 for the bits of a
value less 1, four times 4 for the bits of a run's length less 1; then runs. A run is a bit that tells whether one value
is repeated, 2 bits that choose among the four sizes, its length less 1 in so many bits, and that value, or each of its
values. Values are bytes of red, green, blue, alpha, along the rows; alpha above 0 is the mask. Both ways as Label
Studio's own converter has it, its padding included.
"""

from typing import Final

import numpy as np
from jaxtyping import Bool, Int

from sama_video.data.findings import Place
from sama_video.regions.rle import Rle, area, decode, encode

VALUE_BITS: Final = 8
LENGTH_BITS: Final = (3, 4, 8, 16)
CHANNELS: Final = 4
_LONGEST: Final = 2 ** LENGTH_BITS[-1]


def read_brush(numbers: object, size: tuple[int, int], place: Place) -> Rle | None:
    """The mask of a brush region; None for an empty one.

    Args:
        numbers: The list `rle` of a result's value.
        size: Height and width of the picture.
        place: Names the region in a fault.

    Raises:
        FaultError: `bad_rle`: no list of bytes, another number of values than the picture has, or cut off.
    """
    if not isinstance(numbers, list) or not all(type(one) is int and 0 <= one <= 255 for one in numbers):
        raise place.fault("bad_rle", "a brush mask is no list of whole numbers from 0 to 255")
    bits = _Bits(bytes(numbers), place)
    count, value_bits = bits.take(32), bits.take(5) + 1
    if count != size[0] * size[1] * CHANNELS:
        expected = f"{size[0]}x{size[1]} pixels of {CHANNELS} bytes"
        raise place.fault("bad_rle", f"a brush mask has {count} values; the picture is {expected}")
    length_bits = [bits.take(4) + 1 for _ in range(4)]
    lengths, filled = _runs(bits, count, value_bits, length_bits, place)
    # Alpha is a pixel's last byte: the run that it is in fills the pixel.
    ends = np.cumsum(lengths) // CHANNELS
    mask = np.repeat(filled, np.diff(ends, prepend=0)).reshape(size)
    rle = encode(mask)
    return rle if area(rle) else None


def write_brush(rle: Rle) -> list[int]:
    """The list `rle` of a mask: 255 in all four bytes of a pixel that it covers, else 0."""
    mask = decode(rle).ravel()
    ends = np.append(np.flatnonzero(mask[1:] != mask[:-1]) + 1, mask.size)
    parts = [f"{mask.size * CHANNELS:032b}{VALUE_BITS - 1:05b}", *(f"{bits - 1:04b}" for bits in LENGTH_BITS)]
    begun = 0
    for end in ends.tolist():
        parts.append(_coded_run((end - begun) * CHANNELS, bool(mask[begun])))
        begun = end
    text = "".join(parts)
    text += "0" * (8 - len(text) % 8)  # a whole byte where nothing is missing, as the converter does
    return list(int(text, 2).to_bytes(len(text) // 8, "big"))


def _coded_run(length: int, is_filled: bool) -> str:
    value = "1" * VALUE_BITS if is_filled else "0" * VALUE_BITS
    whole, rest = divmod(length - 1, _LONGEST)
    choice = 3 if whole else next(choice for choice, bits in enumerate(LENGTH_BITS) if rest < 2**bits)
    last = f"1{choice:02b}{rest:0{LENGTH_BITS[choice]}b}{value}"
    return f"111{'1' * LENGTH_BITS[-1]}{value}" * whole + last


def _runs(
    bits: "_Bits", count: int, value_bits: int, length_bits: list[int], place: Place
) -> tuple[Int[np.ndarray, " runs"], Bool[np.ndarray, " runs"]]:
    """Lengths of the runs, and whether they are of a value above 0."""
    lengths: list[int] = []
    filled: list[bool] = []
    done = 0
    while done < count:
        is_repeated = bits.take(1)
        length = bits.take(length_bits[bits.take(2)]) + 1
        if done + length > count:
            raise place.fault("bad_rle", f"a brush mask has more than its {count} values")
        if is_repeated:
            lengths.append(length)
            filled.append(bits.take(value_bits) > 0)
        else:
            lengths += [1] * length
            filled += [bits.take(value_bits) > 0 for _ in range(length)]
        done += length
    return np.array(lengths, dtype=np.int64), np.array(filled, dtype=np.bool_)


class _Bits:
    """Reads bytes bit by bit."""

    def __init__(self, content: bytes, place: Place) -> None:
        self._content = content
        self._place = place
        self._at = 0

    def take(self, count: int) -> int:
        """The next bits as a number.

        Raises:
            FaultError: `bad_rle`: there are not so many left.
        """
        end = self._at + count
        if end > len(self._content) * 8:
            raise self._place.fault("bad_rle", "a brush mask is cut off")
        piece = self._content[self._at // 8 : (end + 7) // 8]
        self._at = end
        return (int.from_bytes(piece, "big") >> (-end % 8)) & ((1 << count) - 1)
