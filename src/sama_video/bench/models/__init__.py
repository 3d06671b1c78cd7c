"""What can be benchmarked: a model of ours, answers in a file, an endpoint, another model of `transformers`.

A model is named on the command line by its spec. What stands before the colon says which file opens it; anything else
is ours. Each such file has `open_model(spec, **options) -> ModelUnderTest`, where `spec` is the whole spec, prefix and
all, and `options` are the model options of the command line, by name and only those that were set.
"""

import importlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, runtime_checkable

from sama_video.bench.task import Json, Prediction, Sample, TaskOptions, Track

ADAPTERS: Final[dict[str, str]] = {"file:": "file", "openai:": "endpoint", "hf:": "transformers_chat"}
"""Prefix of a spec -> module of this folder; a spec without one is a model of ours (`session`)."""

OURS: Final = "session"


@dataclass(frozen=True)
class Outcome:
    """What a model said to one sample.

    Attributes:
        text: The answer as the model wrote it, with its tags; None when it failed.
        phrases: Its phrases, normalised as the benchmark does; one that failed has none.
        tracks: One for each mask of the answer, in its order, at the size of the clip's frames.
        scores: The model's belief in each of them; empty where it has none to give.
        frames: Frame indices that the model looked at.
        seconds: How long the answer took.
        history: Earlier turns that the model saw, question and answer.
        note: What was odd about the answer, such as a part of it that could not be read.
        error: Why there is no answer, in one line; see `one_line`.
    """

    sample_id: str
    text: str | None = None
    phrases: tuple[str, ...] = ()
    tracks: tuple[Track, ...] = ()
    frames: tuple[int, ...] = ()
    seconds: float | int = 0.0
    history: tuple[tuple[str, str], ...] = ()
    scores: tuple[float, ...] = ()
    note: str = ""
    error: str | None = None


@runtime_checkable
class ModelUnderTest(Protocol):
    """Whoever answers a benchmark's questions.

    Attributes:
        name: As a report calls it.
        revision: Everything that changes its answers: weights, precision, protocol, settings.
    """

    @property
    def name(self) -> str: ...

    @property
    def revision(self) -> str: ...

    def answer(
        self, samples: Sequence[Sample], options: TaskOptions, known: Mapping[str, Prediction]
    ) -> Iterator[Outcome]:
        """Answer every sample that is not `known`, in their order.

        What goes wrong with one question is its outcome's `error`; what goes wrong with all of them may be raised.

        Args:
            samples: All of one video, in the benchmark's order. Their `open_clip` gives one clip, opened once.
            options: Which history a question sees, and so on.
            known: Stored answers of this video by sample id, without their masks: what a history of the model's own
                answers is made of when a run goes on.
        """
        ...


@runtime_checkable
class ChecksQuestions(Protocol):
    """A model that can tell at once whether it fits a benchmark."""

    def check_questions(self, task: str, sample_ids: Iterable[str]) -> None:
        """Refuse a benchmark that it was not made for."""
        ...


@dataclass(frozen=True)
class ModelChoice:
    """Which model to open and how; what is opened is not sent between processes, but this is.

    Attributes:
        spec: As on the command line.
        options: Model options that were set.
    """

    spec: str
    options: Mapping[str, Json] = field(default_factory=dict)

    @property
    def adapter(self) -> str:
        """The module that opens it."""
        return next((module for prefix, module in ADAPTERS.items() if self.spec.startswith(prefix)), OURS)

    @property
    def reads_clips(self) -> bool:
        """Whether it looks at pictures; answers in a file need none."""
        return self.adapter != ADAPTERS["file:"]

    def open(self, local_rank: int | None = None) -> ModelUnderTest:
        """The model, ready to answer.

        Args:
            local_rank: Which of this machine's processes opens it: with several accelerators, each takes its own.
        """
        module = importlib.import_module(f"{__package__}.{self.adapter}")
        options = dict(self.options)
        if local_rank is not None and self.reads_clips:
            options["device"] = own_device(str(options.get("device", "auto")), local_rank)
        model = module.open_model(self.spec, **options)
        assert isinstance(model, ModelUnderTest)
        return model


def own_device(device: str, local_rank: int) -> str:
    """The accelerator of one of several processes, where the caller left that open."""
    if device not in ("auto", "cuda"):
        return device
    import torch

    count = torch.cuda.device_count()
    return f"cuda:{local_rank % count}" if count else device


def failed(sample: Sample, error: BaseException, seconds: float | int = 0.0) -> Outcome:
    """The outcome of a question that could not be answered."""
    return Outcome(sample.sample_id, error=one_line(error), seconds=seconds)


def one_line(error: BaseException) -> str:
    """An exception as the reason of a failed question: our own messages as they are, others with their kind."""
    from sama_video.errors import SamaError

    text = " ".join(str(error).split())
    return text if isinstance(error, SamaError) and text else f"{type(error).__name__}: {text}".rstrip(": ")
