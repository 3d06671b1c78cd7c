"""Records in WebDataset shards: tar files of samples, each a JSON file and the files of its clip.

    train-00000.tar:  NAME.json  NAME.mp4            a clip that is one file
                      NAME.json  NAME.00000.jpg ...  a clip that is a folder of frames

All records of a clip stand in its sample's one JSON file, as a list. The same samples give the same bytes.
"""

import io
import json
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import chain, count, islice
from pathlib import Path
from typing import Final

from sama_video.data.record_clips import FileClip
from sama_video.data.records import DialogueRecord
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


def read_shard(path: Path) -> Iterator[tuple[str, list[DialogueRecord]]]:
    """The records of a shard's samples; their clips are named as they stand in the shard."""
    with tarfile.open(path) as tar:
        for member in tar:
            if member.name.endswith(".json"):
                file = tar.extractfile(member)
                rows = json.load(file) if file is not None else []
                yield member.name.removesuffix(".json"), [DialogueRecord.from_json(row) for row in rows]


def _add_sample(tar: tarfile.TarFile, sample: str, records: tuple[DialogueRecord, ...]) -> None:
    clip = records[0].clip
    named, files = _clip_files(clip, sample) if isinstance(clip, FileClip) else (clip, [])
    rows = [replace(record, clip=named).to_json() for record in records]
    _add(tar, f"{sample}.json", json.dumps(rows, ensure_ascii=False, separators=(",", ":")).encode())
    for file, name in files:
        _add(tar, name, file.read_bytes())


def _clip_files(clip: FileClip, sample: str) -> tuple[FileClip, list[tuple[Path, str]]]:
    """The clip as it stands in a shard, and its files with their names there."""
    source = (clip.root or Path()) / clip.path
    if source.is_file():
        name = f"{sample}{source.suffix.lower()}"
        return replace(clip, path=name, root=None), [(source, name)]
    frames = [source / name for name in clip.names] or list(folder_images(source, str(source)))
    names = [f"{sample}.{number:05d}{frame.suffix.lower()}" for number, frame in enumerate(frames)]
    return replace(clip, path=sample, names=tuple(names), root=None), list(zip(frames, names, strict=True))


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))
