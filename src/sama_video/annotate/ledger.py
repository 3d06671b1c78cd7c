"""Ledger: what each stage made of each subject, in one SQLite file that is only ever added to.

A row is written in one transaction when its result is there, so a kill at any moment loses the result under way and
nothing else. Its key hashes everything the result depends on: changed settings find no row and do their work again, and
whoever changes them back finds the old rows. Nothing else is remembered between runs.
"""

import json
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sama_video.annotate.stages import Dropped, Json, Kept, Result
from sama_video.errors import ConfigError, DataError
from sama_video.remote.sqlite_file import SqliteFile

_SCHEMA_VERSION: Final = 1
_TABLES: Final = (
    """CREATE TABLE results (
        id INTEGER PRIMARY KEY, stage TEXT NOT NULL, subject TEXT NOT NULL, key BLOB NOT NULL UNIQUE,
        reason TEXT, detail TEXT, payload BLOB)""",
    # Resuming asks for keys and reasons alone; with this it does not read the payloads between them.
    "CREATE INDEX results_of_stage ON results (stage, key, reason)",
    "CREATE TRIGGER results_stay BEFORE UPDATE ON results BEGIN SELECT RAISE(ABORT, 'the ledger only grows'); END",
    "CREATE TRIGGER results_last BEFORE DELETE ON results BEGIN SELECT RAISE(ABORT, 'the ledger only grows'); END",
)
_INSERT: Final = (
    "INSERT OR IGNORE INTO results (stage, subject, key, reason, detail, payload) VALUES (?, ?, ?, ?, ?, ?)"
)


@dataclass(frozen=True)
class Outcome:
    """A result without what it holds.

    Attributes:
        reason: Why the subject was dropped; None where it was kept.
    """

    reason: str | None = None

    @property
    def is_kept(self) -> bool:
        """Whether the subject goes on."""
        return self.reason is None


KEPT: Final = Outcome()


class Ledger:
    """Results by key.

    Args:
        path: The file, made when it is not there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            # What is paid for lies in the reply store, which waits for the disk; rows here can be made again.
            self._file = SqliteFile(path, waits_for_disk=False)
            version = self._file.prepare(_TABLES, _SCHEMA_VERSION)
        except (sqlite3.Error, OSError) as error:
            raise ConfigError(f"{path} cannot be used as a ledger ({error}); name another --out.") from error
        if version != _SCHEMA_VERSION:
            raise ConfigError(
                f"{path} is a ledger of version {version}, this program reads {_SCHEMA_VERSION}; name another --out."
            )

    def outcomes(self, stage: str) -> dict[bytes, Outcome]:
        """Every result of a stage, of these settings and of others."""
        with self._file.reading() as connection:
            rows = connection.execute("SELECT key, reason FROM results WHERE stage = ?", (stage,))
            return {key: KEPT if reason is None else Outcome(reason) for key, reason in rows}

    def result(self, key: bytes) -> Result | None:
        """One result, with what it holds; None if there is none."""
        with self._file.reading() as connection:
            row = connection.execute("SELECT reason, detail, payload FROM results WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        return Kept(unpack_payload(row[2])) if row[0] is None else Dropped(row[0], row[1] or "")

    def payload(self, key: bytes) -> Json:
        """What a result that was kept holds.

        Raises:
            DataError: There is no such result, or it was dropped.
        """
        found = self.result(key)
        if not isinstance(found, Kept):
            raise DataError(f"{self.path} has no result {key.hex()}; run the same command again.")
        return found.payload

    def append(self, stage: str, subject_id: str, key: bytes, result: Result) -> None:
        """Keep a result; one that is there already stays as it is."""
        self.append_all(stage, [(subject_id, key, result)])

    def append_all(self, stage: str, rows: Iterable[tuple[str, bytes, Result]]) -> None:
        """Keep several results, all or none."""
        with self._file.transaction() as connection:
            for subject_id, key, result in rows:
                connection.execute(_INSERT, (stage, subject_id, key, *_columns(result)))

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _columns(result: Result) -> tuple[str | None, str | None, bytes | None]:
    """Reason, detail and payload."""
    if isinstance(result, Dropped):
        return result.reason, result.detail, None
    return None, None, pack_payload(result.payload)


def pack_payload(payload: Json) -> bytes | None:
    """A payload as the ledger holds it; nothing for None."""
    if payload is None:
        return None
    return zlib.compress(json.dumps(payload, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode())


def unpack_payload(packed: bytes | None) -> Json:
    """The payload again."""
    return None if packed is None else json.loads(zlib.decompress(packed))


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other runs out of a folder until the block ends, however it ends: a second one would pay for the same.

    Raises:
        ConfigError: Another run is at work there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(folder / ".running", timeout=0, isolation_level=None)
    try:
        connection.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        connection.close()
        raise ConfigError(f"another run is at work in {folder}; wait for it, or name another --out.") from error
    try:
        yield
    finally:
        connection.close()
