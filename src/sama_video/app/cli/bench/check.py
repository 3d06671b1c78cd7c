"""`sama bench check`: whether a benchmark's files are all there, and what is in them."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from sama_video.app.cli.output import Output, output_option
from sama_video.errors import DataError

MOST_ROWS = 20
"""Findings that are shown to people one by one; all of them are in the JSON."""


@click.command
@click.argument("task")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="DIR",
    envvar="SAMA_DATA",
    help="Folder of the benchmark's files, or one that holds it.",
)
@output_option
def command(task: str, data: Path | None, output: Output) -> None:
    """Read every file of TASK, count what is there, and say what is missing or broken."""
    from sama_video.bench.tasks import load_task

    with output.progress(f"reading {task}"):
        report = load_task(task).check(data)
    output.line(task)
    _show(report.counts, output, "  ")
    for kind, reasons in (("fault", report.faults), ("note", report.notes)):
        for reason, count in reasons.items():
            output.line(f"{kind}: {reason} ×{count}")
    for row in report.rows[:MOST_ROWS]:
        output.line("  " + "; ".join(str(value) for value in row.values() if value is not None))
    if len(report.rows) > MOST_ROWS:
        output.line(f"  and {len(report.rows) - MOST_ROWS} more; --json gives all")
    output.document(asdict(report))
    if report.faults:
        told = ", ".join(f"{reason} ×{count}" for reason, count in report.faults.items())
        raise DataError(f"{task} cannot be run as published with {data}: {told}; bring its files in order.")


def _show(counts: Mapping[str, Any], output: Output, indent: str) -> None:
    for name, value in counts.items():
        if isinstance(value, Mapping):
            output.line(f"{indent}{name}")
            _show(value, output, indent + "  ")
        else:
            output.line(f"{indent}{name}: {value}")
