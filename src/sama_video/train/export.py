"""What the stages learnt, put together into one model that `sama_video.load` reads."""

import json
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sama_video.errors import CheckpointError
from sama_video.model.modeling_sama import SamaForConditionalGeneration
from sama_video.model.presets import preset_config
from sama_video.model.processing_sama import SamaProcessor
from sama_video.train.config import STAGE_NAMES, TrainConfig, to_yaml
from sama_video.train.engine import RunFolder

TRAINING_ONLY = ("attribute_prompts.", "coarse_head.", "fine_head.")
"""Parts of stage results that no finished model holds."""


def export(run: TrainConfig, folder: RunFolder, processor: SamaProcessor, destination: Path, *, command: str) -> None:
    """Write a finished run as a model folder: float16 weights, configuration, processor and model card.

    Raises:
        CheckpointError: Some part of the model was trained by no finished stage.
    """
    model = SamaForConditionalGeneration(preset_config(run.preset))
    finished = [name for name in STAGE_NAMES if (folder.stage(name) / "final.safetensors").is_file()]
    fill(model, [folder.result(name) for name in finished])
    model.half().save_pretrained(destination)
    processor.save_pretrained(destination)
    (destination / "README.md").write_text(model_card(run, folder, finished, command))


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


def model_card(run: TrainConfig, folder: RunFolder, stages: Sequence[str], command: str) -> str:
    """What the model was made from and by, and what it scored on the way."""
    rows = [_row(name, _figures(folder, name)) for name in stages]
    return "\n".join(
        [
            f"# {run.preset}",
            "",
            "Trained from scratch on synthetic clips only: coloured shapes that move over dim backgrounds.",
            "It knows nothing of the real world.",
            "",
            f"Command: `{command}`, seed {run.seed}. Machine: {platform.machine()}, {torch.get_num_threads()} threads",
            f"a process, torch {torch.__version__}. Every step sees freshly generated scenes, none twice.",
            "",
            "| stage | steps | minutes | last evaluation on held-out scenes |",
            "| --- | --- | --- | --- |",
            *rows,
            "",
            "```yaml",
            to_yaml(run).rstrip(),
            "```",
            "",
        ]
    )


def _figures(folder: RunFolder, stage: str) -> list[dict[str, Any]]:
    path = folder.stage(stage) / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def _row(stage: str, figures: list[dict[str, Any]]) -> str:
    steps, seconds = (figures[-1]["step"], figures[-1]["seconds"]) if figures else (0, 0.0)
    scores = [row["evaluation"] for row in figures if "evaluation" in row]
    shown = ", ".join(f"{name} {value:.3f}" for name, value in scores[-1].items()) if scores else ""
    return f"| {stage} | {steps} | {seconds / 60:.1f} | {shown} |"
