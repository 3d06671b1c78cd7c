"""Ways to name one object of an episode that fit no other: by attribute, motion, relation, event, or order in time."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from sama_video.data.synthetic.episode import Actor
from sama_video.data.synthetic.plots import Event
from sama_video.data.synthetic.story import Story

REFERENCE_KINDS: Final = ("attribute", "motion", "relation", "event", "order")

_ATTRIBUTES: Final[tuple[tuple[str, ...], ...]] = (
    ("color", "shape"),
    ("shape",),
    ("color",),
    ("size", "shape"),
    ("size", "color"),
    ("texture", "shape"),
    ("size", "color", "shape"),
)
_LEAST_APART: Final = 0.14  # shorter sides between two objects of which one is said to be left of the other
_LEAST_FRAMES: Final = 3  # between two events of which one is said to come first

_EVENT_VERBS: Final = {
    "appears": "suddenly appears",
    "vanishes": "suddenly vanishes",
    "leaves": "leaves the picture for good",
    "enters": "comes into the picture from outside",
    "comes back": "leaves the picture and comes back",
}
_PAIR_VERBS: Final = {
    "follows": ("follows {}", "is followed by {}"),
    "overtakes": ("overtakes {}", "is overtaken by {}"),
    "collides with": ("collides with {}", "collides with {}"),
    "is hidden": ("is hidden by {} for a while", "hides {} for a while"),
}
_SIDES: Final = {"to the left of": (0, -1), "to the right of": (0, 1), "above": (1, -1), "below": (1, 1)}


@dataclass(frozen=True)
class Reference:
    """Words that fit one object.

    Attributes:
        kind: One of `REFERENCE_KINDS`.
        words: Such as "the red star"; where it names another object, that one's name is `{}`.
        other: The object it names.
    """

    kind: str
    words: str
    other: int | None = None


def references(story: Story, idx: int) -> tuple[Reference, ...]:
    """All the ways to name one object, its name first."""
    return tuple(
        reference
        for find in (_by_attribute, _by_motion, _by_event, _by_pair, _by_place, _by_order)
        for reference in find(story, idx)
    )


def name_of(story: Story, idx: int) -> str:
    """The shortest name that always fits: "the red star"."""
    return f"the {story.look(idx).name}"


def fits(actor: Actor, words: dict[str, str]) -> bool:
    """Whether attributes are those of an object; a colour fits that the object has at any time."""
    if "color" in words and words["color"] not in actor.colors:
        return False
    return all(getattr(actor.look, attribute) == word for attribute, word in words.items() if attribute != "color")


def matching(story: Story, words: dict[str, str]) -> list[int]:
    """All objects, seen or not, that some attributes fit."""
    return [i for i, actor in enumerate(story.actors) if fits(actor, words)]


def noun_phrase(words: dict[str, str]) -> str:
    """Attributes in the order of speech: "small red star", "red object"."""
    parts = [words[attribute] for attribute in ("size", "color", "texture", "shape") if attribute in words]
    return " ".join(parts if "shape" in words else [*parts, "object"])


def _by_attribute(story: Story, idx: int) -> Iterator[Reference]:
    look = story.look(idx)
    for attributes in (("shape",), ("size", "shape")) if look.is_sprite else _ATTRIBUTES:
        words = {attribute: str(getattr(look, attribute)) for attribute in attributes}
        is_changing = "color" in words and story.actors[idx].repaint is not None
        # Colour and shape name an object whose colour changes by the one it has first.
        if matching(story, words) == [idx] and (not is_changing or attributes == ("color", "shape")):
            yield Reference("attribute", f"the {noun_phrase(words)}")


def _by_motion(story: Story, idx: int) -> Iterator[Reference]:
    for words, holds in motion_tests(story).items():
        if holds(story.actors[idx]) and sum(holds(actor) for actor in story.actors) == 1:
            yield Reference("motion", f"the object that {words}")


def motion_tests(story: Story) -> dict[str, Callable[[Actor], bool]]:
    """What can be said of motions without a doubt; directions only where the camera does not add its own."""
    tests: dict[str, Callable[[Actor], bool]] = {
        "moves faster and faster": lambda actor: actor.path.pace == "faster",
        "turns around": lambda actor: _turns_around(actor) and not _goes_out(story, actor),
        "changes its direction": lambda actor: len(actor.path.directions) > 1,
    }
    if story.episode.camera.moves:
        return tests
    moves = {
        f"moves {way}": (lambda actor, way=way: way in actor.path.directions) for way in ("left", "right", "up", "down")
    }
    return tests | moves | {"never moves": lambda actor: not actor.path.phases}


def _turns_around(actor: Actor) -> bool:
    ways = actor.path.directions
    return len(ways) == 2 and set(ways) in ({"left", "right"}, {"up", "down"})


def _goes_out(story: Story, actor: Actor) -> bool:
    return any(event.kind == "comes back" and story.actors[event.actor] is actor for event in story.events)


def _by_event(story: Story, idx: int) -> Iterator[Reference]:
    for kind, verb in _EVENT_VERBS.items():
        if {event.actor for event in story.events if event.kind == kind} == {idx}:
            yield Reference("event", f"the object that {verb}")
    changes = [event for event in story.events if event.kind == "turns"]
    if [event.actor for event in changes] == [idx]:
        yield Reference("event", "the object that changes its color")
        yield Reference("event", f"the object that turns {changes[0].color}")


def _by_pair(story: Story, idx: int) -> Iterator[Reference]:
    for event in story.events:
        if event.kind not in _PAIR_VERBS or event.other is None or idx not in (event.actor, event.other):
            continue
        other = event.other if event.actor == idx else event.actor
        verb = _PAIR_VERBS[event.kind][event.actor != idx]
        if _is_only_pair(story, event, idx):
            yield Reference("relation", f"the object that {verb}", other)


def _is_only_pair(story: Story, event: Event, idx: int) -> bool:
    """Whether an object's partner does the like with no other object, in the same role."""
    same = [other for other in story.events if other.kind == event.kind]
    if event.kind == "collides with":
        return len(same) == 1
    if event.actor == idx:
        return len({other.actor for other in same if other.other == event.other}) == 1
    return len({other.other for other in same if other.actor == event.actor}) == 1


def _by_place(story: Story, idx: int) -> Iterator[Reference]:
    """Beside another object on the first frame; no third one is on that side at all."""
    here = [i for i in story.shown if story.seen[i, 0]]
    if idx not in here:
        return
    for other in here:
        for words, (axis, sign) in _SIDES.items():
            ways = {i: story.centers[i, 0] - story.centers[other, 0] for i in here if i != other}
            if other == idx or sign * ways[idx][axis] < _LEAST_APART or abs(ways[idx][1 - axis]) > abs(ways[idx][axis]):
                continue
            if all(sign * way[axis] < 0 for i, way in ways.items() if i != idx):
                yield Reference("relation", f"the object that is {words} {{}} at the beginning", other)


def _by_order(story: Story, idx: int) -> Iterator[Reference]:
    for moments, only, earliest, latest in _order_tests(story):
        ordered = sorted(moments.items(), key=lambda item: item[1])
        if [i for i, _ in ordered] == [idx]:
            yield Reference("order", f"the object that {only}")
        if len(ordered) > 1 and ordered[0][0] == idx and ordered[1][1] - ordered[0][1] >= _LEAST_FRAMES:
            yield Reference("order", f"the object that {earliest}")
        if len(ordered) > 1 and ordered[-1][0] == idx and ordered[-1][1] - ordered[-2][1] >= _LEAST_FRAMES:
            yield Reference("order", f"the object that {latest}")


def _order_tests(story: Story) -> Iterator[tuple[dict[int, int], str, str, str]]:
    """Moments, by object, of things that not all of them do, with words for the only, the first and the last to do it.

    Whether an object moves is asked only where none of them is ever out of sight.
    """
    coming = {i: int(story.seen[i].argmax()) for i in story.shown if not story.seen[i, 0]}
    yield coming, "is not in view at the beginning", "is next to come into view", "comes into view last"
    going = {i: int(story.seen[i].nonzero()[0][-1]) for i in story.shown if not story.seen[i, -1]}
    yield going, "is out of view at the end", "goes out of view first", "is last to go out of view"
    if all(story.is_always_seen(i) for i in range(len(story.actors))) and not story.episode.camera.moves:
        phases = {i: story.actors[i].path.phases for i in story.shown if story.actors[i].path.phases}
        stopping = {i: path[-1].last for i, path in phases.items() if path[-1].last < story.last}
        yield stopping, "stops before the end", "stops first", "stops last of those that stop"
        starting = {i: path[0].first for i, path in phases.items() if path[0].first > 0}
        yield (
            starting,
            "starts to move later than at the beginning",
            "is first to start after the beginning",
            ("starts to move last"),
        )
