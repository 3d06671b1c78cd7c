"""What is to be annotated: records, annotations of other tools, clips with boxes, drawn clips; one subject a clip.

An input is listed once; the ledger keeps the list, so that a run that goes on reads no input again. A subject is then
loaded when a stage needs it and is gone with it, so no more than one clip's masks are in memory.
"""

import os
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from sama_video.annotate.case import Subject
from sama_video.annotate.ledger import Ledger
from sama_video.annotate.stages import Json, Kept, digest
from sama_video.data.findings import Finding, Findings
from sama_video.errors import ConfigError, DataError

MAX_NAME: Final = 100
_DATA_SUFFIXES: Final = (".json", ".jsonl", ".parquet", ".pkl", ".p", ".xml", ".yaml")
_DATA_DEPTH: Final = 3
_LIST: Final = "list"
_LIST_VERSION: Final = 2
MAX_LEFT_OUT: Final = 1000
"""Faults of one input that are kept one by one; all are counted."""


@dataclass(frozen=True)
class Listed:
    """A subject before it is loaded.

    Attributes:
        subject_id: Safe as a file name; unique over all inputs once these are put together.
        fingerprint: Hash of all that annotation could depend on, the clip's pixels aside.
        locator: How its input finds it again.
        input_idx: Which input that is.
    """

    subject_id: str
    fingerprint: str
    locator: Json
    input_idx: int = 0


class Input(ABC):
    """One source of subjects. Inputs are cheap to pickle and hold no open file."""

    @abstractmethod
    def key(self) -> Json:
        """What the list depends on: settings, and names, sizes and times of the files that are read."""

    @abstractmethod
    def listed(self, findings: Findings) -> Iterator[Listed]:
        """Every subject; what cannot be used is counted in the findings.

        Raises:
            DataError: There is nothing to read.
        """

    @abstractmethod
    def load(self, locator: Json) -> Subject:
        """A subject by its locator, under any name.

        Raises:
            FaultError: It cannot be read any more.
        """


@dataclass(frozen=True)
class Catalogue:
    """All subjects of all inputs, by name.

    Attributes:
        faults: What the inputs had that cannot be used, by reason.
        left_out: The same one by one, as far as they are kept.
    """

    inputs: tuple[Input, ...]
    rows: tuple[Listed, ...]
    faults: tuple[tuple[str, int], ...] = ()
    left_out: tuple[Finding, ...] = ()

    def load(self, row: Listed) -> Subject:
        """A subject with its masks."""
        return replace(self.inputs[row.input_idx].load(row.locator), subject_id=row.subject_id)

    def check_usable(self) -> None:
        """Stop where there is no subject at all.

        Raises:
            DataError: With the first fault, and how many more there are.
        """
        if self.rows:
            return
        count = sum(number for _, number in self.faults)
        if not self.left_out:
            raise DataError("the inputs name no clip; put at least one in.")
        more = f", and {count - 1} more" if count > 1 else ""
        raise DataError(f"the inputs hold no clip that can be used: {told(self.left_out[0])}{more}; correct them.")


def told(fault: Finding) -> str:
    """A fault in a line for people."""
    place = fault.file if fault.record is None else f"{fault.file}, {fault.record}"
    return f"{place}: {fault.detail.rstrip('.')} ({fault.reason})"


def read_catalogue(inputs: Sequence[Input], ledger: Ledger) -> Catalogue:
    """The subjects of all inputs, in the order of their names, whatever the order of the files; there may be none."""
    rows: list[Listed] = []
    faults: Counter[str] = Counter()
    left_out: list[Finding] = []
    for number, one in enumerate(inputs):
        found = _list_of(one, ledger)
        rows.extend(replace(Listed(*row), input_idx=number) for row in found["subjects"])
        faults.update(found["faults"])
        left_out.extend(Finding(**row, is_fault=True) for row in found["left_out"])
    return Catalogue(tuple(inputs), tuple(_uniquely_named(rows)), tuple(sorted(faults.items())), tuple(left_out))


def safe_name(text: str) -> str:
    """A name that any file system takes.

    >>> safe_name("train/0123 a.mp4")
    'train-0123-a.mp4'
    """
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", text)[-MAX_NAME:].strip("-._")
    return plain or "clip"


def file_stamp(path: Path) -> Json:
    """Names, sizes and times of a file, or of the data files in a folder and two levels below it; pictures aside.

    Raises:
        ConfigError: There is nothing at the path.
    """
    if not path.exists():
        raise ConfigError(f"input {path} is not there; give a file or folder that is.")
    return [_stat(file, path) for file in ([path] if path.is_file() else sorted(_data_files(path, _DATA_DEPTH)))]


def _data_files(folder: Path, depth: int) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir() and depth > 1:
                yield from _data_files(Path(entry.path), depth - 1)
            elif entry.name.endswith(_DATA_SUFFIXES):
                yield Path(entry.path)


def _stat(file: Path, base: Path) -> list[Json]:
    found = file.stat()
    name = file.name if file == base else file.relative_to(base).as_posix()
    return [name, found.st_size, found.st_mtime_ns]


def _list_of(one: Input, ledger: Ledger) -> Json:
    """An input's list and what it leaves out: the ledger's, or made now and put there."""
    key = digest([_LIST, _LIST_VERSION, one.key()])
    known = ledger.result(key)
    if isinstance(known, Kept):
        return known.payload
    findings = Findings()
    rows = [[row.subject_id, row.fingerprint, row.locator] for row in one.listed(findings)]
    left_out = [row.to_json() for row in findings.rows if row.is_fault][:MAX_LEFT_OUT]
    made = {"subjects": rows, "faults": dict(findings.faults), "left_out": left_out}
    ledger.append(_LIST, "", key, Kept(made))
    return made


def _uniquely_named(rows: Sequence[Listed]) -> Iterator[Listed]:
    """Rows in the order of their names; those that share a name, as some file systems see it, get a part of their hash.

    So a name depends on what is there, and not on the order in which it came.
    """
    counts = Counter(row.subject_id.casefold() for row in rows)
    named = [
        row
        if counts[row.subject_id.casefold()] == 1
        else replace(row, subject_id=f"{row.subject_id}-{row.fingerprint[:8]}")
        for row in rows
    ]
    seen: set[str] = set()
    for row in sorted(named, key=lambda row: (row.subject_id, row.fingerprint, row.input_idx)):
        if row.subject_id.casefold() not in seen:  # the very same subject, given twice
            seen.add(row.subject_id.casefold())
            yield row
