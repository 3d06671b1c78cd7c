"""SIGKILL at random points: nothing is lost, nothing is there twice, nothing is paid twice, no file is torn."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from annotate_world import drawn_clips, published_hashes, settings_of
from fake_endpoint import Behaviour, serve

from sama_video.annotate.inputs.records import RecordInput
from sama_video.annotate.pipeline import Annotation
from sama_video.annotate.scripted import ScriptedTransport, Slips
from sama_video.data.findings import Findings

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")]

KILLS = 50
CLIPS = 4


class Book:
    """The endpoint's side: what it answered, and whether anybody asked for what is stored already."""

    def __init__(self) -> None:
        self.transport = ScriptedTransport(Slips(rate=0.5), seed=1)
        source = RecordInput(drawn_clips(CLIPS) / "records.jsonl")
        self.transport.meet(*(source.load(row.locator) for row in source.listed(Findings())))
        self.out: Path | None = None
        self.sent: Counter[str] = Counter()
        self.asked_again: list[str] = []
        self.lock = threading.Lock()

    def behave(self, _number: int, body: dict[str, Any]) -> Behaviour:
        text = self.transport.reply_to(body)
        with self.lock:
            self.sent[text] += 1
            if self.out is not None and text in stored_texts(self.out):
                self.asked_again.append(text)
        return Behaviour(text=text, delay=0.03)


def stored_texts(out: Path) -> set[str]:
    path = out / "replies.sqlite"
    if not path.exists():
        return set()
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        try:
            return {json.loads(row)["text"] for (row,) in connection.execute("SELECT reply FROM replies")}
        except sqlite3.OperationalError:
            return set()  # its tables are not made yet


def attempts(out: Path) -> Counter[tuple[str, str]]:
    with closing(sqlite3.connect(out / "replies.sqlite")) as connection:
        return Counter(connection.execute("SELECT key, state FROM attempts").fetchall())


def check_whole(out: Path, book: Book) -> None:
    """A run that came to its end after kills."""
    assert book.asked_again == []
    counts = attempts(out)
    paid = {key: count for (key, state), count in counts.items() if state == "paid"}
    lost = sum(count for (_, state), count in counts.items() if state != "paid")
    assert set(paid.values()) == {1}
    assert set(book.sent) == stored_texts(out)
    # What was sent more than once was under way when its asker was killed, and the book says so.
    assert book.sent.total() - len(book.sent) <= lost
    with closing(sqlite3.connect(out / "ledger.sqlite")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        doubled = (
            "SELECT stage, subject FROM results WHERE stage != 'publish' GROUP BY stage, subject HAVING COUNT(*) > 1"
        )
        assert connection.execute(doubled).fetchall() == []
    assert not list(out.rglob("*.part"))


def test_fifty_kills_lose_nothing_and_pay_nothing_twice(tmp_path: Path) -> None:
    book, rng = Book(), random.Random(0)
    with serve(book.behave) as endpoint:
        ask = {"model": "m", "base_url": endpoint.url, "workers": 2}
        changes = {"inputs": [{"records": str(drawn_clips(CLIPS) / "records.jsonl")}], "ask": ask}
        publish = {"layouts": ["sama239k", "sama_bench"]}
        settings = settings_of(tmp_path, **changes, publish=publish, split={"test_share": 0.5})
        with Annotation(settings, tmp_path / "whole") as annotation:
            annotation.run()
        wanted = published_hashes(tmp_path / "whole")
        book.sent.clear()
        command = [sys.executable, str(Path(__file__).with_name("kill_me.py")), str(tmp_path / "config.yaml")]
        kills = finished = 0
        began = time.monotonic()
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as helper:
            assert helper.stdin is not None
            assert helper.stdout is not None
            while kills < KILLS or book.out is not None:
                if book.out is None:
                    book.out = tmp_path / f"killed{finished}"
                print(book.out, file=helper.stdin, flush=True)
                child = int(helper.stdout.readline())
                spare = kills >= KILLS
                timer = threading.Timer(10**6 if spare else rng.uniform(0.01, 0.6), os.kill, (child, signal.SIGKILL))
                timer.start()
                ended = int(helper.stdout.readline())
                timer.cancel()
                assert ended in (0, -signal.SIGKILL)
                kills += ended == -signal.SIGKILL
                if ended == 0:
                    check_whole(book.out, book)
                    assert published_hashes(book.out) == wanted
                    book.sent.clear()
                    book.out, finished = None, finished + 1
            helper.stdin.close()
        assert kills >= KILLS
        assert finished >= 1
        print(f"{kills} kills, {finished} runs, {time.monotonic() - began:.0f} s")
