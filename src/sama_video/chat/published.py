"""Published SAMA and Sa2VA checkpoints, converted on first use and kept."""

import hashlib
import json
from pathlib import Path

from sama_video.errors import CheckpointError
from sama_video.model.configuration_sama import SamaConfig
from sama_video.model.convert_sama_weights import convert_checkpoint
from sama_video.model.presets import BUNDLED_NANO
from sama_video.remote.hub import cache_folder, fetch_weights


def model_folder(name: str) -> Path:
    """The folder in our layout of a model: "nano" for the bundled one, else as for `find_checkpoint`."""
    return BUNDLED_NANO if name == "nano" else find_checkpoint(name)


def find_checkpoint(name: str) -> Path:
    """A folder in our layout for a folder or hub id in ours or the official one.

    A checkpoint in the official layout is converted once; the copy lies in the cache under its name and revision.

    Raises:
        CheckpointError: Nothing usable is there.
    """
    folder = Path(name).expanduser()
    if not folder.is_dir():
        folder = fetch_weights(name)
    if model_type(folder) == SamaConfig.model_type:
        return folder
    converted = cache_folder() / "converted" / f"{folder.resolve().name}-{_fingerprint(folder)}"
    if not converted.is_dir():
        converted.parent.mkdir(parents=True, exist_ok=True)
        convert_checkpoint(folder, converted)
    return converted


def model_type(folder: Path) -> str:
    """What a checkpoint's configuration says it is."""
    try:
        document = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{folder} has no config.json; "
            "give a folder written by save_pretrained or sama convert, or an official one."
        ) from error
    except ValueError as error:
        raise CheckpointError(f"{folder / 'config.json'} is not JSON ({error}); fetch the checkpoint again.") from error
    return str(document.get("model_type"))


def _fingerprint(folder: Path) -> str:
    """Tells one state of a folder from another by its weight files' names, sizes and times."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        stat = path.stat()
        digest.update(f"{path.name} {stat.st_size} {stat.st_mtime_ns}".encode())
    return digest.hexdigest()[:12]
