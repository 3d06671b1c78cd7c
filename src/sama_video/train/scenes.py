"""Synthetic scenes as training material: seeds, moments, pixels and cell labels, all NumPy until the last step."""

from functools import lru_cache
from hashlib import blake2b
from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int, UInt8
from torch import Tensor

from sama_video.data.synthetic.world import Scene, SyntheticClip, render, sample_scene
from sama_video.model.processing_sama import IMAGE_MEAN, IMAGE_STD

HELD_OUT_SEEDS: Final = range(10_000_000)
"""Scenes for evaluation, demonstrations and tests; training never draws them."""

_BLOCK: Final = 10_000
_LAST_SEED: Final = 2**62


def draw_scene(rng: np.random.Generator) -> Scene:
    """A scene that evaluation never sees."""
    return sample_scene(int(rng.integers(HELD_OUT_SEEDS.stop, _LAST_SEED)))


def held_out_scene(purpose: str, number: int) -> Scene:
    """Scene `number` of those kept for evaluating a stage or for another named purpose; no two purposes share one."""
    block = int.from_bytes(blake2b(purpose.encode(), digest_size=2).digest()) % (len(HELD_OUT_SEEDS) // _BLOCK)
    return sample_scene(HELD_OUT_SEEDS[block * _BLOCK + number])


def draw_frame(rng: np.random.Generator, scene: Scene, side: int = 128) -> SyntheticClip:
    """One moment of a scene in which something can be seen."""
    while True:
        clip = render(scene, rng.uniform(0, scene.seconds, 1), side)
        if clip.visible.any():
            return clip
        scene = draw_scene(rng)


def draw_clip(rng: np.random.Generator, scene: Scene, num_frames: int, side: int = 128) -> SyntheticClip:
    """Frames of a scene one step apart: any step from a 24th of a second to the whole scene, either way in time."""
    longest = scene.seconds / max(1, num_frames - 1)
    step = float(np.exp(rng.uniform(np.log(min(1 / 24, longest)), np.log(longest))))
    start = rng.uniform(0, scene.seconds - step * (num_frames - 1))
    times = np.clip(start + step * np.arange(num_frames), 0.0, scene.seconds)
    return render(scene, times[::-1] if rng.random() < 0.3 else times, side)


def normalised(frames: UInt8[np.ndarray, "frames height width 3"]) -> Float[Tensor, "frames 3 height width"]:
    """Frames as SAM 2 and the vision tower take them, at the size they have."""
    mean, std = (np.asarray(values, np.float32) for values in (IMAGE_MEAN, IMAGE_STD))
    scaled = (frames.astype(np.float32) / 255.0 - mean) / std
    return torch.from_numpy(np.ascontiguousarray(scaled.transpose(0, 3, 1, 2)))


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
