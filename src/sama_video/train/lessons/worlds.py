"""The worlds that clips are drawn from, behind one door: which scenes there are, and what they look like when."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, ClassVar, Final, Generic, TypeVar

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from sama_video.data.synthetic.episode import Actor, Episode, sample_episode
from sama_video.data.synthetic.levels import SEEDS
from sama_video.data.synthetic.painting import paint
from sama_video.data.synthetic.shapes import SHAPES as PLAIN_SHAPES
from sama_video.data.synthetic.world import Scene, SyntheticClip, frame_times, render, sample_scene
from sama_video.train.config import WorldConfig
from sama_video.train.lessons.attributes import ATTRIBUTES, UNSAID, attribute_ids
from sama_video.train.lessons.scenes import Shot

PLAIN_HELD_OUT_SEEDS: Final = range(10_000_000)
"""Scenes of the plain world for evaluation, demonstrations and tests; training never draws them."""

_BLOCK: Final = 10_000
_LAST_SEED: Final = 2**62
_REVERSED_SHARE: Final = 0.3

Subject = TypeVar("Subject")


class World(ABC, Generic[Subject]):
    """Scenes by seed, and pictures of them."""

    shapes: ClassVar[tuple[str, ...]]

    @abstractmethod
    def draw(self, rng: np.random.Generator) -> Subject:
        """A scene for training, which evaluation never sees."""

    @abstractmethod
    def held_out(self, purpose: str, number: int) -> Subject:
        """Scene `number` of those kept for evaluating a stage or for another named purpose."""

    @abstractmethod
    def shoot(self, scene: Subject, moments: Sequence[float | int], side: int) -> Shot:
        """Pictures of a scene at some moments of its own clock."""

    @abstractmethod
    def moments(self, rng: np.random.Generator, scene: Subject, count: int) -> list[float | int]:
        """Moments one step apart, any step up to the whole scene."""

    @abstractmethod
    def spread(self, scene: Subject, count: int) -> list[float | int]:
        """Moments from the beginning to the end."""

    def frame(self, rng: np.random.Generator, scene: Subject, side: int = 128) -> Shot:
        """One moment of a scene, or of another one, in which something can be seen."""
        while True:
            shot = self.shoot(scene, self.moments(rng, scene, 1), side)
            if shot.visible.any():
                return shot
            scene = self.draw(rng)

    def clip(self, rng: np.random.Generator, scene: Subject, num_frames: int, side: int = 128) -> Shot:
        """Frames of a scene one step apart, either way in time."""
        moments = self.moments(rng, scene, num_frames)
        return self.shoot(scene, moments[::-1] if rng.random() < _REVERSED_SHARE else moments, side)

    def name_classes(self) -> Int[Tensor, "names 4"]:
        """Every pair of a colour and a shape as classes, texture and size unsaid."""
        colors, shapes = torch.arange(1, len(ATTRIBUTES["color"]) + 1), torch.arange(1, len(self.shapes) + 1)
        pairs = torch.cartesian_prod(colors, shapes)
        return torch.cat([pairs, torch.full_like(pairs, UNSAID)], dim=1)


@dataclass(frozen=True)
class PlainWorld(World[Scene]):
    """The older world of `data.synthetic.world`; its clock is continuous."""

    shapes: ClassVar[tuple[str, ...]] = PLAIN_SHAPES

    def draw(self, rng: np.random.Generator) -> Scene:
        """A scene beyond the held-out seeds."""
        return sample_scene(int(rng.integers(PLAIN_HELD_OUT_SEEDS.stop, _LAST_SEED)))

    def held_out(self, purpose: str, number: int) -> Scene:
        """A scene of the held-out seeds."""
        return sample_scene(_held_out_seed(PLAIN_HELD_OUT_SEEDS, purpose, number))

    def shoot(self, scene: Scene, moments: Sequence[float | int], side: int) -> Shot:
        """Pictures at some seconds."""
        return shot_of(render(scene, np.asarray(moments, dtype=np.float64), side))

    def moments(self, rng: np.random.Generator, scene: Scene, count: int) -> list[float | int]:
        """Seconds; a step is at least a 24th of one."""
        if count == 1:
            return [float(rng.uniform(0, scene.seconds))]
        longest = scene.seconds / (count - 1)
        step = float(np.exp(rng.uniform(np.log(min(1 / 24, longest)), np.log(longest))))
        start = rng.uniform(0, scene.seconds - step * (count - 1))
        return list(np.clip(start + step * np.arange(count), 0.0, scene.seconds).tolist())

    def spread(self, scene: Scene, count: int) -> list[float | int]:
        """Seconds from 0 on."""
        return list(frame_times(scene.seconds, num_frames=count).tolist())


@dataclass(frozen=True)
class LevelWorld(World[Episode]):
    """The diagnostic world; its clock counts frames.

    Attributes:
        level: Of all held-out clips, and of those for training but the easier ones.
        easier_share: Share of the clips for training that are of level 1.
    """

    level: int = 2
    easier_share: float = 0.0
    shapes: ClassVar[tuple[str, ...]] = ATTRIBUTES["shape"]

    def draw(self, rng: np.random.Generator) -> Episode:
        """An episode of the training split, which lacks the pairs of colour and shape that are held out."""
        seed = int(rng.integers(SEEDS["train"].start, SEEDS["train"].stop))
        return sample_episode(seed, level=1 if rng.random() < self.easier_share else self.level)

    def held_out(self, purpose: str, number: int) -> Episode:
        """An episode of the validation split."""
        return sample_episode(_held_out_seed(SEEDS["val"], purpose, number), level=self.level)

    def shoot(self, scene: Episode, moments: Sequence[float | int], side: int) -> Shot:
        """Pictures of some frames."""
        numbers = [int(moment) for moment in moments]
        painted = paint(scene, (side, side), numbers)
        centers = scene.centers(np.asarray(numbers, dtype=np.float64)) * side
        return Shot(painted.frames, painted.masks, looks_of(scene.actors, numbers), centers, painted.times)

    def moments(self, rng: np.random.Generator, scene: Episode, count: int) -> list[float | int]:
        """Numbers of frames; the last one stands for those beyond the end."""
        longest = max(1.0, (scene.num_frames - 1) / max(1, count - 1))
        step = int(np.exp(rng.uniform(0.0, np.log(longest))) + 0.5)
        start = int(rng.integers(max(1, scene.num_frames - step * (count - 1))))
        return [min(start + step * i, scene.num_frames - 1) for i in range(count)]

    def spread(self, scene: Episode, count: int) -> list[float | int]:
        """Numbers of frames from 0 on."""
        return list(np.linspace(0, scene.num_frames - 1, count).round().astype(int).tolist())


def world_of(settings: WorldConfig) -> World[Any]:
    """The world that a recipe names."""
    return PlainWorld() if settings.name == "plain" else LevelWorld(settings.level, settings.easier_share)


def shot_of(clip: SyntheticClip) -> Shot:
    """Pictures of the plain world, where nothing changes its looks."""
    looks = np.repeat(attribute_ids(clip.objects)[:, None], clip.num_frames, axis=1)
    return Shot(clip.frames, clip.masks, looks, clip.centers, clip.times)


def looks_of(actors: Sequence[Actor], numbers: Sequence[int]) -> Int[np.ndarray, "objects frames 4"]:
    """Class numbers of what objects look like on some frames."""
    looks = np.repeat(attribute_ids([actor.look for actor in actors])[:, None], len(numbers), axis=1)
    for row, actor in zip(looks, actors, strict=True):
        if actor.repaint is not None:
            later = np.asarray(numbers) >= actor.repaint.frame
            row[later, 0] = ATTRIBUTES["color"].index(actor.repaint.color) + 1
    return looks


def _held_out_seed(seeds: range, purpose: str, number: int) -> int:
    block = int.from_bytes(blake2b(purpose.encode(), digest_size=2).digest()) % (len(seeds) // _BLOCK)
    return seeds[block * _BLOCK + number]
