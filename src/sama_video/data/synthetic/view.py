"""The ground as the camera sees it, and how lengths of the world become pixels."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float64, UInt8

from sama_video.data.synthetic.backgrounds import Pictures, paint_ground
from sama_video.data.synthetic.episode import Episode

_WEIGHT_STEPS: Final = 256


@dataclass(frozen=True, eq=False)
class View:
    """How lengths of the world become pixels, at each frame."""

    middles: Float64[np.ndarray, "frames 2"]
    scales: Float64[np.ndarray, " frames"]
    size: tuple[int, int]

    def pixels(self, places: Float64[np.ndarray, "frames 2"]) -> Float64[np.ndarray, "frames 2"]:
        """Places in the picture, x and y."""
        half = np.asarray([self.size[1] / 2, self.size[0] / 2])
        placed: np.ndarray = (places - self.middles) * self.scales[:, None] + half
        return placed


def view_of(episode: Episode, size: tuple[int, int], moments: np.ndarray) -> View:
    """The view of an episode at some moments."""
    camera = episode.camera
    return View(camera.middles(moments), camera.zooms(moments) * min(size), size)


def paint_background(
    episode: Episode, size: tuple[int, int], moments: Float64[np.ndarray, " frames"], pictures: Pictures | None
) -> UInt8[np.ndarray, "frames height width 3"]:
    """The ground as the camera sees it, at each frame."""
    if not episode.camera.moves:
        shown = (0.0, 0.0, *episode.extent)
        return np.repeat(paint_ground(episode.ground, shown, size, pictures)[None], len(moments), axis=0)
    left, top, right, bottom = episode.camera.ever_shown
    scale = min(size)
    high, wide = (int(np.ceil(length * scale)) + 2 for length in (bottom - top, right - left))
    shown = (left, top, left + wide / scale, top + high / scale)
    ground = paint_ground(episode.ground, shown, (high, wide), pictures).astype(np.int32)
    view = view_of(episode, size, moments)
    frames = np.empty((len(moments), *size, 3), dtype=np.uint8)
    for frame, middle, pixels in zip(frames, view.middles.tolist(), view.scales.tolist(), strict=True):
        columns = _sampled(size[1], middle[0] - left, pixels, scale, wide)
        rows = _sampled(size[0], middle[1] - top, pixels, scale, high)
        frame[...] = _resampled(ground, rows, columns)
    return frames


_Sampling = tuple[np.ndarray, np.ndarray]


def _sampled(count: int, middle: float, pixels: float, scale: int, most: int) -> _Sampling:
    """For each pixel of a line the cell of the ground before it, and the weight of the next one in 256ths."""
    places = ((np.arange(count) + 0.5 - count / 2) / pixels + middle) * scale - 0.5
    steps = np.floor(places * _WEIGHT_STEPS + 0.5).astype(np.int64).clip(0, (most - 2) * _WEIGHT_STEPS)
    return steps // _WEIGHT_STEPS, steps % _WEIGHT_STEPS


def _resampled(ground: np.ndarray, rows: _Sampling, columns: _Sampling) -> UInt8[np.ndarray, "height width 3"]:
    """The ground between its pixels, in whole numbers."""
    above, weight = ground[rows[0]], rows[1][:, None, None].astype(np.int32)
    lines = above * _WEIGHT_STEPS + (ground[rows[0] + 1] - above) * weight
    before, weight = lines[:, columns[0]], columns[1][None, :, None].astype(np.int32)
    mixed = before * _WEIGHT_STEPS + (lines[:, columns[0] + 1] - before) * weight
    resampled: np.ndarray = ((mixed + 32768) >> 16).astype(np.uint8)
    return resampled
