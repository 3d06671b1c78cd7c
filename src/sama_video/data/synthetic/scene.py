"""Scenes: who is there, what it looks like and how it moves, drawn from a seed and independent of any resolution."""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from jaxtyping import Float

from sama_video.data.synthetic.layout import MOTIONS, Path, draw_paths
from sama_video.data.synthetic.shapes import COLORS, SHAPES, SIZES, TEXTURES, ObjectSpec
from sama_video.errors import ConfigError, DataError

Level = Literal["easy", "mixed", "hard"]

_HARD_SHARE: Final = 0.2  # of the scenes of level "mixed"
_SHARED_WORD_SHARE: Final = 0.5  # scenes in which two objects have a colour or a shape in common


@dataclass(frozen=True)
class Look:
    """How a scene is painted; sizes are in pixels of a picture of side 128.

    Attributes:
        background: Darkest and brightest value of the background.
        contrast: How much darker than the object its stripes and dots are.
        small: Range of the radius of small objects.
        large: Range of the radius of large objects.
        color_jitter: Largest change of an object's colour, per channel.
        noise: Standard deviation of the noise that changes with every frame.
        detail: Share of fine structure in the background.
    """

    background: tuple[float, float]
    contrast: float
    small: tuple[float, float]
    large: tuple[float, float]
    color_jitter: float
    noise: float
    detail: float


LOOKS: Final[dict[str, Look]] = {
    "easy": Look((10.0, 70.0), 0.62, (12.0, 14.5), (20.0, 25.0), 12.0, 0.0, 0.35),
    "hard": Look((20.0, 130.0), 0.42, (11.0, 13.5), (18.5, 23.0), 24.0, 5.0, 0.6),
}


@dataclass(frozen=True)
class SceneObject:
    """One object of a scene, with everything its picture needs.

    Attributes:
        spec: Its appearance in words.
        motion: One of `MOTIONS`.
        path: Where its centre is.
        radius: Nominal radius in sides of the picture.
        rgb: Its colour, 0-255.
        tilt: Rotation in radians.
        stripe_angle: Direction of its texture relative to its own axes, in radians.
        period: Distance between stripes or dots, in sides of the picture.
    """

    spec: ObjectSpec
    motion: str
    path: Path
    radius: float
    rgb: tuple[float, float, float]
    tilt: float
    stripe_angle: float
    period: float


@dataclass(frozen=True)
class Scene:
    """A seed's world before it is painted: `render` makes pictures of any size at any times of it.

    Attributes:
        seed: The seed it was drawn from.
        num_objects: Fewest and most objects that were asked for.
        level: The level that was asked for.
        seconds: How long it lasts; motion is defined from 0 to here.
        objects: From the back to the front.
        look: How it is painted.
    """

    seed: int
    num_objects: tuple[int, int]
    level: Level
    seconds: float
    objects: tuple[SceneObject, ...]
    look: Look

    def centers(self, times: Float[np.ndarray, " frames"]) -> Float[np.ndarray, "objects frames 2"]:
        """Centres of the objects in sides of the picture, x and y."""
        progress = np.clip(times / self.seconds, 0.0, 1.0)
        return np.stack([item.path.at(progress) for item in self.objects])


def sample_scene(
    seed: int,
    *,
    num_objects: tuple[int, int] = (2, 4),
    level: Level = "mixed",
    seconds: float | None = None,
) -> Scene:
    """The scene of a seed: the same arguments give the same scene on any machine.

    Args:
        seed: Not negative.
        num_objects: Fewest and most objects, at most one per shape.
        level: "easy" and "hard" are two looks; "mixed" takes the easy one four times out of five, else one between.
        seconds: Duration; left out, two to four seconds.
    """
    if not 1 <= num_objects[0] <= num_objects[1] <= len(SHAPES):
        raise ConfigError(f"num_objects={num_objects}: give (fewest, most) with 1 <= fewest <= most <= {len(SHAPES)}.")
    if seed < 0:
        raise DataError(f"scene seed {seed} is negative; give 0 or more.")
    rng = np.random.default_rng([seed, 0])
    look = _draw_look(level, rng)
    drawn_seconds = float(rng.uniform(2.0, 4.0))
    count = int(rng.integers(num_objects[0], num_objects[1] + 1))
    specs = _draw_specs(count, rng)
    motions = [str(rng.choice(MOTIONS)) for _ in specs]
    radii = [float(rng.uniform(*(look.small if spec.size == "small" else look.large))) / 128 for spec in specs]
    motions, paths = draw_paths(specs, motions, radii, rng)
    objects = tuple(
        _dress(spec, motion, path, radius, look, rng)
        for spec, motion, path, radius in zip(specs, motions, paths, radii, strict=True)
    )
    return Scene(seed, num_objects, level, drawn_seconds if seconds is None else seconds, objects, look)


def _draw_look(level: Level, rng: np.random.Generator) -> Look:
    is_hard, strength = bool(rng.random() < _HARD_SHARE), float(rng.uniform(0.2, 1.0))
    if level != "mixed":
        return LOOKS[level]
    return _blend(LOOKS["easy"], LOOKS["hard"], strength if is_hard else 0.0)


def _blend(easy: Look, hard: Look, strength: float) -> Look:
    def mix(a: float, b: float) -> float:
        return a + (b - a) * strength

    def mix_pair(a: tuple[float, float], b: tuple[float, float]) -> tuple[float, float]:
        return mix(a[0], b[0]), mix(a[1], b[1])

    return Look(
        mix_pair(easy.background, hard.background),
        mix(easy.contrast, hard.contrast),
        mix_pair(easy.small, hard.small),
        mix_pair(easy.large, hard.large),
        mix(easy.color_jitter, hard.color_jitter),
        mix(easy.noise, hard.noise),
        mix(easy.detail, hard.detail),
    )


def _draw_specs(count: int, rng: np.random.Generator) -> list[ObjectSpec]:
    """Appearances with (colour, shape) unique; every second scene shares a colour or a shape between two objects."""
    colors = [str(name) for name in rng.permutation(list(COLORS))[:count]]
    shapes = [str(name) for name in rng.permutation(SHAPES)[:count]]
    textures = [str(rng.choice(TEXTURES)) for _ in range(count)]
    sizes = [str(rng.choice(SIZES)) for _ in range(count)]
    for crowded in [i for i, size in enumerate(sizes) if size == "large"][2:]:
        sizes[crowded] = "small"  # three large objects leave no room to move
    if count > 1 and rng.random() < _SHARED_WORD_SHARE:
        shared = int(rng.integers(3))  # a colour, a shape, or (with a third object) both
        if shared != 1:
            colors[1] = colors[0]
        if shared == 1 or (shared == 2 and count > 2):
            shapes[-1] = shapes[0]
    specs = [ObjectSpec(*words) for words in zip(colors, shapes, textures, sizes, strict=True)]
    return [specs[i] for i in rng.permutation(count)]


def _dress(
    spec: ObjectSpec, motion: str, path: Path, radius: float, look: Look, rng: np.random.Generator
) -> SceneObject:
    jitter = rng.uniform(-look.color_jitter, look.color_jitter, 3)
    red, green, blue = np.clip(np.asarray(COLORS[spec.color]) + jitter, 0, 255).tolist()
    return SceneObject(
        spec=spec,
        motion=motion,
        path=path,
        radius=radius,
        rgb=(red, green, blue),
        tilt=float(rng.uniform(-0.16, 0.16)),
        stripe_angle=float(rng.uniform(0, np.pi)),
        period=float(rng.uniform(6.6, 7.8)) / 128,
    )
