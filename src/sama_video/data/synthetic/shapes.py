"""Silhouettes as signed distances, and the textures painted into them.

Everything here works in an object's own frame: its centre is the origin, one unit is its nominal radius, x points
right and y down. A signed distance is negative inside, zero on the edge, and has slope one near the edge, so that
multiplying it by the radius in pixels gives the coverage of edge pixels without supersampling.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float

COLORS: Final[dict[str, tuple[int, int, int]]] = {
    "red": (226, 42, 44),
    "orange": (248, 138, 28),
    "yellow": (244, 224, 56),
    "green": (46, 186, 66),
    "cyan": (56, 212, 224),
    "blue": (52, 92, 240),
    "purple": (164, 66, 214),
    "white": (240, 240, 240),
}
SHAPES: Final[tuple[str, ...]] = ("circle", "square", "triangle", "star", "cross", "ring")
TEXTURES: Final[tuple[str, ...]] = ("plain", "striped", "dotted")
SIZES: Final[tuple[str, ...]] = ("small", "large")

REACH: Final = 1.29
"""No silhouette reaches further from its centre than this many radii."""


@dataclass(frozen=True)
class ObjectSpec:
    """What an object looks like, in words."""

    color: str
    shape: str
    texture: str
    size: str


Distance = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _circle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    distance: np.ndarray = np.hypot(x, y) - np.float32(1.0)
    return distance


def _square(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    distance: np.ndarray = np.maximum(np.abs(x), np.abs(y)) - np.float32(0.9)
    return distance


def _triangle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    slanted = np.abs(x) * np.float32(0.866) - y * np.float32(0.5)
    distance: np.ndarray = np.maximum(slanted, y) - np.float32(0.64)
    return distance


def _star(x: np.ndarray, y: np.ndarray, outer: float = 1.24, inner: float = 0.56) -> np.ndarray:
    # Fold the plane onto the half sector beside the upper tip, across three lines of symmetry.
    cos36, sin36 = np.float32(np.cos(np.pi / 5)), np.float32(np.sin(np.pi / 5))
    x, y = np.abs(x), -y
    over = 2 * np.maximum(x * cos36 - y * sin36, 0)
    x, y = x - over * cos36, y + over * sin36
    over = 2 * np.maximum(-x * cos36 - y * sin36, 0)
    x, y = np.abs(x + over * cos36), y + over * sin36
    edge = np.array([inner * np.sin(np.pi / 5), inner * np.cos(np.pi / 5) - outer])
    normal_x, normal_y = (np.array([-edge[1], edge[0]]) / np.linalg.norm(edge)).astype(np.float32)
    distance: np.ndarray = x * normal_x + (y - np.float32(outer)) * normal_y
    return distance


def _cross(x: np.ndarray, y: np.ndarray, length: float = 1.08, width: float = 0.38) -> np.ndarray:
    x, y = np.abs(x), np.abs(y)
    distance: np.ndarray = np.maximum(np.maximum(x, y) - np.float32(length), np.minimum(x, y) - np.float32(width))
    return distance


def _ring(x: np.ndarray, y: np.ndarray, outer: float = 1.08, inner: float = 0.5) -> np.ndarray:
    distance: np.ndarray = np.abs(np.hypot(x, y) - np.float32((outer + inner) / 2)) - np.float32((outer - inner) / 2)
    return distance


_DISTANCES: Final[dict[str, Distance]] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "cross": _cross,
    "ring": _ring,
}


def signed_distance(
    shape: str, x: Float[np.ndarray, "*points"], y: Float[np.ndarray, "*points"]
) -> Float[np.ndarray, "*points"]:
    """Distance of each point to the outline of `shape`, in radii, negative inside.

    >>> signed_distance("square", np.zeros(1, np.float32), np.zeros(1, np.float32)).round(2).tolist()
    [-0.8999999761581421]
    """
    return _DISTANCES[shape](x, y)


def texture_depth(
    texture: str, x: Float[np.ndarray, "*points"], y: Float[np.ndarray, "*points"], period: float, sharpness: float
) -> Float[np.ndarray, "*points"] | None:
    """How dark the texture is at each point, from 0 (the object's colour) to 1; None for a plain object.

    Args:
        texture: One of `TEXTURES`.
        x: Across the stripes, in the same unit as `period`.
        y: Along the stripes.
        period: Distance from one stripe or dot to the next.
        sharpness: Steepness of the edges: pixels per unit of `x`.
    """
    if texture == "plain":
        return None
    turn = np.float32(2 * np.pi / period)
    wave = np.cos(x * turn)
    if texture == "dotted":
        wave = wave + np.cos(y * turn) - np.float32(0.55)
    # A unit of the wave spans about period / (2 pi) of distance where it crosses zero.
    depth: np.ndarray = np.clip(wave * np.float32(sharpness * period / (2 * np.pi)) + np.float32(0.5), 0, 1)
    return depth
