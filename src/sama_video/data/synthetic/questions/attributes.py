"""Questions about what objects look like and how many there are, answered in words."""

from collections.abc import Sequence
from typing import Final

from sama_video.data.synthetic.answers import NUMBERS
from sama_video.data.synthetic.appearance import SOLID_SHAPES
from sama_video.data.synthetic.draw import Draw
from sama_video.data.synthetic.levels import COLORS, SHAPES
from sama_video.data.synthetic.questions.base import (
    Question,
    R,
    indefinite,
    listed,
    point_at,
    the,
    wants_word,
    wants_yes,
)
from sama_video.data.synthetic.references import fits
from sama_video.data.synthetic.story import Story

ATTRIBUTE_QUESTIONS: Final[dict[str, str]] = {
    "color": "What color is {}?",
    "shape": "What shape is {}?",
    "texture": "Is {} plain, striped, dotted or checkered?",
    "size": "Is {} small or large?",
}
_SAME_SIZE: Final = 1.3  # largest ratio at which two objects count as equally large


def attributes(story: Story, draw: Draw) -> Sequence[Question]:
    """Two attributes of objects that are pointed at."""
    chosen = [
        (idx, attribute)
        for attribute in draw.shuffled(tuple(ATTRIBUTE_QUESTIONS))
        for idx in [draw.pick(story.shown)]
        if can_ask(story, idx, attribute)
    ]
    return tuple(attribute_question(story, idx, attribute, draw) for idx, attribute in chosen[:2])


def can_ask(story: Story, idx: int, attribute: str) -> bool:
    """Whether an attribute has one answer, that can be seen."""
    actor = story.actors[idx]
    if attribute == "size":
        return not story.episode.camera.moves or not story.episode.camera.motion.startswith("zooms")
    if actor.look.is_sprite or (attribute == "color" and actor.repaint is not None):
        return False
    return attribute != "texture" or actor.look.size == "large" or actor.look.shape in SOLID_SHAPES


def attribute_question(story: Story, idx: int, attribute: str, draw: Draw) -> Question:
    """One attribute of one object."""
    pointed = point_at(story, idx, draw)
    word = str(getattr(story.look(idx), attribute))
    return Question(
        "attribute",
        attribute,
        ATTRIBUTE_QUESTIONS[attribute].format(R),
        f"It is {indefinite(word) if attribute == 'shape' else word}.",
        wants_word(attribute, word),
        (pointed,),
        mentions=(idx,),
    )


def comparison(story: Story, draw: Draw) -> Sequence[Question]:
    """Whether two objects have something in common, as often as not; asked of clips that have both kinds of pairs."""
    kinds = {kind: _pairs(story, kind) for kind in ("color", "shape", "size")}
    both = [kind for kind, (alike, unlike) in kinds.items() if alike and unlike]
    if not both:
        return ()
    kind, truth = draw.pick(both), draw.chance(0.5)
    first, second = draw.pick(kinds[kind][0 if truth else 1])
    if truth:
        answer = f"Yes, {the(story, first)} and {the(story, second)} have the same {kind}."
    else:
        answer = f"No, {the(story, first)} and {the(story, second)} have different {kind}s."
    pointed = (point_at(story, first, draw), point_at(story, second, draw))
    return (
        Question(
            "comparison",
            kind,
            f"Do {R} and {R} have the same {kind}?",
            answer,
            wants_yes(truth),
            pointed,
            ((first,), (second,)),
            mentions=(first, second),
        ),
    )


def _pairs(story: Story, kind: str) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Pairs of objects that have an attribute in common, and pairs that have not; neither with any doubt."""
    known = [i for i in story.shown if can_ask(story, i, kind)]
    pairs = [(i, j) for i in known for j in known if i != j and not _is_unclear(story, i, j, kind)]
    alike = [pair for pair in pairs if _alike(story, *pair, kind)]
    return alike, [pair for pair in pairs if pair not in alike]


def _alike(story: Story, first: int, second: int, kind: str) -> bool:
    return bool(getattr(story.look(first), kind) == getattr(story.look(second), kind))


def _is_unclear(story: Story, first: int, second: int, kind: str) -> bool:
    """Whether two objects differ in size within one and the same word for it."""
    small, large = sorted((story.actors[first].side, story.actors[second].side))
    return kind == "size" and _alike(story, first, second, kind) and large > _SAME_SIZE * small


def counting(story: Story, draw: Draw) -> Sequence[Question]:
    """How many objects there are, of a colour, of a shape, or that move; none of them is a right answer too."""
    kind = draw.pick(("all", "color", "shape", "moving"))
    drawn = [actor for actor in story.actors if not actor.look.is_sprite]
    if kind == "all":
        noun, counted = "object", story.shown
        question = "How many different objects are there in the video, from its first frame to its last?"
    elif kind == "moving":
        noun, counted = "object", tuple(i for i in story.shown if story.actors[i].path.phases)
        question = "How many objects move at some time?"
        if story.episode.camera.moves:
            question = "How many objects move over the ground at some time?"
    else:
        words = COLORS if kind == "color" else SHAPES
        present = sorted(
            {str(getattr(actor.look, kind)) for actor in drawn if actor.repaint is None or kind == "shape"}
        )
        changing = {color for actor in drawn if actor.repaint is not None for color in actor.colors}
        free = [word for word in words if word not in present and word not in changing]
        certain = [word for word in present if kind == "shape" or word not in changing]
        word = draw.pick(certain if certain and draw.chance(0.8) else free)
        noun = f"{word} object" if kind == "color" else word
        counted = tuple(i for i in story.shown if fits(story.actors[i], {kind: word}))
        question = f"How many {plural(noun)} are there in the video?"
    return (_count_question(story, kind, question, noun, counted),)


def _count_question(story: Story, kind: str, question: str, noun: str, counted: Sequence[int]) -> Question:
    verb = "moves" if kind == "moving" else ""
    number = NUMBERS[len(counted)] if counted else "no"
    if verb:
        start = f"{number} {noun if len(counted) == 1 else plural(noun)} {verb if len(counted) == 1 else 'move'}"
        start = start[0].upper() + start[1:]
    else:
        start = f"There {'is' if len(counted) == 1 else 'are'} {number} {noun if len(counted) == 1 else plural(noun)}"
    answer = f"{start}: {listed([the(story, i) for i in counted])}." if counted else f"{start}."
    expect = {"rule": "number", "want": len(counted)}
    targets = tuple((i,) for i in counted)
    return Question("counting", kind, question, answer, expect, targets=targets, mentions=tuple(counted))


def plural(noun: str) -> str:
    """More than one of something.

    >>> plural("cross"), plural("red object")
    ('crosses', 'red objects')
    """
    return f"{noun}es" if noun.endswith(("s", "x", "sh", "ch")) else f"{noun}s"
