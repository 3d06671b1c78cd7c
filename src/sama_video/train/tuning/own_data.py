"""One's own annotations as records: a folder that any of `data.formats` reads, made ready before a run begins.

The rule by which plain instance masks with names become questions (`data.formats.dialogues`):

- grounding: each label is asked for ("Segment the beetle."), all objects of that label together where there are
  several, and each object by its text where it has one ("Segment the red beetle.");
- referring: each object is pointed at by a point, a box or its mask ("What is <region>?") and answered by its label,
  with its mask;
- an object of which some frames have only a box is pointed at and answered in words, and is nobody's mask.

Up to eight questions of a clip, in an order drawn under the seed, are one record.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from sama_video.data.findings import FaultError, Findings
from sama_video.data.formats import AnnotatedClip, Format, detect, own_frames, to_records
from sama_video.data.records import DialogueRecord, write_records
from sama_video.data.sources.layouts import SHARD_SUFFIXES, find_layouts
from sama_video.errors import ConfigError, DataError
from sama_video.train.processes import is_first_process
from sama_video.train.run_folder import write_whole
from sama_video.train.tuning.folder import RECORDS
from sama_video.train.tuning.settings import SourceSettings, TuneConfig

RULE_VERSION: Final = 1
"""Of the rule above and of the files written here; another one makes them anew."""
TURNS_PER_RECORD: Final = 8
WAIT_SECONDS: Final = 3600.0
_SUMMARY: Final = "converted.json"
_MARKS: Final = 100_000


@dataclass(frozen=True)
class OwnData:
    """What became of one folder.

    Attributes:
        folder: As it was given.
        layout: Name of the annotation format.
        clips, objects, records, turns: How many of each there are now.
        faults, notes: What was left out or is odd, by reason.
        first_fault: One line about the first of them, empty without any.
        parts: Record files made, each with the folder that its clips are named relative to.
    """

    folder: str
    layout: str
    clips: int
    objects: int
    records: int
    turns: int
    faults: dict[str, int]
    notes: dict[str, int]
    first_fault: str
    parts: tuple[tuple[str, str], ...]

    def sources(self, like: SourceSettings) -> tuple[SourceSettings, ...]:
        """The sources that stand for the folder in a recipe."""
        name = like.name or Path(like.path).name
        return tuple(
            replace(like, path=path, layout="jsonl", root=root, name=name if number == 0 else f"{name}-{number + 1}")
            for number, (path, root) in enumerate(self.parts)
        )


def prepare_own_data(
    settings: TuneConfig, out: Path, *, data_root: Path | None = None
) -> tuple[TuneConfig, tuple[OwnData, ...]]:
    """The settings with every source of annotations replaced by records made of it in `out/records`.

    Sources that hold records or a published data set are left alone. What was made before of the same files is taken
    as it is. Of several processes the first works, the others wait.

    Args:
        out: The run's folder.
        data_root: What relative paths are relative to.

    Raises:
        DataError: A folder's annotations cannot be used, or give no record.
        ConfigError: `out` cannot be written.
    """
    sources: list[SourceSettings] = []
    made: list[OwnData] = []
    for number, source in enumerate(settings.data.sources):
        path = (data_root or Path()) / source.path
        annotations = None if source.layout != "auto" else annotation_format(path)
        if annotations is None:
            sources.append(source)
            continue
        one = _converted(path, annotations, out / RECORDS / f"{number}", settings)
        made.append(one)
        sources += one.sources(source)
    return replace(settings, data=replace(settings.data, sources=tuple(sources))), tuple(made)


def annotation_format(path: Path) -> Format | None:
    """The format of a folder of annotations; None for records, published data sets, and what is not there.

    Raises:
        DataError: The folder holds neither records nor anything that a format reads.
    """
    if not path.exists() or path.suffix in (".jsonl", *SHARD_SUFFIXES):
        return None
    if path.is_dir() and (find_layouts(path) or any(path.glob("*.parquet"))):
        return None
    try:
        return detect(path)
    except DataError:
        if path.suffix == ".json":  # a data set's own file, such as Ref-SAV's
            return None
        raise


def convert(path: Path, annotations: Format, into: Path, *, seed: int, strict: bool) -> OwnData:
    """Write the records of a folder's annotations, and of what is wrong with them a count.

    A clip that is only a part of a video or of a folder cannot be named by a record; its frames are copied.

    Raises:
        DataError: There is no record in it, or, when strict, anything is wrong.
    """
    findings = Findings(strict, base=path if path.is_dir() else path.parent)
    root = (path if path.is_dir() else path.parent).absolute()
    copies = into / "frames"
    tally = _Tally()
    records: dict[Path, list[DialogueRecord]] = {root: [], copies: []}
    for clip in annotations.read(path, findings):
        try:
            where, found = _records_of(clip, root, copies, seed)
        except FaultError as error:
            findings.take(error)
            continue
        records[where] += found
        tally.add(clip, found)
    parts = tuple(_written(into / f"{name}.jsonl", records[where], where) for name, where in _named(records, root))
    first = next((f"{row.file}: {row.detail}" for row in findings.rows if row.is_fault), "")
    if not tally.records:
        why = f"; the first thing wrong is {first}" if first else ", for no clip has an object that is ever seen"
        raise DataError(f"{path} ({annotations.title}) gives no record{why}; sama data preview shows what is there.")
    faults, notes = (dict(sorted(counts.items())) for counts in (findings.faults, findings.notes))
    counts = (tally.clips, tally.objects, tally.records, tally.turns)
    return OwnData(str(path), annotations.name, *counts, faults, notes, first, parts)


class _Tally:
    """What there is so far."""

    def __init__(self) -> None:
        self.clips = self.objects = self.records = self.turns = 0

    def add(self, clip: AnnotatedClip, records: Sequence[DialogueRecord]) -> None:
        """Count one clip."""
        self.clips += 1
        self.objects += len(clip.objects)
        self.records += len(records)
        self.turns += sum(len(record.turns) for record in records)


def _records_of(clip: AnnotatedClip, root: Path, copies: Path, seed: int) -> tuple[Path, list[DialogueRecord]]:
    try:
        return root, list(to_records(clip, root, seed=seed, max_turns=TURNS_PER_RECORD))
    except DataError as error:
        if isinstance(error, FaultError):
            raise
    own = own_frames(clip, copies)
    return copies, list(to_records(own, copies, seed=seed, max_turns=TURNS_PER_RECORD))


def _named(records: dict[Path, list[DialogueRecord]], root: Path) -> Iterator[tuple[str, Path]]:
    return ((("clips" if where == root else "frames"), where) for where, found in records.items() if found)


def _written(file: Path, records: Sequence[DialogueRecord], root: Path) -> tuple[str, str]:
    write_records(file, records)
    return str(file.absolute()), str(root.absolute())


def _converted(path: Path, annotations: Format, into: Path, settings: TuneConfig) -> OwnData:
    """What was made of a folder, now or before."""
    print_of = _fingerprint(path, settings)
    summary = into / _SUMMARY
    if (known := _known(summary, print_of)) is not None:
        return known
    if not is_first_process():
        return _awaited(summary, print_of)
    try:
        _emptied(into)
        one = convert(path, annotations, into, seed=settings.seed, strict=settings.data.strict)
        row = {"fingerprint": print_of, **asdict(one)}
        write_whole(summary, (json.dumps(row, indent=1, ensure_ascii=False) + "\n").encode())
    except OSError as error:
        raise ConfigError(f"cannot write to {into}: {error.strerror}; choose another --out.") from error
    return one


def _emptied(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def _known(summary: Path, fingerprint: str) -> OwnData | None:
    try:
        row: dict[str, Any] = json.loads(summary.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if row.pop("fingerprint", None) != fingerprint:
        return None
    return OwnData(**{**row, "parts": tuple((file, root) for file, root in row["parts"])})


def _awaited(summary: Path, fingerprint: str) -> OwnData:
    end = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < end:
        if (known := _known(summary, fingerprint)) is not None:
            return known
        time.sleep(1.0)
    raise ConfigError(f"{summary} did not appear in {WAIT_SECONDS:.0f} s; see what the first process says.")


def _fingerprint(path: Path, settings: TuneConfig) -> str:
    """Tells one state of a folder from another by its files' names, sizes and times."""
    digest = hashlib.sha256(f"{RULE_VERSION} {settings.seed} {settings.data.strict} {path.absolute()}".encode())
    files = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
    for file in files[:_MARKS]:
        stat = os.stat(file)
        digest.update(f"{file} {stat.st_size} {stat.st_mtime_ns}".encode())
    return digest.hexdigest()[:16]
