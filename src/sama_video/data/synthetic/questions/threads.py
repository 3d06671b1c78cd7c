"""Follow-ups: three turns of which the later ones lean on what was said before."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from sama_video.data.synthetic.draw import Draw
from sama_video.data.synthetic.questions.attributes import (
    ATTRIBUTE_QUESTIONS,
    attribute_question,
    can_ask,
)
from sama_video.data.synthetic.questions.base import (
    Question,
    R,
    point_at,
    reference_of,
    spoken,
    the,
)
from sama_video.data.synthetic.questions.motions import (
    direction_question,
    partner_question,
    spans_of,
    temporal_question,
)
from sama_video.data.synthetic.questions.pointing import MASK_RULE, by_expression
from sama_video.data.synthetic.references import references
from sama_video.data.synthetic.story import Story

THREAD: Final = "talk"
_PRONOUN: Final = "it"


def thread(story: Story, draw: Draw) -> Sequence[Question]:
    """Three turns: find an object, ask something about it, then find another one by what was said before."""
    if len(story.shown) < 2:
        return ()
    idx = draw.pick(story.shown)
    reference = reference_of(story, idx, draw)
    assert reference is not None
    first = by_expression(story, "find", idx, spoken(story, reference), draw, "dialogue")
    second = _about_it(story, idx, draw)
    third = _from_it(story, idx, draw)
    turns = (first, second, third)
    return tuple(replace(question, family="dialogue", thread=THREAD, turn=i) for i, question in enumerate(turns))


def _about_it(story: Story, idx: int, draw: Draw) -> Question:
    """An attribute, the motion or a moment of the object that was just found."""
    known = [attribute for attribute in ("texture", "size", "color", "shape") if can_ask(story, idx, attribute)]
    spans = list(spans_of(story, idx))
    kinds = ["attribute"] * bool(known) + ["motion"] + ["temporal"] * bool(spans)
    kind = draw.pick(kinds)
    if kind == "attribute":
        attribute = draw.pick(known)
        asked = replace(attribute_question(story, idx, attribute, draw), kind="it: attribute")
        return _with_pronoun(asked, ATTRIBUTE_QUESTIONS[attribute].format(_PRONOUN))
    if kind == "temporal":
        verb, span = draw.pick(spans)
        asked = temporal_question(story, idx, verb, span, draw)
        return _with_pronoun(replace(asked, kind="it: time"), asked.text.replace(R, _PRONOUN))
    asked = direction_question(story, idx, draw)
    return _with_pronoun(replace(asked, kind="it: motion"), asked.text.replace(R, _PRONOUN))


def _with_pronoun(question: Question, text: str) -> Question:
    """A question about "it"; on its own it points instead."""
    return replace(question, text=text, regions=(), alone=(question.text, question.regions))


def _from_it(story: Story, idx: int, draw: Draw) -> Question:
    """Another object found through the first one: beside it, its partner, or the other of its kind."""
    options: list[tuple[str, int, str]] = []
    for other in story.shown:
        for reference in references(story, other):
            if reference.other == idx:
                options.append(("from it", other, reference.words.format("{it}")))
    for words, other in _others(story, idx):
        options.append(("the other", other, words))
    pairs = [
        event for event in story.events if event.actor == idx and event.other is not None and event.kind != "turns"
    ]
    if pairs and draw.chance(0.3):
        asked = partner_question(story, draw.pick(pairs), R, draw)
        return _with_pronoun(replace(asked, kind="it: partner"), asked.text.replace(R, _PRONOUN))
    if not options:
        return _again(story, idx, draw)
    kind, other, words = draw.pick(options)
    asked = by_expression(story, kind, other, words.format(it=_PRONOUN), draw, "dialogue")
    pointed = point_at(story, idx, draw)
    plain = words.format(it=R) if kind == "from it" else f"the {words.removeprefix('the other ')} other than {R}"
    alone = (asked.text.replace(words.format(it=_PRONOUN), plain), (pointed,))
    return replace(asked, alone=alone, mentions=(idx, other))


def _others(story: Story, idx: int) -> list[tuple[str, int]]:
    """Objects of which there is one more of the same shape or colour."""
    found = []
    look = story.look(idx)
    if look.is_sprite:
        return []
    for attribute, words in (("shape", look.shape), ("color", f"{look.color} object")):
        if attribute == "color" and (story.actors[idx].repaint or any(a.repaint for a in story.actors)):
            continue
        same = [i for i in story.shown if i != idx and getattr(story.look(i), attribute) == getattr(look, attribute)]
        if len(same) == 1 and len(story.shown) == len(story.actors):
            found.append((f"the other {words}", same[0]))
    return found


def _again(story: Story, idx: int, draw: Draw) -> Question:
    """The object of the first turn once more, by mention alone."""
    text = "Show me the object from my first question again."
    return Question(
        "dialogue",
        "first mention",
        text,
        f"Sure, it is {the(story, idx)}.",
        MASK_RULE,
        targets=((idx,),),
        ground=True,
        alone=(f"Segment {R}.", (point_at(story, idx, draw),)),
        mentions=(idx,),
    )
