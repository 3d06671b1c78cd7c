import sqlite3
from pathlib import Path

import pytest

from sama_video.errors import ConfigError
from sama_video.remote.messages import Message, Reply, Request
from sama_video.remote.reply_store import Bill, Budget, BudgetError, Prices, ReplyStore, Spent

REQUEST = Request((Message("user", ("hello",)),), "v1")
REPLY = Reply("hi", model="m-1", prompt_tokens=7, completion_tokens=2)
MOST = Bill(10, 20, 0.5)


@pytest.fixture
def store(tmp_path: Path) -> ReplyStore:
    return ReplyStore(tmp_path / "deep" / "replies.sqlite")


def pay(store: ReplyStore, key: str = "k") -> None:
    store.pay(store.begin(key, MOST), Bill(7, 2, 0.25), key, "m", REQUEST, REPLY)


def test_reply_is_found_again_in_another_process(store: ReplyStore) -> None:
    pay(store)
    again = ReplyStore(store.path)
    found = again.get("k")
    assert found is not None
    assert (found.text, found.recorded, found.prompt_tokens) == ("hi", True, 7)
    assert again.get("other") is None
    assert again.spent() == Spent(requests=1, tokens=9, money=0.25, doubtful=0)


def test_attempt_under_way_counts_at_the_most_it_can_cost(store: ReplyStore) -> None:
    store.begin("k", MOST)
    assert ReplyStore(store.path).spent() == Spent(requests=1, tokens=30, money=0.5, doubtful=1)


def test_refused_attempt_is_free_and_a_lost_one_is_not(store: ReplyStore) -> None:
    store.give_up(store.begin("k", MOST), free=True)
    assert store.spent() == Spent(requests=1, tokens=0, money=0.0, doubtful=0)
    store.give_up(store.begin("k", MOST), free=False)
    assert store.spent() == Spent(requests=2, tokens=30, money=0.5, doubtful=1)


@pytest.mark.parametrize(
    ("budget", "told"),
    [
        (Budget(requests=1), "budget of 1 for requests is reached: 1 spent, and the next request may take 1"),
        (Budget(tokens=38), "budget of 38 for tokens is reached: 9 spent, and the next request may take 30"),
        (Budget(money=0.7), "budget of 0.7 for money is reached: 0.25 spent, and the next request may take 0.5"),
    ],
)
def test_budget_stops_before_it_is_exceeded(store: ReplyStore, budget: Budget, told: str) -> None:
    pay(store)
    with pytest.raises(BudgetError, match=told):
        store.begin("k2", MOST, budget)
    assert store.spent().requests == 1


def test_budget_that_is_just_enough_lets_through(store: ReplyStore) -> None:
    pay(store)
    assert store.begin("k2", MOST, Budget(requests=2, tokens=39, money=0.75)) == 2


def test_book_of_two_processes_is_one(store: ReplyStore) -> None:
    other = ReplyStore(store.path)
    store.begin("k", MOST)
    with pytest.raises(BudgetError):
        other.begin("k2", MOST, Budget(requests=1))


def test_reply_and_its_bill_are_written_together_or_not_at_all(store: ReplyStore) -> None:
    attempt = store.begin("k", MOST)
    vandal = sqlite3.connect(store.path)
    vandal.execute("CREATE TRIGGER no_room BEFORE INSERT ON replies BEGIN SELECT RAISE(ABORT, 'no room'); END")
    vandal.commit()
    vandal.close()
    with pytest.raises(sqlite3.IntegrityError, match="no room"):
        store.pay(attempt, Bill(7, 2, 0.25), "k", "m", REQUEST, REPLY)
    assert store.get("k") is None
    assert store.spent() == Spent(requests=1, tokens=30, money=0.5, doubtful=1)


def test_replay_needs_the_file_and_leaves_it_alone(store: ReplyStore, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no recorded replies at .*absent"):
        ReplyStore(tmp_path / "absent", read_only=True)
    assert not (tmp_path / "absent").exists()
    pay(store)
    read_only = ReplyStore(store.path, read_only=True)
    found = read_only.get("k")
    assert found is not None
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        read_only.begin("k", MOST)


def test_file_of_something_else_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("these are notes, and no database, for longer than a header is" * 5)
    with pytest.raises(ConfigError, match="cannot be used for replies"):
        ReplyStore(tmp_path / "notes.txt")
    later = tmp_path / "later.sqlite"
    connection = sqlite3.connect(later)
    connection.execute("PRAGMA user_version = 9")
    connection.close()
    with pytest.raises(ConfigError, match="in version 9, and this program reads 1"):
        ReplyStore(later)


def test_prices_are_for_a_million_tokens() -> None:
    assert Bill.of(2_000_000, 500_000, Prices(0.15, 0.6)).money == pytest.approx(0.6)
    with pytest.raises(ConfigError, match="a price is 0 or more"):
        Prices(-1)
