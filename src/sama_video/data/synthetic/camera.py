"""The camera of the diagnostic world: still, panning or zooming at an even pace over the whole clip."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float64

from sama_video.data.synthetic.draw import Draw
from sama_video.data.synthetic.motion import DIRECTIONS, Point

Rectangle = tuple[float, float, float, float]
"""Left, top, right, bottom in shorter sides of the picture."""

CAMERA_MOTIONS: Final = ("pans left", "pans right", "pans up", "pans down", "zooms in", "zooms out")


@dataclass(frozen=True)
class Camera:
    """What part of the world the picture shows.

    Attributes:
        motion: "stays still" or one of `CAMERA_MOTIONS`.
        travel: Way of the picture's middle over the whole clip.
        zoom: Enlargement at the first and the last frame; 1 shows a rectangle of the picture's own extent.
    """

    extent: Point
    last: int
    motion: str = "stays still"
    travel: Point = (0.0, 0.0)
    zoom: tuple[float, float] = (1.0, 1.0)

    @property
    def moves(self) -> bool:
        """Whether it pans or zooms."""
        return self.motion != "stays still"

    @property
    def pans(self) -> bool:
        """Whether it pans: then what stands still moves through the picture."""
        return self.travel != (0.0, 0.0)

    def middles(self, frames: Float64[np.ndarray, " frames"]) -> Float64[np.ndarray, "frames 2"]:
        """The point of the world in the middle of the picture, at each frame."""
        middle = np.asarray(self.extent) / 2
        middles: np.ndarray = middle + (frames / self.last)[:, None] * np.asarray(self.travel)
        return middles

    def zooms(self, frames: Float64[np.ndarray, " frames"]) -> Float64[np.ndarray, " frames"]:
        """Enlargement at each frame."""
        zooms: np.ndarray = self.zoom[0] + (frames / self.last) * (self.zoom[1] - self.zoom[0])
        return zooms

    @property
    def always_shown(self) -> Rectangle:
        """What is in the picture all the time."""
        left, top, right, bottom = zip(*(self._shown(end) for end in (0.0, 1.0)), strict=True)
        return max(left), max(top), min(right), min(bottom)

    @property
    def ever_shown(self) -> Rectangle:
        """What is in the picture at some time."""
        left, top, right, bottom = zip(*(self._shown(end) for end in (0.0, 1.0)), strict=True)
        return min(left), min(top), max(right), max(bottom)

    def _shown(self, done: float) -> Rectangle:
        zoom = self.zoom[0] + done * (self.zoom[1] - self.zoom[0])
        x, y = (side / 2 + done * way for side, way in zip(self.extent, self.travel, strict=True))
        half_x, half_y = (side / 2 / zoom for side in self.extent)
        return x - half_x, y - half_y, x + half_x, y + half_y


def draw_camera(share: float, extent: Point, last: int, draw: Draw) -> Camera:
    """A camera that moves in that share of clips."""
    moves, motion = draw.chance(share), draw.pick(CAMERA_MOTIONS)
    way, zoom = draw.between(0.14, 0.22), draw.between(1.18, 1.3)
    if not moves:
        return Camera(extent, last)
    if motion.startswith("zooms"):
        return Camera(extent, last, motion, zoom=(1.0, zoom) if motion == "zooms in" else (zoom, 1.0))
    x, y = DIRECTIONS[motion.split()[1]]
    return Camera(extent, last, motion, travel=(x * way, y * way))
