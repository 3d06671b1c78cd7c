"""The types that every benchmark shares: Task, Sample, Prediction, Row and Measure.

Task.samples(data)          official files -> Sample, video by video
a model under test          Sample -> Prediction, stored as one JSON line
Task.score_question(...)    Prediction -> Row, pure and without a model
Task.summarise(rows)        rows -> measures with what a bootstrap needs, and the task's own part of scores.json
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeAlias

from sama_video.metrics.caption import CaptionScorer
from sama_video.metrics.intervals import Statistic
from sama_video.regions.rle import Rle
from sama_video.regions.shapes import Region
from sama_video.video.clip import Clip

Mode = Literal["reference", "strict"]
"""`reference` computes what the published scripts do, quirks included; `strict` what one would mean."""

HistoryMode = Literal["single", "teacher", "self"]
"""What earlier turns a question sees: none, the reference answers, or the model's own."""

PromptFrame = Literal["first_visible", "frame_0", "fixed_seed"]

Track: TypeAlias = tuple[Rle | None, ...]
"""One object's mask on each frame of the clip; None where it is not visible."""

Json: TypeAlias = Any
"""A value that JSON can hold; each task reads its own facts into a type of its own."""

Similarity: TypeAlias = Callable[[Sequence[str], Sequence[str]], "list[list[float]]"]
"""Similarity of phrases in [0, 1]: one row for each text of the first list, one column for each of the second."""


@dataclass(frozen=True)
class TaskOptions:
    """What may differ between two runs of one task; stored with the run, and part of every prediction's key."""

    history: HistoryMode = "single"
    prompt_frame: PromptFrame = "first_visible"
    give_away: bool = True
    """Whether a question carries the suffix by which the benchmark tells that masks are wanted (spec bench, Q1)."""
    seed: int = 0


@dataclass(frozen=True)
class Sample:
    """One question of a benchmark.

    Attributes:
        sample_id: Unique within the task, such as `G/17`.
        video: The clip's name: what is resampled in a bootstrap, sharded and opened once.
        subset: Part of the benchmark that it is reported under.
        question_id: The benchmark's own number or name of the question.
        open_clip: Opens the frames that the benchmark shows.
        question: Text with one `<region>` tag for each of `regions`.
        regions: What is pointed at, on frames of that clip.
        prompt: How it is pointed at, as the record tells it: `{"frame", "kind", "frames"}`.
        ground: Whether masks are wanted; "auto" leaves it to the model.
        reference_text: The reference answer as written, with its tags; empty where the benchmark has none.
        reference_phrases: Its phrases, normalised as the benchmark does.
        reference_tracks: Gives its masks; called once, when the prediction is written.
        dialogue: Questions of one dialogue share this name; empty for a question on its own.
        turn_idx: Position in the dialogue.
        frames: Frame indices that the benchmark's sampling prescribes; None where it leaves that to the model.
        facts: What the task's scoring needs besides, such as options and the right letter.
    """

    sample_id: str
    video: str
    subset: str
    question_id: str
    open_clip: Callable[[], Clip]
    question: str
    regions: tuple[Region, ...] = ()
    prompt: Mapping[str, Json] = field(default_factory=dict)
    ground: "Literal['auto'] | bool" = "auto"
    reference_text: str = ""
    reference_phrases: tuple[str, ...] = ()
    reference_tracks: Callable[[], tuple[Track, ...]] = tuple
    dialogue: str = ""
    turn_idx: int = 0
    frames: tuple[int, ...] | None = None
    facts: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True)
class Prediction:
    """What a model said to one sample, with the reference beside it: one line of a run (spec bench, 1.8).

    Attributes:
        part: `G` or `C` for SAMA-Bench, else the task's name.
        pred_text: The answer as the model wrote it, with its tags; None when it failed.
        pred_tracks: One track for each mask of the answer, in its order.
        pred_scores: The model's belief in each of them; empty where it has none to give.
        note: What was odd about the answer, such as a part of it that could not be read.
        history: Earlier turns that the model saw, question and answer.
        model_hash, data_hash: What answered and what was asked; a run whose hashes differ starts afresh.
        key: Hash of model, data, prompt, sampling and version; a line of another key is not this run's.
        error: Why there is no answer; such a line makes a run incomplete and is never scored as 0.
    """

    sample_id: str
    task: str
    part: str
    subset: str
    video: str
    question_id: str
    question: str
    gt_text: str
    gt_phrases: tuple[str, ...]
    gt_tracks: tuple[Track, ...]
    pred_text: str | None
    pred_phrases: tuple[str, ...] = ()
    pred_tracks: tuple[Track, ...] = ()
    pred_scores: tuple[float, ...] = ()
    note: str = ""
    history: tuple[tuple[str, str], ...] = ()
    frames: tuple[int, ...] = ()
    prompt: Mapping[str, Json] = field(default_factory=dict)
    dialogue: str = ""
    turn_idx: int = 0
    facts: Mapping[str, Json] = field(default_factory=dict)
    model: str = ""
    model_hash: str = ""
    data_hash: str = ""
    code_version: str = ""
    seed: int = 0
    seconds: float = 0.0
    key: str = ""
    error: str | None = None


@dataclass(frozen=True)
class Row:
    """One question's scores in one mode: a line of `per_question.jsonl`.

    Attributes:
        values: Scores of this question alone, by metric; None where the metric does not apply to it.
        sums: What the question adds to figures that are no means, such as `{"tp": 2, "positives": 3}`.
        texts: What metrics over a whole corpus need, such as the cleaned answer and its references.
    """

    sample_id: str
    video: str
    subset: str
    mode: Mode
    turn_idx: int = 0
    values: Mapping[str, float | None] = field(default_factory=dict)
    sums: Mapping[str, float] = field(default_factory=dict)
    texts: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Measure:
    """One figure of a report.

    Attributes:
        name: Such as `J&F` or `miou_over_gt`.
        subset: Empty for all.
        statistic: What its value and its interval follow from; None where a bootstrap has no meaning.
        value: The figure itself where there is no statistic; a fraction, not a percentage, unless `unit` says so.
        unit: "fraction", or what else it counts.
        missing: Why there is no figure, such as a program that is not installed.
    """

    name: str
    mode: Mode
    subset: str = ""
    statistic: Statistic | None = None
    value: float | None = None
    unit: str = "fraction"
    missing: str | None = None


@dataclass(frozen=True, eq=False)
class Summary:
    """A task's scores in one mode.

    Attributes:
        document: The task's own part of `scores.json`, such as `{"G": {...}}`; merged over the modes.
    """

    measures: tuple[Measure, ...]
    document: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True)
class CheckReport:
    """What `sama bench check` found.

    Attributes:
        counts: Videos, questions, masks and so on, as found, in all and by subset.
        faults: Reasons with counts; not empty means that the benchmark cannot be run as published.
        notes: What is accepted.
        rows: Each finding: file, record, reason, detail.
    """

    task: str
    counts: Mapping[str, Json]
    faults: Mapping[str, int]
    notes: Mapping[str, int]
    rows: tuple[Mapping[str, str | None], ...]


@dataclass(frozen=True)
class ScoreTools:
    """What scoring may use; a `with` block ends the programs that it started.

    Attributes:
        similarity: Similarity of phrases.
        similarity_name: Its name, as the report gives it.
        captions: Scores captions, through Java programs that start with the first one; None where they are not wanted.
        judge: Scores of a language model by sample id and dimension, when there are any.
        judge_name: Whose scores they are.
    """

    similarity: Similarity
    similarity_name: str
    captions: CaptionScorer | None = None
    judge: Mapping[str, Mapping[str, float]] | None = None
    judge_name: str = ""

    def __enter__(self) -> "ScoreTools":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.captions is not None:
            self.captions.close()


class Task(ABC):
    """A benchmark.

    Attributes:
        name: As on the command line.
        title: One line for people.
        version: Changes when the same files would give other samples or scores.
        headline: The metrics that a reader looks for, first in tables.
        needs_data: Whether its clips come from files that somebody else has; a drawn world needs none.
        answering: Which of a sample's reference tracks answer the question; others serve its scores alone.
    """

    name: str
    title: str
    version: int = 1
    headline: tuple[str, ...] = ()
    answering: slice = slice(None)
    needs_data: bool = True
    modes: tuple[Mode, ...] = ("reference", "strict")

    @abstractmethod
    def check(self, data: Path | None) -> CheckReport:
        """Read everything below `data` and say what is there and what is missing."""

    @abstractmethod
    def samples(self, data: Path | None, options: TaskOptions) -> Iterator[Sample]:
        """Samples in a fixed order, those of one video together.

        Raises:
            DataError: A file is missing or breaks its format; a benchmark is never run on a part unsaid.
        """

    @abstractmethod
    def score_question(self, prediction: Prediction, mode: Mode, tools: ScoreTools) -> Row:
        """One question's scores; called in worker processes, so a function of its arguments alone."""

    @abstractmethod
    def summarise(self, rows: Sequence[Row], mode: Mode, tools: ScoreTools) -> Summary:
        """Figures over all rows; rows come in the order of the samples, whatever the shards were."""
