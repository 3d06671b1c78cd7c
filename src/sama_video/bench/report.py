"""A scored run as one value, and its `report.json`: every figure with its interval, whatever is missing said first."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from sama_video.bench.figures import NOTHING, Figure, shown
from sama_video.bench.published import HEADING, NOTE, quotations_for
from sama_video.bench.store import Question, RunInfo, RunState
from sama_video.bench.task import Json, Mode, Row

SCHEMA: Final = "sama-report/1"
WIDE: Final = 9
"""Parts of a benchmark that a table can have as columns; more of them are its rows."""
_TURN = re.compile(r"turn ([1-9][0-9]*)")


@dataclass(frozen=True)
class Report:
    """What a run measured, and what of it is missing.

    Attributes:
        title: The benchmark in one line.
        state: What of it was answered, and what failed.
        scores: scores.json, whose figures are read into `figures`.
        asked: Every question of the run, in the order of the benchmark.
        rows: Scores by question, one row a mode.
        headline: The metrics that a reader looks for.
        submission: What was packed for a server, if anything.
    """

    title: str
    run: RunInfo
    state: RunState
    scores: Mapping[str, Json]
    asked: tuple[Question, ...]
    rows: tuple[Row, ...]
    figures: tuple[Figure, ...]
    headline: tuple[str, ...] = ()
    submission: Mapping[str, Json] | None = None

    @property
    def banner(self) -> str:
        """What must stand above the figures of an incomplete run; empty for a complete one."""
        if self.state.complete:
            return ""
        return f"INCOMPLETE: {self.state}. The figures cover the answers alone and are no result of this benchmark."

    @cached_property
    def modes(self) -> tuple[Mode, ...]:
        """The modes that were scored, `reference` first."""
        found = {figure.mode for figure in self.figures} | {row.mode for row in self.rows}
        modes: tuple[Mode, ...] = ("reference", "strict")
        return tuple(mode for mode in modes if mode in found)

    @cached_property
    def subsets(self) -> tuple[str, ...]:
        """Parts of the benchmark that have figures, in its order; positions in a dialogue are `turns`."""
        named = {figure.subset: None for figure in self.figures if figure.subset and not _TURN.fullmatch(figure.subset)}
        asked = [question.subset for question in self.asked if question.subset in named]
        return tuple(dict.fromkeys([*asked, *named]))

    @cached_property
    def turns(self) -> tuple[str, ...]:
        """Positions in a dialogue that have figures, first to last; empty where no dialogue has two."""
        named = {figure.subset for figure in self.figures if _TURN.fullmatch(figure.subset)}
        return tuple(sorted(named, key=turn_number))

    @cached_property
    def has_dialogues(self) -> bool:
        """Whether any question follows another."""
        return any(question.turn_idx for question in self.asked)

    def counts(self, subset: str = "") -> tuple[int, int]:
        """Questions and videos that were asked, in all, of a part, or at a turn."""
        asked = self._asked(subset)
        return len(asked), len({one.video for one in asked})

    def _asked(self, subset: str) -> list[Question]:
        turn_idx = turn_number(subset) - 1 if subset in self.turns else None
        return [one for one in self.asked if subset in ("", one.subset) or one.turn_idx == turn_idx]

    def of(self, subset: str, mode: Mode | None = None) -> tuple[Figure, ...]:
        """Figures of one part, in one mode or in all."""
        return tuple(one for one in self.figures if one.subset == subset and mode in (None, one.mode))

    def counted(self, part: str, mode: Mode) -> str:
        """Questions and videos of a part as a reader sees them; where not all were answered, how many.

        A benchmark may have figures of a kind of question that is no part of its own; the run does not count those.
        """
        questions, videos = self.counts(part)
        if not questions:
            return NOTHING
        if self.state.complete:
            return f"{questions:,} / {videos:,}"
        names = {one.sample_id for one in self._asked(part)}
        answered = sum(row.mode == mode and row.sample_id in names for row in self.rows)
        return f"{answered:,} of {questions:,} / {videos:,}"

    def measured(self, parts: Sequence[str], mode: Mode) -> tuple[str, ...]:
        """Metrics that have a value in one of some parts, in the order of the benchmark."""
        found = (one for one in self.figures if one.mode == mode and one.subset in parts and one.value is not None)
        return tuple(dict.fromkeys(figure.metric for figure in found))

    def unmeasured(self, mode: Mode) -> dict[str, str]:
        """Metrics that have no value over the whole benchmark, each with the reason."""
        return {one.metric: one.missing or "no question has it" for one in self.of("", mode) if one.value is None}

    @cached_property
    def leading(self) -> tuple[Figure, ...]:
        """The figures that a reader looks for first, over the whole benchmark."""
        measured = [one for one in self.of("") if one.value is not None]
        chosen = [one for name in self.headline for one in measured if one.metric == name]
        return tuple(chosen or measured[:4])

    def main_score(self, row: Row) -> tuple[str, float | int] | None:
        """The one score that a question is sorted by, its name and its value in the unit shown; None if it has none."""
        for name in (*self.headline, *row.values):
            value = row.values.get(name)
            if value is not None:
                return name, 100 * value if self._unit(name) == "fraction" else value
        return None

    def shown(self, metric: str, value: float | int | None) -> str:
        """A question's score as a reader sees it, in the unit of the figure of that name."""
        return shown(value, self._unit(metric))

    def _unit(self, metric: str) -> str:
        return self._units.get(metric, "fraction")

    @cached_property
    def _units(self) -> Mapping[str, str]:
        return {figure.metric: figure.unit for figure in self.figures}

    def to_json(self) -> dict[str, Json]:
        """report.json."""
        questions, videos = self.counts()
        document: dict[str, Json] = {
            "schema": SCHEMA,
            "task": self.run.task,
            "model": self.run.model,
            "complete": self.state.complete,
            "questions": questions,
            "videos": videos,
            "missing": self.state.missing,
            "failed": dict(self.state.failed),
            "metrics": {figure.name: figure.to_json() for figure in self.of("")},
            "subsets": {subset: self._part(subset) for subset in self.subsets},
            "turns": {turn: self._part(turn) for turn in self.turns},
            "similarity": self.scores["similarity"],
            "judge": self.scores["judge"],
            "run": self.run.to_json(),
            "quoted": {
                "heading": HEADING,
                "note": NOTE,
                "rows": [quotation.to_json() for quotation in quotations_for(self.run.task)],
            },
        }
        if not self.state.complete:
            document["banner"] = self.banner
        if self.submission is not None:
            document["submission"] = dict(self.submission)
        return document

    def _part(self, subset: str) -> dict[str, Json]:
        questions, videos = self.counts(subset)
        figures = {figure.name: figure.to_json() for figure in self.of(subset)}
        counts = {"questions": questions, "videos": videos} if questions else {}
        return {**counts, "metrics": figures}


def turn_number(subset: str) -> int:
    """Which turn of its dialogue a part such as `turn 2` holds, counted from 1."""
    return int(subset.split()[1])
