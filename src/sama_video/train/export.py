"""What the stages learnt, put together into one model that `sama_video.load` reads.

`python -m sama_video.train.export RUN MODEL` writes the model of a finished run into a folder.
"""

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import torch
from torch import Tensor

from sama_video.errors import CheckpointError
from sama_video.model.modeling_sama import SamaForConditionalGeneration
from sama_video.train.config import PLAIN_STAGE_NAMES, STAGE_NAMES, TrainConfig, load_recipe, to_yaml
from sama_video.train.run_folder import RunFolder
from sama_video.train.stages.reading import HEADS
from sama_video.train.starting_model import STARTING_MODEL, config_of, processor_of

TRAINING_ONLY = (
    *("attribute_prompts.", "coarse_head.", "fine_head.", "patch_head.", "object_head.", "spot_head."),
    *(f"{head}." for head in HEADS),
)
"""Parts of stage results that no finished model holds."""


def export_finished(run: TrainConfig, folder: RunFolder) -> Path | None:
    """Write the model of a run into its folder once every stage has finished; `None` while one has not."""
    if not set(run.stages if run.start_from else STAGE_NAMES) <= set(finished_stages(folder)):
        return None
    destination = folder.path / "model"
    export(whole_run(run, folder), folder, destination)
    return destination


def whole_run(run: TrainConfig, folder: RunFolder) -> TrainConfig:
    """A recipe with all its stages, whichever of them this process ran."""
    if run.start_from:
        return replace(run, stages=tuple(finished_stages(folder)))
    plain = tuple(name for name in PLAIN_STAGE_NAMES if run.stage(name).steps)
    return replace(run, stages=(*plain, *STAGE_NAMES))


def finished_stages(folder: RunFolder) -> list[str]:
    """Stages of a run that have their result, in the order they build on one another."""
    return [name for name in (*PLAIN_STAGE_NAMES, *STAGE_NAMES) if folder.has(name)]


def export(run: TrainConfig, folder: RunFolder, destination: Path) -> None:
    """Write a finished run as a model folder: float16 weights, configuration, processor and model card.

    Raises:
        CheckpointError: Some part of the model was trained by no finished stage.
    """
    config = config_of(run)
    model = SamaForConditionalGeneration(config)
    finished = finished_stages(folder)
    before = [STARTING_MODEL] if run.start_from else []
    fill(model, [folder.result(name) for name in (*before, *finished)])
    model.half().save_pretrained(destination)
    processor_of(run, config).save_pretrained(destination)
    (destination / "README.md").write_text(model_card(run, folder, finished))


def fill(model: SamaForConditionalGeneration, results: Sequence[Mapping[str, Tensor]]) -> None:
    """Put stage results into a model, later ones over earlier ones; every weight must come from one of them.

    Raises:
        CheckpointError: A weight is missing or unknown.
    """
    merged = {name: value for result in results for name, value in result.items() if not name.startswith(TRAINING_ONLY)}
    state = model.model.state_dict()
    missing, unknown = sorted(state.keys() - merged.keys()), sorted(merged.keys() - state.keys())
    if missing:
        parts = ", ".join(sorted({name.split(".")[0] for name in missing}))
        raise CheckpointError(f"no finished stage trained {parts}; run the remaining stages before exporting.")
    if unknown:
        raise CheckpointError(
            f"the stages hold {unknown[0]!r}, which the model does not; was its preset changed since?"
        )
    model.model.load_state_dict(merged, strict=True)
    model.tie_weights()


def model_card(run: TrainConfig, folder: RunFolder, stages: Sequence[str]) -> str:
    """What the model was made from and by, and what it scored on the way."""
    going_on = f" start_from={run.start_from} stages=[{','.join(stages)}]" if run.start_from else ""
    command = f"sama train {run.preset}{going_on}"
    figures = {name: _figures(folder, name) for name in stages}
    return "\n".join(
        [
            f"# {run.preset}",
            "",
            *_DATA[run.world.name],
            "It knows nothing of the real world.",
            *([_ORIGIN.format(run.start_from)] if run.start_from else []),
            "",
            f"Command: `{command}`, seed {run.seed}, torch {torch.__version__} on {platform.machine()}.",
            "Every step sees freshly generated scenes, none twice. Minutes are wall time; the machine had other work.",
            "",
            "| stage | steps | minutes | last evaluation on held-out scenes |",
            "| --- | --- | --- | --- |",
            *(_row(name, own) for name, own in figures.items()),
            "",
            "On the way there, on the same held-out scenes, at so many steps:",
            "",
            "| stage | figure | curve |",
            "| --- | --- | --- |",
            *(_curve(name, own) for name, own in figures.items()),
            "",
            "```yaml",
            to_yaml(run).rstrip(),
            "```",
            "",
        ]
    )


_ORIGIN = "It went on from the model `{}`, and is that model where no stage below trained it."
_DATA = {
    "plain": ["Trained from scratch on synthetic clips only: coloured shapes that move over dim backgrounds."],
    "levels": [
        "Trained from scratch on synthetic clips only: the training split of the diagnostic world (`docs/synth.md`),",
        "coloured, textured shapes that move, meet, hide and change over patterned backgrounds. Stages named `plain_`",
        "saw an older world of larger shapes, with pairs of colour and shape that the later stages never see.",
    ],
}
"""What a model was trained on, by the name of its world."""


_CURVES = {
    "segment": "click_iou",
    "track": "tracked_iou",
    "see": "all",
    "speak": "named",
    "refer": "attribute",
    "joint": "mask_iou",
}
"""The figure of each stage whose course a card shows."""


def _figures(folder: RunFolder, stage: str) -> list[dict[str, Any]]:
    path = folder.stage(stage) / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def _row(stage: str, figures: list[dict[str, Any]]) -> str:
    steps, seconds = (figures[-1]["step"], figures[-1]["seconds"]) if figures else (0, 0.0)
    scores = [row["evaluation"] for row in figures if "evaluation" in row]
    shown = ", ".join(f"{name} {value:.3f}" for name, value in scores[-1].items()) if scores else ""
    return f"| {stage} | {steps} | {seconds / 60:.1f} | {shown} |"


def _curve(stage: str, figures: list[dict[str, Any]]) -> str:
    name = _CURVES[stage.removeprefix("plain_")]
    points = [(row["step"], row["evaluation"].get(name)) for row in figures if "evaluation" in row]
    shown = ", ".join(f"{step}: {value:.3f}" for step, value in points if value is not None)
    return f"| {stage} | {name} | {shown} |"


@click.command
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("model", type=click.Path(file_okay=False, path_type=Path))
def command(run: Path, model: Path) -> None:
    """Write the model that the finished stages in RUN make up into the folder MODEL."""
    folder = RunFolder(run)
    export(whole_run(load_recipe(run / "recipe.yaml"), folder), folder, model)
    click.echo(str(model))


if __name__ == "__main__":
    command()
