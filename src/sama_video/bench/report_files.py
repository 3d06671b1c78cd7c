"""A scored run's folder -> its report: `report.json`, `report.md` and `report.html`, the same bytes each time."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Final

from sama_video.bench.figures import read_figures
from sama_video.bench.lines import LinePlace, read_line, read_lines, write_whole
from sama_video.bench.records import prediction_from_json
from sama_video.bench.report import Report
from sama_video.bench.report_html import report_html
from sama_video.bench.report_markdown import report_markdown
from sama_video.bench.report_pictures import OpenClip, illustrate
from sama_video.bench.report_questions import Said, Shown, pick, said_of, shortened
from sama_video.bench.store import RunFolder, RunInfo, read_predictions
from sama_video.bench.task import Prediction, Row, Task, TaskOptions
from sama_video.bench.tasks import load_task
from sama_video.errors import DataError

REPORT_JSON, REPORT_MD, REPORT_HTML, SUBMISSION = "report.json", "report.md", "report.html", "submission.json"
PICTURED: Final = 12
"""Questions that get pictures unless the caller wants another number."""


def write_report(
    folder: RunFolder, data: Path | None = None, pictured: int = PICTURED, *, task: Task | None = None
) -> Report:
    """Write all three files; give what is in them.

    Args:
        data: The benchmark's files, for the frames beneath the masks; without them masks lie on a plain ground.
        pictured: How many questions get pictures: half of them the worst, half around the median.
        task: The run's benchmark, where it is none of the package's.

    Raises:
        DataError: The run is not scored, or its scores are not of these answers.
    """
    task = task or load_task(folder.run.task)
    report = read_report(folder, task)
    places = folder.places()
    texts, masked = _texts_of(places.values())
    said = said_of(report, texts)
    picked = pick(said, report.modes, pictured, masked)
    clips = clips_of(task, report.run, data, [one for group in picked.values() for one in group])
    drawn: dict[str, list[Shown]] = {}
    for heading, group in picked.items():
        predictions = read_predictions(places[one.sample_id] for one in group)
        drawn[heading] = [
            Shown(one, illustrate(prediction, clips.get(one.sample_id), task.answering))
            for one, prediction in zip(group, predictions, strict=True)
        ]
    write_whole(folder.path / REPORT_JSON, json.dumps(report.to_json(), ensure_ascii=False, indent=2) + "\n")
    write_whole(folder.path / REPORT_MD, report_markdown(report, picked))
    write_whole(folder.path / REPORT_HTML, report_html(report, said, drawn))
    return report


def read_report(folder: RunFolder, task: Task | None = None) -> Report:
    """What a scored run measured.

    Args:
        task: The run's benchmark, where it is none of the package's.

    Raises:
        DataError: The run is not scored, or its scores are not of these answers.
    """
    run = folder.run
    if not (folder.scores_path.is_file() and folder.rows_path.is_file()):
        raise DataError(f"{folder.path} is not scored; run sama bench score {folder.path} first.")
    task = task or load_task(run.task)
    scores = json.loads(folder.scores_path.read_text(encoding="utf-8"))
    submission = folder.path / SUBMISSION
    report = Report(
        title=task.title,
        run=run,
        state=folder.state(),
        scores=scores,
        asked=folder.manifest(),
        rows=tuple(read_rows(folder)),
        figures=read_figures(scores["measures"], task.modes),
        headline=task.headline,
        submission=json.loads(submission.read_text(encoding="utf-8")) if submission.is_file() else None,
    )
    _check_scores(report, folder)
    return report


def read_rows(folder: RunFolder) -> Iterator[Row]:
    """Scores by question, one row a mode, in the order of the benchmark."""
    for _, row in read_lines(folder.rows_path):
        yield Row(
            sample_id=row["id"],
            video=row["video"],
            subset=row["subset"],
            mode=row["mode"],
            turn_idx=row["turn"],
            values=row["values"],
            sums=row["sums"],
            texts=row["texts"],
        )


def clips_of(task: Task, run: RunInfo, data: Path | None, wanted: Iterable[Said]) -> dict[str, OpenClip]:
    """What opens the clips of some questions; nothing without the benchmark's files, where it needs any.

    Args:
        wanted: A question put otherwise under the same name is of another clip, and opens none.
    """
    left = {one.sample_id: one.question for one in wanted}
    found: dict[str, OpenClip] = {}
    if (data is None and task.needs_data) or not left:
        return found
    for sample in task.samples(data, options_of(run)):
        if left.get(sample.sample_id) == shortened(sample.question):
            found[sample.sample_id] = sample.open_clip
            del left[sample.sample_id]
            if not left:
                break
    return found


def options_of(run: RunInfo) -> TaskOptions:
    """The options that a run's questions were made with."""
    names = {field.name for field in fields(TaskOptions)}
    return TaskOptions(**{name: value for name, value in run.options.items() if name in names})


def _check_scores(report: Report, folder: RunFolder) -> None:
    """A report is of the answers that are there now, all of them, and of no others."""
    told = {name: report.scores[name] for name in ("questions", "failed", "missing", "limit")}
    found = {name: getattr(report.state, name) for name in told}
    counts = {mode: sum(row.mode == mode for row in report.rows) for mode in report.modes}
    if told != found or any(count != report.state.answered for count in counts.values()):
        raise DataError(
            f"{folder.path} has changed since it was scored ({report.state}); run sama bench score {folder.path} again."
        )


def _texts_of(places: Iterable[LinePlace]) -> tuple[list[Prediction], frozenset[str]]:
    """Every answer without its masks, and the names of those that have any to show, on either side."""
    texts, masked = [], set()
    for place in places:
        with place.path.open("rb") as file:
            line = read_line(file, place)
        texts.append(prediction_from_json(line, str(place), masks=False))
        if any(mask for side in ("gt_masks", "pred_masks") for track in line.get(side) or () for mask in track):
            masked.add(texts[-1].sample_id)
    return texts, frozenset(masked)
