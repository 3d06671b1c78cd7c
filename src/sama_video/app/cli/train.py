"""`sama train`: a recipe in, a trained model out; killed at any moment, it goes on where it was."""

import contextlib
import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sama_video import __version__
from sama_video.app.cli.options import checked, out_option, parse_device
from sama_video.app.cli.output import Output, output_option
from sama_video.errors import ConfigError

if TYPE_CHECKING:
    from sama_video.train.config import TrainConfig
    from sama_video.train.engine import Progress
    from sama_video.train.tuning.callbacks import TuneProgress
    from sama_video.train.tuning.plan import Plan
    from sama_video.train.tuning.recipes import Recipe


@click.command
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", required=True, help="New folder of the model.")
@output_option
def merge(run: Path, out: Path, output: Output) -> None:
    """Write the last checkpoint of RUN as a model, its adapters merged into it and kept beside it as well.

    A finished run has its model in RUN/model already; this is for one that was stopped.
    """
    from sama_video.train.tuning.merge import merge_run

    merged = merge_run(run, out)
    output.line(f"step {merged.step}, {merged.adapters} adapters merged")
    output.line(f"the model: {merged.model} (sama chat VIDEO --model {merged.model})")
    output.document(
        {
            "model": str(merged.model),
            "step": merged.step,
            "adapters": merged.adapters,
            "adapter_folder": None if merged.adapter_folder is None else str(merged.adapter_folder),
        }
    )


class TrainCommand(click.Command):
    """`sama train RECIPE`, and `sama train merge RUN`, which is no recipe."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """The context of the command that the first word asks for."""
        if args[:1] == ["merge"]:
            return merge.make_context(f"{info_name} merge", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)


@click.command(cls=TrainCommand)
@click.argument("recipe", required=False)
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@out_option
@click.option("--resume", is_flag=True, help="Go on with the run in --out.")
@click.option("--dry-run", is_flag=True, help="Tell what would be trained, on what, with how much memory, and stop.")
@click.option("--list", "listing", is_flag=True, help="Name the bundled recipes.")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="DIR",
    envvar="SAMA_DATA",
    default="data",
    show_default=True,
    help="Folder that holds the data sets which recipes name.",
)
@click.option("--device", callback=checked(parse_device), default="auto", show_default=True)
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads; left out, what the system offers.")
@output_option
def command(
    recipe: str | None,
    overrides: tuple[str, ...],
    out: Path | None,
    resume: bool,
    dry_run: bool,
    listing: bool,
    data: Path,
    device: str,
    threads: int | None,
    output: Output,
) -> None:
    """Train from RECIPE, a bundled name or a YAML file, with settings changed by key=value (optimiser.clip_norm=2).

    data=FOLDER trains on your own clips: a folder with what CVAT, Label Studio, COCO, YouTube-VIS or DAVIS tools
    write, or with records of ours. What will be trained, on what, and what it takes is told before anything starts, and
    alone with --dry-run. The model is written to OUT/model. `sama train merge RUN --out DIR` makes one of a run that
    was stopped. Stages of the recipe nano that do not depend on one another may run as several processes on one folder:
    stages=[segment,track] here, stages=[see] there.
    """
    from sama_video.train.tuning.recipes import bundled_recipes, read_recipe

    if listing:
        _show_recipes(bundled_recipes(), output)
        return
    if recipe is None:
        raise ConfigError("sama train was given no RECIPE; sama train --list names the bundled ones.")
    found = read_recipe(recipe, overrides)
    folder = out if out is not None else Path("runs") / found.name
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    if found.in_stages:
        _train_stages(recipe, overrides, folder, device, output, resume=resume, dry_run=dry_run)
    else:
        _train_on_records(found, folder, data, device, output, resume=resume, dry_run=dry_run)


def _show_recipes(recipes: Mapping[str, str], output: Output) -> None:
    width = max(map(len, recipes))
    for name, about in recipes.items():
        output.line(f"{name:<{width}}  {about}")
    output.document([{"name": name, "about": about} for name, about in recipes.items()])


def _train_stages(
    recipe: str, overrides: tuple[str, ...], folder: Path, device: str, output: Output, *, resume: bool, dry_run: bool
) -> None:
    """A preset from nothing, stage by stage."""
    import torch

    from sama_video.train.config import load_recipe
    from sama_video.train.engine import train
    from sama_video.train.export import export_finished
    from sama_video.train.processes import is_first_process
    from sama_video.train.run_folder import RunFolder
    from sama_video.train.stages import STAGES

    run, is_first = load_recipe(recipe, overrides), is_first_process()
    if dry_run:
        if is_first:
            _show_stages(recipe, run, folder, output)
        return
    chosen = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    report = show_progress if sys.stderr.isatty() and is_first else None
    train(run, folder, STAGES, version=__version__, resume=resume, device=chosen, report=report)
    if not is_first:
        return
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


def _show_stages(recipe: str, run: "TrainConfig", folder: Path, output: Output) -> None:
    """What each stage would train."""
    from sama_video.train.run_folder import RunFolder
    from sama_video.train.stage_plan import plan_stages
    from sama_video.train.stages import STAGES

    plans = plan_stages(run, STAGES, RunFolder(folder))
    origin = f"the model {run.start_from}" if run.start_from else "nothing"
    output.line(f"{recipe}: {run.preset} from {origin}, in stages, on clips that are drawn; {folder}")
    for one in plans:
        for line in one.lines():
            output.line(line)
    steps = {one.name: one.steps for one in plans}
    plan = [one.to_json() for one in plans]
    output.document(
        {"schema": "sama-train-plan/1", "recipe": recipe, "out": str(folder), "stages": steps, "plan": plan}
    )


def _train_on_records(
    recipe: "Recipe", folder: Path, data: Path, device: str, output: Output, *, resume: bool, dry_run: bool
) -> None:
    """A whole model on records, by the standard engine."""
    from sama_video.train.processes import is_first_process, num_processes
    from sama_video.train.tuning.own_data import prepare_own_data
    from sama_video.train.tuning.plan import make_plan
    from sama_video.train.tuning.trainer import tune

    settings = recipe.settings()
    is_first = is_first_process()
    with _records_folder(folder, dry_run) as place:
        settings, own = prepare_own_data(settings, place, data_root=data)
        if is_first:
            plan = make_plan(recipe.name, settings, folder, data_root=data, processes=num_processes(), own_data=own)
            _show_plan(plan, output, dry_run)
            if dry_run:
                return
    report = show_tuning if sys.stderr.isatty() and is_first else None
    result = tune(settings, folder, resume=resume, data_root=data, device=device, version=__version__, report=report)
    if not is_first:
        return
    left = ", ".join(f"{reason} {count}" for reason, count in result.dropped.items())
    output.line(f"{result.steps} steps; left out: {left or 'nothing'}")
    output.line(f"the model: {result.model} (sama chat VIDEO --model {result.model})")
    output.document(
        {
            "out": str(folder),
            "model": str(result.model),
            "steps": result.steps,
            "figures": dict(result.figures),
            "dropped": dict(result.dropped),
            "plan": plan.to_json(),
            "command": shlex.join(["sama", *sys.argv[1:]]),
        }
    )


def _show_plan(plan: "Plan", output: Output, dry_run: bool) -> None:
    """Tell the plan, and stop where the run could not begin."""
    for line in plan.lines():
        output.line(line)
    problems = list(plan.problems())
    if dry_run:
        for problem in problems:
            output.line(f"missing  {problem}")
        output.document(plan.to_json())
    elif problems:
        more = f" (and {len(problems) - 1} more; --dry-run lists them)" if len(problems) > 1 else ""
        raise ConfigError(f"{problems[0]}{more}")


@contextlib.contextmanager
def _records_folder(folder: Path, dry_run: bool) -> Iterator[Path]:
    """Where records made of annotations go: into the run's folder; only looking leaves nothing behind."""
    if not dry_run:
        yield folder
        return
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        yield Path(scratch)


def show_progress(progress: "Progress") -> None:
    """Redraw the line that tells on a terminal how far a stage is."""
    minutes = progress.seconds / 60
    rate = progress.step / max(progress.seconds, 1e-9)
    shown = "  ".join(f"{name} {value:.3g}" for name, value in list(progress.figures.items())[:4])
    _redraw(
        f"{progress.stage} {progress.step}/{progress.steps}  {minutes:.1f} min  {rate:.1f}/s  {shown}",
        last=progress.step >= progress.steps,
    )


def show_tuning(progress: "TuneProgress") -> None:
    """Redraw the line that tells on a terminal how far a run on records is."""
    figures = progress.figures
    wanted = ("text_loss", "mask_loss", "dice_loss", "seg_said", "records_per_second")
    shown = "  ".join(f"{name} {figures[name]:.3g}" for name in wanted if name in figures)
    line = f"{progress.step}/{progress.steps}  {progress.seconds / 60:.1f} min  {shown}"
    _redraw(line, last=progress.step >= progress.steps)


def _redraw(line: str, *, last: bool) -> None:
    width = min(118, _columns() - 1)
    print(f"\r{line[:width]:<{width}}", end="\n" if last else "", file=sys.stderr, flush=True)


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns
    except (OSError, ValueError):
        return 119
