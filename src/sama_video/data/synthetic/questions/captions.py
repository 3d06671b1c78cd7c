"""Descriptions: of the whole clip, and of one object."""

from collections.abc import Sequence
from typing import Any, Final

from sama_video.data.synthetic.draw import Draw
from sama_video.data.synthetic.questions.base import Question, listed, phrase
from sama_video.data.synthetic.questions.motions import event_clause, motion_words
from sama_video.data.synthetic.story import Story
from sama_video.dialogue.markup import parse_answer

CAPTIONS: Final = ("Describe the video.", "What happens in the video?", "Describe all objects and what they do.")
_SAID_BY_MOTION: Final = ("comes back",)


def caption(story: Story, draw: Draw) -> Sequence[Question]:
    """All objects, as they come into view, with what each of them does over the ground; then a moving camera."""
    sentences, targets = [], []
    for idx in story.shown:
        text, others = describe(story, idx)
        sentences.append(text)
        targets += [(idx,), *((other,) for other in others)]
    if story.episode.camera.moves:
        sentences.append(f"The camera {story.episode.camera.motion}.")
    facts: list[dict[str, Any]] = [
        {"color": story.look(i).color, "shape": story.look(i).shape, "motion": motion_words(story, i)}
        for i in story.shown
    ]
    return (
        Question(
            "caption",
            "caption",
            draw.pick(CAPTIONS),
            " ".join(sentences),
            {"rule": "caption", "want": facts},
            targets=tuple(targets),
            ground="auto",
            mentions=story.shown,
        ),
    )


def describe(story: Story, idx: int) -> tuple[str, tuple[int, ...]]:
    """A sentence about one object with its phrases, and the other objects it shows."""
    events = [event for event in story.events_of(idx) if event.kind != "is hidden" or event.other is not None]
    clauses = [clause for event in events if (clause := event_clause(story, event)) is not None]
    others = tuple(event.other for event in events if event.other is not None)
    says_motion = not any(event.kind in _SAID_BY_MOTION for event in events)
    parts = ([motion_words(story, idx)] if says_motion else []) + clauses
    return f"{phrase(f'The {story.look(idx).words}')} {_joined(parts)}.", others


def _joined(parts: Sequence[str]) -> str:
    """Clauses in a row; a comma tells them apart where one of them has an "and" of its own."""
    if any(" and " in part for part in parts):
        return ", and ".join(parts)
    return listed(parts)


def plain_description(story: Story, idx: int) -> str:
    """The same sentence without marks, for a description of one object."""
    return parse_answer(describe(story, idx)[0]).text
