"""Benchmarks on their miniatures, and answers made up for them."""

import json
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

import pytest
import shared_folders

from sama_video.bench.task import (
    CheckReport,
    Measure,
    Mode,
    Prediction,
    Row,
    Sample,
    ScoreTools,
    Summary,
    Task,
    TaskOptions,
    Track,
)
from sama_video.bench.tasks import load_task
from sama_video.metrics.intervals import interval
from sama_video.metrics.similarity import exact
from sama_video.metrics.tracks import united

BENCH = ("SAMA_BENCH_FIXTURES_DIR", shared_folders.REPOSITORY.parent / "shared" / "fixtures" / "bench_mini")
FOLDERS = {
    "sama-bench-g": (BENCH, "sama_bench"),
    "sama-bench-c": (BENCH, "sama_bench"),
    "mevis-valid-u": (BENCH, "mevis"),
    "mevis-valid": (BENCH, "mevis"),
    "ref-youtube-vos": (BENCH, "ref_youtube_vos"),
    "gcg": (BENCH, "gcg"),
    "region-caption": (BENCH, "region_caption"),
    "videorefer-d": (BENCH, "videorefer_bench/VideoRefer-Bench-D"),
    "videorefer-q": (BENCH, "videorefer_bench/VideoRefer-Bench-Q"),
    "pixelqa": (BENCH, "videorefer_bench/VideoRefer-Bench-Q"),
    "ref-davis17": (shared_folders.RECORDS, "video_datas/davis17"),
    "revos": (shared_folders.RECORDS, "video_datas/revos"),
    "ref-sav": (shared_folders.RECORDS, "video_datas"),
    "refcoco": (shared_folders.RECORDS, "ref_seg/refcoco"),
}
"""Where each benchmark's own folder is, below which miniature."""


class Bench:
    """One benchmark on its miniature."""

    def __init__(self, name: str) -> None:
        where, below = FOLDERS[name]
        self.task: Task = load_task(name)
        self.root = shared_folders.need_folder(*where)
        self.folder = self.root / below
        self.expected = json.loads((self.root / "expected.json").read_text(encoding="utf-8"))

    def samples(self, data: Path | None = None, **options: object) -> list[Sample]:
        if data is None and not options:
            return list(self.default_samples)
        return list(self.task.samples(data or self.folder, TaskOptions(**options)))

    @cached_property
    def default_samples(self) -> tuple[Sample, ...]:
        return tuple(self.task.samples(self.folder, TaskOptions()))

    @cached_property
    def report(self) -> CheckReport:
        return self.task.check(self.folder)

    def answer(
        self, sample: Sample, text: str | None = "", tracks: Sequence[Track] = (), phrases: Sequence[str] = ()
    ) -> Prediction:
        """An answer as a run stores it: facts and prompt have been JSON."""
        return Prediction(
            sample_id=sample.sample_id,
            task=self.task.name,
            part=self.task.name,
            subset=sample.subset,
            video=sample.video,
            question_id=sample.question_id,
            question=sample.question,
            gt_text=sample.reference_text,
            gt_phrases=sample.reference_phrases,
            gt_tracks=sample.reference_tracks(),
            pred_text=text,
            pred_phrases=tuple(phrases),
            pred_tracks=tuple(tracks),
            prompt=json.loads(json.dumps(sample.prompt)),
            facts=json.loads(json.dumps(sample.facts)),
            dialogue=sample.dialogue,
            turn_idx=sample.turn_idx,
        )

    def score(self, answers: Sequence[Prediction], mode: Mode = "strict", **tools: object) -> "Scores":
        given = ScoreTools(**{"similarity": exact, "similarity_name": "exact"} | tools)
        rows = [self.task.score_question(answer, mode, given) for answer in answers]
        return Scores(rows, self.task.summarise(rows, mode, given))

    def sum_up(self, rows: Sequence[Row], mode: Mode = "strict") -> "Scores":
        """Measures of rows made up by a test."""
        return Scores(list(rows), self.task.summarise(rows, mode, ScoreTools(exact, "exact")))


class Scores:
    """Rows, and measures by name."""

    def __init__(self, rows: list[Row], summary: Summary) -> None:
        self.rows = rows
        self.document = summary.document
        self.measures = {(measure.name, measure.subset): measure for measure in summary.measures}
        assert len(self.measures) == len(summary.measures), "two measures have one name"

    def measure(self, name: str, subset: str = "") -> Measure:
        return self.measures[name, subset]

    def value(self, name: str, subset: str = "") -> float | None:
        measure = self.measure(name, subset)
        return interval(measure.statistic, resamples=10).value if measure.statistic is not None else measure.value


@pytest.fixture(scope="session")
def bench() -> Callable[[str], Bench]:
    """A benchmark by name; the test is skipped where its miniature is not there."""
    opened: dict[str, Bench] = {}

    def give(name: str) -> Bench:
        if name not in opened:
            opened[name] = Bench(name)
        return opened[name]

    return give


@pytest.fixture(scope="session")
def right_answers() -> Callable[[Bench], list[Prediction]]:
    """The reference repeated, in the form in which each benchmark takes an answer."""

    made: dict[str, list[Prediction]] = {}

    def give(opened: Bench) -> list[Prediction]:
        name = opened.task.name
        if name not in made:
            made[name] = [_right(opened, sample) for sample in opened.samples()]
        return list(made[name])

    return give


def _right(opened: Bench, sample: Sample) -> Prediction:
    text, tracks, name = sample.reference_text, sample.reference_tracks(), opened.task.name
    if name == "gcg":
        for phrase in sample.reference_phrases:
            text = text.replace(phrase, f"<p> {phrase} </p> [SEG]")
    if name in ("mevis-valid-u", "ref-sav"):
        tracks = (united(tracks, len(tracks[0])),)
    if name == "revos":
        tracks = (united(tracks[:-1], len(tracks[-1])),)
    if name in ("ref-davis17", "refcoco"):
        tracks = tracks[:1]
    return opened.answer(sample, text, tracks, sample.reference_phrases)
