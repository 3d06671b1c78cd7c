"""Publish: samples as a data set in a folder that stands by itself, whole or not at all.

    OUT/train.jsonl, OUT/test.jsonl, OUT/clips/            format jsonl
    OUT/train/train-00000-of-00002.parquet, OUT/train/clips/   format parquet
    OUT/train/train-00000.tar                              format webdataset
    OUT/sama239k_data/, OUT/sama_bench/                    by option, the official layouts
    OUT/README.md, OUT/dataset.json                        the data card; every file with its size and hash

Each file or folder is made beside its place and moved there whole. `dataset.json` is taken away first and written last:
where it is, all that it names is there.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, TypeAlias

from sama_video.annotate.publish.balancing import PARTS, Part
from sama_video.annotate.publish.card import SCHEMA, Making, PartCounts, card_text
from sama_video.annotate.publish.clip_copies import CLIPS, ClipFolder, ClipMode, files_below
from sama_video.annotate.publish.official import FOLDERS, Layout, Sample, write_official
from sama_video.annotate.publish.shards import SAMPLES_PER_SHARD, write_shards
from sama_video.annotate.stages import Json
from sama_video.data.record_clips import FileClip
from sama_video.data.records import DialogueRecord, write_records
from sama_video.data.stores.parquet import RECORDS_PER_SHARD, write_parquet
from sama_video.errors import ConfigError

VERSION: Final = 1
MANIFEST: Final = "dataset.json"
CARD: Final = "README.md"

Form: TypeAlias = Literal["jsonl", "parquet", "webdataset"]
Samples: TypeAlias = Callable[[Part], Iterator[Sample]]
"""Gives the samples of a part, one at a time, in the order of their names; may be asked several times."""


@dataclass(frozen=True)
class PublishSettings:
    """What the data set looks like on disk.

    Attributes:
        title: On the data card.
        format: Of the records.
        clips: `copy` or `link` them into the data set, or leave them where they are and name them `relative` to
            `root`; in WebDataset shards they always are.
        root: Folder that holds all clips that are left where they are; whoever reads the records names it as `root`.
        layouts: Official layouts beside it: the training part as SAMA-239K, the test part as SAMA-Bench.
        records_per_shard: Parquet.
        samples_per_shard: WebDataset.
    """

    title: str = "Grounded video dialogues"
    format: Form = "jsonl"
    clips: ClipMode = "copy"
    root: Path | None = None
    layouts: tuple[Layout, ...] = ()
    records_per_shard: int = RECORDS_PER_SHARD
    samples_per_shard: int = SAMPLES_PER_SHARD

    def __post_init__(self) -> None:
        if self.records_per_shard < 1 or self.samples_per_shard < 1:
            raise ConfigError("publish takes shards of at least 1 record or sample; give 1 or more.")
        if (self.clips == "relative") != (self.root is not None):
            raise ConfigError(
                "publish.root is the folder of clips that are named relative to it; give both or neither."
            )

    def clip_folder(self, folder: Path) -> ClipFolder:
        """Where the clips of the records in a folder are."""
        return ClipFolder(self.root or folder, self.clips)


_PART_OF: Final[Mapping[Layout, Part]] = {"sama239k": "train", "sama_bench": "test"}


def publish(out: Path, samples: Samples, settings: PublishSettings, making: Making) -> dict[str, Json]:
    """Write a data set and give what `dataset.json` says of it.

    Raises:
        DataError: A clip cannot be read, or the folder cannot be written.
    """
    (out / MANIFEST).unlink(missing_ok=True)
    clear_partials(out)
    counts: dict[str, PartCounts] = {part: PartCounts() for part in PARTS}
    names: dict[Path, set[str]] = {}
    for part in PARTS:
        _write_part(out, part, _counted(samples(part), counts[part]), settings, names)
    for layout, folder in FOLDERS.items():
        _write_layout(out / folder, layout, samples(_PART_OF[layout]) if layout in settings.layouts else None)
    if settings.clips != "relative":
        ClipFolder(out).clear(names.get(out, set()))
    files = {path.relative_to(out).as_posix(): _described(path) for path in _own_files(out, settings)}
    shown = {part: one for part, one in counts.items() if one.clips}
    _replace_text(out / CARD, card_text(making, shown, files))
    files[CARD] = _described(out / CARD)
    manifest = _manifest(settings, making, shown, files)
    _replace_text(out / MANIFEST, json.dumps(manifest, ensure_ascii=False, indent=1) + "\n")
    return manifest


def is_whole(out: Path, manifest: Mapping[str, Json] | None = None) -> bool:
    """Whether a data set was written to its end, and its files still have their sizes.

    Args:
        manifest: What it has to be; None for any.
    """
    try:
        found = json.loads((out / MANIFEST).read_bytes())
        files = found["files"]
    except (OSError, ValueError, KeyError):
        return False
    return manifest in (None, found) and all(
        (out / name).is_file() and (out / name).stat().st_size == one["bytes"] for name, one in files.items()
    )


def clear_partials(out: Path) -> None:
    """Take away what a killed run left half done."""
    for path in out.glob(".*.part"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _counted(samples: Iterable[Sample], counts: PartCounts) -> Iterator[Sample]:
    for sample in samples:
        counts.add(sample, float(sample.subject.provenance.get("clip_seconds", 0)))
        yield sample


def _write_part(
    out: Path, part: Part, samples: Iterable[Sample], settings: PublishSettings, names: dict[Path, set[str]]
) -> None:
    if settings.format == "jsonl":
        write_records(out / f".{part}.jsonl.part", _own_records(samples, settings.clip_folder(out), names))
        (out / f".{part}.jsonl.part").replace(out / f"{part}.jsonl")
        _drop_if_empty(out / f"{part}.jsonl")
    else:
        with _new_folder(out / part) as folder:
            _write_shards(folder, part, samples, settings)
    for other in _other_forms(out, part, settings.format):
        shutil.rmtree(other) if other.is_dir() else other.unlink()


def _write_shards(folder: Path, part: Part, samples: Iterable[Sample], settings: PublishSettings) -> None:
    if settings.format == "webdataset":
        rows = ((sample.subject.subject_id, sample.records) for sample in samples)
        write_shards(folder, part, rows, settings.samples_per_shard)
        return
    records = _own_records(samples, settings.clip_folder(folder), {})
    write_parquet(folder, records, name=part, records_per_shard=settings.records_per_shard)


def _own_records(samples: Iterable[Sample], clips: ClipFolder, names: dict[Path, set[str]]) -> Iterator[DialogueRecord]:
    """Records with their clips as the data set has them."""
    for sample in samples:
        clip = clips.own(sample.subject.clip, sample.subject.subject_id)
        if isinstance(clip, FileClip):
            names.setdefault(clips.root, set()).add(Path(clip.path).name)
        yield from (replace(record, clip=clip) for record in sample.records)


def _write_layout(folder: Path, layout: Layout, samples: Iterable[Sample] | None) -> None:
    if samples is None:
        shutil.rmtree(folder, ignore_errors=True)
        return
    with _new_folder(folder) as partial:
        count = write_official(partial, layout, samples)
    if not count:
        shutil.rmtree(folder)  # nobody reads a data set without a record


@contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """A folder to fill, which takes the place of an older one when it is full."""
    partial, old = (folder.with_name(f".{folder.name}.{what}.part") for what in ("new", "old"))
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    yield partial
    if folder.exists():
        shutil.rmtree(old, ignore_errors=True)
        folder.replace(old)
    partial.replace(folder)
    shutil.rmtree(old, ignore_errors=True)


def _other_forms(out: Path, part: Part, form: Form) -> list[Path]:
    """What an earlier data set of another form left here."""
    own = out / f"{part}.jsonl" if form == "jsonl" else out / part
    return [path for path in (out / f"{part}.jsonl", out / part) if path != own and path.exists()]


def _drop_if_empty(path: Path) -> None:
    if not path.stat().st_size:
        path.unlink()


def _own_files(out: Path, settings: PublishSettings) -> Iterator[Path]:
    """Files of the data set, clips aside."""
    tops = [out / f"{part}.jsonl" if settings.format == "jsonl" else out / part for part in PARTS]
    for top in (*tops, *(out / folder for folder in FOLDERS.values())):
        if top.is_file():
            yield top
        elif top.is_dir():
            inside = ((path, path.relative_to(top).parts) for path in files_below(top))
            yield from (path for path, parts in inside if path.suffix != ".jpg" and parts[0] != CLIPS)


def _described(path: Path) -> dict[str, Json]:
    with path.open("rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _manifest(
    settings: PublishSettings,
    making: Making,
    parts: Mapping[str, PartCounts],
    files: Mapping[str, Mapping[str, Json]],
) -> dict[str, Json]:
    return {
        "schema": SCHEMA,
        "title": settings.title,
        "format": settings.format,
        "clips": settings.clips,
        "layouts": list(settings.layouts),
        "program": making.version,
        "model": making.model,
        "prompts": list(making.prompts),
        "settings": making.settings,
        "parts": {part: one.to_json() for part, one in parts.items()},
        "files": dict(files),
    }


def _replace_text(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.part")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
