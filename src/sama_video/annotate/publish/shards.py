"""Records in WebDataset shards: tar files of samples, each a JSON file and the files of its clip.

    train-00000.tar:  NAME.json  NAME.mp4            a clip that is one file
                      NAME.json  NAME.00000.jpg ...  a clip that is a folder of frames

All records of a clip stand in its sample's one JSON file, as a list. The same samples give the same bytes.
`data.record_tar` reads them.
"""

import io
import json
import tarfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from itertools import chain, count, islice
from pathlib import Path
from typing import Final

from sama_video.data.record_clips import FileClip
from sama_video.data.records import DialogueRecord
from sama_video.data.stores.tar import TarClip
from sama_video.errors import DataError
from sama_video.video.stills import folder_images

SAMPLES_PER_SHARD: Final = 1000


def write_shards(
    folder: Path,
    name: str,
    samples: Iterable[tuple[str, tuple[DialogueRecord, ...]]],
    per_shard: int = SAMPLES_PER_SHARD,
) -> int:
    """Write samples, and say how many; each shard gets its name when it is whole.

    Args:
        folder: Made if it is not there.
        name: What the shards' names begin with.
        samples: Name of the clip, and its records, in order.
        per_shard: Samples of each shard but the last.

    Raises:
        DataError: A clip cannot be read, or the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{name}.tar.part"
    rest, done = iter(samples), 0
    try:
        for shard in count():
            first = next(rest, None)
            if first is None:
                return done
            with tarfile.open(partial, "w", format=tarfile.PAX_FORMAT) as tar:
                for sample, records in chain([first], islice(rest, per_shard - 1)):
                    _add_sample(tar, sample.replace(".", "_"), records)
                    done += 1
            partial.replace(folder / f"{name}-{shard:05d}.tar")
    except OSError as error:
        raise DataError(f"{folder}: a shard cannot be written ({error}); check the disk and the clips.") from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
    return done


def _add_sample(tar: tarfile.TarFile, sample: str, records: tuple[DialogueRecord, ...]) -> None:
    clip = records[0].clip
    named, files = _clip_files(clip, sample) if isinstance(clip, FileClip) else (clip, [])
    rows = [replace(record, clip=named).to_json() for record in records]
    _add(tar, f"{sample}.json", json.dumps(rows, ensure_ascii=False, separators=(",", ":")).encode())
    for content, name in files:
        _add(tar, name, content)


def _clip_files(clip: FileClip, sample: str) -> tuple[FileClip, Iterable[tuple[bytes, str]]]:
    """The clip as it stands in a shard, and its files with their names there."""
    if isinstance(clip, TarClip):
        known = [Path(name).suffix for name in clip.names or (clip.path,)]
        names = [f"{sample}.{number:05d}{suffix}" for number, suffix in enumerate(known)]
        names = names if clip.names else [f"{sample}{known[0]}"]
        own = {name: getattr(clip, name) for name in ("num_frames", "height", "width", "every", "fps")}
        named = FileClip(sample if clip.names else names[0], **own, names=tuple(names) if clip.names else ())
        return named, ((content, name) for (_, content), name in zip(clip.files(), names, strict=True))
    source = (clip.root or Path()) / clip.path
    if source.is_file():
        name = f"{sample}{source.suffix.lower()}"
        return replace(clip, path=name, root=None), ((file.read_bytes(), name) for file in [source])
    frames = [source / name for name in clip.names] or list(folder_images(source, str(source)))
    names = [f"{sample}.{number:05d}{frame.suffix.lower()}" for number, frame in enumerate(frames)]
    packed = ((frame.read_bytes(), name) for frame, name in zip(frames, names, strict=True))
    return replace(clip, path=sample, names=tuple(names), root=None), packed


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))
