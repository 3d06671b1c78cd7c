"""Safetensors checkpoints read and written tensor by tensor: one file or many, never more than a shard in memory."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sama_video.errors import CheckpointError

INDEX_NAME = "model.safetensors.index.json"
SINGLE_NAME = "model.safetensors"
DEFAULT_SHARD_BYTES = 2 * 1024**3
_HASHED_WHOLE_BYTES = 64 << 20

_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


@dataclass(frozen=True)
class TensorSpec:
    """What a stored tensor looks like, without its values."""

    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def num_elements(self) -> int:
        """How many values it holds."""
        return int(torch.Size(self.shape).numel())

    @property
    def num_bytes(self) -> int:
        """Its size on disk."""
        return self.num_elements * self.dtype.itemsize

    def meta(self) -> Tensor:
        """A tensor of this look that holds nothing."""
        return torch.empty(self.shape, dtype=self.dtype, device="meta")

    @classmethod
    def of(cls, tensor: Tensor) -> "TensorSpec":
        """The look of a tensor."""
        return cls(tuple(tensor.shape), tensor.dtype)


class WeightFiles:
    """The tensors of a checkpoint: a folder of safetensors or one such file.

    `specs` comes from the headers, in file order; values are read only by `tensor`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.specs: dict[str, TensorSpec] = {}
        self._homes: dict[str, Path] = {}
        self._open: tuple[Path, Any] | None = None
        for file in weight_files(path):
            self._read_header(file)

    def tensor(self, name: str) -> Tensor:
        """The values of one tensor."""
        return self._handle(self._homes[name]).get_tensor(name)

    def _read_header(self, file: Path) -> None:
        handle = self._handle(file)
        for name in handle.keys():  # noqa: SIM118  (a handle is no mapping)
            if name in self._homes:
                raise CheckpointError(f"{name} is stored in {self._homes[name]} and again in {file}; keep one of them.")
            stored = handle.get_slice(name)
            if (dtype := _DTYPES.get(stored.get_dtype())) is None:
                raise CheckpointError(
                    f"{name} in {file} has dtype {stored.get_dtype()}, which has no place in a SAMA checkpoint; "
                    "store it as F32, F16 or BF16."
                )
            self.specs[name] = TensorSpec(tuple(stored.get_shape()), dtype)
            self._homes[name] = file

    def _handle(self, file: Path) -> Any:
        if self._open is None or self._open[0] != file:  # one file at a time: its mapped pages go with the handle
            try:
                self._open = (file, safe_open(str(file), framework="pt"))
            except (SafetensorError, OSError) as error:
                raise CheckpointError(f"{file} is no readable safetensors file ({error}); fetch it again.") from error
        return self._open[1]


def weight_files(path: Path) -> list[Path]:
    """The safetensors files that make up a checkpoint, and no others.

    Raises:
        CheckpointError: There are none, an index does not agree with them, or the weights are pickled.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise CheckpointError(f"{path} does not exist; give the folder of a checkpoint.")
    if (path / INDEX_NAME).is_file():
        return _indexed_files(path)
    files = sorted(path.glob("*.safetensors"))
    if not files:
        pickled = [file.name for suffix in ("bin", "pt", "pth") for file in sorted(path.glob(f"*.{suffix}"))]
        found = f"only pickled weights ({', '.join(pickled[:3])})" if pickled else "no weights"
        raise CheckpointError(f"{path} holds {found}; a checkpoint is read from safetensors files alone.")
    return files


def _indexed_files(folder: Path) -> list[Path]:
    index = folder / INDEX_NAME
    try:
        named = json.loads(index.read_text())["weight_map"]
        names = sorted(set(named.values()))
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise CheckpointError(f"{index} has no weight_map of name to file; fetch it again.") from error
    for name in names:
        if not isinstance(name, str) or Path(name).name != name:
            raise CheckpointError(f"{index} names the file {name!r}; shards lie beside their index.")
        if not (folder / name).is_file():
            raise CheckpointError(f"{index} names {name}, which is not there; fetch it again.")
    files = [folder / name for name in names]
    stray = sorted({file.name for file in folder.glob("*.safetensors")} - set(names))
    if stray:
        raise CheckpointError(
            f"{folder} holds {', '.join(stray)}, which {INDEX_NAME} does not name; remove one of both."
        )
    for file in files:
        listed = {key for key, home in named.items() if home == file.name}
        with safe_open(str(file), framework="pt") as handle:
            wrong = sorted(listed.symmetric_difference(handle.keys()))
        if wrong:
            raise CheckpointError(f"{index} and {file.name} disagree about {', '.join(wrong[:4])}; fetch both again.")
    return files


def plan_shards(specs: Mapping[str, TensorSpec], max_shard_bytes: int) -> list[list[str]]:
    """Names packed in order into shards; a tensor larger than a shard gets one of its own."""
    shards: list[list[str]] = []
    room = 0
    for name, spec in specs.items():
        if not shards or spec.num_bytes > room:
            shards.append([])
            room = max_shard_bytes
        shards[-1].append(name)
        room -= spec.num_bytes
    return shards


def save_weights(weights: Mapping[str, Tensor], file: Path) -> None:
    """Store tensors in one file, with the access that new files get here."""
    save_file(dict(weights), file, metadata={"format": "pt"})
    give_usual_access(file)


def give_usual_access(file: Path) -> None:
    """Let those read a file whom the process's umask lets read new ones; safetensors lets its owner alone."""
    umask = os.umask(0)
    os.umask(umask)
    file.chmod(0o666 & ~umask)


def write_weights(
    folder: Path, specs: Mapping[str, TensorSpec], tensors: Iterable[tuple[str, Tensor]], max_shard_bytes: int
) -> None:
    """Store tensors that arrive in the order of `specs`, each shard as soon as it is full."""
    shards = plan_shards(specs, max_shard_bytes)
    names = [f"model-{i:05}-of-{len(shards):05}.safetensors" for i in range(1, len(shards) + 1)]
    if len(shards) == 1:
        names = [SINGLE_NAME]
    arriving = iter(tensors)
    for file, keys in zip(names, shards, strict=True):
        # Copies: a tensor that still lies in the source's mapped pages would keep them.
        held = {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in _take(arriving, keys)}
        save_weights(held, folder / file)
        del held
    if len(shards) > 1:
        weight_map = {key: file for file, keys in zip(names, shards, strict=True) for key in keys}
        total = sum(spec.num_bytes for spec in specs.values())
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        (folder / INDEX_NAME).write_text(json.dumps(index, indent=2) + "\n")


def _take(arriving: Iterator[tuple[str, Tensor]], keys: list[str]) -> Iterator[tuple[str, Tensor]]:
    for key in keys:
        name, tensor = next(arriving)
        assert name == key, f"{name} arrived where {key} was planned"
        yield name, tensor


@contextmanager
def new_folder(dest: Path) -> Iterator[Path]:
    """A folder to fill, which becomes `dest` when the block ends well and vanishes when it fails.

    A killed process leaves at most a hidden `.NAME.partial-*` beside `dest`, never half of `dest`.

    Raises:
        CheckpointError: `dest` is already there and not empty.
    """
    if dest.exists() and (not dest.is_dir() or any(dest.iterdir())):
        raise CheckpointError(f"{dest} already exists and is not empty; give a new folder or remove it.")
    dest.parent.mkdir(parents=True, exist_ok=True)
    partial = dest.parent / f".{dest.name}.partial-{token_hex(4)}"
    partial.mkdir()
    try:
        yield partial
        os.replace(partial, dest)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def check_room(folder: Path, num_bytes: int) -> None:
    """Make sure that a disk has room for `num_bytes` more.

    Raises:
        CheckpointError: It has not.
    """
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    if free < num_bytes:
        raise CheckpointError(
            f"{folder} needs {num_bytes / 1e9:.1f} GB, but its disk has {free / 1e9:.1f} GB free; give another place."
        )


def fingerprint(folder: Path) -> str:
    """Tells one set of weights from another: by content where files are small, else by their heads and sizes."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            digest.update(f"{path.name} {path.stat().st_size}".encode())
            digest.update(file.read(_HASHED_WHOLE_BYTES))
    return digest.hexdigest()[:16]
