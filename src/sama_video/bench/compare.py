"""Whether two runs of one benchmark differ: a paired bootstrap of every figure's difference on the videos both have."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from sama_video.bench.figures import NOTHING, reference_names, shown, shown_unit, unique_name
from sama_video.bench.judgements import load_judgements
from sama_video.bench.report import Report
from sama_video.bench.report_files import read_report
from sama_video.bench.report_markdown import table
from sama_video.bench.store import RunFolder
from sama_video.bench.task import Json, Measure, Mode, Row, ScoreTools, Task
from sama_video.bench.tasks import load_task
from sama_video.errors import ConfigError
from sama_video.metrics.caption import CaptionScorer
from sama_video.metrics.intervals import paired_interval

SCHEMA: Final = "sama-comparison/1"
HIGHER_A, HIGHER_B, NO_DIFFERENCE, NO_INTERVAL = "A is higher", "B is higher", "no difference shown", "no interval"


@dataclass(frozen=True)
class Difference:
    """One figure of two runs over the questions that both answered.

    Attributes:
        a, b: The figure of each run on the shared questions, so it may differ from what each reports by itself.
        value: That of A less that of B.
        low, high: 95 % interval of the difference; None where a bootstrap has no meaning.
        p_value: Two-sided, of the same resamples; not corrected for there being many figures.
        videos: How many the figure rests on.
    """

    name: str
    mode: Mode
    subset: str
    unit: str
    a: float | int | None
    b: float | int | None
    value: float | int | None
    low: float | int | None
    high: float | int | None
    p_value: float | int | None
    videos: int

    @property
    def verdict(self) -> str:
        """What may be said of it."""
        if self.low is None or self.high is None:
            return NO_INTERVAL
        if self.low <= 0 <= self.high:
            return NO_DIFFERENCE
        return HIGHER_A if self.low > 0 else HIGHER_B


@dataclass(frozen=True)
class Comparison:
    """Two runs, figure by figure.

    Attributes:
        notes: What a reader must know before the figures: gaps, and questions that only one run answered.
        questions: How many both answered.
    """

    task: str
    model_a: str
    model_b: str
    questions: int
    videos: int
    notes: tuple[str, ...]
    differences: tuple[Difference, ...]

    def to_json(self) -> dict[str, Json]:
        """For `--json` and comparison.json."""
        rows = [asdict(one) | {"verdict": one.verdict} for one in self.differences]
        return {"schema": SCHEMA} | asdict(self) | {"notes": list(self.notes), "differences": rows}

    def to_markdown(self) -> str:
        """The tables, one for each mode and part."""
        parts = [
            f"# {self.task}: A against B",
            table(("run", "model"), (("A", self.model_a), ("B", self.model_b))),
            f"{self.questions:,} questions on {self.videos:,} videos, answered by both. A difference is A less B, in "
            "per cent unless a unit is given; its range is a 95 % interval of a paired bootstrap over videos. Where "
            f"the range holds 0 there is {NO_DIFFERENCE}: that is not the same as shown to be equal.",
            *(f"> **{note}**" for note in self.notes),
        ]
        for mode, subset in dict.fromkeys((one.mode, one.subset) for one in self.differences):
            rows = [_cells(one) for one in self.differences if (one.mode, one.subset) == (mode, subset)]
            heads = ("metric", "A", "B", "A - B", "95 % interval", "p", "verdict")
            parts += [f"## {subset or 'all'}, {mode}", table(heads, rows)]
        return "\n\n".join(parts) + "\n"


def compare(a: RunFolder, b: RunFolder, *, captions: bool = True, task: Task | None = None) -> Comparison:
    """Compare two scored runs.

    Args:
        captions: Whether metrics of captions are compared too; they are scored again on what both answered.
        task: The runs' benchmark, where it is none of the package's.

    Raises:
        ConfigError: The runs are not of one benchmark, with the same questions, options and ways of scoring.
        DataError: One of them is not scored.
    """
    reports = {"A": read_report(a, task), "B": read_report(b, task)}
    _check_comparable(a, b, *reports.values())
    answered = {name: {(row.sample_id, row.mode) for row in report.rows} for name, report in reports.items()}
    shared = answered["A"] & answered["B"]
    if not shared:
        raise ConfigError(
            f"{a.path} and {b.path} have no question that both answered; compare runs over the same ones."
        )
    rows_a, rows_b = (
        [row for row in report.rows if (row.sample_id, row.mode) in shared] for report in reports.values()
    )
    with CaptionScorer() as scorer:
        both = tuple(_tools(folder, scorer if captions else None) for folder in (a, b))
        differences = _differences(task or load_task(reports["A"].run.task), reports["A"], (rows_a, rows_b), both)
    return Comparison(
        task=reports["A"].run.task,
        model_a=reports["A"].run.model,
        model_b=reports["B"].run.model,
        questions=len({row.sample_id for row in rows_a}),
        videos=len({row.video for row in rows_a}),
        notes=_notes(reports, answered),
        differences=differences,
    )


def _check_comparable(a: RunFolder, b: RunFolder, report_a: Report, report_b: Report) -> None:
    """Everything that makes two figures the same measurement, checked in the order in which people mix it up."""
    run_a, run_b = report_a.run, report_b.run
    limits = run_a.limit, run_b.limit
    facts: list[tuple[str, Json, Json]] = [
        ("task", run_a.task, run_b.task),
        ("task version", run_a.task_version, run_b.task_version),
        ("options", _without_limit(run_a.options), _without_limit(run_b.options)),
        ("phrase similarity", report_a.scores["similarity"], report_b.scores["similarity"]),
        ("judge", report_a.scores["judge"], report_b.scores["judge"]),
        ("modes", list(report_a.modes), list(report_b.modes)),
    ]
    if limits[0] == limits[1]:
        facts.append(("data", run_a.data_hash, run_b.data_hash))
    else:  # the hash is of the questions asked, so of two parts of one benchmark it differs
        asked_a, asked_b = ({one.sample_id: one for one in report.asked} for report in (report_a, report_b))
        same = [asked_a[name] == asked_b[name] for name in asked_a.keys() & asked_b.keys()]
        facts.append(("data", True, all(same)))
    for name, of_a, of_b in facts:
        if of_a != of_b:
            raise ConfigError(
                f"{a.path} and {b.path} differ in {name} ({of_a} and {of_b}), so their figures measure different "
                "things; compare runs that differ in the model alone."
            )


def _without_limit(options: Mapping[str, Json]) -> dict[str, Json]:
    return {name: value for name, value in options.items() if name != "limit"}


def _notes(reports: Mapping[str, Report], answered: Mapping[str, set[tuple[str, Mode]]]) -> tuple[str, ...]:
    notes = [
        f"Run {name} is incomplete. {report.banner}" for name, report in reports.items() if not report.state.complete
    ]
    only = {name: len({question for question, _ in answered[name]}) for name in answered}
    both = len({question for question, _ in answered["A"] & answered["B"]})
    if (extra := (only["A"] - both, only["B"] - both)) != (0, 0):
        notes.append(
            f"The question sets differ: {extra[0]} were answered by A alone and {extra[1]} by B alone; "
            "they are left out."
        )
    return tuple(notes)


def _tools(folder: RunFolder, captions: CaptionScorer | None) -> ScoreTools:
    """What a run was scored with, as far as a summary of scored rows needs it."""
    scores = json.loads(folder.scores_path.read_text(encoding="utf-8"))
    judge = scores["judge"] or ""
    judged = load_judgements(folder.path, judge) if judge else None
    return ScoreTools(_no_similarity, scores["similarity"], captions, judged, judge)


def _differences(
    task: Task, report: Report, rows: Sequence[Sequence[Row]], tools: Sequence[ScoreTools]
) -> tuple[Difference, ...]:
    """Every figure that both runs have, in the order of the benchmark's tables."""
    reference = reference_names(((figure.metric, figure.mode) for figure in report.figures), task.modes)
    found: list[Difference] = []
    for mode in report.modes:
        mine, theirs = (
            {(one.name, one.subset): one for one in task.summarise(_in_mode(side, mode), mode, own).measures}
            for side, own in zip(rows, tools, strict=True)
        )
        found += [_difference(mine[key], theirs[key], reference) for key in mine if key in theirs]
    return tuple(one for one in found if one.value is not None)


def _in_mode(rows: Sequence[Row], mode: Mode) -> list[Row]:
    return [row for row in rows if row.mode == mode]


def _difference(a: Measure, b: Measure, reference: frozenset[str] | None) -> Difference:
    values = figure_of(a), figure_of(b)
    value = None if values[0] is None or values[1] is None else values[0] - values[1]
    low = high = p_value = None
    videos = 0
    if a.statistic is not None and b.statistic is not None:
        paired = paired_interval(a.statistic, b.statistic)
        value, low, high, p_value, videos = paired.value, paired.low, paired.high, paired.share, paired.clusters
    name = unique_name(a.name, a.mode, reference)
    return Difference(name, a.mode, a.subset, a.unit, *values, value, low, high, p_value, videos)


def figure_of(measure: Measure) -> float | None:
    """A measure's value without its interval."""
    if measure.statistic is None:
        return measure.value
    value = float(measure.statistic.combine(measure.statistic.parts.sum(axis=0)))
    return None if math.isnan(value) else value


def _no_similarity(first: Sequence[str], second: Sequence[str]) -> list[list[float]]:
    raise AssertionError("rows are scored; a summary compares no phrases")


def _cells(one: Difference) -> tuple[str, ...]:
    signed = NOTHING if one.value is None else f"{'+' if one.value > 0 else ''}{shown(one.value, one.unit)}"
    spread = NOTHING
    if one.low is not None and one.high is not None:
        spread = f"{shown(one.low, one.unit)} to {shown(one.high, one.unit)}"
    p_value = NOTHING if one.p_value is None else f"{one.p_value:.3f}"
    name = f"{one.name}, {shown_unit(one.unit)}"
    return name, shown(one.a, one.unit), shown(one.b, one.unit), signed, spread, p_value, one.verdict
