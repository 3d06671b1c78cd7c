"""Records in JSON Lines files, found by an index of where each line is and what it teaches.

    [starts] [lengths] [tasks] [header] [footer]

The index lies beside its file, or in the cache where the folder cannot be written; it belongs to one size and time of
change of the file and is made anew for any other. It gets its name only when it is whole, and the footer comes last, so
one that was cut off is never taken for an index. A small file is gone through each time instead.
"""

import json
import os
import re
import secrets
import struct
import zlib
from array import array
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from io import BufferedIOBase
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Int64, UInt8

from sama_video.data.findings import FaultError, Findings, Place
from sama_video.data.json_items import BOM, Span, missing_file, note_bom, parse, read_bytes
from sama_video.data.mask_index import Stamp
from sama_video.data.records import SCHEMA, SCHEMA_3, TASKS, DialogueRecord, Task
from sama_video.data.stores.store import RecordStore
from sama_video.errors import DataError, RegionError, SamaError
from sama_video.remote.hub import cache_folder

VERSION: Final = 1
SUFFIX: Final = ".sama-lines"
INDEX_ABOVE_BYTES: Final = 2**20
_MAGIC: Final = b"SAMALIN\n"
_FOOTER: Final = struct.Struct("<I8s")
_UNKNOWN_TASK: Final = TASKS.index("dialogue")
# What our writer puts first; a line of another make is parsed as a whole.
_BEGINNING: Final = re.compile(
    rb'\{"schema":"(?:%s|%s)","id":"(?:[^"\\]|\\.)*","task":"([a-z]+)",' % (SCHEMA.encode(), SCHEMA_3.encode())
)
_SNIFFED_BYTES: Final = 4096


@dataclass(frozen=True, eq=False)
class LineIndex:
    """Where a file's records are.

    Attributes:
        stamp: The state of the file that it belongs to.
        starts, lengths: Bytes of each line that is not blank.
        tasks: Places in `TASKS`.
        has_bom: Whether the file begins with a byte order mark.
    """

    stamp: Stamp
    starts: Int64[np.ndarray, " records"]
    lengths: Int64[np.ndarray, " records"]
    tasks: UInt8[np.ndarray, " records"]
    has_bom: bool = False

    def __len__(self) -> int:
        return len(self.starts)


class JsonlStore(RecordStore):
    """Records of one or several JSON Lines files, one after the other.

    Args:
        files: At least one.
        root: What paths of clips are relative to; each file's folder if not given.
        findings: Takes what is odd about the files.
        index_above: A file of fewer bytes gets no index on disk.
    """

    def __init__(
        self,
        files: Sequence[Path],
        root: Path | None = None,
        findings: Findings | None = None,
        *,
        index_above: int = INDEX_ABOVE_BYTES,
    ) -> None:
        self.files = tuple(files)
        self.root = root
        self.findings = findings or Findings()
        self.name = self.files[0].name if len(self.files) == 1 else self.files[0].parent.name
        self._index_above = index_above
        self._indices = [open_index(file, self.findings, index_above=index_above) for file in self.files]
        self._ends = np.cumsum([len(index) for index in self._indices])

    def __reduce__(self) -> tuple[object, ...]:
        return _reopened, (self.files, self.root, self._index_above)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def record(self, index: int, epoch: int = 0) -> DialogueRecord:
        """One record; `epoch` changes nothing."""
        number, line = self._place(index)
        file, found = self.files[number], self._indices[number]
        _check_unchanged(file, found.stamp)
        place = Place(str(file), f"record {line}")
        span = Span(int(found.starts[line]), int(found.lengths[line]))
        return record_of_line(read_bytes(file, span), self.root or file.parent, place, span.start)

    def task(self, index: int) -> Task:
        """What a record teaches, from the index."""
        number, line = self._place(index)
        return TASKS[int(self._indices[number].tasks[line])]

    def task_codes(self) -> UInt8[np.ndarray, " records"]:
        """All at once."""
        return np.concatenate([index.tasks for index in self._indices])

    def _place(self, index: int) -> tuple[int, int]:
        number = int(np.searchsorted(self._ends, self._checked(index), side="right"))
        return number, index - (int(self._ends[number - 1]) if number else 0)


def record_of_line(line: bytes, root: Path, place: Place, offset: int = 0) -> DialogueRecord:
    """The record that a line is.

    Raises:
        FaultError: `json_error`, `encoding_error`, `schema_error` or `bad_rle`.
    """
    value = parse(line, place.file, place.record, offset)
    return record_of_json(value, root, place)


def record_of_json(value: object, root: Path, place: Place) -> DialogueRecord:
    """The record that a JSON value is.

    Raises:
        FaultError: `schema_error` or `bad_rle`.
    """
    try:
        return DialogueRecord.from_json(value, root)
    except FaultError:
        raise
    except SamaError as error:
        damaged = isinstance(error, RegionError) or isinstance(error.__cause__, RegionError)
        raise place.fault("bad_rle" if damaged else "schema_error", str(error)) from None


def open_index(path: Path, findings: Findings, *, index_above: int = INDEX_ABOVE_BYTES) -> LineIndex:
    """The index of a file: read if there is one, else made, and kept for the next time.

    Raises:
        FaultError: `missing_file`.
    """
    try:
        with path.open("rb") as stream:
            stamp = Stamp.of(stream)
            on_disk = stamp.size >= index_above
            places = index_places(path) if on_disk else ()
            index = next((found for place in places if (found := read_index(place, stamp)) is not None), None)
            if index is None:
                index = scan_lines(stream, stamp)
                _check_unchanged(path, stamp)
                for place in places:
                    if write_index(place, index):
                        break
    except OSError as error:
        raise missing_file(path, error) from None
    if index.has_bom:
        note_bom(path, findings)
    return index


def scan_lines(stream: BufferedIOBase, stamp: Stamp) -> LineIndex:
    """Go through a file once, holding one line at a time."""
    starts, lengths, tasks = array("q"), array("q"), array("B")
    at, has_bom = 0, False
    for line in stream:
        begin, text = at, line
        at += len(line)
        if begin == 0 and line.startswith(BOM):
            has_bom, begin, text = True, len(BOM), line.removeprefix(BOM)
        if text.strip():
            starts.append(begin)
            lengths.append(len(text))
            tasks.append(_task_code(text))
    return LineIndex(
        stamp,
        np.frombuffer(starts, np.int64) if starts else np.zeros(0, np.int64),
        np.frombuffer(lengths, np.int64) if lengths else np.zeros(0, np.int64),
        np.frombuffer(tasks, np.uint8) if tasks else np.zeros(0, np.uint8),
        has_bom,
    )


def _task_code(line: bytes) -> int:
    """What a line's record teaches; a line that cannot be read is refused when its record is asked for."""
    beginning = _BEGINNING.match(line, 0, _SNIFFED_BYTES)
    if beginning is not None and beginning[1].decode() in TASKS:
        return TASKS.index(beginning[1].decode())
    try:
        return TASKS.index(DialogueRecord.from_json(json.loads(line)).task)
    except (ValueError, RecursionError, SamaError):
        return _UNKNOWN_TASK


def index_places(path: Path) -> tuple[Path, Path]:
    """Where a file's index may be: beside it, or in the cache."""
    name = sha256(os.fsencode(path.resolve())).hexdigest()[:32]
    return path.with_name(path.name + SUFFIX), cache_folder() / "record-index" / f"{name}{SUFFIX}"


def read_index(path: Path, stamp: Stamp) -> LineIndex | None:
    """Read an index; None if there is none, or not a whole one, or one of another state of the file."""
    try:
        content = path.read_bytes()
        header_bytes, magic = _FOOTER.unpack_from(content, len(content) - _FOOTER.size)
        end = len(content) - _FOOTER.size - header_bytes
        header = json.loads(content[end : len(content) - _FOOTER.size])
        known = magic == _MAGIC and header["version"] == VERSION and header["tasks"] == list(TASKS)
        if (
            not known
            or Stamp(header["size"], header["mtime_ns"]) != stamp
            or zlib.crc32(content[:end]) != header["crc"]
        ):
            return None
        count = header["records"]
        numbers = np.frombuffer(content, "<i8", 2 * count).astype(np.int64, copy=False).reshape(2, count)
        return LineIndex(
            stamp, numbers[0], numbers[1], np.frombuffer(content, np.uint8, count, 16 * count), header["bom"]
        )
    except (OSError, ValueError, KeyError, TypeError, struct.error):
        # Whatever is wrong with it, it is made anew and nothing is lost.
        return None


def write_index(path: Path, index: LineIndex) -> bool:
    """Write an index under its name, whole or not at all; False where no such file can be written."""
    body = index.starts.astype("<i8").tobytes() + index.lengths.astype("<i8").tobytes() + index.tasks.tobytes()
    header = {
        "version": VERSION,
        "size": index.stamp.size,
        "mtime_ns": index.stamp.mtime_ns,
        "records": len(index),
        "tasks": TASKS,
        "bom": index.has_bom,
        "crc": zlib.crc32(body),
    }
    text = json.dumps(header).encode()
    partial = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(partial, (body, text, _FOOTER.pack(len(text), _MAGIC)))
        partial.replace(path)
    except OSError:
        return False
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
    return True


def write_whole(path: Path, parts: Iterable[bytes]) -> None:
    """Write a new file and wait until it is safely on disk."""
    with path.open("xb") as stream:
        for part in parts:
            stream.write(part)
        stream.flush()
        os.fsync(stream.fileno())


def _check_unchanged(path: Path, stamp: Stamp) -> None:
    try:
        status = path.stat()
    except OSError as error:
        raise missing_file(path, error) from None
    if Stamp(status.st_size, status.st_mtime_ns) != stamp:
        raise DataError(f"{path} changed while it was in use; open it again when it is whole.")


def _reopened(files: tuple[Path, ...], root: Path | None, index_above: int) -> JsonlStore:
    """The store in another process; what is odd about its files was counted where it was opened first."""
    return JsonlStore(files, root, index_above=index_above)
