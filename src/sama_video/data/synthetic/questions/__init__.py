"""Questions and answers about episodes: an exam for the benchmark, a dialogue for training."""

from dataclasses import replace
from typing import Final

from sama_video.data.synthetic.draw import Draw
from sama_video.data.synthetic.levels import HELD_OUT
from sama_video.data.synthetic.questions.absence import ambiguous, not_there
from sama_video.data.synthetic.questions.attributes import attributes, comparison, counting
from sama_video.data.synthetic.questions.base import Pointed, Question, Writer
from sama_video.data.synthetic.questions.captions import caption, plain_description
from sama_video.data.synthetic.questions.motions import events, motion, temporal
from sama_video.data.synthetic.questions.pointing import by_box, by_click, by_words, track
from sama_video.data.synthetic.questions.talk import Talk, talk
from sama_video.data.synthetic.questions.threads import thread
from sama_video.data.synthetic.story import Story

FAMILIES: Final[dict[str, Writer]] = {
    "click": by_click,
    "box": by_box,
    "track": track,
    "attribute": attributes,
    "motion": motion,
    "grounding": by_words,
    "dialogue": thread,
    "temporal": temporal,
    "not-there": not_there,
    "ambiguous": ambiguous,
    "counting": counting,
    "comparison": comparison,
    "events": events,
    "caption": caption,
}
"""Parts of the benchmark and who writes their questions."""


def exam_of(story: Story) -> tuple[Question, ...]:
    """The benchmark's questions about one clip, family by family; a family that it offers nothing for is left out.

    What a question expects also tells whether it is about an object whose colour and shape training never has together.
    """
    episode = story.episode
    return tuple(
        replace(question, expect={**question.expect, "new_pair": _has_new_pair(story, question)})
        for number, writer in enumerate(FAMILIES.values())
        for question in writer(story, Draw(episode.seed, episode.level.number, 6, number))
    )


def _has_new_pair(story: Story, question: Question) -> bool:
    looks = [story.look(idx) for idx in question.mentions]
    return any((look.color, look.shape) in HELD_OUT[story.episode.split] for look in looks)


def talk_of(story: Story) -> Talk:
    """The dialogue about one clip."""
    return talk(story, Draw(story.episode.seed, story.episode.level.number, 7))


__all__ = [
    "FAMILIES",
    "Pointed",
    "Question",
    "Talk",
    "exam_of",
    "plain_description",
    "talk_of",
]
