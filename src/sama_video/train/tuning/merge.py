"""A run that was stopped as a model: its last checkpoint put into the base, adapters merged."""

from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import load_file

from sama_video.errors import CheckpointError, ConfigError
from sama_video.model.weight_files import new_folder
from sama_video.train.tuning import distributed
from sama_video.train.tuning.base import load_base, prepare
from sama_video.train.tuning.folder import WEIGHTS_FILE, TuneFolder, read_state
from sama_video.train.tuning.lora import merge_adapters, save_adapters
from sama_video.train.tuning.recipes import read_recipe


@dataclass(frozen=True)
class Merged:
    """What was made.

    Attributes:
        step: Of the checkpoint that was taken.
        adapters: How many were merged.
        adapter_folder: The adapters alone as PEFT has them; None where there are none.
    """

    model: Path
    step: int
    adapters: int
    adapter_folder: Path | None


def merge_run(run: Path, out: Path) -> Merged:
    """Write a run's last checkpoint as a model folder that `sama_video.load` reads, and its adapters beside it.

    Args:
        run: Folder of a run on records, finished or not.
        out: New folder.

    Raises:
        ConfigError: `run` is none, or `out` is in use.
        CheckpointError: There is no checkpoint yet, or it belongs to another base.
    """
    recipe = run / "recipe.yaml"
    if not recipe.is_file():
        raise ConfigError(f"{run} holds no run (no recipe.yaml); give the --out folder of a sama train.")
    found = read_recipe(str(recipe))
    if found.in_stages:
        raise ConfigError(f"{run} is a run in stages, whose model is written when all have finished; resume it.")
    settings = found.settings()
    checkpoints = TuneFolder(run, keep=settings.engine.keep).checkpoints()
    if not checkpoints:
        raise CheckpointError(f"{run} has no checkpoint yet; go on with --resume, or lower engine.checkpoint_every.")
    base = load_base(settings)
    state = read_state(checkpoints[-1])
    if state["fingerprint"] != base.fingerprint:
        raise CheckpointError(f"{run} began from another {settings.model} than is there now; bring the same weights.")
    prepare(base.model, settings)
    named = [(name, parameter) for name, parameter in base.model.named_parameters() if parameter.requires_grad]
    distributed.load_whole(named, load_file(checkpoints[-1] / WEIGHTS_FILE))
    with new_folder(out) as folder:
        if settings.lora.rank:
            save_adapters(base.model, settings.lora, folder / "adapter", settings.model)
        count = merge_adapters(base.model)
        base.model.save_pretrained(folder)
        base.processor.save_pretrained(folder)
    return Merged(out, int(state["step"]), count, out / "adapter" if count else None)
