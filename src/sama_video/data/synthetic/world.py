"""Scenes painted: frames and the exact masks of what is visible in them."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int, UInt8

from sama_video.data.synthetic.scene import Level, Scene, SceneObject, sample_scene
from sama_video.data.synthetic.shapes import REACH, ObjectSpec, signed_distance, texture_depth
from sama_video.errors import DataError

__all__ = ["ObjectSpec", "Scene", "SyntheticClip", "World", "render", "sample_scene"]

_RIM: Final = 0.09
"""Width of the plain border of textured objects, in radii: dark stripes on dark ground would eat into the outline."""


@dataclass(frozen=True, eq=False)
class SyntheticClip:
    """A rendered scene with its ground truth.

    Attributes:
        frames: RGB pictures.
        masks: Pixels where the object is the one seen; False where another object or the picture's edge hides it.
        centers: Where the objects are, x and y in pixels, also when they are out of sight.
        times: Seconds of each frame.
        scene: What was rendered; its objects are numbered as in `masks`, from the back to the front.
    """

    frames: UInt8[np.ndarray, "frames height width 3"]
    masks: Bool[np.ndarray, "objects frames height width"]
    centers: Float64[np.ndarray, "objects frames 2"]
    times: Float64[np.ndarray, " frames"]
    scene: Scene

    @property
    def objects(self) -> tuple[ObjectSpec, ...]:
        """Appearance of each object."""
        return tuple(item.spec for item in self.scene.objects)

    @property
    def motions(self) -> tuple[str, ...]:
        """What each object does over the whole scene, one of `scene.MOTIONS`."""
        return tuple(item.motion for item in self.scene.objects)

    @property
    def seed(self) -> int:
        """The scene's seed."""
        return self.scene.seed

    @property
    def num_frames(self) -> int:
        """Number of frames."""
        return len(self.times)

    @property
    def visible(self) -> Bool[np.ndarray, "objects frames"]:
        """Whether enough of an object is seen to speak of it: a thousandth of the picture."""
        height, width = self.frames.shape[1:3]
        area: np.ndarray = self.masks.sum(axis=(2, 3))
        seen: np.ndarray = area * 1000 >= height * width
        return seen

    def visible_frames(self, object_idx: int) -> tuple[int, ...]:
        """Frames in which the object can be pointed at."""
        return tuple(np.flatnonzero(self.visible[object_idx]).tolist())


class World:
    """The door most callers need: a seed in, a clip or a scene out."""

    scene = staticmethod(sample_scene)

    @staticmethod
    def sample(
        seed: int,
        *,
        side: int = 128,
        num_frames: int | None = 8,
        fps: float | None = None,
        start: float = 0.0,
        num_objects: tuple[int, int] = (2, 4),
        level: Level = "mixed",
        seconds: float | None = None,
    ) -> SyntheticClip:
        """The clip of a seed.

        Args:
            seed: Chooses the scene; the same for every size and every choice of frames.
            side: Height and width in pixels.
            num_frames: How many frames; None, with `fps`, for all of them to the end of the scene.
            fps: Frames per second from `start` on. Left out, the frames are spread evenly over the whole scene, so that
                every motion is seen whole.
            start: Seconds of the first frame when `fps` is given.
            num_objects: Fewest and most objects.
            level: See `sample_scene`.
            seconds: Duration of the scene.
        """
        scene = sample_scene(seed, num_objects=num_objects, level=level, seconds=seconds)
        return render(scene, frame_times(scene.seconds, num_frames=num_frames, fps=fps, start=start), side)


def frame_times(
    seconds: float, *, num_frames: int | None = 8, fps: float | None = None, start: float = 0.0
) -> Float64[np.ndarray, " frames"]:
    """Times of frames at a rate, or spread evenly from 0 to `seconds`, both included.

    >>> frame_times(3.0, num_frames=4).tolist()
    [0.0, 1.0, 2.0, 3.0]
    """
    if fps is not None:
        count = num_frames if num_frames is not None else int(np.floor((seconds - start) * fps + 1e-6)) + 1
        return start + np.arange(count) / fps
    if num_frames is None:
        raise DataError("neither num_frames nor fps is given; name at least one of them.")
    return np.linspace(0.0, seconds, num_frames)


def render(scene: Scene, times: Float64[np.ndarray, " frames"], side: int = 128) -> SyntheticClip:
    """The scene seen at some times, painted from the back to the front.

    Args:
        scene: What to paint.
        times: Seconds, within the scene's duration; any order.
        side: Height and width of the pictures in pixels.
    """
    if len(times) == 0 or times.min() < 0 or times.max() > scene.seconds + 1e-6:
        raise DataError(
            f"frame times {np.asarray(times).tolist()} are none, or leave the scene; "
            f"choose some from 0 to {scene.seconds:.3f} seconds."
        )
    frames = np.repeat(_paint_background(scene, side)[None], len(times), axis=0)
    masks = np.zeros((len(scene.objects), len(times), side, side), dtype=bool)
    centers = scene.centers(times) * side
    for object_idx, item in enumerate(scene.objects):
        _paint_object(frames, masks[: object_idx + 1], item, centers[object_idx], scene.look.contrast)
    if scene.look.noise > 0:
        _add_noise(frames, scene)
    return SyntheticClip(frames, masks, centers, np.asarray(times, dtype=np.float64), scene)


def _paint_object(
    frames: UInt8[np.ndarray, "frames height width 3"],
    masks: Bool[np.ndarray, "objects frames height width"],
    item: SceneObject,
    centers: Float64[np.ndarray, "frames 2"],
    contrast: float,
) -> None:
    """Put one object over what is there, in place; the last of `masks` is its own, the others lose what it covers."""
    side = frames.shape[1]
    radius = item.radius * side
    extent = int(np.ceil(2 * radius * REACH)) + 3
    corners = np.floor(centers - extent / 2).astype(int)
    shown = np.flatnonzero(((corners > -extent) & (corners < side)).all(axis=1))
    if len(shown) == 0:
        return
    x, y = _own_coordinates(item, centers[shown], corners[shown], extent, radius)
    distance = signed_distance(item.spec.shape, x, y)
    coverage = np.clip(np.float32(0.5) - distance * np.float32(radius), 0, 1)
    paint = _paint(item, x, y, distance, radius, contrast)
    inside = distance <= 0
    for i, frame_idx in enumerate(shown.tolist()):
        left, top = corners[frame_idx].tolist()
        x0, x1, y0, y1 = max(left, 0), min(left + extent, side), max(top, 0), min(top + extent, side)
        own = (i, slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
        patch = frames[frame_idx, y0:y1, x0:x1]
        alpha = coverage[own][..., None]
        patch[...] = patch + (paint[own] - patch) * alpha + np.float32(0.5)
        masks[:-1, frame_idx, y0:y1, x0:x1] &= ~inside[own]
        masks[-1, frame_idx, y0:y1, x0:x1] = inside[own]


def _own_coordinates(
    item: SceneObject,
    centers: Float64[np.ndarray, "frames 2"],
    corners: np.ndarray,
    extent: int,
    radius: float,
) -> tuple[Float32[np.ndarray, "frames extent extent"], Float32[np.ndarray, "frames extent extent"]]:
    """Pixel centres of each frame's patch in the object's own frame (see `shapes`)."""
    offsets = ((np.arange(extent) + 0.5 + (corners - centers)[..., None]) / radius).astype(np.float32)
    across, down = offsets[:, 0, None, :], offsets[:, 1, :, None]
    cos, sin = np.float32(np.cos(item.tilt)), np.float32(np.sin(item.tilt))
    return across * cos + down * sin, down * cos - across * sin


def _paint(
    item: SceneObject,
    x: Float32[np.ndarray, "frames extent extent"],
    y: Float32[np.ndarray, "frames extent extent"],
    distance: Float32[np.ndarray, "frames extent extent"],
    radius: float,
    contrast: float,
) -> Float32[np.ndarray, "*shape 3"]:
    """The object's colours, textured inside its rim."""
    rgb = np.asarray(item.rgb, dtype=np.float32)
    period = item.period / item.radius  # in radii
    cos, sin = np.float32(np.cos(item.stripe_angle)), np.float32(np.sin(item.stripe_angle))
    depth = texture_depth(item.spec.texture, x * cos + y * sin, y * cos - x * sin, period, radius)
    if depth is None:
        return np.broadcast_to(rgb, (*x.shape, 3))
    within_rim = np.clip((-distance - np.float32(_RIM)) * np.float32(radius) + np.float32(0.5), 0, 1)
    paint: np.ndarray = (1 - np.float32(contrast) * depth * within_rim)[..., None] * rgb
    return paint


def _paint_background(scene: Scene, side: int) -> UInt8[np.ndarray, "height width 3"]:
    """Softly clouded ground that fills the range of values its look allows."""
    rng = np.random.default_rng([scene.seed, 1])
    low, high = scene.look.background
    cloud = np.zeros((side, side, 3), dtype=np.float32)
    for cells, weight in ((4, 1.0), (9, 0.5), (26, 0.35 * scene.look.detail)):
        grid = rng.standard_normal((cells, cells, 3)).astype(np.float32)
        grid = 0.65 * grid.mean(axis=2, keepdims=True) * np.float32(np.sqrt(3)) + 0.35 * grid  # mostly grey
        rows = _spread(grid, side).swapaxes(0, 1)
        cloud += np.float32(weight) * _spread(rows, side)
    level = np.clip(0.5 + 0.42 * cloud, 0, 1)
    ground: np.ndarray = (low + (high - low) * level + 0.5).astype(np.uint8)
    return ground


def _spread(
    values: Float32[np.ndarray, "cells columns channels"], side: int
) -> Float32[np.ndarray, "side columns channels"]:
    """The first axis stretched smoothly over `side` pixels."""
    # Four gathered terms, not a matrix product: the same sums in the same order everywhere, and no threads of a BLAS.
    nearest, weights = _spline(side, len(values))
    spread: np.ndarray = sum(weights[:, k, None, None] * values[nearest[:, k]] for k in range(4))
    return spread


@lru_cache(maxsize=16)
def _spline(side: int, cells: int) -> tuple[Int[np.ndarray, "side 4"], Float32[np.ndarray, "side 4"]]:
    """For each pixel the four cells around it and their cubic B-spline weights; the border cells go on outside."""
    positions = (np.arange(side) + 0.5) / side * (cells - 1)
    around = np.floor(positions).astype(int)[:, None] + np.arange(-1, 3)
    away = np.abs(positions[:, None] - around)
    near = (4 - 6 * away**2 + 3 * away**3) / 6
    weights = np.where(away < 1, near, np.maximum(2 - away, 0) ** 3 / 6)
    return around.clip(0, cells - 1), weights.astype(np.float32)


@lru_cache(maxsize=4)
def _noise_tile(side: int) -> Float32[np.ndarray, "height width 3"]:
    return np.random.default_rng(side).standard_normal((side, side, 3)).astype(np.float32)


def _add_noise(frames: UInt8[np.ndarray, "frames height width 3"], scene: Scene) -> None:
    """Sensor noise, in place: one tile shifted anew for every frame, since normals cost more than the picture."""
    side = frames.shape[1]
    tile = _noise_tile(side) * np.float32(scene.look.noise)
    shifts = np.random.default_rng([scene.seed, 2]).integers(0, side, (len(frames), 2))
    for frame, (down, across) in zip(frames, shifts.tolist(), strict=True):
        frame[...] = np.clip(frame + np.roll(tile, (down, across), (0, 1)) + np.float32(0.5), 0, 255)
