"""The three levels of the diagnostic world, and its splits by seed and by held-out pairs of colour and shape.

`docs/synth.md` has the same table in words; a change here changes every clip and is seen by the golden hashes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from sama_video.data.synthetic.shapes import COLORS, SIZES
from sama_video.data.synthetic.shapes import SHAPES as OLD_SHAPES
from sama_video.data.synthetic.shapes import TEXTURES as OLD_TEXTURES
from sama_video.errors import ConfigError, DataError

SHAPES: Final[tuple[str, ...]] = (*OLD_SHAPES, "diamond", "heart")
TEXTURES: Final[tuple[str, ...]] = (*OLD_TEXTURES, "checkered")
HUES: Final[tuple[str, ...]] = ("red", "orange", "yellow", "green", "cyan", "blue", "purple")
"""Colours in the order of the rainbow: neighbours are the ones that are mistaken for each other."""

FPS: Final = 10
"""Frames a second. A frame is a tenth of a second, so that times in words ("from 1.2 s to 2.8 s") are exact."""

Split = Literal["train", "val", "test"]

SEEDS: Final[dict[Split, range]] = {
    "test": range(1_000_000),
    "val": range(1_000_000, 2_000_000),
    "train": range(10_000_000, 2**62),
}
"""Which seeds belong to which split; those in between belong to none and are refused."""

BLOCK: Final[dict[Split, int]] = {"test": 10_000, "val": 10_000, "train": 1_000_000}
"""Most clips of one run: run number S of a split has the seeds from its first one plus S blocks."""

_NEXT_COLOR: Final = 3  # has no factor in common with the number of colours, so each of them is held out once

HELD_OUT: Final[dict[Split, frozenset[tuple[str, str]]]] = {
    "train": frozenset(),
    "val": frozenset((tuple(COLORS)[(_NEXT_COLOR * i + 4) % len(COLORS)], shape) for i, shape in enumerate(SHAPES)),
    "test": frozenset((tuple(COLORS)[(_NEXT_COLOR * i + 1) % len(COLORS)], shape) for i, shape in enumerate(SHAPES)),
}
"""Pairs of colour and shape that only this split has; training has none of them."""

HELD_OUT_SHARE: Final = 0.5
"""Share of the clips of "val" and "test" in which an object has a pair that training never showed."""


@dataclass(frozen=True)
class Level:
    """How hard clips are; lengths are in shorter sides of the picture.

    Attributes:
        objects: Fewest and most.
        small, large: Range of an object's shorter side.
        frames: Fewest and most.
        shared_share: Clips in which two objects have the colour or the shape in common.
        hiding_share: Clips in which one object passes behind another.
        motions: Weights of the ways in which an object that has no part in a plot moves.
        plots: Weights of the things that can happen, see `plots`.
        plot_counts: Weights of how many of them happen in a clip.
        grounds: Kinds of background.
        ground_values: Darkest and brightest value of the background.
        contrast: How much darker than the object its texture is.
        color_jitter: Largest change of an object's colour, per channel.
        similar_share: Clips whose colours are neighbours in the rainbow.
        camera_share: Clips in which the camera pans or zooms.
        blur_share, noise_share, compression_share: Clips that are out of focus, noisy, or coarsely compressed.
        noise: Range of the noise's standard deviation.
    """

    number: int
    objects: tuple[int, int]
    small: tuple[float, float]
    large: tuple[float, float]
    frames: tuple[int, int]
    shared_share: float
    hiding_share: float
    motions: Mapping[str, float]
    plots: Mapping[str, float]
    plot_counts: Mapping[int, float]
    grounds: tuple[str, ...]
    ground_values: tuple[int, int]
    contrast: float
    color_jitter: int
    similar_share: float = 0.0
    camera_share: float = 0.0
    blur_share: float = 0.0
    noise_share: float = 0.0
    compression_share: float = 0.0
    noise: tuple[float, float] = (0.0, 0.0)


_MOTIONS: Final = {
    "still": 1.0,
    "straight": 1.3,
    "stops": 1.0,
    "starts": 1.0,
    "turns": 1.0,
    "turns back": 0.7,
    "speeds up": 0.9,
    "slows down": 0.9,
}
_PLOTS: Final = {
    "collision": 1.5,
    "chase": 1.2,
    "overtaking": 1.2,
    "repaint": 1.0,
    "appears": 0.8,
    "vanishes": 0.8,
    "leaves": 0.6,
    "enters": 0.6,
    "comes back": 0.8,
}
LEVELS: Final[dict[int, Level]] = {
    1: Level(
        number=1,
        objects=(1, 3),
        small=(0.15, 0.18),
        large=(0.26, 0.31),
        frames=(24, 24),
        shared_share=0.25,
        hiding_share=0.0,
        motions={"still": 1.0, "straight": 4.0},
        plots={"appears": 1.0, "vanishes": 1.0, "leaves": 1.0, "enters": 1.0},
        plot_counts={0: 0.6, 1: 0.4},
        grounds=("cloud",),
        ground_values=(10, 70),
        contrast=0.62,
        color_jitter=10,
    ),
    2: Level(
        number=2,
        objects=(2, 5),
        small=(0.105, 0.135),
        large=(0.19, 0.22),
        frames=(24, 36),
        shared_share=0.5,
        hiding_share=0.37,
        motions=_MOTIONS,
        plots=_PLOTS,
        plot_counts={0: 0.15, 1: 0.5, 2: 0.35},
        grounds=("tiles", "bands", "bricks", "grain", "rings", "patches"),
        ground_values=(14, 100),
        contrast=0.55,
        color_jitter=16,
    ),
    3: Level(
        number=3,
        objects=(3, 5),
        small=(0.09, 0.12),
        large=(0.17, 0.21),
        frames=(30, 48),
        shared_share=0.7,
        hiding_share=0.5,
        motions=_MOTIONS,
        plots=_PLOTS,
        plot_counts={1: 0.5, 2: 0.5},
        grounds=("tiles", "bands", "bricks", "grain", "rings", "patches"),
        ground_values=(14, 150),
        contrast=0.45,
        color_jitter=22,
        similar_share=0.5,
        camera_share=0.6,
        blur_share=0.4,
        noise_share=0.7,
        compression_share=0.4,
        noise=(3.0, 9.0),
    ),
}


def level_of(number: int) -> Level:
    """The level of that number."""
    if number not in LEVELS:
        raise ConfigError(f"level {number} is unknown; choose 1 (easier), 2 or 3 (harder).")
    return LEVELS[number]


def split_of(seed: int) -> Split:
    """Which split a seed belongs to; a clip cannot be drawn for another one.

    >>> split_of(17), split_of(1_000_017), split_of(10_000_017)
    ('test', 'val', 'train')
    """
    for split, seeds in SEEDS.items():
        if seed in seeds:
            return split
    shown = ", ".join(f"{split} {seeds.start}-{seeds.stop - 1}" for split, seeds in SEEDS.items())
    raise DataError(f"seed {seed} belongs to no split; the splits have {shown}.")


def seeds_of(split: Split, run: int, clips: int) -> range:
    """The seeds of one run: no two runs of a split share one, and no two splits do.

    Args:
        run: Number of the run, from 0.
        clips: How many are wanted.
    """
    block, seeds = BLOCK[split], SEEDS[split]
    if clips > block:
        raise ConfigError(f"{clips} clips of one seed; split {split} has {block} for each, so take several seeds.")
    first = seeds.start + run * block
    if run < 0 or first + block > seeds.stop:
        raise ConfigError(f"seed {run} leaves split {split}; give 0 to {len(seeds) // block - 1}.")
    return range(first, first + clips)


def is_allowed(split: Split, color: str, shape: str) -> bool:
    """Whether an object of this split may have this colour and shape."""
    return not any((color, shape) in pairs for other, pairs in HELD_OUT.items() if other != split)


__all__ = [
    "BLOCK",
    "COLORS",
    "FPS",
    "HELD_OUT",
    "HELD_OUT_SHARE",
    "HUES",
    "LEVELS",
    "SEEDS",
    "SHAPES",
    "SIZES",
    "TEXTURES",
    "Level",
    "Split",
    "is_allowed",
    "level_of",
    "seeds_of",
    "split_of",
]
