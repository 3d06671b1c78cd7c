"""Records in WebDataset shards: tar files of samples, each the records of one clip and the clip's own files.

    train-00000.tar:  NAME.json  NAME.mp4            a clip that is one file
                      NAME.json  NAME.00000.jpg ...  a clip that is a folder of frames

Members that follow each other and share the name before the first dot are one sample, in whatever order; its JSON file
holds a list of records. Nothing is ever unpacked to disk: records and pictures are read from where they lie in the
shard, so neither a member's name nor a link in it can reach anything outside.
"""

import hashlib
import tarfile
import warnings
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from itertools import groupby
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import UInt8

from sama_video.data.clips import every_nth_frame
from sama_video.data.findings import FaultError, Findings, Place
from sama_video.data.json_items import Span, missing_file, parse, read_bytes
from sama_video.data.record_clips import DEFAULT_FPS, FileClip
from sama_video.data.records import TASKS, DialogueRecord, Task
from sama_video.data.stores.jsonl import record_of_json
from sama_video.data.stores.store import RecordStore
from sama_video.errors import DataError, TruncatedVideoWarning, VideoError
from sama_video.video.clip import Clip
from sama_video.video.reader import open_video
from sama_video.video.stills import read_image

_RECORDS: Final = ".json"
_UNKNOWN_TASK: Final = TASKS.index("dialogue")


@dataclass(frozen=True)
class TarClip(FileClip):
    """A clip in a shard; `path` and `names` are its members.

    Attributes:
        shard: The tar file.
        spans: Where the files' contents lie in it, in the order of `names`, or that of the one file.
    """

    shard: Path = field(default=Path(), repr=False)
    spans: tuple[Span, ...] = field(default=(), repr=False)

    def below(self, root: Path) -> "TarClip":
        """A clip in a shard cannot be named as a file.

        Raises:
            DataError: Always.
        """
        raise DataError(f"clip {self.path} lies in {self.shard}; copy it out of the shard first.")

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Name and content of each of its files."""
        for name, span in zip(self.names or (self.path,), self.spans, strict=True):
            yield name, read_bytes(self.shard, span)

    def unpack(self, root: Path, path: str) -> FileClip:
        """The clip as files of its own: a video, or a folder of frames, below a root.

        Args:
            path: Of the video without its suffix, or of the folder; taken as it is, so no name of the shard counts.
        """
        suffix = "" if self.names else Path(self.path).suffix.lower()
        target = root / f"{path}{suffix}"
        target.parent.mkdir(parents=True, exist_ok=True)
        names = []
        for number, (name, content) in enumerate(self.files()):
            if self.names:
                target.mkdir(exist_ok=True)
                names.append(f"{number:05d}{Path(name).suffix.lower()}")
            (target / names[-1] if names else target).write_bytes(content)
        own = {name: getattr(self, name) for name in ("num_frames", "height", "width", "every", "fps")}
        return FileClip(target.relative_to(root).as_posix(), **own, names=tuple(names), root=root)

    def _opened(self, path: Path, place: Place) -> Clip:
        try:
            return _clip_of_pictures(self) if self.names else _clip_of_video(self)
        except (VideoError, TruncatedVideoWarning) as error:
            reason = "unreadable_frame" if self.names else "unreadable_video"
            raise FaultError(reason, str(self.shard), self.path, str(error)) from None


class PicturesInShard:
    """Frames that lie in a shard as one picture each, all of one size."""

    def __init__(self, clip: TarClip) -> None:
        self._clip = clip
        self.height, self.width = self._picture(0).shape[:2]

    def read(self, frame_indices: Sequence[int]) -> Iterator[tuple[int, UInt8[np.ndarray, "height width 3"]]]:
        """Decode the pictures asked for."""
        for idx in frame_indices:
            pixels = self._picture(idx)
            if pixels.shape[:2] != (self.height, self.width):
                raise VideoError(
                    f"{self._clip.names[idx]} is {pixels.shape[1]}x{pixels.shape[0]}, but {self._clip.names[0]} is "
                    f"{self.width}x{self.height}; the frames of a clip must have one size."
                )
            yield idx, pixels

    def sha256(self) -> str:
        """Hash the pictures' contents, in frame order."""
        digest = hashlib.sha256()
        for _, content in self._clip.files():
            digest.update(hashlib.sha256(content).digest())
        return digest.hexdigest()

    def close(self) -> None:
        """Nothing stays open between reads."""

    def _picture(self, idx: int) -> UInt8[np.ndarray, "height width 3"]:
        return read_image(read_bytes(self._clip.shard, self._clip.spans[idx]))


class TarStore(RecordStore):
    """Records of WebDataset shards, one shard after the other.

    Opening reads every sample's JSON file once; pictures are left alone.

    Args:
        files: The shards in order; see `tar_files`.
        findings: Takes what of the shards cannot be used.

    Raises:
        FaultError: A shard cannot be read.
    """

    def __init__(self, files: Sequence[Path], findings: Findings | None = None) -> None:
        self.files = tuple(files)
        self.findings = findings or Findings()
        self._stamps = tuple(_stamp(file) for file in self.files)
        self.name = self.files[0].parent.name if len(self.files) > 1 else self.files[0].name
        shards, starts, ends, numbers, tasks = array("L"), array("q"), array("q"), array("L"), array("B")
        for shard, file in enumerate(self.files):
            for sample in read_samples(file):
                for number, task in enumerate(_tasks_of(sample, self.findings)):
                    shards.append(shard)
                    starts.append(sample.start)
                    ends.append(sample.end)
                    numbers.append(number)
                    tasks.append(task)
        self._places = tuple(np.array(column, np.int64) for column in (shards, starts, ends, numbers))
        self._tasks: UInt8[np.ndarray, " records"] = np.array(tasks, np.uint8)

    def __reduce__(self) -> tuple[object, ...]:
        return TarStore, (self.files,)

    def __len__(self) -> int:
        return len(self._tasks)

    def record(self, index: int, epoch: int = 0) -> DialogueRecord:
        """One record, its clip to be read from the shard; `epoch` changes nothing."""
        sample, value, place = self._found(index)
        record = record_of_json(value, sample.file.parent, place)
        return replace(record, clip=_in_shard(record.clip, sample, place)) if _is_file(record) else record

    def value(self, index: int) -> tuple[object, Place]:
        """One record as it stands in its shard, unchecked, and where that is."""
        _, value, place = self._found(index)
        return value, place

    def task(self, index: int) -> Task:
        """What a record teaches."""
        return TASKS[int(self._tasks[self._checked(index)])]

    def task_codes(self) -> UInt8[np.ndarray, " records"]:
        """All at once."""
        return self._tasks

    def _found(self, index: int) -> tuple["Sample", object, Place]:
        shard, start, end, number = (int(column[self._checked(index)]) for column in self._places)
        file, stamp = self.files[shard], self._stamps[shard]
        if _stamp(file) != stamp:
            raise DataError(f"{file} changed while it was in use; open it again when it is whole.")
        sample = _sample_at(file, start, end, stamp)
        return sample, sample.rows[number], sample.place.part(f"record {number}")


@dataclass(frozen=True)
class Sample:
    """Members of a shard that belong together.

    Attributes:
        start, end: Bytes of the shard that hold them, headers included.
        members: Where each member's content lies, by its name.
    """

    file: Path
    name: str
    start: int
    end: int
    members: Mapping[str, Span]

    @property
    def place(self) -> Place:
        """For messages."""
        return Place(str(self.file), f"sample {self.name}")

    @cached_property
    def rows(self) -> list[object]:
        """Its records as they stand in its JSON file.

        Raises:
            FaultError: There is no such file, or it is no list.
        """
        span = self.members.get(f"{self.name}{_RECORDS}")
        if span is None:
            raise self.place.fault("missing_file", f"the sample has no file {self.name}{_RECORDS}")
        rows = parse(read_bytes(self.file, span), self.place.file, self.place.record, span.start)
        if not isinstance(rows, list):
            raise self.place.fault("schema_error", f"its JSON file is a {type(rows).__name__}; give a list of records")
        return rows


def tar_files(folder: Path) -> list[Path]:
    """The shards of a folder in order."""
    return sorted(path for path in folder.iterdir() if path.suffix == ".tar" and path.name[0] != ".")


def read_samples(file: Path, start: int = 0, end: int | None = None) -> Iterator[Sample]:
    """The samples of a shard, or of a stretch of it, headers alone.

    Members that are no plain file, such as links and devices, are as if they were not there.

    Raises:
        FaultError: It cannot be read, or ends early.
    """
    try:
        with file.open("rb") as stream:
            stream.seek(start)
            # Without "r:" a packed tar would be unpacked whole, for as long as its maker likes.
            with tarfile.open(fileobj=stream, mode="r:") as tar:
                for name, group in groupby(_plain_members(tar, end), lambda member: _sample_name(member.name)):
                    yield _sample_of(file, name, list(group))
    except (tarfile.TarError, OSError, ValueError, EOFError) as error:
        if isinstance(error, FileNotFoundError | PermissionError):
            raise missing_file(file, error) from None
        line = " ".join(str(error).split())
        raise FaultError("schema_error", str(file), None, f"the shard cannot be read ({line}); copy it again") from None


def _plain_members(tar: tarfile.TarFile, end: int | None) -> Iterator[tarfile.TarInfo]:
    for member in tar:
        if end is not None and member.offset >= end:
            return
        if member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not member.issparse():
            yield member


def _sample_of(file: Path, name: str, members: Sequence[tarfile.TarInfo]) -> Sample:
    spans = {Path(member.name).name: Span(member.offset_data, member.size) for member in members}
    last = members[-1]
    return Sample(file, name, members[0].offset, last.offset_data + last.size, spans)


def _sample_name(member: str) -> str:
    """A member's name up to the first dot, as readers of WebDataset take it."""
    return Path(member).name.partition(".")[0]


def _stamp(file: Path) -> tuple[int, int]:
    """Size and time of change.

    Raises:
        FaultError: It is not there.
    """
    try:
        status = file.stat()
    except OSError as error:
        raise missing_file(file, error) from None
    return status.st_size, status.st_mtime_ns


@lru_cache(maxsize=8)
def _sample_at(file: Path, start: int, end: int, stamp: tuple[int, int]) -> Sample:
    """A sample whose place is known; records of one clip are mostly read one after the other."""
    return next(iter(read_samples(file, start, end)))


def _tasks_of(sample: Sample, findings: Findings) -> Iterable[int]:
    try:
        rows = sample.rows
    except FaultError as error:
        findings.take(error)
        return ()
    named = [row.get("task") if isinstance(row, Mapping) else None for row in rows]
    return [TASKS.index(task) if task in TASKS else _UNKNOWN_TASK for task in named]


def _is_file(record: DialogueRecord) -> bool:
    return isinstance(record.clip, FileClip)


def _in_shard(clip: object, sample: Sample, place: Place) -> TarClip:
    """A record's clip among the members of its sample.

    Raises:
        FaultError: It is not there.
    """
    assert isinstance(clip, FileClip)
    wanted = clip.names or (clip.path,)
    missing = [name for name in wanted if name not in sample.members]
    if missing:
        more = f", and {len(missing) - 1} more" if len(missing) > 1 else ""
        reason = "missing_frame" if clip.names else "missing_video"
        raise place.fault(reason, f"the sample has no file {missing[0]}{more}")
    spans = tuple(sample.members[name] for name in wanted)
    own = {name: getattr(clip, name) for name in ("path", "num_frames", "height", "width", "names", "every", "fps")}
    return TarClip(**own, root=sample.file.parent, shard=sample.file, spans=spans)


def _clip_of_video(clip: TarClip) -> Clip:
    with warnings.catch_warnings():
        warnings.simplefilter("error", TruncatedVideoWarning)
        whole = open_video(read_bytes(clip.shard, clip.spans[0]))
    return replace(every_nth_frame(whole, clip.every), source=f"{clip.shard}, {clip.path}")


def _clip_of_pictures(clip: TarClip) -> Clip:
    pictures = PicturesInShard(clip)
    fps = clip.fps or DEFAULT_FPS
    return Clip(
        source=f"{clip.shard}, {clip.path}",
        height=pictures.height,
        width=pictures.width,
        times=np.arange(clip.num_frames, dtype=np.float64) / fps,
        average_fps=float(fps),
        last_frame_seconds=1 / fps,
        has_audio=False,
        frame_source=pictures,
    )
