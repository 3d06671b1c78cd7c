"""What can happen in a clip of the diagnostic world: collisions, chases, overtaking, hiding, coming and going.

A plot lays out the paths of its one or two objects relative to a point that `staging` then chooses. Moments are whole
frames, so that the times told of them are exact.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sama_video.data.synthetic.camera import Rectangle
from sama_video.data.synthetic.draw import Draw
from sama_video.data.synthetic.motion import DIRECTIONS, OPPOSITE, Path, Phase, Point, draw_phases, phase

TWO_SIDED: Final = ("collision", "chase", "overtaking", "hiding")
"""Plots of two objects; all others have one."""


@dataclass(frozen=True)
class Body:
    """How far an object reaches from its centre, in shorter sides of the picture.

    Attributes:
        reach: By direction.
        flank: By direction, how far it reaches at each of some offsets to the side, the same for each object.
        radius: Of the disc around its centre that holds all of it.
    """

    reach: dict[str, float]
    flank: dict[str, tuple[float, ...]]
    radius: float

    @property
    def cover(self) -> float:
        """Radius of a disc that holds nearly all of it."""
        sides = self.reach["left"] + self.reach["right"], self.reach["up"] + self.reach["down"]
        return 0.54 * max(sides)


@dataclass(frozen=True)
class Room:
    """Where and how long a plot can happen: what is always in the picture, and what is at some time."""

    last: int
    inside: Rectangle
    outside: Rectangle

    def length(self, direction: str) -> float:
        """How long the inside is in a direction."""
        left, top, right, bottom = self.inside
        return right - left if direction in ("left", "right") else bottom - top


@dataclass(frozen=True)
class Event:
    """Something that happens.

    Attributes:
        kind: One of `EVENTS`.
        actor: The object that does it.
        other: The object that it is done to.
        first, last: Frames between which it happens; one and the same for a moment.
        color: What an object turns.
    """

    kind: str
    actor: int
    other: int | None
    first: int
    last: int
    color: str | None = None


EVENTS: Final = (
    "collides with",
    "follows",
    "overtakes",
    "passes behind",
    "is hidden",
    "turns",
    "appears",
    "vanishes",
    "leaves",
    "enters",
    "comes back",
)


@dataclass(frozen=True)
class Plan:
    """A plot laid out.

    Attributes:
        paths: One for each of its objects.
        events: What happens, objects numbered as in `paths`.
        present: First and last frame on which each object exists; None for all.
        is_placed: Whether x and y are the world's already; else they count from any point.
    """

    paths: tuple[Path, ...]
    events: tuple[Event, ...] = ()
    present: tuple[tuple[int, int] | None, ...] = (None, None)
    is_placed: tuple[bool, bool] = (False, False)


def contact_distance(a: Body, b: Body, direction: str) -> float:
    """Distance of two centres, on a line in a direction, at which the outlines touch."""
    pairs = zip(a.flank[direction], b.flank[OPPOSITE[direction]], strict=True)
    return max(mine + theirs for mine, theirs in pairs)


def collision(bodies: tuple[Body, ...], room: Room, draw: Draw) -> Plan:
    """One object runs into another, which it sets in motion or which came towards it; then both part."""
    a, b = bodies
    way, meet = draw.pick(tuple(DIRECTIONS)), round(room.last * draw.between(0.35, 0.55))
    apart = contact_distance(a, b, way)
    free = room.length(way) - a.reach[OPPOSITE[way]] - apart - b.reach[way]
    used, share = free * draw.between(0.75, 0.95), draw.between(0.5, 0.62)
    mine, theirs = used * share, used * (1 - share)
    start = _along(way, -mine)
    if draw.chance(0.5):
        first = Path(start, (phase(0, meet, way, mine),))
        second = Path(_along(way, apart), (phase(meet, room.last, way, theirs, pace="slower"),))
    else:
        back = OPPOSITE[way]
        first = Path(start, (phase(0, meet, way, mine), phase(meet, room.last, back, 0.85 * mine)))
        second = Path(
            _along(way, apart + theirs), (phase(0, meet, back, theirs), phase(meet, room.last, way, 0.85 * theirs))
        )
    return Plan((first, second), (Event("collides with", 0, 1, meet, meet),))


def chase(bodies: tuple[Body, ...], room: Room, draw: Draw) -> Plan:
    """One object follows another along the same path, round a corner in half of the cases."""
    follower, leader = bodies
    way = draw.pick(tuple(DIRECTIONS))
    side = draw.pick(("up", "down") if way in ("left", "right") else ("left", "right"))
    turns = draw.chance(0.5)
    gap = 1.3 * (follower.cover + leader.cover)
    free = room.length(way) - leader.reach[way] - follower.reach[OPPOSITE[way]] - gap
    ahead = max(0.12, free * draw.between(0.75, 0.95))
    if not turns:
        paths = [Path(start, (phase(0, room.last, way, ahead),)) for start in (_along(way, -gap), (0.0, 0.0))]
        return Plan(tuple(paths), (Event("follows", 0, 1, 0, room.last),))
    beyond = (room.length(side) - leader.reach[side] - follower.cover) * draw.between(0.6, 0.85)
    corner = round(room.last * ahead / (ahead + beyond))
    speed = (ahead + beyond) / room.last
    lag = min(round(gap / speed), room.last - corner - 1)
    late = Phase(corner + lag, room.last, _along(side, speed * (room.last - corner - lag)), side)
    second = Path((0.0, 0.0), (phase(0, corner, way, ahead), phase(corner, room.last, side, beyond)))
    first = Path(_along(way, -gap), (phase(0, corner + lag, way, ahead + gap), late))
    return Plan((first, second), (Event("follows", 0, 1, 0, room.last),))


def overtaking(bodies: tuple[Body, ...], room: Room, draw: Draw) -> Plan:
    """One object, first behind another that goes the same way, ends ahead of it."""
    fast, slow = bodies
    way = draw.pick(tuple(DIRECTIONS))
    side = draw.pick(("up", "down") if way in ("left", "right") else ("left", "right"))
    lane = 1.12 * (fast.reach[side] + slow.reach[OPPOSITE[side]])
    free = min(room.length(way) - fast.reach[way] - fast.reach[OPPOSITE[way]], 1.1)
    total = free * draw.between(0.85, 0.98)
    lead = total * draw.between(0.3, 0.36)
    x, y = _along(way, lead)
    to_side = _along(side, lane)
    first = Path((0.0, 0.0), (phase(0, room.last, way, total),))
    second = Path((x + to_side[0], y + to_side[1]), (phase(0, room.last, way, total - 2 * lead),))
    passing = round(room.last / 2)
    return Plan((first, second), (Event("overtakes", 0, 1, passing, passing),))


def hiding(bodies: tuple[Body, ...], room: Room, draw: Draw) -> Plan:
    """An object passes behind another, or stands still while that other one passes before it."""
    back, front = bodies
    moves_behind = draw.chance(0.5)
    moving, waiting = (back, front) if moves_behind else (front, back)
    way = draw.pick(tuple(DIRECTIONS))
    free = room.length(way) - moving.reach[way] - moving.reach[OPPOSITE[way]]
    total = min(free * draw.between(0.8, 0.98), 0.9)
    share = draw.between(0.42, 0.58)
    aside = draw.between(-0.35, 0.35) * (waiting.cover + moving.cover) * 0.6
    off = _along("down" if way in ("left", "right") else "right", aside)
    mover = Path(_along(way, -total * share), (phase(0, room.last, way, total),))
    waiter = Path(off)
    paths = (mover, waiter) if moves_behind else (waiter, mover)
    return Plan(paths, (Event("passes behind", 0, 1, 0, room.last),) if moves_behind else ())


def appears(bodies: tuple[Body, ...], room: Room, draw: Draw) -> Plan:
    """An object is there all at once."""
    moment = round(room.last * draw.between(0.25, 0.55))
    return Plan(
        (_any_path(bodies[0], room, draw),), (Event("appears", 0, None, moment, moment),), ((moment, room.last),)
    )


def vanishes(bodies: tuple[Body, ...], room: Room, draw: Draw) -> Plan:
    """An object is gone all at once."""
    moment = round(room.last * draw.between(0.45, 0.75))
    return Plan((_any_path(bodies[0], room, draw),), (Event("vanishes", 0, None, moment, moment),), ((0, moment - 1),))


def repaint(bodies: tuple[Body, ...], room: Room, draw: Draw) -> Plan:
    """An object changes its colour; `staging` chooses which."""
    moment = round(room.last * draw.between(0.3, 0.7))
    return Plan((_any_path(bodies[0], room, draw),), (Event("turns", 0, None, moment, moment),))


def leaves(bodies: tuple[Body, ...], room: Room, draw: Draw) -> Plan:
    """An object moves out of the picture."""
    way = draw.pick(tuple(DIRECTIONS))
    end, length = _beyond(bodies[0], room, way), room.length(way) * draw.between(0.5, 0.75) + bodies[0].cover
    last = round(room.last * draw.between(0.7, 0.95))
    return _through_edge(way, Path(_back(way, end, length), (phase(0, last, way, length),)), "leaves", last)


def enters(bodies: tuple[Body, ...], room: Room, draw: Draw) -> Plan:
    """An object moves into the picture."""
    way = draw.pick(tuple(DIRECTIONS))
    start, length = (
        _beyond(bodies[0], room, OPPOSITE[way]),
        room.length(way) * draw.between(0.5, 0.75) + bodies[0].cover,
    )
    first = round(room.last * draw.between(0.1, 0.3))
    return _through_edge(way, Path(start, (phase(first, room.last, way, length),)), "enters", first)


def comes_back(bodies: tuple[Body, ...], room: Room, draw: Draw) -> Plan:
    """An object moves out of the picture and back in."""
    way = draw.pick(tuple(DIRECTIONS))
    end, length = _beyond(bodies[0], room, way), room.length(way) * draw.between(0.3, 0.5) + bodies[0].cover
    out, back = round(room.last * draw.between(0.36, 0.42)), round(room.last * draw.between(0.56, 0.64))
    phases = (phase(0, out, way, length), phase(back, room.last, OPPOSITE[way], length * draw.between(0.8, 1.0)))
    return _through_edge(way, Path(_back(way, end, length), phases), "comes back", back)


PLOTS: Final[dict[str, Callable[[tuple[Body, ...], Room, Draw], Plan]]] = {
    "collision": collision,
    "chase": chase,
    "overtaking": overtaking,
    "hiding": hiding,
    "repaint": repaint,
    "appears": appears,
    "vanishes": vanishes,
    "leaves": leaves,
    "enters": enters,
    "comes back": comes_back,
}


def wander(kind: str, bodies: tuple[Body, ...], room: Room, draw: Draw) -> Plan:
    """An object moves in one of the ways of `Level.motions`, and nothing else happens to it."""
    (body,) = bodies
    free = (room.length("left") - 2 * body.cover, room.length("up") - 2 * body.cover)
    return Plan((Path((0.0, 0.0), draw_phases(kind, room.last, free, draw)),))


def _any_path(body: Body, room: Room, draw: Draw) -> Path:
    kind = draw.weighted({"still": 1.0, "straight": 2.0})
    return wander(kind, (body,), room, draw).paths[0]


def _along(direction: str, length: float) -> Point:
    x, y = DIRECTIONS[direction]
    return x * length, y * length


def _beyond(body: Body, room: Room, direction: str) -> Point:
    """A centre just outside of all that the camera ever shows, on its axis; the other coordinate is 0."""
    left, top, right, bottom = room.outside
    out = body.reach[OPPOSITE[direction]] + 0.03
    edges = {
        "left": (left - out, 0.0),
        "right": (right + out, 0.0),
        "up": (0.0, top - out),
        "down": (0.0, bottom + out),
    }
    return edges[direction]


def _back(direction: str, end: Point, length: float) -> Point:
    x, y = _along(direction, length)
    return end[0] - x, end[1] - y


def _through_edge(direction: str, path: Path, event: str, moment: int) -> Plan:
    is_placed = (direction in ("left", "right"), direction in ("up", "down"))
    return Plan((path,), (Event(event, 0, None, moment, moment),), is_placed=is_placed)
