"""What a finished model is asked about one clip of the diagnostic world, through the same sessions everybody uses."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from jaxtyping import Bool

from sama_video.chat.answer import Answer
from sama_video.chat.loading import LoadedModel
from sama_video.chat.session import ChatSession
from sama_video.data.synthetic.answers import denies, judge
from sama_video.data.synthetic.diagnostic import DiagnosticWorld, region_at
from sama_video.data.synthetic.draw import Draw
from sama_video.data.synthetic.levels import FPS, HELD_OUT
from sama_video.data.synthetic.painting import Painted
from sama_video.data.synthetic.questions import Pointed, Question
from sama_video.data.synthetic.questions.attributes import ATTRIBUTE_QUESTIONS, attribute_question, can_ask
from sama_video.data.synthetic.questions.motions import direction_question
from sama_video.errors import RegionError
from sama_video.metrics.boundary import jf_series
from sama_video.metrics.overlap import mask_iou
from sama_video.regions.rle import Rle, area, decode, encode, overlap_areas
from sama_video.regions.shapes import Box, Mask, Points
from sama_video.video.clip import Clip

Track = Sequence[Rle | None]

_STREAM: Final = 30  # of the choices made here, apart from those of the world


@dataclass(frozen=True)
class Outcome:
    """One figure of one question.

    Attributes:
        name: What the figure is called in the table.
        is_new: Whether the question is about a colour and shape that training never showed together.
    """

    name: str
    score: float
    is_new: bool = False


class Examination:
    """All questions about one clip.

    Args:
        seed: Of the clip, from the split for tests.
    """

    def __init__(self, model: LoadedModel, world: DiagnosticWorld, seed: int) -> None:
        self.model = model
        self.seed = seed
        self.world = world
        self.painted: Painted = world.paint(seed)
        self.story = world.story(seed)
        self.draw = Draw(seed, world.level, _STREAM)
        self.exam = world.exam(seed)

    def outcomes(self) -> Iterator[Outcome]:
        """Every figure, question by question; sessions share what was encoded of the clip."""
        with self.model.chat(Clip.from_frames(self.painted.frames, fps=FPS)) as session:
            for question in self._questions("click", "box"):
                yield self._found_at_once(session.another(), question)
            for question in self._questions("track"):
                yield from self._tracked(session.another(), question)
            for question in self._questions("grounding"):
                yield from self._named(session.another(), question)
            yield from self._attributes(session.another())
            for question in self._questions("temporal"):
                yield self._in_words(session.another(), question, "temporal, IoU of spans")
            for question in self._questions("ambiguous"):
                yield self._in_words(session.another(), question, "ambiguous or clear")
            for question in self._questions("not-there"):
                yield self._there_or_not(session.another(), question)
            yield from self._conversation(session.another())
        yield from self._motions()

    def _questions(self, *families: str) -> Iterator[Question]:
        return (question for question in self.exam if question.family in families)

    def _found_at_once(self, session: ChatSession, question: Question) -> Outcome:
        (pointed,) = question.regions
        (region,) = self._regions(question)
        try:
            found = decode(session.masks.region_mask(region))
        except RegionError:
            found = np.zeros_like(self._mask(pointed))
        return Outcome(f"{question.family} to mask, IoU", mask_iou(found, self._mask(pointed)), _is_new(question))

    def _tracked(self, session: ChatSession, question: Question) -> Iterator[Outcome]:
        (pointed,), (region,) = question.regions, self._regions(question)
        try:
            (object_id,) = session.track([region])
            found: Track = session.masklet(object_id).rles
        except RegionError:
            found = (None,) * self.story.episode.num_frames
        j, f, _ = self._likeness(pointed.object_idx, found, without=pointed.frame)
        yield Outcome("outline tracked, J&F", (j + f) / 2, _is_new(question))
        yield Outcome("outline tracked, J", j, _is_new(question))

    def _named(self, session: ChatSession, question: Question) -> Iterator[Outcome]:
        answer = session.ask(question.text, ground=True)
        j, f, volume = self._likeness(question.targets[0][0], _first_track(answer))
        what = "name or attributes" if question.kind == "attribute" else "motion, relation, event, order"
        for name in ("words to mask", f"words to mask ({what})"):
            yield Outcome(f"{name}, J&F", (j + f) / 2, _is_new(question))
            yield Outcome(f"{name}, mIoU", volume, _is_new(question))

    def _attributes(self, session: ChatSession) -> Iterator[Outcome]:
        """All that can be asked of one object, in one conversation."""
        idx = self.draw.pick(self.story.shown)
        for attribute in ATTRIBUTE_QUESTIONS:
            if can_ask(self.story, idx, attribute):
                question = self._marked(attribute_question(self.story, idx, attribute, self.draw))
                outcome = self._in_words(session, question, f"attribute {attribute}")
                yield outcome
                yield replace(outcome, name="attribute")

    def _there_or_not(self, session: ChatSession, question: Question) -> Outcome:
        answer = session.ask(question.text)
        has_mask = any(rle is not None and area(rle) for rle in _first_track(answer))
        says_no = denies(answer.text) and not has_mask
        says_yes = not denies(answer.text) and (has_mask or bool(answer.text.strip()))
        return Outcome("not there or there", float(says_no if question.expect["want"] else says_yes), _is_new(question))

    def _conversation(self, session: ChatSession) -> Iterator[Outcome]:
        """The three turns that lean on one another, in one session."""
        for question in self._questions("dialogue"):
            name = f"conversation, turn {question.turn + 1}"
            if question.expect["rule"] == "mask":
                answer = session.ask(question.text, ground=True)
                j, _, _ = self._likeness(question.targets[0][0], _first_track(answer))
                yield Outcome(name, j, _is_new(question))
            else:
                yield self._in_words(session, question, name)

    def _motions(self) -> Iterator[Outcome]:
        """The way of one object, and the same with the frames in random order."""
        question = self._marked(direction_question(self.story, self.draw.pick(self.story.shown), self.draw))
        order = self.draw.shuffled(range(self.story.episode.num_frames))
        (pointed,) = question.regions
        shuffled = replace(question, regions=(replace(pointed, frame=order.index(pointed.frame)),))
        for name, frames, asked in (
            ("motion", self.painted.frames, question),
            ("motion, frames shuffled", self.painted.frames[order], shuffled),
        ):
            regions = [self._region(asked.regions[0], self._mask(pointed))]
            with self.model.chat(Clip.from_frames(frames, fps=FPS)) as session:
                yield _judged(session.ask(asked.text, regions, ground=False), question, name)

    def _in_words(self, session: ChatSession, question: Question, name: str) -> Outcome:
        ground = "auto" if question.ground is True else question.ground
        try:
            answer = session.ask(question.text, self._regions(question), ground=ground)
        except RegionError:
            return Outcome(name, 0.0, _is_new(question))
        return _judged(answer, question, name)

    def _regions(self, question: Question) -> list[Points | Box | Mask]:
        return [self._region(pointed, self._mask(pointed)) for pointed in question.regions]

    def _region(self, pointed: Pointed, mask: Bool[np.ndarray, "height width"]) -> Points | Box | Mask:
        region = region_at(pointed, mask, self.seed)
        assert isinstance(region, Points | Box | Mask)
        return region

    def _mask(self, pointed: Pointed) -> Bool[np.ndarray, "height width"]:
        mask: np.ndarray = self.painted.masks[pointed.object_idx, pointed.frame]
        return mask

    def _likeness(self, object_idx: int, found: Track, without: int | None = None) -> tuple[float, float, float]:
        """J, F and the IoU of volumes, over all frames but one."""
        masks = self.painted.masks[object_idx]
        true = [encode(mask) if mask.any() else None for mask in masks]
        height, width = masks.shape[1:]
        found = found or (None,) * len(true)
        scores = jf_series(true, found, (height, width))
        kept = [i for i in range(len(true)) if i != without]
        shared, united = np.sum([overlap_areas(a, b) for a, b in zip(true, found, strict=True)], axis=0).tolist()
        return float(scores.j[kept].mean()), float(scores.f[kept].mean()), shared / united if united else 0.0

    def _marked(self, question: Question) -> Question:
        """A question of our own, marked as the exam's are."""
        looks = [self.story.look(idx) for idx in question.mentions]
        is_new = any((look.color, look.shape) in HELD_OUT[self.story.episode.split] for look in looks)
        return replace(question, expect={**question.expect, "new_pair": is_new})


def _is_new(question: Question) -> bool:
    return bool(question.expect["new_pair"])


def _judged(answer: Answer, question: Question, name: str) -> Outcome:
    score = judge(answer.text, question.expect)
    return Outcome(name, 0.0 if score is None else score, _is_new(question))


def _first_track(answer: Answer) -> Track:
    """The masks of the first phrase that has any; none at all otherwise."""
    shown = [phrase.object_id for phrase in answer.phrases if phrase.object_id is not None]
    return answer.masklets[shown[0]].rles if shown else ()
