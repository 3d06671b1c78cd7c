"""Stored answers -> scores: a pass of its own, on the CPU alone, that gives the same bytes every time.

Each question is scored by itself, in several processes where that is worth while; what is made of all of them follows
in one. A question without an answer is no wrong answer: it gets no row, is counted with its reason, and makes the
scores incomplete.
"""

import json
import math
import multiprocessing
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any, Final, TypeAlias

from sama_video.bench.lines import LinePlace, write_whole
from sama_video.bench.sama_scores import merge_documents
from sama_video.bench.store import Question, RunFolder, RunInfo, RunState, read_predictions
from sama_video.bench.task import Json, Measure, Mode, Row, ScoreTools, Task
from sama_video.bench.tasks import load_task
from sama_video.errors import ConfigError, DataError, SamaError
from sama_video.metrics.caption import CaptionScorer
from sama_video.metrics.intervals import interval
from sama_video.metrics.similarity import SIMILARITIES, similarity_named

SCHEMA: Final = "sama-scores/1"

BYTES_PER_WORKER: Final = 4 << 20
"""Stored answers that are scored in about the time that starting a process takes."""

ToolsFor: TypeAlias = Callable[[], ScoreTools]
"""Makes the tools in the process that uses them."""


@dataclass(frozen=True)
class ToolsChoice:
    """Which tools to score with; can be sent to other processes, which the tools themselves cannot.

    Attributes:
        similarity: `exact`, `overlap`, or a folder or hub id of a model whose mean-pooled states are compared.
        judge: Scores by sample id and dimension.
    """

    similarity: str = "exact"
    captions: bool = True
    judge: Mapping[str, Mapping[str, float]] | None = None
    judge_name: str = ""

    def __call__(self) -> ScoreTools:
        """The tools."""
        if self.similarity in SIMILARITIES:
            measure = similarity_named(self.similarity)
        else:
            from sama_video.bench.embedding import open_similarity

            measure = open_similarity(self.similarity)
        scorer = CaptionScorer() if self.captions else None
        return ScoreTools(measure, self.similarity, scorer, self.judge, self.judge_name)


def score_run(
    folder: RunFolder,
    modes: Sequence[Mode],
    tools_for: ToolsFor,
    workers: int | None = None,
    *,
    task: Task | None = None,
) -> dict[str, Json]:
    """Score a run, write `per_question.jsonl` and `scores.json`, and give what is in the latter.

    Args:
        workers: Processes; left out, as many as the machine has processors, and fewer for a small run.
        task: The run's benchmark, where it is none of the package's.

    Raises:
        DataError: There is no run, or it is damaged.
        ConfigError: The benchmark has none of the modes.
    """
    run = folder.run
    task = task or load_task(run.task)
    wanted = [mode for mode in task.modes if mode in modes]
    if not wanted:
        raise ConfigError(f"{task.name} is scored in {' and '.join(task.modes)} mode, not {', '.join(modes)}.")
    if task.version != run.task_version:
        raise DataError(
            f"{folder.path} was asked by version {run.task_version} of {task.name}, but this is version "
            f"{task.version}; run the benchmark anew."
        )
    newest, manifest = folder.newest(), folder.manifest()
    places = [line.place for line in newest.values() if line.error is None]
    measures: list[Measure] = []
    with tools_for() as tools:
        rows = _score(_Scorer(task, tuple(wanted), tools_for), places, workers)
        _check_rows(rows, manifest)
        document = _document(run, folder.state(newest), manifest, tools)
        for mode in wanted:
            summary = task.summarise([row for row in rows if row.mode == mode], mode, tools)
            measures += summary.measures
            document = merge_documents(document, summary.document)
    document["measures"] = [_measure_json(measure) for measure in measures]
    write_whole(folder.rows_path, "".join(f"{_dump(_row_json(row))}\n" for row in rows))
    # Last: scores tell that their rows are there.
    write_whole(folder.scores_path, _dump(document, indent=2) + "\n")
    return document


@dataclass(frozen=True)
class _Scorer:
    """Scores some lines; the same wherever it is called."""

    task: Task
    modes: tuple[Mode, ...]
    tools_for: ToolsFor

    def __call__(self, places: Sequence[LinePlace]) -> list[Row]:
        tools = self.tools_for()  # of which a single question needs no program
        rows: list[Row] = []
        for place, prediction in zip(places, read_predictions(places), strict=True):
            try:
                rows += [self.task.score_question(prediction, mode, tools) for mode in self.modes]
            except SamaError as error:
                raise DataError(f"{place}: {prediction.sample_id} cannot be scored: {error}") from error
        return rows


def _score(scorer: _Scorer, places: Sequence[LinePlace], workers: int | None) -> list[Row]:
    count = min(workers or _enough_workers(places), max(1, len(places)))
    if count == 1:
        return scorer(places)
    # Static pieces, each in the order of the manifest: the rows are the same however many there are.
    bounds = [len(places) * index // count for index in range(count + 1)]
    pieces = [places[start:end] for start, end in pairwise(bounds)]
    with ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn")) as pool:
        return list(chain.from_iterable(pool.map(scorer, pieces)))


def _enough_workers(places: Iterable[LinePlace]) -> int:
    size = sum(place.length for place in places)
    return max(1, min(_processors(), size // BYTES_PER_WORKER))


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _check_rows(rows: Iterable[Row], manifest: Iterable[Question]) -> None:
    """Rows must be of the videos and subsets that the manifest tells; else means would be of other parts."""
    asked = {question.sample_id: (question.video, question.subset) for question in manifest}
    for row in rows:
        if (row.video, row.subset) != asked[row.sample_id]:
            raise DataError(
                f"the answer to {row.sample_id} is of video {row.video!r} and subset {row.subset!r}, but the manifest "
                f"has {asked[row.sample_id][0]!r} and {asked[row.sample_id][1]!r}; run the benchmark anew."
            )


def _document(run: RunInfo, state: RunState, manifest: Sequence[Question], tools: ScoreTools) -> dict[str, Json]:
    document: dict[str, Json] = {
        "schema": SCHEMA,
        "task": run.task,
        "model": run.model,
        "complete": state.complete,
        "questions": state.questions,
        "videos": len({question.video for question in manifest}),
        "failed": dict(state.failed),
        "missing": state.missing,
        "limit": state.limit,
        "similarity": tools.similarity_name,
        "judge": tools.judge_name or None,
        "measures": [],
    }
    return document


def _measure_json(measure: Measure) -> dict[str, Json]:
    value, low, high = measure.value, None, None
    if measure.statistic is not None:
        found = interval(measure.statistic)
        value, low, high = found.value, found.low, found.high
    return {
        "name": measure.name,
        "mode": measure.mode,
        "subset": measure.subset,
        "value": _finite(value),
        "low": _finite(low),
        "high": _finite(high),
        "unit": measure.unit,
        "missing": measure.missing,
    }


def _row_json(row: Row) -> dict[str, Json]:
    return {
        "id": row.sample_id,
        "video": row.video,
        "subset": row.subset,
        "mode": row.mode,
        "turn": row.turn_idx,
        "values": {name: _finite(value) for name, value in row.values.items()},
        "sums": dict(row.sums),
        "texts": dict(row.texts),
    }


def _finite(value: float | int | None) -> float | int | None:
    """JSON has no NaN; a figure that is none has no value."""
    return None if value is None or math.isnan(value) else value


def _dump(value: Json, **options: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, **options)
