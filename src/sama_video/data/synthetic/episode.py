"""Episodes: clips of the diagnostic world before they are painted, drawn from a seed and a level."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import numpy as np
from jaxtyping import Float64

from sama_video.data.synthetic.appearance import (
    SOLID_SHAPES,
    Look,
    circumradius,
    draw_cast,
    half_extents,
    outline,
    shorter_side,
)
from sama_video.data.synthetic.backgrounds import Ground, draw_ground
from sama_video.data.synthetic.camera import Camera, draw_camera
from sama_video.data.synthetic.draw import Draw
from sama_video.data.synthetic.effects import Effects, draw_effects
from sama_video.data.synthetic.levels import COLORS, FPS, Level, Split, is_allowed, level_of, split_of
from sama_video.data.synthetic.motion import Path, Point
from sama_video.data.synthetic.plots import TWO_SIDED, Body, Event, Room
from sama_video.data.synthetic.staging import Casting, stage
from sama_video.errors import DataError

_OFFSETS: Final = 57  # places across a body at which its reach is known, from -1.4 to 1.4 radii of the largest object
_WIDEST_ASPECT: Final = 4.0


@dataclass(frozen=True)
class Repaint:
    """A change of colour: from `frame` on the object is `color`."""

    frame: int
    color: str
    rgb: tuple[int, int, int]


@dataclass(frozen=True)
class Actor:
    """One object of an episode, with everything its picture needs.

    Attributes:
        look: Its appearance in words, before any change.
        radius: Nominal radius in shorter sides of the picture; for a sprite half its width.
        rgb: Its colour, 0-255.
        tilt: Rotation, as `appearance.rotation` takes it.
        grain: Direction of its texture, likewise.
        period: Distance between stripes or dots, in shorter sides of the picture.
        contrast: How much darker than its colour they are.
        path: Where its centre is.
        present: First and last frame on which it exists.
        repaint: Its change of colour, if there is one.
    """

    look: Look
    radius: float
    rgb: tuple[int, int, int]
    tilt: float
    grain: float
    period: float
    contrast: float
    path: Path
    present: tuple[int, int]
    repaint: Repaint | None = None

    @property
    def colors(self) -> tuple[str, ...]:
        """Colours it has at some time."""
        first = () if self.look.color is None else (self.look.color,)
        return first if self.repaint is None else (*first, self.repaint.color)

    @property
    def side(self) -> float:
        """The shorter side of its bounding box, in shorter sides of the picture."""
        return self.radius * (2.0 if self.look.is_sprite else shorter_side(self.look.shape))


@dataclass(frozen=True)
class Episode:
    """A clip before it is painted: the same at any resolution.

    Attributes:
        seed, level: What it was drawn from; the seed also names its split.
        extent: Width and height of the picture in its shorter sides.
        actors: From the back to the front.
        events: What happens on purpose; `story` adds what follows from it.
    """

    seed: int
    level: Level
    split: Split
    num_frames: int
    extent: Point
    actors: tuple[Actor, ...]
    events: tuple[Event, ...]
    camera: Camera
    ground: Ground
    effects: Effects

    @property
    def seconds(self) -> float:
        """Time of the last frame."""
        return (self.num_frames - 1) / FPS

    def centers(self, frames: Float64[np.ndarray, " frames"]) -> Float64[np.ndarray, "objects frames 2"]:
        """Centres of the objects in the picture, in its shorter sides from the upper left corner."""
        places = np.stack([actor.path.at(frames) for actor in self.actors])
        zooms = self.camera.zooms(frames)[:, None]
        centers: np.ndarray = (places - self.camera.middles(frames)) * zooms + np.asarray(self.extent) / 2
        return centers


def sample_episode(
    seed: int,
    *,
    level: int = 2,
    size: tuple[int, int] = (128, 128),
    sprites: Mapping[str, float] | None = None,
    pictures: Sequence[str] = (),
) -> Episode:
    """The episode of a seed: the same arguments give the same one on any machine.

    Args:
        seed: Also chooses the split, see `levels.SEEDS`.
        level: 1, 2 or 3.
        size: Height and width of the clip; only their ratio matters.
        sprites: Names of pictures that may stand for objects, with width over height; up to half of the objects are
            taken from them.
        pictures: Names of pictures that may be the background; without any it is made.
    """
    settings, split, extent = level_of(level), split_of(seed), _extent(size)
    draw = Draw(seed, level, 0)
    num_frames = draw.whole(settings.frames)
    camera = draw_camera(settings.camera_share, extent, num_frames - 1, Draw(seed, level, 1))
    looks = draw_cast(settings, split, draw.whole(settings.objects), tuple(sorted(sprites or {})), draw)
    casting, looks = _cast_plots(settings, looks, draw)
    radii = [_radius(look, settings, sprites or {}, draw) for look in looks]
    bodies = [
        _body(look, radius, (sprites or {}).get(look.shape, 1.0)) for look, radius in zip(looks, radii, strict=True)
    ]
    room = Room(num_frames - 1, camera.always_shown, camera.ever_shown)
    staged = stage(casting, bodies, settings, room, Draw(seed, level, 2))
    dress = Draw(seed, level, 3)
    actors = tuple(
        _dress(look, radius, path, present, settings, dress)
        for look, radius, path, present in zip(looks, radii, staged.paths, staged.present, strict=True)
    )
    actors, events = _repaint(actors, staged.events, split, settings, dress)
    return Episode(
        seed,
        settings,
        split,
        num_frames,
        extent,
        actors,
        events,
        camera,
        draw_ground(settings, pictures, Draw(seed, level, 4)),
        draw_effects(settings, Draw(seed, level, 5)),
    )


def _extent(size: tuple[int, int]) -> Point:
    height, width = size
    shorter = min(size)
    if shorter < 32 or max(size) > _WIDEST_ASPECT * shorter:
        raise DataError(f"size {width}x{height}: give at least 32 pixels each way, and at most four times as many.")
    return width / shorter, height / shorter


def _cast_plots(level: Level, looks: list[Look], draw: Draw) -> tuple[Casting, list[Look]]:
    """Who plays in which plot; what hides another is large, has no holes, and stands in front."""
    hides = len(looks) > 1 and draw.chance(level.hiding_share)
    plots: list[tuple[str, tuple[int, ...]]] = []
    if hides:
        looks = _hider_in_front(looks, draw)
        plots.append(("hiding", (draw.below(len(looks) - 1), len(looks) - 1)))
    free = [i for i in draw.shuffled(range(len(looks))) if not any(i in cast for _, cast in plots)]
    for _ in range(draw.weighted(level.plot_counts)):
        fitting = {
            name: weight
            for name, weight in level.plots.items()
            if len(free) >= (2 if name in TWO_SIDED else 1)
            if all(name != other for other, _ in plots)
            if name != "repaint" or not looks[free[0]].is_sprite
        }
        if fitting:
            name = draw.weighted(fitting)
            needed = 2 if name in TWO_SIDED else 1
            plots.append((name, tuple(free[:needed])))
            free = free[needed:]
    return Casting(tuple(plots), tuple(free)), looks


def _hider_in_front(looks: list[Look], draw: Draw) -> list[Look]:
    """The looks with one that can hide others made large and put last; another large one is made small in exchange."""
    solid = [i for i, look in enumerate(looks) if look.shape in SOLID_SHAPES] or list(range(len(looks)))
    front = draw.pick(solid)
    others = [look for i, look in enumerate(looks) if i != front]
    large = [i for i, look in enumerate(others) if look.size == "large"]
    if len(large) > 1:
        others[large[0]] = replace(others[large[0]], size="small")
    return [*others, replace(looks[front], size="large")]


def _radius(look: Look, level: Level, sprites: Mapping[str, float], draw: Draw) -> float:
    side = draw.within(level.small if look.size == "small" else level.large)
    if look.is_sprite:
        return side / 2 * max(1.0, sprites[look.shape])
    return side / shorter_side(look.shape)


_STEP: Final = 0.01  # in shorter sides of the picture
_NOTHING: Final = -1.0  # reach where a body has none: far on the other side


@lru_cache(maxsize=4096)
def _flank(shape: str, radius: float) -> dict[str, tuple[float, ...]]:
    """How far an outline reaches in each direction, at each offset to the side."""
    steps = (np.arange(_OFFSETS) - _OFFSETS // 2) * _STEP
    line = (steps / radius).astype(np.float32)
    inside = outline(shape, *np.meshgrid(line, line)) <= 0

    def reach(rows: np.ndarray) -> tuple[float, ...]:
        last = _OFFSETS - 1 - rows[:, ::-1].argmax(axis=1)
        return tuple(np.where(rows.any(axis=1), steps[last] + _STEP / 2, _NOTHING).tolist())

    return {
        "right": reach(inside),
        "left": reach(inside[:, ::-1]),
        "down": reach(inside.T),
        "up": reach(inside.T[:, ::-1]),
    }


def _body(look: Look, radius: float, aspect: float) -> Body:
    if look.is_sprite:
        down = radius / aspect
        half = {"left": radius, "right": radius, "up": down, "down": down}
        around = math.sqrt(radius * radius + down * down)
        return Body(half, {way: (reach,) * _OFFSETS for way, reach in half.items()}, around)
    left, right, up, down = (radius * side for side in half_extents(look.shape))
    half = {"left": left, "right": right, "up": up, "down": down}
    return Body(half, _flank(look.shape, radius), radius * circumradius(look.shape))


def _dress(look: Look, radius: float, path: Path, present: tuple[int, int], level: Level, draw: Draw) -> Actor:
    rgb = (0, 0, 0) if look.color is None else _tint(look.color, level, draw)
    tilt, grain = draw.between(-0.06, 0.06), draw.between(-1.0, 1.0)
    period = max(0.036, 0.62 * radius) * draw.between(0.9, 1.1)
    return Actor(look, radius, rgb, tilt, grain, period, level.contrast, path, present)


def _tint(color: str, level: Level, draw: Draw) -> tuple[int, int, int]:
    jitter = (-level.color_jitter, level.color_jitter)
    red, green, blue = (min(255, max(0, channel + draw.whole(jitter))) for channel in COLORS[color])
    return red, green, blue


def _repaint(
    actors: tuple[Actor, ...], events: tuple[Event, ...], split: Split, level: Level, draw: Draw
) -> tuple[tuple[Actor, ...], tuple[Event, ...]]:
    """Choose the colours of those that change theirs: allowed in this split and unlike all others of that shape."""
    changed, told = list(actors), list(events)
    for place, event in enumerate(events):
        if event.kind != "turns":
            continue
        actor = actors[event.actor]
        taken = {color for other in actors for color in other.colors}
        colors = [color for color in COLORS if color not in taken and is_allowed(split, color, actor.look.shape)]
        color = draw.pick(colors)
        changed[event.actor] = replace(actor, repaint=Repaint(event.first, color, _tint(color, level, draw)))
        told[place] = replace(event, color=color)
    return tuple(changed), tuple(told)
