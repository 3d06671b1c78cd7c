"""Where a run in stages keeps what it becomes, and files that are there whole or not at all."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from sama_video.errors import CheckpointError, ConfigError
from sama_video.model.weight_files import save_weights
from sama_video.train.config import TrainConfig, first_difference, stage_yaml, to_yaml


class RunFolder:
    """Where a run's recipe, checkpoints and results lie; each stage writes only into its own folder.

    Args:
        path: Made when missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def open(self, run: TrainConfig, version: str, *, resume: bool) -> None:
        """Claim the folder for a run's stages, and write its settings there.

        A second process may join with other stages; a stage that was begun needs `resume` and its own settings.

        Raises:
            ConfigError: The folder is in use, holds something else, or cannot be written.
        """
        recipe = self.path / "recipe.yaml"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if not recipe.is_file() and any(self.path.iterdir()):
                raise ConfigError(f"{self.path} is not empty and holds no run; choose an empty folder.")
            for name in run.stages:
                self._check_stage(run, name, resume)
            write_whole(recipe, f"# sama-video {version}\n{to_yaml(run)}".encode())
            for name in run.stages:
                self.stage(name).mkdir(parents=True, exist_ok=True)
                write_whole(self.stage(name) / "recipe.yaml", stage_yaml(run, name).encode())
        except OSError as error:
            raise ConfigError(f"cannot write to {self.path}: {error.strerror}; choose another --out.") from error

    def stage(self, name: str) -> Path:
        """The folder of a stage."""
        return self.path / "stages" / name

    def result(self, name: str) -> dict[str, Tensor]:
        """The weights a finished stage left.

        Raises:
            CheckpointError: The stage has not finished here, or its weights are damaged.
        """
        path = self.stage(name) / "final.safetensors"
        if not self.has(name):
            raise CheckpointError(f"stage {name} has not finished in {self.path}; run it first: stages=[{name}].")
        try:
            return load_file(path)
        except (OSError, SafetensorError) as error:
            raise CheckpointError(
                f"{path} is damaged ({first_line(error)}); remove it and go on with --resume, which writes it anew."
            ) from error

    def has(self, name: str) -> bool:
        """Whether a stage has left its weights."""
        return (self.stage(name) / "final.safetensors").is_file()

    def write(self, name: str, weights: dict[str, Tensor], beside: Mapping[str, bytes] | None = None) -> None:
        """Leave a stage's weights; what goes beside them is there before they are."""
        self.stage(name).mkdir(parents=True, exist_ok=True)
        for other, content in (beside or {}).items():
            write_whole(self.stage(name) / other, content)
        write_with(self.stage(name) / "final.safetensors", lambda path: save_weights(weights, path))

    def _check_stage(self, run: TrainConfig, name: str, resume: bool) -> None:
        begun = self.stage(name) / "recipe.yaml"
        if not begun.is_file():
            return
        if not resume:
            raise ConfigError(f"{self.path} already holds stage {name}; add --resume, or choose an empty folder.")
        if begun.read_text() != stage_yaml(run, name):
            told = first_difference(yaml.safe_load(begun.read_text()), yaml.safe_load(stage_yaml(run, name)))
            raise ConfigError(
                f"stage {name} in {self.path} was begun with other settings ({told}); repeat those of {begun}, or "
                "choose an empty folder."
            )


def write_whole(path: Path, data: bytes) -> None:
    """Write a file that appears whole or not at all."""
    write_with(path, lambda target: target.write_bytes(data))


def write_with(path: Path, write: Callable[[Path], Any]) -> None:
    """Write beside, then rename: readers and kills see the old file or the new one, never half of one."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    write(beside)
    os.replace(beside, path)


def first_line(error: Exception) -> str:
    """What an error says, cut to a line."""
    return next(iter(str(error).splitlines()), type(error).__name__)[:120]
