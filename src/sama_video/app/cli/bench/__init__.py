"""`sama bench`: predictions, scores and reports of every benchmark, one file for each step."""

import click

from sama_video.app.cli.table import CommandTable

COMMANDS = {
    "list": "Name the benchmarks.",
    "check": "Tell whether a benchmark's files are all there, with counts.",
    "run": "Let a model answer a benchmark's questions; killed at any moment, it goes on where it was.",
    "judge": "Have stored answers scored by a language model, or by overlap-1 offline.",
    "score": "Score stored answers; needs no model.",
    "report": "Write report.json, report.md and report.html of a scored run.",
    "compare": "Tell whether two runs differ, by a paired bootstrap.",
    "submit": "Check a run's masks and pack them for a benchmark's server.",
    "ablate": "Train and score the model with parts taken away.",
}


@click.group(cls=CommandTable, table=COMMANDS, package=__name__)
def command() -> None:
    """Run, score, report and compare benchmarks."""
