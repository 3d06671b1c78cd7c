"""Questions and answers about scenes, in a small closed language, with the objects every tag and phrase stands for.

An answer follows from the question and the scene alone: one that is to show objects where words would do says so.
Objects are named by colour and shape, which no two objects of a scene share.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

import numpy as np

from sama_video.data.synthetic.scene import Level, Scene, sample_scene
from sama_video.data.synthetic.shapes import COLORS, SHAPES, ObjectSpec
from sama_video.data.synthetic.wording import (
    ATTRIBUTE_QUESTIONS,
    ATTRIBUTES,
    CAPTION_QUESTIONS,
    COMPARE_QUESTIONS,
    COUNT_QUESTIONS,
    DIRECTION_QUESTIONS,
    EXISTS_QUESTIONS,
    LATER_OPENINGS,
    NUMBERS,
    PLURALS,
    REGION_QUESTIONS,
    SEGMENT_QUESTIONS,
    SHOW_SUFFIXES,
    VOCABULARY,
    WHAT_QUESTIONS,
    WHERE_QUESTIONS,
    split_words,
)
from sama_video.data.synthetic.world import SyntheticClip
from sama_video.dialogue.markup import PHRASE_END, PHRASE_START, SEG
from sama_video.errors import ConfigError

__all__ = [
    "KIND_WEIGHTS",
    "VOCABULARY",
    "Story",
    "SyntheticTurn",
    "corpus",
    "motion_words",
    "name_of",
    "sample_dialogue",
    "split_words",
    "story_of",
    "unique_references",
]

KIND_WEIGHTS: Final[dict[str, float]] = {
    "attribute": 2.0,
    "what": 1.5,
    "segment_text": 2.0,
    "segment_region": 1.0,
    "segment_motion": 1.0,
    "direction": 1.5,
    "caption": 1.0,
    "count": 0.7,
    "absent": 0.8,
    "exists": 0.8,
    "compare": 0.8,
}
"""Kinds of turns and how often each is drawn unless the caller says otherwise."""

_SHOWN_ANYWAY: Final = ("what", "direction", "caption", "compare")  # asking for masks changes nothing in their answers

Choice = TypeVar("Choice")


@dataclass(frozen=True)
class SyntheticTurn:
    """One question and its answer.

    Attributes:
        kind: One of `KIND_WEIGHTS`.
        question: Text with one region tag per entry of `region_objects`.
        region_objects: The object each region tag points at.
        answer: Text with phrases and `[SEG]` tokens as the model is to write it.
        seg_objects: The object each `[SEG]` stands for.
    """

    kind: str
    question: str
    region_objects: tuple[int, ...]
    answer: str
    seg_objects: tuple[int, ...]


@dataclass(frozen=True)
class Story:
    """What can be said of a scene.

    Attributes:
        objects: All appearances.
        motions: What each object does.
        shown: Objects that can be seen, in the order of telling: from left to right where the story starts; those that
            come later follow in the order in which they come.
    """

    objects: tuple[ObjectSpec, ...]
    motions: tuple[str, ...]
    shown: tuple[int, ...]


def story_of(subject: SyntheticClip | Scene) -> Story:
    """The story a clip shows, or that a scene tells when every object of it is in sight."""
    if isinstance(subject, Scene):
        starts = subject.centers(np.zeros(1))[:, 0, 0]
        shown = tuple(np.argsort(starts, kind="stable").tolist())
        return Story(tuple(o.spec for o in subject.objects), tuple(o.motion for o in subject.objects), shown)
    visible = subject.visible
    first = {i: int(visible[i].argmax()) for i in range(len(subject.objects)) if visible[i].any()}
    order = sorted(first, key=lambda i: (first[i], float(subject.centers[i, first[i], 0])))
    return Story(subject.objects, subject.motions, tuple(order))


def sample_dialogue(
    subject: SyntheticClip | Scene | Story,
    rng: np.random.Generator,
    num_turns: int,
    kinds: Mapping[str, float] = KIND_WEIGHTS,
) -> tuple[SyntheticTurn, ...]:
    """Turns about one clip, no two alike.

    Args:
        subject: What the turns are about. A scene, which has no pictures, counts as one with every object in sight.
        rng: Source of every choice.
        num_turns: How many turns; fewer come back only when the clip offers nothing more to ask.
        kinds: Weight of each kind; a kind the clip offers no question of is left out.
    """
    unknown = sorted(set(kinds) - set(KIND_WEIGHTS))
    if unknown:
        raise ConfigError(f"turn kind {unknown[0]!r} is unknown; choose from {', '.join(KIND_WEIGHTS)}.")
    story = subject if isinstance(subject, Story) else story_of(subject)
    names = [kind for kind, weight in kinds.items() if weight > 0]
    weights = np.asarray([kinds[kind] for kind in names], dtype=float)
    turns: list[SyntheticTurn] = []
    for _ in range(8 * num_turns if names else 0):
        if len(turns) == num_turns:
            break
        kind = names[int(rng.choice(len(names), p=weights / weights.sum()))]
        turn = _WRITERS[kind](story, rng)
        if turn is not None and turn.kind in _SHOWN_ANYWAY and rng.random() < 0.1:
            turn = replace(turn, question=f"{turn.question} {SHOW_SUFFIXES[1]}")
        if turn is not None and turns and rng.random() < 0.15:
            turn = replace(turn, question=_as_later_question(turn.question, rng))
        if turn is not None and turn not in turns:
            turns.append(turn)
    return tuple(turns)


def corpus(seed: int, n: int, *, level: Level = "mixed") -> Iterator[SyntheticTurn]:
    """`n` turns about ever new scenes, without painting any of them."""
    rng = np.random.default_rng([seed, 3])
    written = 0
    while written < n:
        scene = sample_scene(int(rng.integers(2**31)), level=level)
        for turn in sample_dialogue(scene, rng, min(6, n - written)):
            written += 1
            yield turn


def name_of(spec: ObjectSpec) -> str:
    """Colour and shape, the shortest words no two objects of a scene share.

    >>> name_of(ObjectSpec("red", "star", "plain", "small"))
    'red star'
    """
    return f"{spec.color} {spec.shape}"


def motion_words(motion: str) -> str:
    """The motion as a verb: "stays still", "moves left"."""
    return "stays still" if motion == "still" else f"moves {motion}"


def _phrase(words: str) -> str:
    return f"{PHRASE_START} {words} {PHRASE_END} {SEG}"


def _the(story: Story, object_idx: int, *, capital: bool = False) -> str:
    return _phrase(f"{'The' if capital else 'the'} {name_of(story.objects[object_idx])}")


def _indefinite(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def _pick(choices: Sequence[Choice], rng: np.random.Generator) -> Choice:
    return choices[int(rng.integers(len(choices)))]


def _join(parts: Sequence[str]) -> str:
    """Parts as an English list: "a, b and c"."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _as_later_question(question: str, rng: np.random.Generator) -> str:
    return _pick(LATER_OPENINGS, rng) + question[0].lower() + question[1:]


def _attribute(story: Story, rng: np.random.Generator) -> SyntheticTurn | None:
    if not story.shown:
        return None
    target, attribute = _pick(story.shown, rng), _pick(ATTRIBUTES, rng)
    word = str(getattr(story.objects[target], attribute))
    value = _indefinite(word) if attribute == "shape" else word
    question = _pick(ATTRIBUTE_QUESTIONS[attribute], rng)
    if rng.random() < 0.6:
        return SyntheticTurn("attribute", question, (target,), f"It is {value}.", ())
    answer = f"{_the(story, target, capital=True)} is {value}."
    return SyntheticTurn("attribute", f"{question} {_pick(SHOW_SUFFIXES, rng)}", (target,), answer, (target,))


def _what(story: Story, rng: np.random.Generator) -> SyntheticTurn | None:
    if not story.shown:
        return None
    target = _pick(story.shown, rng)
    spec = story.objects[target]
    words = f"a {spec.size} {spec.color} {spec.texture} {spec.shape}"
    return SyntheticTurn("what", _pick(WHAT_QUESTIONS, rng), (target,), f"It is {_phrase(words)}.", (target,))


def _segment(kind: str, story: Story, thing: str, target: int, rng: np.random.Generator) -> SyntheticTurn:
    if rng.random() < 0.3:
        question, opening = _pick(WHERE_QUESTIONS, rng), "Here is"
    else:
        question, opening = _pick(SEGMENT_QUESTIONS, rng), "Sure, it is"
    return SyntheticTurn(kind, question.format(thing=thing), (), f"{opening} {_the(story, target)}.", (target,))


def _segment_text(story: Story, rng: np.random.Generator) -> SyntheticTurn | None:
    if not story.shown:
        return None
    target = _pick(story.shown, rng)
    references = unique_references(story, target)
    thing = references[0] if rng.random() < 0.5 else _pick(references, rng)
    return _segment("segment_text", story, thing, target, rng)


def unique_references(story: Story, object_idx: int) -> tuple[str, ...]:
    """Ways to ask for one object that fit no other object of the scene, the name by colour and shape first."""
    spec = story.objects[object_idx]
    others = [other for i, other in enumerate(story.objects) if i != object_idx]
    candidates: tuple[tuple[str, ...], ...] = (
        ("color", "shape"),
        ("shape",),
        ("color",),
        ("size", "shape"),
        ("texture", "shape"),
        ("size", "color", "shape"),
    )
    kept = []
    for attributes in candidates:
        if any(all(getattr(spec, a) == getattr(other, a) for a in attributes) for other in others):
            continue
        words = " ".join(getattr(spec, a) for a in attributes)
        kept.append(f"the {words}" if "shape" in attributes else f"the {words} object")
    return tuple(kept)


def _segment_region(story: Story, rng: np.random.Generator) -> SyntheticTurn | None:
    if not story.shown:
        return None
    target = _pick(story.shown, rng)
    answer = f"Sure, it is {_the(story, target)}."
    return SyntheticTurn("segment_region", _pick(REGION_QUESTIONS, rng), (target,), answer, (target,))


def _segment_motion(story: Story, rng: np.random.Generator) -> SyntheticTurn | None:
    alone = [i for i in story.shown if story.motions.count(story.motions[i]) == 1]
    if not alone:
        return None
    target = _pick(alone, rng)
    thing = f"the object that {motion_words(story.motions[target])}"
    return _segment("segment_motion", story, thing, target, rng)


def _direction(story: Story, rng: np.random.Generator) -> SyntheticTurn | None:
    if not story.shown:
        return None
    target = _pick(story.shown, rng)
    answer = f"{_the(story, target, capital=True)} {motion_words(story.motions[target])}."
    return SyntheticTurn("direction", _pick(DIRECTION_QUESTIONS, rng), (target,), answer, (target,))


def _caption(story: Story, rng: np.random.Generator) -> SyntheticTurn | None:
    if not story.shown:
        return None
    parts = [
        f"{_the(story, target, capital=position == 0)} {motion_words(story.motions[target])}"
        for position, target in enumerate(story.shown)
    ]
    return SyntheticTurn("caption", _pick(CAPTION_QUESTIONS, rng), (), f"{_join(parts)}.", story.shown)


def _count(story: Story, rng: np.random.Generator) -> SyntheticTurn | None:
    number = NUMBERS[len(story.shown)]
    sentence = f"There is {number} object" if len(story.shown) == 1 else f"There are {number} objects"
    question = _pick(COUNT_QUESTIONS, rng)
    if not story.shown or rng.random() < 0.6:
        return SyntheticTurn("count", question, (), f"{sentence}.", ())
    answer = f"{sentence}: {_join([_the(story, i) for i in story.shown])}."
    return SyntheticTurn("count", f"{question} {SHOW_SUFFIXES[1]}", (), answer, story.shown)


def _missing(story: Story, rng: np.random.Generator) -> str:
    """Words that fit no object of the scene, seen or not; often the colour or the shape alone is present."""
    colors = {spec.color for spec in story.objects}
    shapes = {spec.shape for spec in story.objects}
    style = rng.random()
    free_shapes = [shape for shape in SHAPES if shape not in shapes]
    if style < 0.15 and free_shapes:
        return _pick(free_shapes, rng)
    if style < 0.25:
        return f"{_pick([color for color in COLORS if color not in colors], rng)} object"
    names = {name_of(spec) for spec in story.objects}
    pairs = [(c, s) for c in COLORS for s in SHAPES if f"{c} {s}" not in names]
    near = [(c, s) for c, s in pairs if c in colors or s in shapes]
    color, shape = _pick(near if style < 0.75 and near else pairs, rng)
    return f"{color} {shape}"


def _absent(story: Story, rng: np.random.Generator) -> SyntheticTurn | None:
    words = _missing(story, rng)
    question = _pick((*SEGMENT_QUESTIONS, *WHERE_QUESTIONS), rng).format(thing=f"the {words}")
    return SyntheticTurn("absent", question, (), f"There is no {words}.", ())


def _exists(story: Story, rng: np.random.Generator) -> SyntheticTurn | None:
    question = _pick(EXISTS_QUESTIONS, rng)
    if not story.shown or rng.random() < 0.5:
        words = _missing(story, rng)
        answer, found = f"No, there is no {words}.", ()
        return SyntheticTurn("exists", question.format(thing=_indefinite(words)), (), answer, found)
    target = _pick(story.shown, rng)
    references = unique_references(story, target)
    reference = references[0] if rng.random() < 0.7 else _pick(references, rng)
    asked = _indefinite(reference.removeprefix("the "))
    return SyntheticTurn("exists", question.format(thing=asked), (), f"Yes, here is {_the(story, target)}.", (target,))


def _compare(story: Story, rng: np.random.Generator) -> SyntheticTurn | None:
    """Two regions held against each other; where the scene has a like pair, it is asked about in half of the turns."""
    if len(story.shown) < 2:
        return None
    attribute = _pick(ATTRIBUTES, rng)
    values = {i: str(getattr(story.objects[i], attribute)) for i in story.shown}
    pairs = [(i, j) for i in story.shown for j in story.shown if i != j]
    alike = [(i, j) for i, j in pairs if values[i] == values[j]]
    first, second = _pick(alike if alike and rng.random() < 0.5 else pairs, rng)
    question = _pick(COMPARE_QUESTIONS, rng).format(attribute=attribute)
    one, other = _the(story, first), _the(story, second)
    if values[first] == values[second]:
        shared = PLURALS[values[first]] if attribute == "shape" else values[first]
        answer = f"Yes, {one} and {other} are both {shared}."
    else:
        said = [_indefinite(values[i]) if attribute == "shape" else values[i] for i in (first, second)]
        answer = f"No, {one} is {said[0]} and {other} is {said[1]}."
    return SyntheticTurn("compare", question, (first, second), answer, (first, second))


_WRITERS: Final[dict[str, Callable[[Story, np.random.Generator], SyntheticTurn | None]]] = {
    "attribute": _attribute,
    "what": _what,
    "segment_text": _segment_text,
    "segment_region": _segment_region,
    "segment_motion": _segment_motion,
    "direction": _direction,
    "caption": _caption,
    "count": _count,
    "absent": _absent,
    "exists": _exists,
    "compare": _compare,
}
