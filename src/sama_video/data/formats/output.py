"""Folders and long JSON files that appear whole or not at all, with the same bytes for the same content."""

import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO

from sama_video.errors import DataError


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder to write into, which gets its name `out` only when the block ends well.

    Raises:
        DataError: `out` is there and not empty, or cannot be written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} is there already and not empty; give a new folder.")
    partial = out.with_name(f".{out.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        partial.mkdir(parents=True)
        yield partial
        if out.exists():
            out.rmdir()  # a folder does not replace another on every system
        os.replace(partial, out)
    except OSError as error:
        raise DataError(f"{out} cannot be written ({error.strerror}); choose another folder.") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_json(path: Path, value: object) -> None:
    """Write a small document."""
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False) + "\n", encoding="utf-8")


class JsonLists:
    """A JSON object of long lists that grow side by side; each waits in a file of its own, none in memory.

    Use it as a context manager; `finish` makes the file.
    """

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        self._path = path
        self._names = tuple(names)
        self._stack = ExitStack()
        self._files: dict[str, IO[str]] = {}
        self.counts = dict.fromkeys(self._names, 0)

    def __enter__(self) -> "JsonLists":
        for name in self._names:
            waiting = self._waiting(name).open("w+", encoding="utf-8")
            self._files[name] = self._stack.enter_context(waiting)
        return self

    def add(self, name: str, row: Mapping[str, object]) -> None:
        """Add an entry to one of the lists."""
        self._files[name].write((",\n" if self.counts[name] else "") + _line(row))
        self.counts[name] += 1

    def finish(self, others: Mapping[str, object]) -> None:
        """Write the file: the other members first, then the lists, an entry a line."""
        with self._path.open("w", encoding="utf-8") as out:
            out.write("{")
            out.write(",\n".join(f"{_line(key)}:{_line(value)}" for key, value in others.items()))
            for position, name in enumerate(self._names):
                out.write(",\n" if others or position else "")
                out.write(f"{_line(name)}:[\n")
                self._files[name].seek(0)
                shutil.copyfileobj(self._files[name], out)
                out.write("\n]")
            out.write("}\n")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        for name in self._names:
            self._waiting(name).unlink(missing_ok=True)

    def _waiting(self, name: str) -> Path:
        return self._path.with_name(f".{self._path.name}.{name}.part")


class JsonList:
    """A JSON list written as its entries come; use it as a context manager."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._count = 0

    def __enter__(self) -> "JsonList":
        self._out = self._path.open("w", encoding="utf-8")
        self._out.write("[\n")
        return self

    def add(self, row: Mapping[str, object]) -> None:
        """Add an entry, on a line of its own."""
        self._out.write((",\n" if self._count else "") + _line(row))
        self._count += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._out.write("\n]\n")
        self._out.close()


class Numbers:
    """Gives each new name the next number, from 1."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    def of(self, name: str) -> int:
        """The number of a name."""
        return self._known.setdefault(name, len(self._known) + 1)

    def rows(self) -> list[dict[str, object]]:
        """`{"id", "name"}` of each, in order."""
        return [{"id": number, "name": name} for name, number in self._known.items()]


def _line(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
