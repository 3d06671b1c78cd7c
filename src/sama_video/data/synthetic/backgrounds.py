"""Backgrounds of the diagnostic world: made from a seed, or cut from any folder of pictures.

What is made uses sums, products and comparisons alone, so it has the same pixels everywhere; a picture has those that
Pillow decodes and resizes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

from sama_video.data.synthetic.camera import Rectangle
from sama_video.data.synthetic.draw import Draw
from sama_video.data.synthetic.levels import Level
from sama_video.errors import DataError
from sama_video.video.stills import folder_images, read_image

_PICTURE_SHARE: Final = 0.8  # brightness that is left to a picture, so that objects stand out from it


@dataclass(frozen=True)
class Ground:
    """How a background is made.

    Attributes:
        kind: A key of `KINDS`, or "picture".
        picture: Name of the picture.
        colors: The two colours it goes between, 0-255.
        scale: Size of its structure, in shorter sides of the picture.
        key: Names the stream of its random numbers.
    """

    kind: str
    picture: str | None
    colors: tuple[tuple[int, int, int], tuple[int, int, int]]
    scale: float
    key: tuple[int, int]


class Pictures:
    """The pictures of a folder by name, decoded when they are first needed."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise DataError(f"{folder} is no folder; give one with pictures for the background.")
        self.paths = {path.name: path for path in folder_images(folder, str(folder))}
        self._decoded: dict[str, UInt8[np.ndarray, "height width 3"]] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Names in order."""
        return tuple(sorted(self.paths))

    def __getitem__(self, name: str) -> UInt8[np.ndarray, "height width 3"]:
        """One picture; only the last few are kept."""
        if name not in self._decoded:
            while len(self._decoded) >= 8:
                self._decoded.pop(next(iter(self._decoded)))
            self._decoded[name] = read_image(self.paths[name])
        return self._decoded[name]


def draw_ground(level: Level, pictures: Sequence[str], draw: Draw) -> Ground:
    """The background of an episode."""
    kind, scale = draw.pick(level.grounds), draw.between(0.1, 0.2)
    dark, bright = level.ground_values
    low = draw.between(dark, dark + 0.35 * (bright - dark))
    high = draw.between(dark + 0.6 * (bright - dark), bright)
    tints = [[draw.between(-1, 1) for _ in range(3)] for _ in range(2)]
    colors = tuple(
        tuple(round(min(255.0, max(0.0, value * (1 + 0.22 * tint)))) for tint in tints[i])
        for i, value in enumerate((low, high))
    )
    key = (draw.below(2**31), draw.below(2**31))
    picture = draw.pick(sorted(pictures)) if pictures else None
    (r0, g0, b0), (r1, g1, b1) = colors
    return Ground("picture" if picture else kind, picture, ((r0, g0, b0), (r1, g1, b1)), scale, key)


def paint_ground(
    ground: Ground, shown: Rectangle, size: tuple[int, int], pictures: Pictures | None
) -> UInt8[np.ndarray, "height width 3"]:
    """The background of a part of the world.

    Args:
        shown: The part, in shorter sides of the clip's picture.
        size: Its height and width in pixels.
    """
    draw = Draw(*ground.key)
    if ground.kind == "picture":
        if pictures is None or ground.picture is None or ground.picture not in pictures.paths:
            raise DataError(
                f"background {ground.picture!r} is not at hand; give the folder that the clip was drawn with."
            )
        return _cut(pictures[ground.picture], size, draw)
    height, width = size
    left, top, right, bottom = shown
    x = (left + (np.arange(width) + 0.5) * ((right - left) / width)).astype(np.float32)[None]
    y = (top + (np.arange(height) + 0.5) * ((bottom - top) / height)).astype(np.float32)[:, None]
    level = KINDS[ground.kind](x, y, np.float32(ground.scale), draw)
    low, high = (np.asarray(color, dtype=np.float32) for color in ground.colors)
    painted: np.ndarray = (low + (high - low) * np.clip(level, 0, 1)[..., None] + np.float32(0.5)).astype(np.uint8)
    return painted


Line = Float32[np.ndarray, "#height #width"]
Kind = Callable[[np.ndarray, np.ndarray, np.float32, Draw], np.ndarray]


def _cloud(x: np.ndarray, y: np.ndarray, scale: np.float32, draw: Draw) -> np.ndarray:
    """Soft clouds."""
    near, far = smooth_noise(x, y, 2.5 * scale, draw), smooth_noise(x, y, scale, draw)
    level: np.ndarray = near * np.float32(0.7) + far * np.float32(0.3)
    return level


def _tiles(x: np.ndarray, y: np.ndarray, scale: np.float32, draw: Draw) -> np.ndarray:
    """A chequerboard whose tiles differ a little from each other."""
    columns, rows = _cells(x, scale), _cells(y, scale)
    shade = draw.units(64, 64).astype(np.float32)[rows % 64, columns % 64]
    level: np.ndarray = ((columns + rows) % 2).astype(np.float32) * np.float32(0.6) + shade * np.float32(0.4)
    return level


def _bands(x: np.ndarray, y: np.ndarray, scale: np.float32, draw: Draw) -> np.ndarray:
    """Slanted bands with soft edges, bent by clouds."""
    slope_x, slope_y = np.float32(draw.between(-1, 1)), np.float32(draw.between(-1, 1))
    bend = smooth_noise(x, y, 3 * scale, draw)
    return _wave((x * slope_x + y * slope_y) / scale + bend)


def _bricks(x: np.ndarray, y: np.ndarray, scale: np.float32, draw: Draw) -> np.ndarray:
    """Rows of bricks with dark joints."""
    rows = _cells(y, scale * np.float32(0.55))
    shifted = x + (rows % 2).astype(np.float32) * scale / 2
    columns = _cells(shifted, scale)
    in_row, in_column = y / (scale * np.float32(0.55)), shifted / scale
    joint = (in_row - np.floor(in_row) < np.float32(0.16)) | (in_column - np.floor(in_column) < np.float32(0.09))
    shade = draw.units(64, 64).astype(np.float32)[rows % 64, columns % 64]
    level: np.ndarray = np.where(joint, np.float32(0), np.float32(0.45) + shade * np.float32(0.55))
    return level


def _grain(x: np.ndarray, y: np.ndarray, scale: np.float32, draw: Draw) -> np.ndarray:
    """Coarse sand with clouds in it."""
    fine = smooth_noise(x, y, np.float32(0.022), draw)
    level: np.ndarray = fine * np.float32(0.6) + smooth_noise(x, y, 2 * scale, draw) * np.float32(0.4)
    return level


def _rings(x: np.ndarray, y: np.ndarray, scale: np.float32, draw: Draw) -> np.ndarray:
    """Rings as of wood around a point."""
    dx, dy = x - np.float32(draw.between(-0.3, 1.3)), y - np.float32(draw.between(-0.3, 1.3))
    bend = smooth_noise(x, y, 2 * scale, draw)
    return _wave(np.sqrt(dx * dx + dy * dy) / (scale * np.float32(0.8)) + bend)


def _patches(x: np.ndarray, y: np.ndarray, scale: np.float32, draw: Draw) -> np.ndarray:
    """Patches of a few shades with hard edges."""
    noise = smooth_noise(x, y, scale, draw) * np.float32(0.6) + smooth_noise(x, y, 2 * scale, draw) * np.float32(0.4)
    level: np.ndarray = np.floor((noise - np.float32(0.2)) * np.float32(7)) / np.float32(4)
    return level


KINDS: Final[dict[str, Kind]] = {
    "cloud": _cloud,
    "tiles": _tiles,
    "bands": _bands,
    "bricks": _bricks,
    "grain": _grain,
    "rings": _rings,
    "patches": _patches,
}


def smooth_noise(
    x: Float32[np.ndarray, "1 width"], y: Float32[np.ndarray, "height 1"], cell: np.float32 | float, draw: Draw
) -> Float32[np.ndarray, "height width"]:
    """Random values on a grid of cells, joined smoothly."""
    grid = draw.units(64, 64).astype(np.float32)
    (left, right, across), (above, below, down) = _between_cells(x[0], cell), _between_cells(y[:, 0], cell)
    columns = grid[:, left] + (grid[:, right] - grid[:, left]) * across
    noise: np.ndarray = columns[above] + (columns[below] - columns[above]) * down[:, None]
    return noise


def _between_cells(line: np.ndarray, cell: np.float32 | float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each place of a line the cells before and after it and the weight of the latter."""
    place = line / np.float32(cell)
    before = np.floor(place)
    part = place - before
    first = before.astype(np.int64)
    return first % 64, (first + 1) % 64, part * part * (np.float32(3) - np.float32(2) * part)


def _cells(line: np.ndarray, cell: np.float32) -> np.ndarray:
    numbers: np.ndarray = np.floor(line / cell).astype(np.int64)
    return numbers


def _wave(phase: np.ndarray) -> np.ndarray:
    """A wave of period 1 that goes up and down between 0 and 1, rounded at its ends."""
    up = np.abs((phase - np.floor(phase)) * np.float32(2) - np.float32(1))
    wave: np.ndarray = up * up * (np.float32(3) - np.float32(2) * up)
    return wave


def _cut(picture: UInt8[np.ndarray, "rows columns 3"], size: tuple[int, int], draw: Draw) -> UInt8[np.ndarray, "h w 3"]:
    """A part of a picture that has the ratio of `size`, resized to it."""
    height, width = size
    rows, columns = picture.shape[:2]
    fit = min(rows / height, columns / width) * draw.between(0.7, 1.0)
    wide, high = max(1, min(columns, round(width * fit))), max(1, min(rows, round(height * fit)))
    left, top = draw.below(columns - wide + 1), draw.below(rows - high + 1)
    part = Image.fromarray(np.ascontiguousarray(picture[top : top + high, left : left + wide]))
    resized = np.asarray(part.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0))
    return (resized * np.float32(_PICTURE_SHARE)).astype(np.uint8)
