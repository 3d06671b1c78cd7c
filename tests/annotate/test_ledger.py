import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from sama_video.annotate.ledger import Ledger, alone_in, pack_payload, unpack_payload
from sama_video.annotate.stages import Dropped, Kept, Stage, digest, plain
from sama_video.errors import ConfigError, DataError


def test_results_come_back_as_they_were(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l.sqlite") as ledger:
        ledger.append("probe", "a", b"1" * 16, Kept({"seconds": 1.5, "name": "é"}))
        ledger.append("probe", "b", b"2" * 16, Dropped("too_short", "0.1 s"))
    with Ledger(tmp_path / "l.sqlite") as ledger:
        assert ledger.payload(b"1" * 16) == {"seconds": 1.5, "name": "é"}
        assert ledger.result(b"2" * 16) == Dropped("too_short", "0.1 s")
        assert ledger.result(b"3" * 16) is None
        assert {key: one.reason for key, one in ledger.outcomes("probe").items()} == {
            b"1" * 16: None,
            b"2" * 16: "too_short",
        }
        assert ledger.outcomes("ask") == {}


def test_a_result_is_never_changed(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    with Ledger(path) as ledger:
        ledger.append("probe", "a", b"1" * 16, Kept(1))
        ledger.append("probe", "a", b"1" * 16, Kept(2))
        assert ledger.payload(b"1" * 16) == 1
    connection = sqlite3.connect(path)
    for statement in ("DELETE FROM results", "UPDATE results SET reason = 'x'"):
        with pytest.raises(sqlite3.IntegrityError, match="only grows"):
            connection.execute(statement)
    connection.close()


def test_several_results_are_kept_together_or_not_at_all(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l.sqlite") as ledger:
        rows = iter([("a", b"1" * 16, Kept(1)), ("b", b"2" * 16, Kept(float("nan")))])
        with pytest.raises(ValueError, match="JSON"):
            ledger.append_all("probe", rows)
        assert ledger.outcomes("probe") == {}


def test_the_payload_of_a_dropped_subject_is_refused(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l.sqlite") as ledger:
        ledger.append("probe", "b", b"2" * 16, Dropped("x"))
        with pytest.raises(DataError, match="no result"):
            ledger.payload(b"2" * 16)


def test_a_file_that_is_no_ledger_is_told(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    path.write_text("hello " * 500)
    with pytest.raises(ConfigError, match=r"cannot be used as a ledger .*; name another --out"):
        Ledger(path)
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 7")
    connection.close()
    with pytest.raises(ConfigError, match="version 7"):
        Ledger(path)


def test_payloads_round_trip_and_none_takes_no_room() -> None:
    assert pack_payload(None) is None
    assert unpack_payload(None) is None
    assert unpack_payload(pack_payload([1, {"a": None}])) == [1, {"a": None}]


def test_a_key_follows_from_all_that_a_result_depends_on() -> None:
    stage = Stage("check", 1, {"words": 3})
    assert stage.key("a", b"x") == Stage("check", 1, {"words": 3}).key("a", b"x")
    others = [
        Stage("check", 2, {"words": 3}).key("a", b"x"),
        Stage("check", 1, {"words": 4}).key("a", b"x"),
        Stage("recheck", 1, {"words": 3}).key("a", b"x"),
        stage.key("b", b"x"),
        stage.key("a", b"y"),
    ]
    assert len({stage.key("a", b"x"), *others}) == 6
    assert digest({"b": 1, "a": 2}) == digest({"a": 2, "b": 1})
    assert plain({"p": Path("a/b"), "t": (1, frozenset({"y", "x"}))}) == {"p": "a/b", "t": [1, ["x", "y"]]}


def test_a_second_run_in_a_folder_is_refused_and_a_dead_one_lets_go(tmp_path: Path) -> None:
    hold = f"""
import sys, time
from pathlib import Path
from sama_video.annotate.ledger import alone_in
with alone_in(Path({str(tmp_path)!r})):
    print("held", flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", hold], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(ConfigError, match="another run is at work in"), alone_in(tmp_path):
            pass
        other.kill()
    with alone_in(tmp_path):
        pass
