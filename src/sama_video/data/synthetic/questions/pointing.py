"""Questions that are answered by masks: segment what is pointed at, and what words single out."""

from collections.abc import Sequence
from typing import Final

from sama_video.data.synthetic.draw import Draw
from sama_video.data.synthetic.questions.base import Pointed, Question, R, point_at, reference_of, spoken, the
from sama_video.data.synthetic.references import REFERENCE_KINDS
from sama_video.data.synthetic.story import Story

SEGMENT: Final = ("Segment {thing}.", "Please segment {thing}.", "Find {thing}.", "Show me {thing}.")
MASK_RULE: Final = {"rule": "mask"}


def by_click(story: Story, draw: Draw) -> Sequence[Question]:
    """One object by a click, on any frame on which it shows."""
    return _region_question("click", point_at(story, draw.pick(story.shown), draw, "point"), story)


def by_box(story: Story, draw: Draw) -> Sequence[Question]:
    """One object by a box."""
    return _region_question("box", point_at(story, draw.pick(story.shown), draw, "box"), story)


def track(story: Story, draw: Draw) -> Sequence[Question]:
    """One object by its outline on the first frame on which it shows; those that something happens to come first."""
    eventful = [i for i in story.shown if story.events_of(i) or story.occluded[i].any()]
    idx = draw.pick(eventful or story.shown)
    return _region_question("track", Pointed(idx, int(story.clear[idx].argmax()), "mask"), story)


def _region_question(family: str, pointed: Pointed, story: Story) -> Sequence[Question]:
    answer = f"Sure, it is {the(story, pointed.object_idx)}."
    return (
        Question(
            family,
            pointed.form,
            f"Segment {R}.",
            answer,
            MASK_RULE,
            (pointed,),
            ((pointed.object_idx,),),
            ground=True,
            mentions=(pointed.object_idx,),
        ),
    )


def by_words(story: Story, draw: Draw) -> Sequence[Question]:
    """Two expressions, each unique by another means; rare means before common ones."""
    found: dict[str, tuple[int, str]] = {}
    for kind in REFERENCE_KINDS:
        for idx in draw.shuffled(story.shown):
            reference = reference_of(story, idx, draw, kind)
            if reference is not None:
                found[kind] = (idx, spoken(story, reference))
                break
    chosen = draw.shuffled([kind for kind in found if kind != "attribute"])[:1]
    if draw.chance(0.5) or not chosen:
        chosen.append("attribute")
    elif len(found) > 2:
        chosen.append(draw.pick([kind for kind in found if kind not in ("attribute", *chosen)]))
    return tuple(by_expression(story, kind, *found[kind], draw) for kind in chosen if kind in found)


def by_expression(story: Story, kind: str, idx: int, words: str, draw: Draw, family: str = "grounding") -> Question:
    """The question that asks for one object by some words."""
    return Question(
        family,
        kind,
        draw.pick(SEGMENT).format(thing=words),
        f"Sure, it is {the(story, idx)}.",
        MASK_RULE,
        targets=((idx,),),
        ground=True,
        mentions=(idx,),
    )
