"""Paths through the diagnostic world: phases of even, rising or falling speed, with stops and turns between them.

Lengths are in shorter sides of the picture, x to the right and y down; moments are frames, whole or between.
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from jaxtyping import Float64

from sama_video.data.synthetic.draw import Draw

Point = tuple[float, float]
Pace = Literal["even", "faster", "slower"]

DIRECTIONS: Final[dict[str, Point]] = {"left": (-1.0, 0.0), "right": (1.0, 0.0), "up": (0.0, -1.0), "down": (0.0, 1.0)}
OPPOSITE: Final = {"left": "right", "right": "left", "up": "down", "down": "up"}

_DRIFT: Final = 0.1  # of a phase's length, sideways: straight enough to name its direction
_PULL: Final = 0.75  # share of its speed that a phase gains or loses


@dataclass(frozen=True)
class Phase:
    """A stretch of a path in one direction.

    Attributes:
        first, last: Frames between which it happens.
        travel: Way from its start to its end; none for standing still.
        direction: Where to, in words; "still" for nowhere.
    """

    first: int
    last: int
    travel: Point
    direction: str
    pace: Pace = "even"


@dataclass(frozen=True)
class Path:
    """A start and the phases that follow; before, between and after them the object stands still."""

    start: Point
    phases: tuple[Phase, ...] = ()

    def at(self, frames: Float64[np.ndarray, " frames"]) -> Float64[np.ndarray, "frames 2"]:
        """Centre at each moment."""
        centers: np.ndarray = np.tile(np.asarray(self.start, dtype=np.float64), (len(frames), 1))
        for phase in self.phases:
            done = np.clip((frames - phase.first) / (phase.last - phase.first), 0, 1)
            centers += _paced(done, phase.pace)[:, None] * np.asarray(phase.travel)
        return centers

    def moved(self, by: Point) -> "Path":
        """The same path from another start."""
        return Path((self.start[0] + by[0], self.start[1] + by[1]), self.phases)

    @property
    def directions(self) -> tuple[str, ...]:
        """Directions in order; a repeated one is told once."""
        told: list[str] = []
        for phase in self.phases:
            if not told or told[-1] != phase.direction:
                told.append(phase.direction)
        return tuple(told)

    @property
    def pace(self) -> Pace | None:
        """How the speed changes along a path of one phase; None for any other."""
        return self.phases[0].pace if len(self.phases) == 1 else None


def _paced(done: np.ndarray, pace: Pace) -> np.ndarray:
    """Share of the way that is done when this share of the time is."""
    if pace == "even":
        return done
    rest = 1 - done
    share: np.ndarray = (
        (1 - _PULL) * done + _PULL * done * done if pace == "faster" else 1 - (1 - _PULL) * rest - _PULL * rest * rest
    )
    return share


def phase(first: int, last: int, direction: str, length: float, drift: float = 0.0, pace: Pace = "even") -> Phase:
    """A phase of some length, drifting sideways by a share of it."""
    x, y = DIRECTIONS[direction]
    return Phase(first, last, (length * (x + drift * y), length * (y + drift * x)), direction, pace)


def draw_phases(kind: str, last: int, room: Point, draw: Draw) -> tuple[Phase, ...]:
    """The phases of one of the ways of moving, see `Level.motions`.

    Args:
        last: The clip's last frame.
        room: How far an object can go along x and along y.
    """
    if kind == "still":
        return ()
    first = draw.pick(tuple(DIRECTIONS))
    turn = round(last * draw.between(0.42, 0.6))
    drift = draw.between(-_DRIFT, _DRIFT)
    if kind in ("straight", "speeds up", "slows down"):
        pace: Pace = "faster" if kind == "speeds up" else "slower" if kind == "slows down" else "even"
        return (phase(0, last, first, _length(first, room, 0.55, 0.85, draw), drift, pace),)
    if kind == "stops":
        return (phase(0, turn, first, _length(first, room, 0.4, 0.75, draw), drift),)
    if kind == "starts":
        return (phase(turn, last, first, _length(first, room, 0.4, 0.75, draw), drift),)
    second = OPPOSITE[first] if kind == "turns back" else draw.pick(_sideways(first))
    lengths = [_length(way, room, 0.4, 0.65, draw) for way in (first, second)]
    return phase(0, turn, first, lengths[0], drift), phase(turn, last, second, lengths[1], -drift)


def _length(direction: str, room: Point, fewest: float, most: float, draw: Draw) -> float:
    """A way that is some share of the room, but never so long on a wide picture that the object rushes."""
    available = room[0] if direction in ("left", "right") else room[1]
    return min(available, 0.9) * draw.between(fewest, most)


def _sideways(direction: str) -> tuple[str, str]:
    return ("up", "down") if direction in ("left", "right") else ("left", "right")
