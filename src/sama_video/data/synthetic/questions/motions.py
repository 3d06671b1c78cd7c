"""Questions about what objects do, when, and with whom."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

import numpy as np

from sama_video.data.synthetic.draw import Draw
from sama_video.data.synthetic.levels import FPS
from sama_video.data.synthetic.plots import Event
from sama_video.data.synthetic.questions.base import (
    Question,
    R,
    name_words,
    point_at,
    the,
    wants_name,
    wants_word,
    wants_yes,
)
from sama_video.data.synthetic.references import name_of
from sama_video.data.synthetic.story import Story, runs, span_words

_VERBS: Final = {"collides with": "collide with", "follows": "follow", "overtakes": "overtake"}
_NOTHING_SHARE: Final = 0.12  # of the clips without any such event that are asked whether there is one
_APART: Final = 0.8  # of two objects' sides: so far apart that nobody thinks they touched
_LEAST_SPAN: Final = 4  # frames of a stretch that is asked about
_PACES: Final = {"even": "keeps its speed", "faster": "speeds up", "slower": "slows down"}
_GROUND: Final = "Relative to the ground, "


def motion(story: Story, draw: Draw) -> Sequence[Question]:
    """Where one object goes, and how the speed of another changes."""
    idx = draw.pick(story.shown)
    asked = [direction_question(story, idx, draw)]
    paced = [i for i in story.shown if story.actors[i].path.pace and _is_whole(story, i)]
    uneven = [i for i in paced if story.actors[i].path.pace != "even"]
    if uneven and draw.chance(0.8):
        asked.append(_pace_question(story, draw.pick(uneven), draw))
    elif paced and "speeds up" in story.episode.level.motions and draw.chance(0.3):
        asked.append(_pace_question(story, draw.pick(paced), draw))
    if story.episode.level.camera_share and (story.episode.camera.moves or draw.chance(0.3)):
        asked.append(_camera_question(story))
    return tuple(asked)


def direction_question(story: Story, idx: int, draw: Draw) -> Question:
    """The directions of one object, in order."""
    ways = list(story.actors[idx].path.directions)
    text = f"which way does {R} move: left, right, up, down, or does it stay still? Name all directions, in order."
    return Question(
        "motion",
        "direction" if len(ways) < 2 else "directions",
        _over_ground(story, text),
        f"{the(story, idx, capital=True)} {motion_words(story, idx)}.",
        {"rule": "sequence", "want": ways},
        (point_at(story, idx, draw),),
        ((idx,),),
        mentions=(idx,),
    )


def _over_ground(story: Story, text: str) -> str:
    return _GROUND + text if story.episode.camera.moves else text[0].upper() + text[1:]


def motion_words(story: Story, idx: int) -> str:
    """What an object's path is, as a verb: "moves left and then up", "stays still and then moves down"."""
    path = story.actors[idx].path
    if not path.phases:
        return "stays still"
    parts = ["stays still", "then moves"] if path.phases[0].first > 0 else ["moves"]
    words = f"{' and '.join(parts)} {path.phases[0].direction}"
    if path.pace in ("faster", "slower") and path.phases[0].first == 0:
        words += f" and {_PACES[path.pace]}"
    for before, phase in pairwise(path.phases):
        words += " and stops" if phase.first > before.last else ""
        words += f" and then {phase.direction}" if phase.first == before.last else f" and then moves {phase.direction}"
    ends_early = path.phases[-1].last < story.last and story.seen[idx, path.phases[-1].last :].any()
    return f"{words} and stops" if ends_early else words


def _is_whole(story: Story, idx: int) -> bool:
    """Whether an object can be watched on its way from the first frame to the last."""
    (phase,) = story.actors[idx].path.phases
    return phase.first == 0 and phase.last == story.last and story.is_always_seen(idx)


def _pace_question(story: Story, idx: int, draw: Draw) -> Question:
    pace = story.actors[idx].path.pace
    assert pace is not None
    return Question(
        "motion",
        "speed",
        _over_ground(story, f"does {R} speed up, slow down, or keep the same speed?"),
        f"{the(story, idx, capital=True)} {_PACES[pace]}.",
        wants_word("pace", pace),
        (point_at(story, idx, draw),),
        ((idx,),),
        mentions=(idx,),
    )


def _camera_question(story: Story) -> Question:
    camera = story.episode.camera
    want: dict[str, list[str]] = {"camera": ["still"]}
    if camera.pans:
        want = {"camera": ["pan"], "direction": [camera.motion.split()[1]]}
    elif camera.moves:
        want = {"camera": [camera.motion.replace("zooms", "zoom")]}
    text = "What does the camera do: pan left, right, up or down, zoom in, zoom out, or stay still?"
    return Question("motion", "camera", text, f"The camera {camera.motion}.", {"rule": "words", "want": want})


def temporal(story: Story, draw: Draw) -> Sequence[Question]:
    """When something goes on that does not go on all the time."""
    spans = [(idx, verb, span) for idx in story.shown for verb, span in spans_of(story, idx)]
    if not spans:
        return ()
    kinds = sorted({verb for _, verb, _ in spans})
    kind = draw.pick(kinds)
    idx, verb, span = draw.pick([entry for entry in spans if entry[1] == kind])
    return (temporal_question(story, idx, verb, span, draw),)


def temporal_question(
    story: Story, idx: int, verb: str, span: tuple[int, int], draw: Draw, subject: str = R
) -> Question:
    """When one thing goes on; the answer is wanted in seconds."""
    doing = {"moves": "moving", "rests": "standing still", "hidden": "hidden", "in view": "in view"}[verb]
    return Question(
        "temporal",
        verb,
        f"When is {subject} {doing}? Answer with the seconds, like: from 0.4 s to 1.1 s.",
        f"{the(story, idx, capital=True)} is {doing} {span_words(*span)}.",
        {"rule": "interval", "want": [frame / FPS for frame in span]},
        (point_at(story, idx, draw),) if subject == R else (),
        ((idx,),),
        mentions=(idx,),
    )


def spans_of(story: Story, idx: int) -> Iterator[tuple[str, tuple[int, int]]]:
    """Stretches of frames with one clear beginning and end, and what goes on then; none lasts the whole clip."""
    phases = story.actors[idx].path.phases
    if story.is_always_seen(idx) and not story.episode.camera.moves and phases:
        moving = (phases[0].first, phases[-1].last)
        is_one = all(a.last == b.first for a, b in pairwise(phases))
        if is_one and _is_part(story, *moving):
            yield "moves", moving
        for rest in ((0, moving[0]), (moving[1], story.last)):
            others = story.last - (moving[1] - moving[0]) - (rest[1] - rest[0])
            if is_one and others == 0 and _is_part(story, *rest):
                yield "rests", rest
    hidden = story.events_of(idx, "is hidden")
    if len(hidden) == 1 and _is_part(story, hidden[0].first, hidden[0].last):
        yield "hidden", (hidden[0].first, hidden[0].last)
    seen = runs(story.seen[idx])
    if len(seen) == 1 and _is_part(story, *seen[0]):
        yield "in view", seen[0]


def _is_part(story: Story, first: int, last: int) -> bool:
    return _LEAST_SPAN <= last - first <= story.last - _LEAST_SPAN


_PARTNER_QUESTIONS: Final = {
    "collides with": "Which object does {} collide with?",
    "follows": "Which object does {} follow?",
    "overtakes": "Which object does {} overtake?",
    "is hidden": "Which object hides {} for a while?",
}


def events(story: Story, draw: Draw) -> Sequence[Question]:
    """Who does something to whom, what becomes of an object, and whether something happens at all."""
    asked = []
    pairs = [event for event in story.events if event.kind in _PARTNER_QUESTIONS]
    if pairs:
        asked.append(partner_question(story, draw.pick(pairs), R, draw))
    changes = [event for event in story.events if event.kind == "turns"]
    if changes:
        asked.append(_color_question(story, changes[0], draw))
    can_happen = any(kind in story.episode.level.plots for kind in ("collision", "chase", "overtaking"))
    if any(event.kind in _VERBS for event in pairs) or (can_happen and draw.chance(_NOTHING_SHARE)):
        asked += _did_question(story, pairs, draw)
    return tuple(draw.shuffled(asked)[:2])


def partner_question(story: Story, event: Event, subject: str, draw: Draw) -> Question:
    """Whom an object does something to, or is done something by."""
    assert event.other is not None
    answer = {
        "collides with": "{0} collides with {1}",
        "follows": "{0} follows {1}",
        "overtakes": "{0} overtakes {1}",
        "is hidden": "{0} is hidden by {1} for a while",
    }[event.kind]
    one, other = the(story, event.actor, capital=True), the(story, event.other)
    return Question(
        "events",
        event.kind,
        _PARTNER_QUESTIONS[event.kind].format(subject) + " Name its color and shape.",
        f"{answer.format(one, other)}.",
        wants_name(story, event.other) | {"free": name_words(story, event.actor)},
        (point_at(story, event.actor, draw),) if subject == R else (),
        ((event.actor,), (event.other,)),
        mentions=(event.actor, event.other),
    )


def _color_question(story: Story, event: Event, draw: Draw) -> Question:
    assert event.color is not None
    return Question(
        "events",
        "turns",
        f"The color of {R} changes. Which color does it turn?",
        f"{the(story, event.actor, capital=True)} turns {event.color}.",
        wants_word("color", event.color) | {"free": name_words(story, event.actor)},
        (point_at(story, event.actor, draw),),
        ((event.actor,),),
        mentions=(event.actor,),
    )


def _did_question(story: Story, pairs: Sequence[Event], draw: Draw) -> Iterator[Question]:
    """Whether one object does something to another; where it does not, the roles are often only exchanged."""
    true = [event for event in pairs if event.kind in _VERBS]
    false = [
        (kind, first, second)
        for kind in dict.fromkeys([event.kind for event in true] or list(_VERBS))
        for first in story.shown
        for second in story.shown
        if first != second and _clearly_not(story, kind, first, second, true)
    ]
    if true and (draw.chance(0.6) or not false):
        event = draw.pick(true)
        assert event.other is not None
        yield _did(story, event.kind, event.actor, event.other, True)
    elif false:
        yield _did(story, *draw.pick(false), False)


def _did(story: Story, kind: str, first: int, second: int, is_true: bool) -> Question:
    verb, one, other = _VERBS[kind], the(story, first), the(story, second)
    answer = f"Yes, {one} does." if is_true else f"No, {one} does not {verb} {other}."
    return Question(
        "events",
        "did it",
        f"Does {name_of(story, first)} {verb} {name_of(story, second)}?",
        answer,
        wants_yes(is_true),
        targets=((first,),) if is_true else ((first,), (second,)),
        mentions=(first, second),
    )


def _clearly_not(story: Story, kind: str, first: int, second: int, true: Sequence[Event]) -> bool:
    """Whether nobody could think that one object does this to another: they stay apart, or go different ways."""
    same = [event for event in true if event.kind == kind]
    if any(_is_pair(event, first, second) for event in same):
        return False
    if kind == "collides with":
        away = story.centers[first] - story.centers[second]
        nearest = float(np.sqrt((away * away).sum(axis=1)).min())
        return nearest > _APART * (story.actors[first].side + story.actors[second].side)
    if any(_is_pair(event, second, first) for event in same):
        return True
    ways = [set(story.actors[idx].path.directions) for idx in (first, second)]
    return not ways[0] & ways[1]


def _is_pair(event: Event, first: int, second: int) -> bool:
    """Whether an event is one of these objects in these roles; in a collision both have the same."""
    roles = (event.actor, event.other)
    return roles == (first, second) or (event.kind == "collides with" and roles == (second, first))


def event_clause(story: Story, event: Event) -> str | None:
    """What an object does, as a clause of a caption; None for what its motion says already."""
    if event.kind == "turns":
        return f"turns {event.color}"
    if event.kind in ("appears", "vanishes"):
        return f"suddenly {event.kind}"
    if event.kind == "leaves":
        return "leaves the picture"
    if event.kind == "enters":
        return "comes in from outside"
    if event.kind == "comes back":
        return "leaves the picture and comes back"
    if event.other is None:
        return None
    verb = "is hidden by" if event.kind == "is hidden" else event.kind
    return f"{verb} {the(story, event.other)}"
