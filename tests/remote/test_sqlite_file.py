"""A file of tables: all statements of a transaction or none, made once, and left alone where it is only read."""

import sqlite3
from pathlib import Path

import pytest

from sama_video.remote.sqlite_file import SqliteFile

TABLES = ("CREATE TABLE words (word TEXT NOT NULL)",)


def words(file: SqliteFile) -> list[str]:
    with file.reading() as connection:
        return [word for (word,) in connection.execute("SELECT word FROM words")]


@pytest.mark.parametrize("waits", [True, False])
def test_a_transaction_happens_whole_or_not_at_all(tmp_path: Path, waits: bool) -> None:
    file = SqliteFile(tmp_path / "new" / "a.sqlite", waits_for_disk=waits)
    assert file.prepare(TABLES, 3) == 3
    with file.transaction() as connection:
        connection.execute("INSERT INTO words VALUES ('kept')")
    with pytest.raises(sqlite3.IntegrityError), file.transaction() as connection:
        connection.executemany("INSERT INTO words VALUES (?)", [("lost",), (None,)])
    assert words(file) == ["kept"]
    file.close()


def test_tables_are_made_once_and_their_version_is_told(tmp_path: Path) -> None:
    first, second = (SqliteFile(tmp_path / "a.sqlite") for _ in range(2))
    assert (first.prepare(TABLES, 3), second.prepare(TABLES, 4)) == (3, 3)


def test_a_file_that_is_only_read_is_not_written_to(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError):
        SqliteFile(tmp_path / "a.sqlite", read_only=True).prepare(TABLES, 3)
    assert not (tmp_path / "a.sqlite").exists()
    SqliteFile(tmp_path / "a.sqlite").prepare(TABLES, 3)
    file = SqliteFile(tmp_path / "a.sqlite", read_only=True)
    assert file.prepare(TABLES, 3) == 3
    with pytest.raises(sqlite3.OperationalError, match="readonly"), file.transaction() as connection:
        connection.execute("INSERT INTO words VALUES ('new')")
