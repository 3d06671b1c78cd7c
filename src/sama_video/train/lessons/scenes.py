"""What a stage is shown of a clip, and how it becomes tensors and labels: NumPy until the last step."""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64, Int, UInt8
from torch import Tensor

from sama_video.model.processing_sama import IMAGE_MEAN, IMAGE_STD

TARGET_STEP: Final = 2
"""Pixels of a picture to a cell of a mask target, each way; mask logits have cells of four."""

_EVENNESS: Final = 1.2  # of the shares of red, green and blue in a gray; about 1 means that any shares are as likely


@dataclass(frozen=True, eq=False)
class Shot:
    """Some frames of a clip with their ground truth, whatever world they are from.

    Attributes:
        looks: Class numbers of each object's colour, shape, texture and size on each frame; a colour may change.
        centers: Where the objects are, x and y in pixels, also when they are out of sight.
        times: Seconds of each frame.
    """

    frames: UInt8[np.ndarray, "frames height width 3"] = field(repr=False)
    masks: Bool[np.ndarray, "objects frames height width"] = field(repr=False)
    looks: Int[np.ndarray, "objects frames 4"]
    centers: Float64[np.ndarray, "objects frames 2"] = field(repr=False)
    times: Float64[np.ndarray, " frames"]

    @property
    def num_frames(self) -> int:
        """Number of frames."""
        return len(self.times)

    @property
    def visible(self) -> Bool[np.ndarray, "objects frames"]:
        """Whether enough of an object is seen to speak of it: a thousandth of the picture."""
        height, width = self.frames.shape[1:3]
        seen: np.ndarray = np.count_nonzero(self.masks, axis=(2, 3)) * 1000 >= height * width
        return seen


def normalised(frames: UInt8[np.ndarray, "frames height width 3"]) -> Float[Tensor, "frames 3 height width"]:
    """Frames as SAM 2 and the vision tower take them, at the size they have."""
    mean, std = (np.asarray(values, np.float32) for values in (IMAGE_MEAN, IMAGE_STD))
    scaled = (frames.astype(np.float32) / 255.0 - mean) / std
    return torch.from_numpy(np.ascontiguousarray(scaled.transpose(0, 3, 1, 2)))


def without_color(
    rng: np.random.Generator, frames: UInt8[np.ndarray, "frames height width 3"]
) -> UInt8[np.ndarray, "frames height width 3"]:
    """Frames in gray, each as a film of its own sensitivity to the three colours would see it."""
    shares = rng.dirichlet((_EVENNESS,) * 3, len(frames)).astype(np.float32)
    gray = np.einsum("fhwc,fc->fhw", frames.astype(np.float32), shares)
    return np.repeat((gray + 0.5).astype(np.uint8)[..., None], 3, axis=-1)


def coverage(masks: Bool[np.ndarray, "*masks height width"], side: int) -> Float32[np.ndarray, "*masks side side"]:
    """Share of each cell of a side x side grid that a mask covers, exact for any ratio of sizes."""
    height, width = masks.shape[-2:]
    return _shares(height, side) @ masks.astype(np.float32) @ _shares(width, side).T


def cell_labels(
    masks: Bool[np.ndarray, "objects height width"], ids: Int[np.ndarray, "objects 4"], side: int, least: float
) -> Int[np.ndarray, "side side 4"]:
    """Class numbers of the object that covers most of each cell, zero where none covers the least share."""
    if not len(masks):
        return np.zeros((side, side, ids.shape[1]), dtype=np.int64)
    shares = coverage(masks, side)
    return np.where((shares.max(0) >= least)[..., None], ids[shares.argmax(0)], 0)


def token_places(side: int, device: torch.device) -> Float[Tensor, "tokens 2"]:
    """The middle of each frame token, row before column, in sides of the picture."""
    steps = (torch.arange(side, device=device) + 0.5) / side
    return torch.stack(torch.meshgrid(steps, steps, indexing="ij"), dim=-1).flatten(0, 1)


def filled_box(mask: Bool[np.ndarray, "height width"]) -> Bool[np.ndarray, "height width"]:
    """The mask's bounding box, filled; empty stays empty."""
    rows, columns = mask.any(1), mask.any(0)
    filled = np.zeros_like(mask)
    if rows.any():
        top, bottom = np.flatnonzero(rows)[[0, -1]]
        left, right = np.flatnonzero(columns)[[0, -1]]
        filled[top : bottom + 1, left : right + 1] = True
    return filled


@lru_cache(maxsize=32)
def _shares(length: int, side: int) -> Float32[np.ndarray, "side length"]:
    edges = np.linspace(0, length, side + 1)
    pixels = np.arange(length)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return (np.clip(overlap, 0, 1) * side / length).astype(np.float32)
