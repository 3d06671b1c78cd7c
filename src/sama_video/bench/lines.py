"""Append-only JSON lines that survive a kill: whole lines are kept, a torn last one is cut off and written anew."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from sama_video.bench.task import Json
from sama_video.errors import DataError

TAIL_BYTES = 1 << 16


@dataclass(frozen=True)
class LinePlace:
    """Where a line stands; `number` counts from 1."""

    path: Path
    offset: int
    length: int
    number: int

    def __str__(self) -> str:
        return f"{self.path}, line {self.number}"


def read_lines(path: Path, *, growing: bool = True) -> Iterator[tuple[LinePlace, Json]]:
    """Every line of a file with its place, one at a time.

    Args:
        growing: The file is one of ours, to which somebody may be writing: an end without a line break is no line yet.

    Raises:
        DataError: A line is not JSON.
    """
    offset = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            place = LinePlace(path, offset, len(line), number)
            offset += len(line)
            if growing and not line.endswith(b"\n"):
                return
            if line.strip():
                yield place, _parse(line, place)


def read_line(file: IO[bytes], place: LinePlace) -> Json:
    """The line at a place of an open file."""
    file.seek(place.offset)
    return _parse(file.read(place.length), place)


class LineWriter:
    """Appends values to a file, each as one line in one write, so that a kill tears at most the last."""

    def __init__(self, path: Path) -> None:
        cut_torn_line(path)
        self._file = path.open("ab", buffering=0)

    def append(self, value: Json) -> None:
        """Write one line."""
        line = memoryview(json.dumps(value, ensure_ascii=False, allow_nan=False).encode() + b"\n")
        while line:
            line = line[self._file.write(line) or 0 :]

    def settle(self) -> None:
        """Have everything on the disk, so that a machine that goes down loses nothing before this."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Settle, and let go of the file."""
        self.settle()
        self._file.close()


def cut_torn_line(path: Path) -> None:
    """Take away what follows the last line break of a file that a kill may have left unfinished."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        end = file.seek(0, os.SEEK_END)
        kept = end
        while kept > 0:
            start = max(0, kept - TAIL_BYTES)
            file.seek(start)
            found = file.read(kept - start).rfind(b"\n")
            if found >= 0:
                kept = start + found + 1
                break
            kept = start
        if kept < end:
            file.truncate(kept)


def write_whole(path: Path, text: str) -> None:
    """Write a file in one step: a reader sees the old one or the whole new one, after a kill too."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def _parse(line: bytes, place: LinePlace) -> Json:
    try:
        return json.loads(line)
    except ValueError as error:
        raise DataError(f"{place} is not JSON ({error}); give the file as it was written.") from error
