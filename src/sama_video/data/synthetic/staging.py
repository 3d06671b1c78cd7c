"""Where the objects of an episode go: plots and wanderers placed so that they keep apart, but for what is planned."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from sama_video.data.synthetic.draw import Draw
from sama_video.data.synthetic.levels import Level
from sama_video.data.synthetic.motion import Path, Point
from sama_video.data.synthetic.plots import PLOTS, Body, Event, Plan, Room, wander

_TRIES: Final = 60  # places of which the first that is free is taken, else the one that is nearest to it
_SPACE: Final = 1.08  # how near two objects may come that have nothing to do with each other, in sums of their radii


@dataclass(frozen=True)
class Casting:
    """Who plays in which plot, and who just wanders."""

    plots: tuple[tuple[str, tuple[int, ...]], ...]
    free: tuple[int, ...]


@dataclass(frozen=True)
class Staged:
    """Paths and presence of all objects, in their order, and what happens."""

    paths: tuple[Path, ...]
    present: tuple[tuple[int, int], ...]
    events: tuple[Event, ...]


def stage(casting: Casting, bodies: Sequence[Body], level: Level, room: Room, draw: Draw) -> Staged:
    """Lay out all plots and wanderers, those with the most objects first."""
    frames = np.arange(room.last + 1, dtype=np.float64)
    paths: dict[int, Path] = {}
    present: dict[int, tuple[int, int]] = {}
    events: list[Event] = []
    groups = sorted(casting.plots, key=lambda group: -len(group[1]))
    for name, cast in (*groups, *((None, (i,)) for i in casting.free)):
        own = tuple(bodies[i] for i in cast)
        placed = [(bodies[i].radius, path.at(frames)) for i, path in paths.items()]
        plan = _place(name, own, placed, level, room, draw)
        paths.update(zip(cast, plan.paths, strict=True))
        present.update((i, span or (0, room.last)) for i, span in zip(cast, plan.present, strict=False))
        events += [_cast_event(event, cast) for event in plan.events]
    order = range(len(bodies))
    return Staged(tuple(paths[i] for i in order), tuple(present[i] for i in order), tuple(events))


def _cast_event(event: Event, cast: Sequence[int]) -> Event:
    return replace(event, actor=cast[event.actor], other=None if event.other is None else cast[event.other])


def _place(
    name: str | None,
    bodies: tuple[Body, ...],
    placed: Sequence[tuple[float, np.ndarray]],
    level: Level,
    room: Room,
    draw: Draw,
) -> Plan:
    """The first of some random layouts that keeps its distance from all before it, else the one that comes nearest."""
    frames = np.arange(room.last + 1, dtype=np.float64)
    best: tuple[float, Plan] | None = None
    for _ in range(_TRIES):
        kind = draw.weighted(level.motions) if name is None else name
        plan = PLOTS[kind](bodies, room, draw) if name is not None else wander(kind, bodies, room, draw)
        tracks = [path.at(frames) for path in plan.paths]
        offset, misfit = _offset(plan, bodies, room, tracks, draw)
        space = _space([track + offset for track in tracks], bodies, placed) - misfit
        if best is None or space > best[0]:
            best = (space, replace(plan, paths=tuple(path.moved(offset) for path in plan.paths)))
        if space >= 0:
            break
    assert best is not None
    return best[1]


def _offset(
    plan: Plan, bodies: Sequence[Body], room: Room, tracks: Sequence[np.ndarray], draw: Draw
) -> tuple[Point, float]:
    """A random move that puts the plan's paths inside the room, and by how much they do not fit in."""
    offset, misfit = [0.0, 0.0], 0.0
    for axis, (back, ahead) in enumerate((("left", "right"), ("up", "down"))):
        if plan.is_placed[axis]:
            continue
        pairs = list(zip(tracks, bodies, strict=True))
        low = min(float(track[:, axis].min()) - body.reach[back] for track, body in pairs)
        high = max(float(track[:, axis].max()) + body.reach[ahead] for track, body in pairs)
        least, most = room.inside[axis] - low, room.inside[axis + 2] - high
        misfit = max(misfit, least - most)
        offset[axis] = draw.between(least, most) if least < most else (least + most) / 2
    return (offset[0], offset[1]), max(0.0, misfit)


def _space(tracks: Sequence[np.ndarray], bodies: Sequence[Body], placed: Sequence[tuple[float, np.ndarray]]) -> float:
    """How much more room than needed there is between some objects and those placed before."""
    space = 1.0
    for mine, body in zip(tracks, bodies, strict=True):
        for radius, theirs in placed:
            away = mine - theirs
            nearest = float(np.sqrt((away * away).sum(axis=1).min()))
            space = min(space, nearest - _SPACE * (body.radius + radius))
    return space
