"""`sama data synth` as the shell would run it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sama_video.app.cli.main import main
from sama_video.data.records import read_records


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(["data", "synth", *words])
    out, err = capsys.readouterr()
    return code, out, err


def test_clips_are_written_and_summed_up_in_one_document(capsys, tmp_path):
    out = tmp_path / "new" / "out"
    words = ("--out", str(out), "--clips", "2", "--seed", "1", "--level", "1", "--split", "test", "--size", "64x48")
    code, printed, err = run(capsys, *words, "--json")
    assert (code, err) == (0, "")
    document = json.loads(printed)
    assert (document["clips"], document["added"], document["first_seed"]) == (2, 2, 10_000)
    assert document["settings"]["split"] == "test"
    records = list(read_records(document["records"]))
    assert [(record.clip.height, record.clip.width) for record in records] == [(48, 64)] * 2
    assert Path(document["questions"]).exists()
    assert (Path(document["sama_bench"]) / "mevis.json").exists()
    code, printed, _ = run(capsys, *words)
    assert (code, printed) == (0, f"2 clips, 0 of them new, in {out}\n")


def test_sprites_and_backgrounds_come_from_folders(capsys, tmp_path):
    for name in ("sprites", "grounds"):
        (tmp_path / name).mkdir()
    Image.fromarray(np.full((20, 24, 4), 200, np.uint8)).save(tmp_path / "sprites" / "crate.png")
    Image.fromarray(np.full((60, 60, 3), 90, np.uint8)).save(tmp_path / "grounds" / "wall.jpg")
    words = ("--out", str(tmp_path / "out"), "--clips", "2", "--size", "48", "--format", "mp4")
    folders = ("--sprites", str(tmp_path / "sprites"), "--backgrounds", str(tmp_path / "grounds"))
    assert run(capsys, *words, *folders)[0] == 0
    answers = " ".join(turn.answer for record in read_records(tmp_path / "out/records.jsonl") for turn in record.turns)
    assert "crate" in answers
    code, _, err = run(capsys, *words)
    assert code == 2
    assert "sprites" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--clips", "1"), "was given no --out"),
        (("--out", "OUT"), "--clips is missing"),
        (("--out", "OUT", "--clips", "1", "--size", "20"), "too small"),
        (("--out", "OUT", "--clips", "1", "--size", "tall"), "'tall' is no size"),
        (("--out", "OUT", "--clips", "1", "--size", "49x64", "--format", "mp4"), "even numbers"),
        (("--out", "OUT", "--clips", "1", "--level", "4"), "--level"),
        (("--out", "OUT", "--clips", "1", "--sprites", "nowhere"), "nowhere is no folder"),
        (("--out", "OUT", "--clips", "20000", "--split", "val"), "take several seeds"),
        (("--out", "OUT", "--clips", "1", "--split", "val", "--seed", "100"), "leaves split val"),
    ],
)
def test_mistakes_are_one_line_and_write_nothing(capsys, tmp_path, words, said):
    out = tmp_path / "out"
    code, printed, err = run(capsys, *(str(out) if word == "OUT" else word for word in words))
    assert (code, printed) == (2, "")
    assert said in err
    assert err.count("\n") == 1
    assert not out.exists()


@pytest.mark.slow
def test_process_killed_at_random_moments_ends_with_the_same_folder(tmp_path):
    words = [sys.executable, "-m", "sama_video.app.cli.main", "data", "synth", "--clips", "12", "--size", "64"]
    clean, killed = tmp_path / "clean", tmp_path / "killed"
    started = time.monotonic()
    subprocess.run([*words, "--out", str(clean)], check=True, capture_output=True)
    seconds = time.monotonic() - started
    for share in (0.5, 0.6, 0.7, 0.8, 0.9):
        process = subprocess.Popen([*words, "--out", str(killed)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(share * seconds)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    subprocess.run([*words, "--out", str(killed)], check=True, capture_output=True)
    files = {path.relative_to(clean) for path in clean.rglob("*") if path.is_file()}
    assert files == {path.relative_to(killed) for path in killed.rglob("*") if path.is_file()}
    assert all((clean / name).read_bytes() == (killed / name).read_bytes() for name in files)
