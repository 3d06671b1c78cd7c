"""Judges: a question, a reference and a prediction go in, a score or the reason for none comes out.

A judge's name is part of every figure: the model and the version of the wording for a language model, the version of
the formula for the offline one. What cannot be judged is unscored, with a reason; it is never a 0.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from sama_video.bench import offline_judge
from sama_video.bench.judge_prompts import Scale
from sama_video.remote.language_model import Estimate, LanguageModel
from sama_video.remote.messages import Reply
from sama_video.remote.transport import EndpointError


@dataclass(frozen=True)
class JudgeScore:
    """What one answer was worth to a judge.

    Attributes:
        value: From 0 to 1; None where there is none.
        raw_reply: The judge's words as they came; None where none came or the judge has none.
        reason: The judge's, or why there is no value.
        dimensions: Scores by name, each on the scale of its judge; some may be there though the one figure is not.
    """

    value: float | None
    raw_reply: str | None
    reason: str | None
    dimensions: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """What is to be judged."""

    question: str
    reference: str
    prediction: str


@runtime_checkable
class Judge(Protocol):
    """Whoever scores answers.

    Attributes:
        name: Who it is and by which wording or formula.
        dimensions: What it gives a score for.
    """

    @property
    def name(self) -> str: ...

    @property
    def dimensions(self) -> tuple[str, ...]: ...

    def score(self, question: str, reference: str, prediction: str) -> JudgeScore:
        """The score of one answer."""
        ...

    def score_all(self, cases: Iterable[Case]) -> Iterator[JudgeScore]:
        """The score of each, in order."""
        ...


class LanguageJudge:
    """A language model that judges on a scale.

    The question is not told to it: both published scales compare two texts alone.
    """

    def __init__(self, model: LanguageModel, scale: Scale, *, workers: int = 4) -> None:
        self.model = model
        self.scale = scale
        self.workers = workers

    @property
    def name(self) -> str:
        """The model and the version of the wording."""
        return f"{self.model.name}@{self.scale.version}"

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Those of its scale."""
        return self.scale.dimensions

    def score(self, question: str, reference: str, prediction: str) -> JudgeScore:
        """The score of one answer.

        Raises:
            AccessError, BudgetError: No answer can be judged, or no further one.
        """
        return next(self.score_all([Case(question, reference, prediction)]))

    def score_all(self, cases: Iterable[Case]) -> Iterator[JudgeScore]:
        """The score of each, in order, several being asked for at a time."""
        requests = (self.scale.request(case.reference, case.prediction) for case in cases)
        for _, reply in self.model.ask_all(requests, workers=self.workers):
            yield self._read(reply)

    def estimate(self, cases: Iterable[Case]) -> Estimate:
        """What judging would take; nothing is sent."""
        return self.model.estimate(self.scale.request(case.reference, case.prediction) for case in cases)

    def _read(self, reply: Reply | EndpointError) -> JudgeScore:
        if isinstance(reply, EndpointError):
            return JudgeScore(None, None, f"{reply.kind}: {reply}")
        reading = self.scale.read_reply(reply)
        words = reply.text if reply.refusal is None else reply.refusal
        return JudgeScore(reading.value, words, reading.reason, reading.dimensions)


class OfflineJudge:
    """The judge that needs no model: see `offline_judge` for its formula."""

    @property
    def name(self) -> str:
        """The version of the formula."""
        return offline_judge.NAME

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Its one figure."""
        return (offline_judge.DIMENSION,)

    def score(self, question: str, reference: str, prediction: str) -> JudgeScore:
        """The score of one answer."""
        value = offline_judge.overlap_score(reference, prediction)
        return JudgeScore(value, None, None, {offline_judge.DIMENSION: value})

    def score_all(self, cases: Iterable[Case]) -> Iterator[JudgeScore]:
        """The score of each, in order."""
        return (self.score(case.question, case.reference, case.prediction) for case in cases)
