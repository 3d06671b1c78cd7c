"""`sama train`: a recipe in, a trained model out; killed at any moment, it goes on where it was."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sama_video import __version__
from sama_video.app.cli.options import checked, out_option, parse_device
from sama_video.app.cli.output import Output, output_option

if TYPE_CHECKING:
    from sama_video.train.engine import Progress


@click.command
@click.argument("recipe")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@out_option
@click.option("--resume", is_flag=True, help="Go on with the run in --out.")
@click.option("--device", callback=checked(parse_device), default="auto", show_default=True)
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads; left out, what the system offers.")
@output_option
def command(
    recipe: str,
    overrides: tuple[str, ...],
    out: Path | None,
    resume: bool,
    device: str,
    threads: int | None,
    output: Output,
) -> None:
    """Train from RECIPE, a bundled name (nano) or a YAML file, with settings changed by key=value (see.steps=100).

    Stages that do not depend on one another may run as several processes on one folder: stages=[segment,track] here,
    stages=[see] there. When every stage has finished, the model is written to OUT/model.
    """
    import torch

    from sama_video.train.config import load_recipe
    from sama_video.train.engine import RunFolder, train
    from sama_video.train.export import export_finished
    from sama_video.train.stages import STAGES

    if threads is not None:
        torch.set_num_threads(threads)
    run = load_recipe(recipe, overrides)
    folder = out if out is not None else Path("runs") / Path(recipe).stem
    chosen = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    report = show_progress if sys.stderr.isatty() else None
    train(run, folder, STAGES, version=__version__, resume=resume, device=chosen, report=report)
    results = [str(RunFolder(folder).stage(name) / "final.safetensors") for name in run.stages]
    for path in results:
        output.line(path)
    model = export_finished(run, RunFolder(folder))
    if model is not None:
        output.line(f"the model: {model} (sama chat VIDEO --model {model})")
    output.document(
        {
            "out": str(folder),
            "stages": list(run.stages),
            "results": results,
            "model": None if model is None else str(model),
            "command": shlex.join(["sama", *sys.argv[1:]]),
        }
    )


def show_progress(progress: "Progress") -> None:
    """Redraw the line that tells on a terminal how far a stage is."""
    minutes = progress.seconds / 60
    rate = progress.step / max(progress.seconds, 1e-9)
    shown = "  ".join(f"{name} {value:.3g}" for name, value in list(progress.figures.items())[:4])
    line = f"{progress.stage} {progress.step}/{progress.steps}  {minutes:.1f} min  {rate:.1f}/s  {shown}"
    print(f"\r{line[:118]:<118}", end="" if progress.step < progress.steps else "\n", file=sys.stderr, flush=True)
