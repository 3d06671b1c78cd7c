"""Whether our own model, asked for what a phrase says, finds the object that is tagged with it.

Rules read texts; this looks at the clip. It catches words that fit another object than the one that is tagged, where
nothing is known of either. A model that finds nothing, or something that is no object of the subject, proves nothing:
only a phrase by which it finds another object is held against its turn.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeAlias, runtime_checkable

from sama_video.annotate.case import Subject
from sama_video.annotate.drafts import Draft, Problem
from sama_video.annotate.tags import read_answer
from sama_video.chat.answer import Answer
from sama_video.regions.rle import Rle, track_overlaps, union

QUESTION: Final = "Segment {phrase}."
"""What our model is asked, unless the caller says otherwise."""

MARGIN: Final = 0.1
"""By how much another object's overlap has to be larger than that of the tagged one."""

Finding: TypeAlias = Literal["agrees", "other", "unclear"]
Track: TypeAlias = Sequence[Rle | None]


@runtime_checkable
class Talker(Protocol):
    """Whoever can be asked about one clip; a `ChatSession` is one."""

    def ask(self, question: str, *, ground: bool | str = "auto") -> Answer:
        """The answer, with masklets for its phrases."""
        ...


SessionFactory: TypeAlias = Callable[[], Talker]
"""Gives a fresh conversation about the subject's clip, which knows nothing of earlier questions."""


@dataclass(frozen=True)
class PhraseAgreement:
    """What our model makes of one phrase.

    Attributes:
        place: Of the turn, as problems name it.
        words: The phrase.
        object_ids: What it is tagged with.
        iou: Overlap of what our model finds with the tagged objects together, over the whole clip.
        best_id: The one other object that overlaps most with what it finds, None if there is none.
        best_iou: Its overlap.
        finding: `other` where another object is found, `agrees` where the tagged one is.
    """

    place: str
    words: str
    object_ids: tuple[str, ...]
    iou: float
    best_id: str | None
    best_iou: float
    finding: Finding


def phrase_agreement(
    session_factory: SessionFactory,
    subject: Subject,
    draft: Draft,
    *,
    least_iou: float | int = 0.5,
    question: str = QUESTION,
) -> tuple[PhraseAgreement, ...]:
    """Ask our model for every phrase of a draft; equal words are asked for once.

    Args:
        least_iou: Overlap from which on an object counts as found.
        question: With `{phrase}`, in words that the model was trained on.
    """
    tracks = {one.object_id: one.rles for one in subject.masklets}
    found: dict[str, Track | None] = {}
    results = []
    for place, words, object_ids in _phrases(draft):
        name = _plain_name(words)
        if name not in found:
            found[name] = _track_of(session_factory().ask(question.format(phrase=name), ground=True))
        results.append(_judged(place, words, object_ids, found[name], tracks, least_iou))
    return tuple(results)


def disagreements(results: Sequence[PhraseAgreement]) -> tuple[Problem, ...]:
    """A problem for each phrase by which our model finds another object."""
    return tuple(
        Problem(
            one.place,
            "masks_disagree",
            f"by {one.words!r} our model finds {one.best_id} (IoU {one.best_iou:.2f}), not "
            f"{', '.join(one.object_ids)} (IoU {one.iou:.2f})",
        )
        for one in results
        if one.finding == "other"
    )


def _phrases(draft: Draft) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    for place, turn in enumerate(draft.turns, start=1):
        for phrase in read_answer(turn.answer).phrases:
            yield f"turn {place}", phrase.words, phrase.object_ids


def _plain_name(words: str) -> str:
    """A phrase as it stands in the middle of a sentence."""
    begins_as_word = words[1:2].islower() or words[1:2] == " "
    return words[0].lower() + words[1:] if begins_as_word else words


def _track_of(answer: Answer) -> Track | None:
    """The first object that an answer grounds, through the clip."""
    object_id = next((phrase.object_id for phrase in answer.phrases if phrase.object_id is not None), None)
    return None if object_id is None else answer.masklets[object_id].rles


def _judged(
    place: str,
    words: str,
    object_ids: tuple[str, ...],
    track: Track | None,
    tracks: Mapping[str, Track],
    least_iou: float | int,
) -> PhraseAgreement:
    if track is None:
        return PhraseAgreement(place, words, object_ids, 0.0, None, 0.0, "unclear")
    iou = track_iou(track, joined_track([tracks[name] for name in object_ids]))
    others = {name: track_iou(track, own) for name, own in tracks.items() if name not in object_ids}
    best_id = max(others, key=lambda name: others[name], default=None)
    best_iou = 0.0 if best_id is None else others[best_id]
    finding: Finding = "unclear"
    if best_iou >= least_iou and best_iou >= iou + MARGIN:
        finding = "other"
    elif iou >= least_iou:
        finding = "agrees"
    return PhraseAgreement(place, words, object_ids, iou, best_id, best_iou, finding)


def track_iou(one: Track, other: Track) -> float:
    """Overlap of two tracks as volumes; 0 where both are empty."""
    shared, united = track_overlaps(one, other)
    return float(shared.sum() / united.sum()) if united.sum() else 0.0


def joined_track(tracks: Sequence[Track]) -> Track:
    """Several objects as one."""
    if len(tracks) == 1:
        return tracks[0]
    shown = [[rle for rle in frame if rle is not None] for frame in zip(*tracks, strict=True)]
    return [union(rles) if rles else None for rles in shown]
