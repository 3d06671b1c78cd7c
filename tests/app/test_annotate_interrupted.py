"""Ctrl-C at `sama data annotate`: one line, exit code 130, and the same command goes on from there."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from annotate_world import drawn_clips, published_hashes, settings_of

from sama_video.annotate.pipeline import Annotation

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")]


def started(config: Path, out: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "sama_video.app.cli.main", "data", "annotate", str(config), "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A runner in the background hands down an ignored SIGINT; a terminal does not.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def replies(out: Path) -> int:
    path = out / "replies.sqlite"
    if not path.exists():
        return 0
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        try:
            return int(connection.execute("SELECT COUNT(*) FROM replies").fetchone()[0])
        except sqlite3.OperationalError:
            return 0  # its tables are not made yet


def test_an_interrupted_run_says_so_and_goes_on(tmp_path: Path) -> None:
    ask = {"model": "scripted", "mistakes": 0.3, "delay_ms": 400, "workers": 1}
    settings = settings_of(tmp_path, inputs=[{"records": str(drawn_clips(4) / "records.jsonl")}], ask=ask)
    with Annotation(settings, tmp_path / "whole") as annotation:
        annotation.run()
    out = tmp_path / "out"
    running = started(tmp_path / "config.yaml", out)
    began = time.monotonic()
    while replies(out) < 2:
        assert running.poll() is None, running.communicate()
        assert time.monotonic() - began < 120
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    told, error = running.communicate(timeout=60)
    assert (running.returncode, told, error) == (130, "", "interrupted\n")
    assert not (out / "dataset.json").exists()
    before = replies(out)
    assert before < replies(tmp_path / "whole")
    again = started(tmp_path / "config.yaml", out)
    told, error = again.communicate(timeout=120)
    assert (again.returncode, error) == (0, "")
    assert "published in" in told
    assert replies(out) == replies(tmp_path / "whole")
    assert published_hashes(out) == published_hashes(tmp_path / "whole")


def test_another_run_is_refused_and_a_second_interrupt_waits_for_no_reply(tmp_path: Path) -> None:
    settings_of(tmp_path, ask={"model": "scripted", "delay_ms": 60_000})
    out = tmp_path / "out"
    first = started(tmp_path / "config.yaml", out)
    try:
        began = time.monotonic()
        while not (out / "replies.sqlite").exists():
            assert first.poll() is None, first.communicate()
            assert time.monotonic() - began < 120
            time.sleep(0.02)
        second = started(tmp_path / "config.yaml", out)
        _, error = second.communicate(timeout=120)
        assert second.returncode == 2
        assert "another run is at work" in error
        first.send_signal(signal.SIGINT)
        time.sleep(1)
        assert first.poll() is None  # what was asked for is paid for
        first.send_signal(signal.SIGINT)
        _, error = first.communicate(timeout=20)  # and not the minute that the replies take
        assert (first.returncode, error) == (130, "interrupted\n")
    finally:
        first.kill()
        first.communicate()
