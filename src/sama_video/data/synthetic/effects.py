"""What a camera does to a picture: blur, noise and coarse compression, in whole numbers, the same on every machine."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from jaxtyping import Float64, Int16, UInt8

from sama_video.data.synthetic.draw import Draw
from sama_video.data.synthetic.levels import Level

_BYTE_SUM_DEVIATION: Final = 147.8  # standard deviation of the sum of four random bytes
_BLOCK: Final = 8


@dataclass(frozen=True)
class Effects:
    """Strength of each effect; 0 leaves it out.

    Attributes:
        blur: Times that each pixel is mixed with its neighbours, for a picture whose shorter side is 128.
        noise: Standard deviation.
        compression: Step by which the coefficients of 8 x 8 blocks are rounded.
        key: Names the stream of the noise.
    """

    blur: int = 0
    noise: float = 0.0
    compression: int = 0
    key: int = 0

    @property
    def any(self) -> bool:
        """Whether there is an effect."""
        return bool(self.blur or self.noise or self.compression)


def draw_effects(level: Level, draw: Draw) -> Effects:
    """The effects of an episode."""
    blur = 1 + draw.below(2) if draw.chance(level.blur_share) else 0
    noise = draw.within(level.noise) if draw.chance(level.noise_share) else 0.0
    compression = 12 + draw.below(21) if draw.chance(level.compression_share) else 0
    return Effects(blur, noise, compression, draw.below(2**31))


def apply_effects(frames: UInt8[np.ndarray, "frames height width 3"], effects: Effects, numbers: list[int]) -> None:
    """Blur, then noise, then compression, as in a camera; in place.

    Args:
        numbers: The frames' own numbers in the clip: a frame has the same noise whichever others are painted.
    """
    height, width = frames.shape[1:3]
    rounds = -(-effects.blur * min(height, width) // 128)
    tile = _noise_tile(height, width, effects.noise) if effects.noise else None
    for frame, number in zip(frames, numbers, strict=True):
        for _ in range(rounds):
            frame[...] = _blurred(frame)
        if tile is not None:
            draw = Draw(effects.key, number)
            shifted = np.roll(tile, (draw.below(height), draw.below(width)), (0, 1))
            frame[...] = np.clip(frame + shifted, 0, 255)
        if effects.compression:
            frame[...] = compressed(frame, effects.compression)


def _blurred(frame: UInt8[np.ndarray, "height width 3"]) -> UInt8[np.ndarray, "height width 3"]:
    """Each pixel mixed with its neighbours, 1-2-1 each way."""
    wide = np.pad(frame, ((1, 1), (1, 1), (0, 0)), mode="edge").astype(np.uint16)
    rows = wide[:-2] + 2 * wide[1:-1] + wide[2:]
    both = rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]
    blurred: np.ndarray = ((both + 8) >> 4).astype(np.uint8)
    return blurred


@lru_cache(maxsize=4)
def _noise_tile(height: int, width: int, deviation: float) -> Int16[np.ndarray, "height width 3"]:
    """Noise that is nearly normal: four random bytes added up and scaled."""
    total = Draw(height, width).bytes(4, height, width, 3).sum(axis=0, dtype=np.int32) - 510
    scale = round(deviation / _BYTE_SUM_DEVIATION * 65536)
    tile: np.ndarray = ((total * scale + 32768) >> 16).astype(np.int16)
    return tile


def compressed(frame: UInt8[np.ndarray, "height width 3"], step: int) -> UInt8[np.ndarray, "height width 3"]:
    """A picture after coarse rounding of its blocks' frequencies, colour twice as coarse as brightness.

    The transform is HEVC's whole-number approximation of the cosine transform. Its sums stay far below 2**53, so they
    are exact in double precision, in whatever order a library adds them.
    """
    height, width = frame.shape[:2]
    pad = ((0, -height % _BLOCK), (0, -width % _BLOCK), (0, 0))
    values = np.pad(frame, pad, mode="edge").astype(np.float64)
    green = values[..., 1].copy()
    values[..., 0] -= green
    values[..., 2] -= green
    values[..., 1] -= 128
    rows, columns = values.shape[0] // _BLOCK, values.shape[1] // _BLOCK
    blocks = values.reshape(rows, _BLOCK, columns, _BLOCK, 3).transpose(0, 2, 4, 1, 3)  # rows columns 3 8 8
    basis = _basis()
    # basis @ basis.T is nearly 32768 on its diagonal, so that coefficients are 32768 times those of an even transform.
    steps = np.asarray([2 * step, step, 2 * step], dtype=np.float64)[:, None, None] * 32768 * _weights()
    rough = np.floor((basis @ blocks @ basis.T) / steps + 0.5) * steps
    restored = np.floor((basis.T @ rough @ basis) / (32768.0 * 32768.0) + 0.5)
    merged = restored.transpose(0, 3, 1, 4, 2).reshape(values.shape)
    merged[..., 1] += 128
    merged[..., 0] += merged[..., 1]
    merged[..., 2] += merged[..., 1]
    restored_frame: np.ndarray = np.clip(merged[:height, :width], 0, 255).astype(np.uint8)
    return restored_frame


@lru_cache(maxsize=1)
def _basis() -> Float64[np.ndarray, "8 8"]:
    even, low, high = 64, (83, 36), (89, 75, 50, 18)
    a, b, c, d = high
    e, f = low
    return np.asarray(
        [
            [even] * 8,
            [a, b, c, d, -d, -c, -b, -a],
            [e, f, -f, -e, -e, -f, f, e],
            [b, -d, -a, -c, c, a, d, -b],
            [even, -even, -even, even, even, -even, -even, even],
            [c, -a, d, b, -b, -d, a, -c],
            [f, -e, e, -f, -f, e, -e, f],
            [d, -c, b, -a, a, -b, c, -d],
        ],
        dtype=np.float64,
    )


@lru_cache(maxsize=1)
def _weights() -> Float64[np.ndarray, "8 8"]:
    """How much coarser a frequency is rounded than the blocks' mean: high ones more."""
    steps = np.arange(_BLOCK, dtype=np.float64)
    return 1 + (steps[:, None] + steps[None]) / 2
