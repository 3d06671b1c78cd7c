"""`sama bench run`: a model's answers to a benchmark, stored one by one."""

import os
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sama_video.app.cli.options import ModelOptions, checked, model_options
from sama_video.app.cli.output import Output, output_option
from sama_video.errors import ConfigError, SamaWarning

if TYPE_CHECKING:
    from sama_video.bench.models import ModelChoice
    from sama_video.bench.sharding import Shard
    from sama_video.bench.task import Sample

UNSET = {"device": "auto", "dtype": "auto", "quantize": "none", "protocol": "consistent", "seed": 0, "batch": 1}
"""Model options that were left as they are, which adapters of other models need not know."""


def parse_shard(text: str) -> "Shard":
    """Read `i/n`."""
    from sama_video.bench.sharding import Shard

    try:
        return Shard.parse(text)
    except ConfigError as error:
        raise ValueError(str(error)) from error


@click.command
@click.argument("task")
@model_options
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="DIR",
    envvar="SAMA_DATA",
    help="Folder of the benchmark's files, or one that holds it.",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Ask the first N questions only.")
@click.option("--shard", callback=checked(parse_shard), metavar="I/N", help="Answer part I of N, counted from 0.")
@click.option(
    "--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Processes, each with a model."
)
@click.option("--ray", metavar="ADDRESS", help="Answer on a Ray cluster: local, auto, or its address.")
@click.option(
    "--batch",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Questions about one video decoded together.",
)
@click.option(
    "--history",
    type=click.Choice(["single", "teacher", "self"]),
    default="single",
    show_default=True,
    help="Earlier turns that a question sees: none, the reference answers, the model's own.",
)
@click.option(
    "--prompt-frame",
    type=click.Choice(["first_visible", "frame_0", "fixed_seed"]),
    default="first_visible",
    show_default=True,
    help="The frame on which an object is pointed at.",
)
@click.option(
    "--give-away/--no-give-away",
    default=True,
    show_default=True,
    help="Whether a question tells, as the benchmark's do, that masks are wanted.",
)
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), metavar="DIR", help="Folder of the run; goes on in one."
)
@output_option
def command(
    task: str,
    model_options: ModelOptions,
    data: Path | None,
    limit: int | None,
    shard: "Shard | None",
    workers: int,
    ray: str | None,
    batch: int,
    history: Any,
    prompt_frame: Any,
    give_away: bool,
    out: Path,
    output: Output,
) -> None:
    """Let a model answer the questions of TASK, and keep the answers in --out.

    Besides what it is elsewhere, --model may be file:PREDICTIONS.jsonl, answers made by another program. Killed at any
    moment, the same command goes on where it was, and asks again what failed. Parts (--shard) may run side by side into
    one folder, here or on machines that share it; under torchrun each process takes its own part and device. Score
    with sama bench score.
    """
    from sama_video.bench.models import ModelChoice
    from sama_video.bench.predicting import Job
    from sama_video.bench.runner import run_job
    from sama_video.bench.sharding import Shard, launched
    from sama_video.bench.store import RunFolder
    from sama_video.bench.task import TaskOptions
    from sama_video.bench.tasks import load_task

    if data is not None and not data.exists():
        raise ConfigError(f"--data {data} does not exist; give the folder of the benchmark's files.")
    choice = ModelChoice(model_options.model, _set_options(model_options, batch))
    options = TaskOptions(history, prompt_frame, give_away, model_options.seed)
    benchmark = load_task(task)
    job = Job(benchmark, choice, options, data, limit, _records(choice, task) if data is None else None)
    part, local_rank = launched(os.environ)
    own = (shard or Shard()).piece(part.index, part.count)
    folder = RunFolder(out)
    _quieten(choice)
    with output.tally(f"{task}, part {own}" if own.count > 1 else task) as report:
        run_job(job, folder, own, report, workers=workers, ray=ray, local_rank=local_rank)
    _tell(folder, output)


def _set_options(options: ModelOptions, batch: int) -> dict[str, Any]:
    """The model options that the caller set."""
    names = ("device", "dtype", "quantize", "protocol", "seed", "max_frames", "cache_bytes")
    given = {name: getattr(options, name) for name in names} | {"batch": batch}
    return {name: value for name, value in given.items() if value is not None and value != UNSET.get(name)}


def _records(choice: "ModelChoice", task: str) -> "Callable[[], Iterator[Sample]] | None":
    """Questions from the file of predictions itself, which a record of SAMA-Bench holds."""
    from sama_video.bench.records import PARTS

    if choice.reads_clips or task not in PARTS:
        return None
    from sama_video.bench.models.file import RecordSource, path_of

    return RecordSource(path_of(choice.spec), task)


def _quieten(choice: "ModelChoice") -> None:
    if choice.reads_clips and not sys.stderr.isatty():
        from transformers.utils import logging

        logging.disable_progress_bar()  # type: ignore[no-untyped-call]


def _tell(folder: "Any", output: Output) -> None:
    """Say how far the whole run is, and warn of what failed."""
    state, run = folder.state(), folder.run
    output.line(f"{folder.path}: {state}")
    output.line(f"next: sama bench score {folder.path}")
    output.document(
        {
            "out": str(folder.path),
            "task": run.task,
            "model": run.model,
            "questions": state.questions,
            "answered": state.answered,
            "failed": dict(state.failed),
            "missing": state.missing,
            "limit": state.limit,
            "complete": state.complete,
        }
    )
    if state.failed:
        count = sum(state.failed.values())
        warnings.warn(f"{count} questions failed; the same command asks them again", SamaWarning, stacklevel=2)
