"""`sama bench score`: stored answers to scores; needs neither the model nor the benchmark's files."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sama_video.app.cli.output import Output, output_option
from sama_video.errors import ConfigError, SamaWarning

if TYPE_CHECKING:
    from sama_video.bench.task import Mode


@click.command
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--mode",
    type=click.Choice(["reference", "strict", "both"]),
    default="both",
    show_default=True,
    help="reference: what the published scripts compute, quirks included; strict: what one would mean.",
)
@click.option(
    "--similarity",
    default="exact",
    show_default=True,
    metavar="exact|overlap|MODEL",
    help="How phrases are compared: equal, by shared words, or by a language model (a folder or hub id).",
)
@click.option("--captions/--no-captions", default=True, show_default=True, help="Metrics of captions; they use Java.")
@click.option("--judge", metavar="NAME", help="Whose judgements to use; the run's only judge if left out.")
@click.option(
    "--workers", type=click.IntRange(min=1), help="Processes; left out, as many as there are processors and work."
)
@output_option
def command(
    folder: Path, mode: str, similarity: str, captions: bool, judge: str | None, workers: int | None, output: Output
) -> None:
    """Score the answers of the run in DIR, and write scores.json and per_question.jsonl there.

    The same answers give the same bytes. A run that lacks answers is scored on those it has, and says so.
    """
    from sama_video.bench.scoring import ToolsChoice, score_run
    from sama_video.bench.store import RunFolder

    run = RunFolder(folder)
    modes: tuple[Mode, ...] = ("reference", "strict") if mode == "both" else (mode,)  # type: ignore[assignment]
    judged, name = _judgements(folder, judge)
    tools = ToolsChoice(similarity, captions, judged, name)
    with output.progress(f"scoring {folder}"):
        document = score_run(run, modes, tools, workers)
    for measure in document["measures"]:
        if not measure["subset"]:
            output.line(_line(measure))
    output.document(document)
    if not document["complete"]:
        warnings.warn(f"the scores of {folder} are not complete: {run.state()}", SamaWarning, stacklevel=2)


def _judgements(folder: Path, judge: str | None) -> tuple[dict[str, dict[str, float]] | None, str]:
    from sama_video.bench.judgements import judges_of, load_judgements

    judges = judges_of(folder)
    if judge is None and len(judges) > 1:
        raise ConfigError(f"{folder} was judged by {', '.join(judges)}; name one of them with --judge.")
    if judge is None and not judges:
        return None, ""
    name = judge or judges[0]
    return load_judgements(folder, name), name


def _line(measure: dict[str, Any]) -> str:
    """A figure for people, fractions in per cent."""
    name = f"{measure['name']} ({measure['mode']})"
    if measure["value"] is None:
        return f"{name:44} not measured: {measure['missing'] or 'no question has it'}"
    scale = 100 if measure["unit"] == "fraction" else 1
    shown = [f"{scale * measure[key]:.2f}" for key in ("value", "low", "high") if measure[key] is not None]
    unit = "%" if scale == 100 else f" {measure['unit']}"
    spread = f"  ({shown[1]} to {shown[2]})" if len(shown) == 3 else ""
    return f"{name:44} {shown[0]}{unit}{spread}"
