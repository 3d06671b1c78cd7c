"""`sama bench run` as a process that is killed at any moment: begun again, it gives the bytes of a run that was not."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import shared_folders
from tiny_model import build_model, build_processor

BENCH = ("SAMA_BENCH_FIXTURES_DIR", shared_folders.REPOSITORY.parent / "shared" / "fixtures" / "bench_mini")

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name == "nt", reason="SIGKILL is POSIX's")]


@pytest.fixture(scope="module")
def data() -> Path:
    return shared_folders.need_folder(*BENCH)


def start(*words: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "sama_video.app.cli.main", "bench", *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finish(*words: object) -> None:
    process = start(*words)
    _, told = process.communicate(timeout=300)
    assert process.returncode == 0, told.decode()


def lines(out: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in out.glob("predictions/*.jsonl"))


def scored(out: Path) -> tuple[bytes, bytes]:
    finish("score", out, "--no-captions")
    return (out / "scores.json").read_bytes(), (out / "per_question.jsonl").read_bytes()


def kill_after(num_lines: int, *words: object, out: Path) -> bool:
    """Kill a run when so many lines are there; whether it was still going."""
    process = start(*words)
    while lines(out) < num_lines and process.poll() is None:
        time.sleep(0.0005)
    process.kill()
    process.communicate(timeout=60)
    return process.returncode == -signal.SIGKILL


def test_answers_from_a_file_survive_kills(data: Path, tmp_path: Path) -> None:
    words = ["run", "sama-bench-g", "--model", f"file:{data / 'predictions_noisy.jsonl'}", "--data", data, "--out"]
    finish(*words, tmp_path / "whole")
    expected = scored(tmp_path / "whole")
    rng, kills = random.Random(1), 0
    for trial in range(3):
        out = tmp_path / f"cut{trial}"
        for _ in range(3):
            kills += kill_after(lines(out) + rng.randrange(1, 8), *words, out, out=out)
        path = out / "predictions" / "shard-0-of-1.jsonl"
        with path.open("rb+") as file:  # as a machine that goes down leaves it: in the middle of a line
            file.truncate(path.stat().st_size - rng.randrange(0, 400))
        finish(*words, out)
        assert scored(out) == expected
    assert kills >= 3


def test_answers_of_a_model_survive_kills(data: Path, tmp_path: Path) -> None:
    model = tmp_path / "tiny"
    build_model().save_pretrained(model)
    build_processor().save_pretrained(model)
    words = ["run", "sama-bench-g", "--model", model, "--data", data, "--limit", 5, "--history", "self", "--out"]
    finish(*words, tmp_path / "whole")
    out = tmp_path / "cut"
    kills = sum(kill_after(count, *words, out, out=out) for count in (1, 3))
    assert kills == 2
    finish(*words, out)
    assert scored(out) == scored(tmp_path / "whole")
