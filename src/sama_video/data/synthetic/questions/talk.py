"""Dialogues for training: questions of all kinds about one clip, with pronouns and names of objects met before."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from sama_video.data.synthetic.draw import Draw
from sama_video.data.synthetic.questions.absence import ambiguous, not_there
from sama_video.data.synthetic.questions.attributes import attributes, comparison, counting
from sama_video.data.synthetic.questions.base import Question, R, Writer
from sama_video.data.synthetic.questions.captions import caption
from sama_video.data.synthetic.questions.motions import events, motion, temporal
from sama_video.data.synthetic.questions.pointing import by_box, by_click, by_words
from sama_video.data.synthetic.questions.threads import thread
from sama_video.data.synthetic.story import Story

TURNS: Final = (5, 8)
_NAME_SHARE: Final = 0.5  # of the questions that point at an object met before: by its name instead

WEIGHTS: Final[dict[Writer, float]] = {
    by_click: 0.5,
    by_box: 0.5,
    attributes: 2.0,
    motion: 1.5,
    by_words: 2.0,
    thread: 1.5,
    temporal: 1.0,
    not_there: 1.0,
    ambiguous: 0.7,
    counting: 0.8,
    comparison: 0.8,
    events: 1.5,
    caption: 0.8,
}


@dataclass(frozen=True)
class Talk:
    """A dialogue about one clip.

    Attributes:
        turns: In order; their `<objN>` tags count objects as they are met.
        order: The objects as they are met: a question's regions, then its answer's phrases; the rest behind them.
    """

    turns: tuple[Question, ...]
    order: tuple[int, ...]


def talk(story: Story, draw: Draw, weights: Mapping[Writer, float] = WEIGHTS, turns: tuple[int, int] = TURNS) -> Talk:
    """A dialogue that keeps follow-ups together and asks nothing twice.

    Args:
        weights: How often each kind of question is drawn.
        turns: Fewest and most, but for follow-ups that come whole, and clips that offer less.
    """
    wanted = draw.whole(turns)
    asked: list[Question] = []
    for _ in range(6 * wanted):
        if len(asked) >= wanted:
            break
        known = {question.text + str(question.regions) for question in asked}
        written = draw.weighted(weights)(story, draw)
        fresh = [question for question in written if question.text + str(question.regions) not in known]
        if not written or not written[0].thread:
            asked += [draw.pick(fresh)] if fresh else []
        elif len(fresh) == len(written):
            asked += fresh
    return _named(story, asked, draw)


def _named(story: Story, asked: list[Question], draw: Draw) -> Talk:
    """The questions with names in place of some regions."""
    order: list[int] = []
    turns = []
    for question in asked:
        known = [pointed.object_idx for pointed in question.regions if pointed.object_idx in order]
        if len(question.regions) == 1 and known and draw.chance(_NAME_SHARE):
            name = f"<obj{order.index(known[0]) + 1}>"
            question = replace(question, text=question.text.replace(R, name), regions=())
        met = [pointed.object_idx for pointed in question.regions] + [i for group in question.targets for i in group]
        order += [i for i in dict.fromkeys(met) if i not in order]
        turns.append(question)
    order += [i for i in range(len(story.actors)) if i not in order]
    return Talk(tuple(turns), tuple(order))
