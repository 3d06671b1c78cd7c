"""Replies that were paid for, and the book of what they cost: one SQLite file that outlives a kill at any moment.

A request is entered in the book before it is sent, at the most it can cost, and corrected when it is over. So the sum
of the book never falls short of what was spent: not while several requests are under way, not with several processes on
one file, and not after a kill, when the entry that nobody corrected stays at the most it can have cost. The reply and
the correction are written together, and before anybody reads the reply.
"""

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sama_video.errors import ConfigError, SamaError
from sama_video.remote.messages import Reply, Request
from sama_video.remote.sqlite_file import SqliteFile

_SCHEMA_VERSION = 1
_TABLES = (
    "CREATE TABLE replies (key TEXT PRIMARY KEY, model TEXT NOT NULL, prompt_version TEXT NOT NULL, "
    "reply TEXT NOT NULL)",
    "CREATE TABLE attempts (id INTEGER PRIMARY KEY, key TEXT NOT NULL, state TEXT NOT NULL, "
    "prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, money REAL NOT NULL)",
)

State = Literal["under_way", "paid", "free", "doubtful"]
"""What is known of an attempt: not over yet, replied, refused before any work, or lost after it was sent."""


class BudgetError(SamaError):
    """The next request could cost more than is left; everything paid for is kept."""


@dataclass(frozen=True)
class Prices:
    """Money for a million tokens, in whatever currency the budget is in."""

    prompt: float | int = 0.0
    completion: float | int = 0.0

    def __post_init__(self) -> None:
        if self.prompt < 0 or self.completion < 0:
            raise ConfigError(f"prices are {self.prompt} and {self.completion}; a price is 0 or more.")


@dataclass(frozen=True)
class Budget:
    """Most that may be spent in all, what the store has paid for before included; None for no limit."""

    requests: int | None = None
    tokens: int | None = None
    money: float | int | None = None


@dataclass(frozen=True)
class Bill:
    """What one request costs."""

    prompt_tokens: int
    completion_tokens: int
    money: float

    @classmethod
    def of(cls, prompt_tokens: int, completion_tokens: int, prices: Prices) -> "Bill":
        """The bill of so many tokens."""
        money = (prompt_tokens * prices.prompt + completion_tokens * prices.completion) / 1e6
        return cls(prompt_tokens, completion_tokens, money)


@dataclass(frozen=True)
class Spent:
    """What the book comes to.

    Attributes:
        requests: All that were sent, those that failed included.
        tokens, money: Of requests that were answered, and at most of those whose end is not known.
        doubtful: How many those are: cut off, timed out, killed, or under way now.
    """

    requests: int
    tokens: int
    money: float
    doubtful: int


class ReplyStore:
    """Replies by the hash of their request, and the book.

    Args:
        path: The SQLite file, made when it is not there; ":memory:" for a store that nobody keeps.
        read_only: For a replay: the file must be there and is left as it is.
    """

    def __init__(self, path: Path | str, *, read_only: bool = False) -> None:
        self.path = str(path)
        if read_only and self.path != ":memory:" and not Path(path).is_file():
            raise ConfigError(f"there are no recorded replies at {path}; ask once without replay, or name their file.")
        try:
            # What a reply cost is lost with it, so each commit waits until the disk has it.
            self._file = SqliteFile(path, read_only=read_only)
            version = self._file.prepare(_TABLES, _SCHEMA_VERSION)
        except (sqlite3.Error, OSError) as error:
            raise ConfigError(f"{path} cannot be used for replies ({error}); name another file.") from error
        if version != _SCHEMA_VERSION:
            raise ConfigError(
                f"{self.path} holds replies in version {version}, and this program reads {_SCHEMA_VERSION}; "
                "name another file."
            )

    def get(self, key: str) -> Reply | None:
        """The reply to the request of that hash, when there is one."""
        with self._file.reading() as connection:
            row = connection.execute("SELECT reply FROM replies WHERE key = ?", (key,)).fetchone()
        return None if row is None else Reply.from_json(json.loads(row[0]))

    def begin(self, key: str, most: Bill, budget: Budget = Budget()) -> int:
        """Enter an attempt at the most it can cost; its number in the book.

        Raises:
            BudgetError: With it the book could exceed the budget.
        """
        with self._file.transaction() as connection:
            _check_budget(_spent(connection), most, budget)
            row = (key, "under_way", most.prompt_tokens, most.completion_tokens, most.money)
            cursor = connection.execute(
                "INSERT INTO attempts (key, state, prompt_tokens, completion_tokens, money) VALUES (?, ?, ?, ?, ?)", row
            )
            attempt = cursor.lastrowid
        assert attempt is not None
        return attempt

    def pay(self, attempt: int, bill: Bill, key: str, model: str, request: Request, reply: Reply) -> None:
        """Keep a reply and correct its entry, both or neither."""
        with self._file.transaction() as connection:
            connection.execute(
                "UPDATE attempts SET state = 'paid', prompt_tokens = ?, completion_tokens = ?, money = ? WHERE id = ?",
                (bill.prompt_tokens, bill.completion_tokens, bill.money, attempt),
            )
            connection.execute(
                "INSERT OR REPLACE INTO replies (key, model, prompt_version, reply) VALUES (?, ?, ?, ?)",
                (key, model, request.prompt_version, json.dumps(reply.to_json(), ensure_ascii=True)),
            )

    def give_up(self, attempt: int, *, free: bool) -> None:
        """Close an attempt without a reply: free when the server refused it, else kept at the most it can cost."""
        with self._file.transaction() as connection:
            if free:
                connection.execute(
                    "UPDATE attempts SET state = 'free', prompt_tokens = 0, completion_tokens = 0, money = 0 "
                    "WHERE id = ?",
                    (attempt,),
                )
            else:
                connection.execute("UPDATE attempts SET state = 'doubtful' WHERE id = ?", (attempt,))

    def spent(self) -> Spent:
        """The sum of the book."""
        with self._file.reading() as connection:
            return _spent(connection)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def _spent(connection: sqlite3.Connection) -> Spent:
    with closing(
        connection.execute(
            "SELECT COUNT(*), COALESCE(SUM(prompt_tokens + completion_tokens), 0), COALESCE(SUM(money), 0.0), "
            "COALESCE(SUM(state IN ('under_way', 'doubtful')), 0) FROM attempts"
        )
    ) as rows:
        requests, tokens, money, doubtful = rows.fetchone()
    return Spent(requests, tokens, float(money), doubtful)


def _check_budget(spent: Spent, most: Bill, budget: Budget) -> None:
    tokens = most.prompt_tokens + most.completion_tokens
    rows = (
        ("requests", spent.requests, 1, budget.requests),
        ("tokens", spent.tokens, tokens, budget.tokens),
        ("money", spent.money, most.money, budget.money),
    )
    for name, used, more, limit in rows:
        if limit is not None and used + more > limit:
            raise BudgetError(
                f"the budget of {limit:g} for {name} is reached: {used:g} spent, and the next request may take "
                f"{more:g}; every reply so far is kept, so go on with a larger budget when you want to."
            )
