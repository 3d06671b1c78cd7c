"""Records in Parquet shards: columns that any table tool reads, masks as run-length strings, read by row group.

    records-00000-of-00003.parquet      columns id, task, source, licence, clip, objects, turns, provenance, facts

`clip`, regions, `provenance` and `facts` are JSON text, for they differ from record to record; `clip` is `null` where a
dialogue is about nothing but words, and an older installation refuses that record alone. Shards get their names
only when all of them are whole, so a folder that lacks some is a folder that was cut off, and is refused. Needs
pyarrow.
"""

import json
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import UInt8

from sama_video.data.findings import Findings, Place
from sama_video.data.records import SCHEMA, SCHEMA_3, TASKS, DialogueRecord, Task
from sama_video.data.stores.jsonl import record_of_json
from sama_video.data.stores.store import RecordStore
from sama_video.errors import DataError, MissingExtraError

ROWS_PER_GROUP: Final = 16
"""One record is read with its row group, so this is what random access costs; larger ones pack a little better."""

RECORDS_PER_SHARD: Final = 4096
_SHARD: Final = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.parquet")
_SCHEMA_KEY: Final = b"sama_schema"
_COMPRESSION: Final = "zstd"


def write_parquet(
    folder: str | os.PathLike[str],
    records: Iterable[DialogueRecord],
    *,
    name: str = "records",
    records_per_shard: int = RECORDS_PER_SHARD,
    rows_per_group: int = ROWS_PER_GROUP,
) -> int:
    """Write records as Parquet shards and say how many; the shards appear under their names only when all are whole.

    Args:
        folder: Made if it is not there; shards of this name in it are replaced. Paths of clips are relative to it.
        records: Taken one row group at a time.
        name: What the shards' names begin with.
        records_per_shard: Of each but the last.
        rows_per_group: Records that are read together.

    Raises:
        DataError: The folder cannot be written.
        MissingExtraError: There is no pyarrow.
    """
    if records_per_shard < 1 or rows_per_group < 1:
        raise DataError(f"shards of {records_per_shard} and groups of {rows_per_group} records; give 1 or more.")
    target = Path(folder)
    partials: list[Path] = []
    try:
        target.mkdir(parents=True, exist_ok=True)
        count = _write_partials(target, name, records, records_per_shard, rows_per_group, partials)
        old = set(_shards_of(target, name))
        wanted = [target / f"{name}-{number:05d}-of-{len(partials):05d}.parquet" for number in range(len(partials))]
        for partial, path in zip(partials, wanted, strict=True):
            partial.replace(path)
        for path in old.difference(wanted):
            path.unlink()
    except OSError as error:
        raise DataError(f"{target}: {error.strerror or error}; choose a folder that can be written.") from error
    finally:
        for partial in partials:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
    return count


def _write_partials(
    target: Path, name: str, records: Iterable[DialogueRecord], per_shard: int, per_group: int, partials: list[Path]
) -> int:
    """Write shards under hidden names, each added to `partials` before it is begun."""
    pq, schema = _pyarrow("pyarrow.parquet"), table_schema()
    count, writer, in_shard = 0, None, 0
    try:
        for group in _groups(records, per_shard, per_group):
            if writer is None:
                partials.append(target / f".{name}-{len(partials):05d}.{secrets.token_hex(4)}.partial")
                writer = pq.ParquetWriter(partials[-1], schema, compression=_COMPRESSION)
            writer.write_table(_table(group, schema), row_group_size=per_group)
            count, in_shard = count + len(group), in_shard + len(group)
            if in_shard == per_shard:
                writer.close()
                writer, in_shard = None, 0
        if not partials:
            partials.append(target / f".{name}-00000.{secrets.token_hex(4)}.partial")
            writer = pq.ParquetWriter(partials[-1], schema, compression=_COMPRESSION)
    finally:
        if writer is not None:
            writer.close()
    for partial in partials:
        with partial.open("rb+") as stream:
            os.fsync(stream.fileno())
    return count


def _groups(records: Iterable[DialogueRecord], per_shard: int, per_group: int) -> Iterator[tuple[DialogueRecord, ...]]:
    """Records in groups, none of which lies in two shards."""
    iterator, left = iter(records), per_shard
    while group := tuple(islice(iterator, min(per_group, left))):
        yield group
        left = (left - len(group)) or per_shard


class ParquetStore(RecordStore):
    """Records of Parquet shards, one after the other.

    Args:
        files: The shards in order; see `shard_files`.
        root: What paths of clips are relative to; the shards' folder if not given.

    Raises:
        DataError: A file is no Parquet of records of this version.
        MissingExtraError: There is no pyarrow.
    """

    def __init__(self, files: Sequence[Path], root: Path | None = None, findings: Findings | None = None) -> None:
        self.files = tuple(files)
        self.root = root
        self.findings = findings or Findings()
        self.name = self.files[0].parent.name
        sizes, tasks = zip(*(_read_outline(file) for file in self.files), strict=True)
        self._group_files = np.repeat(np.arange(len(self.files)), [len(groups) for groups in sizes])
        self._group_numbers = np.concatenate([np.arange(len(groups)) for groups in sizes])
        self._group_ends = np.cumsum(np.concatenate([np.asarray(groups, np.int64) for groups in sizes]))
        self._tasks: UInt8[np.ndarray, " records"] = np.concatenate(tasks)
        self._last: tuple[int, Any] = (-1, None)

    def __reduce__(self) -> tuple[object, ...]:
        return ParquetStore, (self.files, self.root)

    def __len__(self) -> int:
        return len(self._tasks)

    def record(self, index: int, epoch: int = 0) -> DialogueRecord:
        """One record; its row group stays in memory until another is asked for. `epoch` changes nothing."""
        value, place = self.value(index)
        return record_of_json(value, self.root or Path(place.file).parent, place)

    def value(self, index: int) -> tuple[object, Place]:
        """One record in the form of a line of a record file, unchecked, and where it is."""
        group = int(np.searchsorted(self._group_ends, self._checked(index), side="right"))
        first = int(self._group_ends[group - 1]) if group else 0
        file = self.files[int(self._group_files[group])]
        row = self._group(group, file).slice(index - first, 1).to_pylist()[0]
        number = index - int(self._first_of_file(group))
        return json_of_row(row), Place(str(file), f"record {number}")

    def task(self, index: int) -> Task:
        """What a record teaches."""
        return TASKS[int(self._tasks[self._checked(index)])]

    def task_codes(self) -> UInt8[np.ndarray, " records"]:
        """All at once."""
        return self._tasks

    def _group(self, group: int, file: Path) -> Any:
        known, table = self._last
        if known != group:
            with _reading(file):
                table = _pyarrow("pyarrow.parquet").ParquetFile(file).read_row_group(int(self._group_numbers[group]))
            self._last = (group, table)
        return table

    def _first_of_file(self, group: int) -> int:
        begin = group - int(self._group_numbers[group])
        return int(self._group_ends[begin - 1]) if begin else 0


def shard_files(folder: Path) -> list[Path]:
    """The Parquet shards of a folder in order.

    Raises:
        DataError: Shards are missing: their writing or copying was cut off.
    """
    files = sorted(path for path in folder.iterdir() if path.suffix == ".parquet" and path.name[0] != ".")
    totals: dict[tuple[str, int], int] = {}
    for path in files:
        found = _SHARD.fullmatch(path.name)
        if found is not None:
            key = found[1], int(found[3])
            totals[key] = totals.get(key, 0) + 1
    names = [name for name, _ in totals]
    for (name, total), count in totals.items():
        if names.count(name) > 1:
            raise DataError(f"{folder} has two sets of shards {name}-*; delete the older one.")
        if count != total:
            raise DataError(f"{folder} has {count} of the {total} shards {name}-*; write or copy them again.")
    return files


def table_schema() -> Any:
    """Names and types of the columns."""
    pa = _pyarrow("pyarrow")
    text = pa.string()
    obj = pa.struct(
        [
            ("object", text),
            ("height", pa.int32()),
            ("width", pa.int32()),
            ("masks", pa.list_(text)),
            ("scores", pa.list_(pa.float64())),
        ]
    )
    turn = pa.struct(
        [
            ("question", text),
            ("regions", pa.list_(text)),
            ("answer", text),
            ("targets", pa.list_(pa.list_(text))),
            ("spans", pa.list_(pa.list_(pa.float64()))),
        ]
    )
    columns = [(name, text) for name in ("id", "task", "source", "licence", "clip")]
    columns += [("objects", pa.list_(obj)), ("turns", pa.list_(turn)), ("provenance", text), ("facts", text)]
    return pa.schema(columns, metadata={_SCHEMA_KEY: SCHEMA.encode()})


def row_of(record: DialogueRecord) -> dict[str, object]:
    """A record as a row of the table."""
    return {
        "id": record.record_id,
        "task": record.task,
        "source": record.source,
        "licence": record.licence,
        "clip": _text(record.clip.to_json()),
        "objects": [
            {
                "object": one.object_id,
                "height": one.height,
                "width": one.width,
                "masks": [None if rle is None else rle["counts"] for rle in one.rles],
                "scores": list(one.scores) if any(score is not None for score in one.scores) else None,
            }
            for one in record.objects
        ],
        "turns": [
            {
                "question": turn.question,
                "regions": [_text(prompt.to_json()) for prompt in turn.regions],
                "answer": turn.answer,
                "targets": [list(ids) for ids in turn.targets],
                "spans": [list(span) for span in turn.spans],
            }
            for turn in record.turns
        ],
        "provenance": _text(record.provenance),
        "facts": _text(record.facts),
    }


def json_of_row(row: Mapping[str, Any]) -> dict[str, object]:
    """A row of the table in the form of a line of a record file; damaged text is left to whoever reads that."""
    objects = [
        {
            "object": one["object"],
            "size": [one["height"], one["width"]],
            "masks": one["masks"],
            **({} if one["scores"] is None else {"scores": one["scores"]}),
        }
        for one in row["objects"] or []
    ]
    turns = [{**turn, "regions": [_value(region) for region in turn["regions"] or []]} for turn in row["turns"] or []]
    whole = {key: row[key] for key in ("id", "task", "source", "licence")}
    parsed = {key: _value(row[key]) for key in ("clip", "provenance", "facts")}
    schema = SCHEMA_3 if parsed["clip"] is None else SCHEMA
    return {"schema": schema, **whole, **parsed, "objects": objects, "turns": turns}


def _table(records: Sequence[DialogueRecord], schema: Any) -> Any:
    return _pyarrow("pyarrow").Table.from_pylist([row_of(record) for record in records], schema=schema)


def _shards_of(folder: Path, name: str) -> Iterator[Path]:
    for path in folder.iterdir():
        found = _SHARD.fullmatch(path.name)
        if found is not None and found[1] == name:
            yield path


def _read_outline(file: Path) -> tuple[list[int], UInt8[np.ndarray, " records"]]:
    """Rows of each row group, and what each record teaches; no other column is read."""
    with _reading(file):
        found = _pyarrow("pyarrow.parquet").ParquetFile(file)
        metadata, schema = found.metadata, found.schema_arrow
        version = (schema.metadata or {}).get(_SCHEMA_KEY, b"none").decode()
        if version != SCHEMA or not schema.equals(table_schema()):
            raise DataError(f"{file} has records of the schema {version}, this version reads {SCHEMA}; convert it.")
        groups = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
        tasks = found.read(columns=["task"]).column("task").to_pylist()
    unknown = TASKS.index("dialogue")
    return groups, np.array([TASKS.index(task) if task in TASKS else unknown for task in tasks], np.uint8)


@contextmanager
def _reading(file: Path) -> Iterator[None]:
    """Tell what goes wrong in reading a file as a DataError that names it."""
    try:
        yield
    except (OSError, ValueError, _pyarrow("pyarrow").ArrowException) as error:
        raise DataError(f"{file} cannot be read ({' '.join(str(error).split())}); copy it again.") from error


def _pyarrow(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError:
        raise MissingExtraError("pyarrow", "data") from None


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _value(text: object) -> object:
    try:
        return json.loads(text) if isinstance(text, str) else text
    except ValueError:
        return text
