"""Models of ours, asked through the session API as anybody would ask them.

All questions about a video share its frames' features; a question on its own gets a session of its own. Which frames
the model looks at is its protocol's affair, not the benchmark's, and is recorded with each answer.

Where a question points at something and the answer speaks of it, the masks are those of the object pointed at, followed
from there: that is what a session does. A box or point in which the segmenter finds nothing is shown as it is, a filled
box, instead of failing the question. The masks of reference answers never enter a session.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from sama_video.bench.models import Outcome, failed
from sama_video.bench.parsing import phrases
from sama_video.bench.task import Prediction, Sample, TaskOptions, Track
from sama_video.errors import ConfigError, DataError, RegionError, SamaError
from sama_video.regions.shapes import Box, Mask, ObjectRef, Points, Region

if TYPE_CHECKING:
    from sama_video.chat.answer import Answer
    from sama_video.chat.loading import LoadedModel
    from sama_video.chat.session import ChatSession

History = tuple[tuple[str, str], ...]


def open_model(
    spec: str,
    *,
    max_frames: int | None = None,
    cache_bytes: int | None = None,
    batch: int = 1,
    device: str = "auto",
    **options: Any,
) -> "SessionModel":
    """A model of ours by name, folder or hub id.

    Args:
        batch: Questions about one video that are decoded together, where they do not depend on each other.
        options: As for `sama_video.load`.
    """
    from sama_video.chat.loading import load

    given = {"max_frames": max_frames, "cache_bytes": cache_bytes}
    chat_options = {name: value for name, value in given.items() if value is not None}
    model = load(spec, device=None if device == "auto" else device, **options)
    settings = [f"{name}={options[name]}" for name in ("quantize",) if options.get(name)]
    settings += [f"max_frames={max_frames}"] if max_frames is not None else []
    settings += [f"batch={batch}"] if batch > 1 else []
    return SessionModel(model, chat_options, batch, settings)


class SessionModel:
    """A loaded model under test."""

    def __init__(
        self,
        model: "LoadedModel",
        chat_options: Mapping[str, Any] | None = None,
        batch: int = 1,
        settings: Sequence[str] = (),
    ) -> None:
        self.model = model
        self.chat_options = dict(chat_options or {})
        self.batch = batch
        self.settings = tuple(settings)

    @property
    def name(self) -> str:
        """What it was loaded as."""
        return self.model.name

    @property
    def revision(self) -> str:
        """Hash of the weights, and every setting that changes an answer."""
        dtype = str(self.model.model.dtype).removeprefix("torch.")
        return " ".join([self.model.revision, self.model.protocol, dtype, *self.settings])

    def answer(
        self, samples: Sequence[Sample], options: TaskOptions, known: Mapping[str, Prediction]
    ) -> Iterator[Outcome]:
        """Answer every sample that is not known, each with the history that the options tell."""
        with self.model.chat(samples[0].open_clip(), **self.chat_options) as first:
            asker = _Asker(first, samples, known)
            if options.history == "self":
                yield from asker.in_dialogues()
            else:
                yield from asker.one_by_one(teacher=options.history == "teacher", batch=self.batch)


@dataclass(frozen=True)
class _Asker:
    """Asks one video's questions.

    Attributes:
        first: A session about the clip that nobody has talked with, whose features all others share.
    """

    first: "ChatSession"
    samples: Sequence[Sample]
    known: Mapping[str, Prediction]

    def one_by_one(self, *, teacher: bool, batch: int) -> Iterator[Outcome]:
        """Each question in a session of its own, after the reference answers of its dialogue if `teacher`.

        Batches are cut by the questions' places, known ones included, so that a run that goes on has the same ones.
        """
        rest = iter(self.samples)
        while chunk := list(islice(rest, batch)):
            if any(sample.sample_id not in self.known for sample in chunk):
                outcomes = self._together(chunk, teacher) if len(chunk) > 1 else [self._alone(chunk[0], teacher)]
                yield from (outcome for outcome in outcomes if outcome.sample_id not in self.known)

    def in_dialogues(self) -> Iterator[Outcome]:
        """The questions of a dialogue in one session, which hears its own answers.

        Answers known from before are asked for again where a later turn needs them: what follows from a session's exact
        state cannot follow from its words alone.
        """
        for turns in dialogues(self.samples):
            last = max((place for place, turn in enumerate(turns) if turn.sample_id not in self.known), default=-1)
            for outcome in self._dialogue(turns[: last + 1]):
                if outcome.sample_id not in self.known:
                    yield outcome

    def _dialogue(self, turns: Sequence[Sample]) -> Iterator[Outcome]:
        session, broken = self.first.another(), ""
        history: History = ()
        for turn in turns:
            if broken:
                yield failed(turn, DataError(f"the dialogue broke off at {broken}, so its later turns were not asked"))
                continue
            outcome = _ask(session, turn, history)
            yield outcome
            if outcome.text is None:
                broken = turn.sample_id
            else:
                history = (*history, (turn.question, outcome.text))

    def _alone(self, sample: Sample, teacher: bool) -> Outcome:
        began = perf_counter()
        try:
            session, history = self._prepared(sample, teacher)
        except Exception as error:  # recorded with the question
            return failed(sample, error, perf_counter() - began)
        return _ask(session, sample, history)

    def _together(self, chunk: Sequence[Sample], teacher: bool) -> list[Outcome]:
        """Several questions decoded in one batch; one by one where that fails, so that each is told its own reason."""
        from sama_video.chat.batch import answer_sessions

        began = perf_counter()
        if len({sample.ground for sample in chunk}) > 1:
            return [self._alone(sample, teacher) for sample in chunk]
        try:
            prepared = [self._prepared(sample, teacher) for sample in chunk]
            sessions = [session for session, _ in prepared]
            asked = [
                (sample.question, readable(session, sample.regions))
                for session, sample in zip(sessions, chunk, strict=True)
            ]
            answers = answer_sessions(sessions, asked, ground=chunk[0].ground)
        except SamaError:
            return [self._alone(sample, teacher) for sample in chunk]
        seconds = (perf_counter() - began) / len(chunk)
        rows = zip(chunk, prepared, answers, strict=True)
        return [_outcome(session, sample, answer, history, seconds) for sample, (session, history), answer in rows]

    def _prepared(self, sample: Sample, teacher: bool) -> "tuple[ChatSession, History]":
        """A session in which only the sample's history was said."""
        session = self.first.another()
        history: History = ()
        for turn in self._before(sample) if teacher else ():
            if not turn.reference_text:
                raise ConfigError(
                    f"{turn.sample_id} has no reference answer to show first; use --history single or self."
                )
            session.adopt(turn.question, readable(session, turn.regions), answer=turn.reference_text)
            history = (*history, (turn.question, turn.reference_text))
        return session, history

    def _before(self, sample: Sample) -> list[Sample]:
        """Earlier turns of the sample's dialogue."""
        turns = next(turns for turns in dialogues(self.samples) if sample in turns)
        return turns[: turns.index(sample)]


def dialogues(samples: Sequence[Sample]) -> list[list[Sample]]:
    """Samples by dialogue, turns in order; one that belongs to none is a dialogue of its own."""
    found: dict[tuple[str, str], list[Sample]] = {}
    for sample in samples:
        name = (sample.dialogue, "" if sample.dialogue else sample.sample_id)
        found.setdefault(name, []).append(sample)
    return [sorted(turns, key=lambda turn: turn.turn_idx) for turns in found.values()]


def readable(session: "ChatSession", regions: Sequence[Region]) -> tuple[Region, ...]:
    """The regions, those in which the segmenter finds no object as they were drawn.

    Such a question is harder, not void: the language model sees the place that was pointed at all the same.

    Raises:
        RegionError: One does not lie in the clip.
    """
    found: list[Region] = []
    for region in map(session.pointing.resolve, regions):
        try:
            if not isinstance(region, ObjectRef):
                session.masks.region_mask(region)
        except RegionError:
            region = as_drawn(region, session.clip.height, session.clip.width)
        found.append(region)
    return tuple(found)


def as_drawn(region: Region, height: int, width: int) -> Region:
    """A box filled, points as a dot each, every pixel that they touch; other regions as they are."""
    mask = np.zeros((height, width), dtype=np.bool_)
    if isinstance(region, Box):
        x0, y0, x1, y1 = region.xyxy
        mask[max(0, math.floor(y0)) : math.ceil(y1), max(0, math.floor(x0)) : math.ceil(x1)] = True
    elif isinstance(region, Points):
        for (x, y), label in zip(region.xy, region.labels, strict=True):
            if label:
                row, column = int(y), int(x)
                mask[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2] = True
    else:
        return region
    return Mask(frame=region.frame, mask=mask)


def _ask(session: "ChatSession", sample: Sample, history: History) -> Outcome:
    began = perf_counter()
    try:
        answer = session.ask(sample.question, readable(session, sample.regions), ground=sample.ground)
        return _outcome(session, sample, answer, history, perf_counter() - began)
    except Exception as error:  # one question's failure is recorded with it, and leaves the others alone
        return failed(sample, error, perf_counter() - began)


def _outcome(session: "ChatSession", sample: Sample, answer: "Answer", history: History, seconds: float) -> Outcome:
    shown = session.history.turns[-1].frames
    about = [prompt.object_id for prompt in answer.turn.regions] if sample.facts.get("tracks") == "regions" else None
    object_ids = answer.segs if about is None else about
    return Outcome(
        sample.sample_id,
        answer.raw,
        phrases(answer.raw),
        tuple(_track(session, object_id) for object_id in object_ids),
        tuple(sorted({*shown.context, *shown.dense})),
        seconds,
        history,
        scores=tuple(_belief(session, object_id) for object_id in object_ids),
        note="; ".join(answer.problems),
    )


def _belief(session: "ChatSession", object_id: str | None) -> float:
    """Mean score of an object's masks over the frames that have one, 0 for nothing shown."""
    scores = () if object_id is None else session.masklet(object_id).scores
    given = [score for score in scores if score is not None]
    return sum(given) / len(given) if given else 0.0


def _track(session: "ChatSession", object_id: str | None) -> Track:
    """An object's masks; none on any frame for a `[SEG]` that showed nothing, which is a mask of the answer as well."""
    return (None,) * session.clip.num_frames if object_id is None else session.masklet(object_id).rles
