"""One SQLite file that several threads and processes write to, and that a kill at any moment leaves whole."""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_BUSY_SECONDS: Final = 60.0


class SqliteFile:
    """The file, opened.

    Args:
        path: Made when it is not there, with its folder; ":memory:" for one that nobody keeps.
        read_only: Leave it as it is; it must be there.
        waits_for_disk: Whether each commit waits until the disk has it. Without, a kill of the process still loses
            nothing, but a power cut may lose the last commits.

    Raises:
        sqlite3.Error: It is no such file, or cannot be opened.
        OSError: Its folder cannot be made.
    """

    def __init__(self, path: Path | str, *, read_only: bool = False, waits_for_disk: bool = True) -> None:
        self._lock = threading.Lock()
        in_memory = str(path) == ":memory:"
        if not in_memory and not read_only:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        address = ":memory:" if in_memory else f"{Path(path).resolve().as_uri()}{'?mode=ro' if read_only else ''}"
        self._connection = sqlite3.connect(
            address, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False, uri=not in_memory
        )
        if not waits_for_disk:
            self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute(f"PRAGMA synchronous = {'FULL' if waits_for_disk else 'NORMAL'}")

    def prepare(self, tables: Sequence[str], version: int) -> int:
        """Make the tables of a new file, once also when two processes start together; the version that it then has."""
        if self._version() == 0:
            with self.transaction() as connection:
                if self._version() == 0:
                    for statement in tables:
                        connection.execute(statement)
                    connection.execute(f"PRAGMA user_version = {version}")
        return self._version()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The connection, for statements that change nothing; other threads wait."""
        with self._lock:
            yield self._connection

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All statements inside, or none; other threads and processes wait at the door."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._connection.close()

    def _version(self) -> int:
        return int(self._connection.execute("PRAGMA user_version").fetchone()[0])
