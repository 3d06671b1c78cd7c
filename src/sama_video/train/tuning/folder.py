"""The folder of a run: its settings, checkpoints that are whole or not there, and whether the disk will hold them."""

import json
import os
import shutil
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from sama_video.errors import CheckpointError, ConfigError
from sama_video.train.config import first_difference
from sama_video.train.run_folder import write_whole

STATE_FILE: Final = "run_state.json"
WEIGHTS_FILE: Final = "trained.safetensors"
RECORDS: Final = "records"
"""Folder for records that were made from other annotations before the run began; see `own_data`."""

_STAGING: Final = ".saving"
_PREFIX: Final = "checkpoint-"
_SPARE_BYTES: Final = 64 << 20
_PART_BYTES: Final = 1 << 20
_ANEW: Final = "remove that checkpoint to go on from the one before, or from the start"
_MAY_CHANGE: Final = (
    ("batch",),
    ("accumulation",),
    ("data", "workers"),
    ("data", "prefetch"),
    ("engine", "checkpoint_every"),
    ("engine", "keep"),
    ("engine", "log_every"),
    ("engine", "report_to"),
)
"""Settings that a resumed run may have otherwise; the records of an update are checked on their own."""


class TuneFolder:
    """Where a run lies.

    Args:
        path: Made when missing.
        keep: How many of the last checkpoints stay.
    """

    def __init__(self, path: Path, *, keep: int) -> None:
        self.path = path
        self.keep = keep

    @property
    def staging(self) -> Path:
        """Where a checkpoint is written before it gets its name."""
        return self.path / _STAGING

    def open(self, recipe: str, *, resume: bool, num_bytes: int) -> None:
        """Claim the folder, write the settings there, and see that the disk will do.

        Args:
            recipe: The settings as YAML.
            num_bytes: What the checkpoints and the finished model will take.

        Raises:
            ConfigError: The folder is in use, holds something else, cannot be written, or the disk is too small; or the
                run there was begun with other settings.
        """
        path = self.path / "recipe.yaml"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if path.is_file():
                self._check_recipe(path, recipe, resume)
            elif any(one.name != RECORDS for one in self.path.iterdir()):
                raise ConfigError(f"{self.path} is not empty and holds no run; choose an empty folder.")
            write_whole(path, recipe.encode())
            shutil.rmtree(self.staging, ignore_errors=True)
            held = sum(file.stat().st_size for file in self.path.rglob("*") if file.is_file())
            free = shutil.disk_usage(self.path).free
        except OSError as error:
            raise ConfigError(f"cannot write to {self.path}: {error.strerror}; choose another --out.") from error
        if free + held < num_bytes + _SPARE_BYTES:
            raise ConfigError(
                f"{self.path} has {_gib(free)} free, but {self.keep + 1} checkpoints and the finished model take about "
                f"{_gib(num_bytes)}; free some, lower engine.keep, or choose another --out."
            )

    def checkpoints(self) -> list[Path]:
        """Whole checkpoints, the oldest first."""
        return sorted(self.path.glob(f"{_PREFIX}*"), key=_step_of)

    def publish(self, step: int, state: Mapping[str, Any]) -> Path:
        """Give a checkpoint in `staging` its name, now that it is whole and on the disk; drop the oldest."""
        made = self.staging / f"{_PREFIX}{step}"
        files = {file.relative_to(made).as_posix(): _checksum(file) for file in _files(made)}
        (made / STATE_FILE).write_text(json.dumps({"step": step, **state, "files": files}, indent=1) + "\n")
        for file in made.rglob("*"):
            _flush(file)
        target = self.path / made.name
        if target.exists():  # of a run that had got further, and was told to go on from before
            shutil.rmtree(target)
        os.replace(made, target)
        self.discard_unfinished()
        _flush(self.path)
        for old in self.checkpoints()[: -self.keep]:
            shutil.rmtree(old)
        return target

    @property
    def model(self) -> Path:
        """Where the finished model lies."""
        return self.path / "model"

    def publish_model(self) -> None:
        """Give the finished model in `staging` its name."""
        made = self.staging / self.model.name
        for file in made.rglob("*"):
            _flush(file)
        if self.model.exists():  # finished before, and told to go on
            shutil.rmtree(self.model)
        os.replace(made, self.model)
        self.discard_unfinished()

    def discard_unfinished(self) -> None:
        """Drop what a failed save left, so that it does not fill the disk."""
        shutil.rmtree(self.staging, ignore_errors=True)

    def _check_recipe(self, path: Path, recipe: str, resume: bool) -> None:
        if not resume:
            raise ConfigError(f"{self.path} already holds a run; add --resume, or choose an empty folder.")
        begun, given = _settings_of(path.read_text()), _settings_of(recipe)
        if begun != given:
            raise ConfigError(
                f"the run in {self.path} was begun with other settings ({first_difference(begun, given)}); repeat "
                f"those of {path}, or choose an empty folder."
            )


def read_state(checkpoint: Path, *, check: bool = True) -> dict[str, Any]:
    """What was written beside a checkpoint's weights.

    Args:
        check: Read all its files, to see whether they are as they were written.

    Raises:
        CheckpointError: It cannot be read, or a file is not as it was written.
    """
    try:
        state: dict[str, Any] = json.loads((checkpoint / STATE_FILE).read_text())
        files = state.get("files", {}) if check else {}
        wrong = [name for name, known in files.items() if _checksum(checkpoint / name) != known]
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{checkpoint / STATE_FILE}: {error}; {_ANEW}.") from error
    if wrong:
        raise CheckpointError(f"{checkpoint / wrong[0]} is damaged: it is not what was written there; {_ANEW}.")
    return state


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())


def _checksum(file: Path) -> int:
    """CRC-32 of a file: it finds damage, for a second per gibibyte."""
    value = 0
    with file.open("rb") as stream:
        while part := stream.read(_PART_BYTES):
            value = zlib.crc32(part, value)
    return value


def _settings_of(recipe: str) -> dict[str, Any]:
    """The settings that decide what the run becomes."""
    tree: dict[str, Any] = yaml.safe_load(recipe)
    for keys in _MAY_CHANGE:
        part = tree
        for key in keys[:-1]:
            part = part[key]
        part.pop(keys[-1], None)
    return tree


def _step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix(_PREFIX))


def _flush(path: Path) -> None:
    """Make sure that a file, or a folder's list of names, is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _gib(num_bytes: int) -> str:
    return f"{num_bytes / 2**30:.1f} GiB"
