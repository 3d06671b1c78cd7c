"""What objects of the diagnostic world look like: words, outlines and textures.

Outlines are signed distances as in `shapes`; only additions, products, quotients and square roots are used, which give
the same bits everywhere.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from jaxtyping import Bool, Float32

from sama_video.data.synthetic.draw import Draw
from sama_video.data.synthetic.levels import (
    COLORS,
    HELD_OUT,
    HELD_OUT_SHARE,
    HUES,
    SHAPES,
    SIZES,
    TEXTURES,
    Level,
    Split,
    is_allowed,
)
from sama_video.data.synthetic.shapes import signed_distance

SOLID_SHAPES: Final = ("circle", "square", "heart", "diamond", "triangle")
"""Shapes behind which something can disappear."""

_MOST_LARGE: Final = 2  # three large objects leave no room to move
_TRIES: Final = 400
_LINE: Final = (np.arange(-700, 701) / 500).astype(np.float32)


@dataclass(frozen=True)
class Look:
    """What an object looks like, in words; a sprite has neither colour nor texture of which anything is said."""

    shape: str
    size: str
    color: str | None = None
    texture: str | None = None

    @property
    def is_sprite(self) -> bool:
        """Whether it is a picture."""
        return self.color is None

    @property
    def name(self) -> str:
        """The shortest words that no two objects of a clip share: "red star", or a sprite's own name."""
        return self.shape if self.color is None else f"{self.color} {self.shape}"

    @property
    def words(self) -> str:
        """All that can be said: "large red striped star"."""
        return " ".join(word for word in (self.size, self.color, self.texture, self.shape) if word is not None)


def draw_cast(level: Level, split: Split, count: int, sprites: tuple[str, ...], draw: Draw) -> list[Look]:
    """Looks of a clip's objects: (colour, shape) unique, pairs as the split allows, sprites for up to half of them."""
    num_sprites = min(1 + draw.below((count + 1) // 2), len(sprites)) if sprites else 0
    drawn = count - num_sprites
    is_shared = drawn > 1 and draw.chance(level.shared_share)
    is_similar = draw.chance(level.similar_share)
    wants_new = drawn > 0 and split != "train" and draw.chance(HELD_OUT_SHARE)
    pairs = _draw_pairs(split, drawn, is_shared, is_similar, wants_new, draw)
    sizes = [draw.pick(SIZES) for _ in range(count)]
    for crowded in [i for i, size in enumerate(sizes) if size == "large"][_MOST_LARGE:]:
        sizes[crowded] = "small"
    looks = [Look(shape, size, color, draw.pick(TEXTURES)) for (color, shape), size in zip(pairs, sizes, strict=False)]
    looks += [Look(noun, size) for noun, size in zip(draw.shuffled(sprites), sizes[drawn:], strict=False)]
    return draw.shuffled(looks)


def _draw_pairs(
    split: Split, count: int, is_shared: bool, is_similar: bool, wants_new: bool, draw: Draw
) -> list[tuple[str, str]]:
    """Pairs of colour and shape; the first of some random casts that the split allows."""
    pattern = draw.below(3)  # a colour, a shape, or (with a third object) both are shared
    pairs: list[tuple[str, str]] = []
    for _ in range(_TRIES):
        palette = _neighbours(max(count, 3), draw) if is_similar else list(COLORS)
        colors, shapes = draw.shuffled(palette)[:count], draw.shuffled(SHAPES)[:count]
        if is_shared and pattern != 1:
            colors[1] = colors[0]
        if is_shared and (pattern == 1 or (pattern == 2 and count > 2)):
            shapes[-1] = shapes[0]
        pairs = list(zip(colors, shapes, strict=True))
        is_new = any(pair in HELD_OUT[split] for pair in pairs)
        if is_new == wants_new and all(is_allowed(split, *pair) for pair in pairs):
            break
    assert len(set(pairs)) == count
    assert all(is_allowed(split, *pair) for pair in pairs)
    return pairs


def _neighbours(count: int, draw: Draw) -> list[str]:
    """Some colours that follow one another in the rainbow."""
    first = draw.below(len(HUES))
    return [HUES[(first + i) % len(HUES)] for i in range(count)]


def outline(
    shape: str, x: Float32[np.ndarray, "*points"], y: Float32[np.ndarray, "*points"]
) -> Float32[np.ndarray, "*points"]:
    """Distance of each point to the outline, in radii, negative inside; x to the right and y down."""
    if shape in ("circle", "ring"):
        radius = np.sqrt(x * x + y * y)
        distance = radius - np.float32(1) if shape == "circle" else np.abs(radius - np.float32(0.79)) - np.float32(0.29)
    elif shape == "diamond":
        distance = (np.abs(x) * np.float32(1.2) + np.abs(y) * np.float32(0.8)) / np.float32(1.442) - np.float32(0.69)
    elif shape == "heart":
        distance = _heart(np.abs(x), y)
    else:
        distance = signed_distance(shape, x, y)
    return np.asarray(distance, dtype=np.float32)


def _heart(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Two discs on a tip, given the right half."""
    across, down = x - np.float32(0.52), y + np.float32(0.4)
    lobe = np.sqrt(across * across + down * down) - np.float32(0.6)
    # The line from the tip at (0, 1.08) that touches the lobe, and the lobe's radius to the point where it does.
    side = x * np.float32(0.7449) + (y - np.float32(1.08)) * np.float32(0.6672)
    beyond = across * np.float32(0.6672) - down * np.float32(0.7449)
    distance: np.ndarray = np.minimum(lobe, np.maximum(np.maximum(side, beyond), -down))
    return distance


def texture_depth(
    texture: str,
    x: Float32[np.ndarray, "*points"],
    y: Float32[np.ndarray, "*points"],
    pixels: Float32[np.ndarray, "*#points"],
) -> Float32[np.ndarray, "*points"] | None:
    """How dark the texture is at each point, from 0 (the object's colour) to 1; None for a plain object.

    Args:
        texture: One of `TEXTURES`.
        x, y: In periods of the texture.
        pixels: Pixels in a period.
    """
    if texture == "plain":
        return None
    across, down = x - np.floor(x) - np.float32(0.5), y - np.floor(y) - np.float32(0.5)
    if texture == "striped":
        edge = np.float32(0.25) - np.abs(across)
    elif texture == "dotted":
        edge = np.float32(0.33) - np.sqrt(across * across + down * down)
    else:
        wave_x, wave_y = np.abs(across) - np.float32(0.25), np.abs(down) - np.float32(0.25)
        edge = np.where(wave_x * wave_y > 0, 1, -1) * np.minimum(np.abs(wave_x), np.abs(wave_y))
    depth: np.ndarray = np.clip(edge * pixels + np.float32(0.5), 0, 1).astype(np.float32)
    return depth


@lru_cache(maxsize=32)
def half_extents(shape: str) -> tuple[float, float, float, float]:
    """How far a shape reaches from its centre, in radii: left, right, up, down."""
    inside = _drawn_finely(shape)
    columns, rows = _LINE[inside.any(axis=0)], _LINE[inside.any(axis=1)]
    return -float(columns[0]), float(columns[-1]), -float(rows[0]), float(rows[-1])


@lru_cache(maxsize=32)
def circumradius(shape: str) -> float:
    """Radius of the disc around a shape's centre that holds all of it, in radii."""
    x, y = np.meshgrid(_LINE, _LINE)
    return float(np.sqrt(x * x + y * y)[_drawn_finely(shape)].max())


def _drawn_finely(shape: str) -> Bool[np.ndarray, "rows columns"]:
    x, y = np.meshgrid(_LINE, _LINE)
    inside: np.ndarray = outline(shape, x, y) <= 0
    return inside


def shorter_side(shape: str) -> float:
    """The shorter side of a shape's bounding box, in radii."""
    left, right, up, down = half_extents(shape)
    return min(left + right, up + down)


def rotation(turn: float) -> tuple[float, float]:
    """Cosine and sine of an angle from -90 to 90 degrees, given as a number from -1 to 1, without a library's sine.

    >>> rotation(0.0)
    (1.0, 0.0)
    """
    square = turn * turn
    return (1 - square) / (1 + square), 2 * turn / (1 + square)
