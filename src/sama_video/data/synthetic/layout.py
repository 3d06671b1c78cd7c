"""Where objects go: paths drawn so that they keep apart, and the events in which they do not."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float

from sama_video.data.synthetic.shapes import ObjectSpec

DIRECTIONS: Final[tuple[str, ...]] = ("left", "right", "up", "down")
MOTIONS: Final[tuple[str, ...]] = ("still", *DIRECTIONS)

_EVENT_SHARE: Final = 0.15  # scenes in which an object is to come, leave or be hidden; not every scene has one that can
_TRIES: Final = 48  # candidate paths an object is placed from
_MOMENTS: Final = np.linspace(0.0, 1.0, 9)


@dataclass(frozen=True)
class Path:
    """A slightly curved way at a smoothly changing speed; lengths in sides of the picture, progress from 0 to 1.

    Attributes:
        start: Centre at the beginning, x and y.
        travel: Way from start to end, x and y.
        bend: Sideways bulge halfway, x and y.
        ease: 0 for even speed, 1 for starting and ending at rest.
    """

    start: tuple[float, float]
    travel: tuple[float, float]
    bend: tuple[float, float]
    ease: float

    def at(self, progress: Float[np.ndarray, " moments"]) -> Float[np.ndarray, "moments 2"]:
        """Centre at each moment."""
        eased = _eased(progress, self.ease)
        bulge = np.sin(np.pi * progress)
        centers: np.ndarray = np.asarray(self.start) + np.outer(eased, self.travel) + np.outer(bulge, self.bend)
        return centers


def _eased(progress: np.ndarray, ease: float) -> np.ndarray:
    """Share of the way done at each moment."""
    done: np.ndarray = (1 - ease) * progress + ease * progress**2 * (3 - 2 * progress)
    return done


def _heading(motion: str) -> tuple[int, bool]:
    """Axis of a motion, 0 for x, and whether it goes towards larger coordinates."""
    return (0 if motion in ("left", "right") else 1), motion in ("right", "down")


def draw_paths(
    specs: Sequence[ObjectSpec], motions: Sequence[str], radii: Sequence[float], rng: np.random.Generator
) -> tuple[list[str], list[Path]]:
    """Motions and paths of objects, given from the back to the front, that keep apart but for an event.

    Args:
        specs: Appearances; only what can hide what follows from them.
        motions: What each object should do. For an object to be hidden, another one may have to stay still instead.
        radii: Nominal radii in sides of the picture.
        rng: Source of every choice.
    """
    closeness = float(rng.choice([1.2, 0.45]))  # how near two objects may come: clear, or partly hiding each other
    event = rng.random() < _EVENT_SHARE
    kind = str(rng.choice(["hidden", "enters", "leaves"]))
    pair = _hiding_pair(specs, motions, rng) if event and kind == "hidden" else None
    paths: list[Path] = []
    for i, (motion, radius) in enumerate(zip(motions, radii, strict=True)):
        paths.append(_place(motion, radius, paths, radii[:i], closeness, rng))
    movers = [i for i, motion in enumerate(motions) if motion != "still"]
    if pair is not None:
        return _hide(pair, motions, paths, rng)
    if event and movers:
        chosen = movers[int(rng.integers(len(movers)))]
        paths[chosen] = _cross_edge(paths[chosen], motions[chosen], radii[chosen], kind == "leaves", rng)
    return list(motions), paths


def _place(
    motion: str,
    radius: float,
    others: Sequence[Path],
    radii: Sequence[float],
    closeness: float,
    rng: np.random.Generator,
) -> Path:
    """The first of some random paths that keeps its distance, else the one that comes closest to doing so."""
    starts, travels, bends = _draw_ways(motion, radius, rng)
    ease = float(rng.uniform(0, 0.8))
    chosen = 0
    if others:
        eased, bulge = _eased(_MOMENTS, ease)[:, None], np.sin(np.pi * _MOMENTS)[:, None]
        tracks = starts[:, None] + eased * travels[:, None] + bulge * bends[:, None]  # paths moments 2
        room = np.full(_TRIES, np.inf)
        for other, other_radius in zip(others, radii, strict=True):
            apart = np.linalg.norm(tracks - other.at(_MOMENTS), axis=2).min(axis=1) - closeness * (
                radius + other_radius
            )
            # "From left to right at the start" is to be an order that one can see.
            room = np.minimum(room, np.minimum(apart, np.abs(starts[:, 0] - other.start[0]) - 0.06))
        chosen = int(np.argmax(room >= 0)) if (room >= 0).any() else int(np.argmax(room))
    (x, y), (right, down), (bend_x, bend_y) = (rows[chosen].tolist() for rows in (starts, travels, bends))
    return Path((x, y), (right, down), (bend_x, bend_y), ease)


def _draw_ways(motion: str, radius: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Starts, travels and bends of `_TRIES` paths inside the picture, each an array of x and y."""
    margin = radius * 1.2
    starts = rng.uniform(margin, 1 - margin, (_TRIES, 2))
    travels, bends = np.zeros((_TRIES, 2)), np.zeros((_TRIES, 2))
    if motion == "still":
        return starts, travels, bends
    axis, forward = _heading(motion)
    distance = rng.uniform(0.35, min(0.65, 1 - 2 * margin), _TRIES)
    behind = rng.uniform(margin, 1 - margin - distance)
    starts[:, axis] = behind if forward else behind + distance
    starts[:, 1 - axis] = starts[:, 1 - axis].clip(margin + 0.1, 1 - margin - 0.1)
    travels[:, axis] = distance if forward else -distance
    travels[:, 1 - axis], bends[:, 1 - axis] = rng.uniform(-0.06, 0.06, (2, _TRIES))
    return starts, travels, bends


def _hiding_pair(
    specs: Sequence[ObjectSpec], motions: Sequence[str], rng: np.random.Generator
) -> tuple[int, int] | None:
    """A small object and, in front of it, a large one without gaps; at least one of them moves."""
    pairs = [
        (i, j)
        for j, front in enumerate(specs)
        for i, back in enumerate(specs[:j])
        if front.size == "large" and front.shape in ("circle", "square") and back.size == "small"
        if not motions[i] == motions[j] == "still"
    ]
    return pairs[int(rng.integers(len(pairs)))] if pairs else None


def _hide(
    pair: tuple[int, int], motions: Sequence[str], paths: Sequence[Path], rng: np.random.Generator
) -> tuple[list[str], list[Path]]:
    """Let the large object wait where the small one passes, or the small one where the large one passes."""
    back, front = pair
    moving, waiting = (back, front) if motions[back] != "still" else (front, back)
    x, y = paths[moving].at(np.asarray([rng.uniform(0.35, 0.65)]))[0].tolist()
    still = Path((x, y), (0.0, 0.0), (0.0, 0.0), 0.0)
    return (
        ["still" if i == waiting else motion for i, motion in enumerate(motions)],
        [still if i == waiting else path for i, path in enumerate(paths)],
    )


def _cross_edge(path: Path, motion: str, radius: float, leaves: bool, rng: np.random.Generator) -> Path:
    """The path moved along its direction so that it ends, or starts, wholly outside the picture."""
    axis, forward = _heading(motion)
    outside = radius * 1.3 + rng.uniform(0.0, 0.08)
    distance = rng.uniform(0.55, 0.75)
    start, travel = list(path.start), list(path.travel)
    travel[axis] = float(distance if forward else -distance)
    edge = 1 + outside if forward == leaves else -outside
    start[axis] = float(edge - travel[axis] if leaves else edge)
    return Path((start[0], start[1]), (travel[0], travel[1]), path.bend, path.ease)
