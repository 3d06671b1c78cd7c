"""Every benchmark runs and writes what the page of results reads; how fast it is is nobody's business here."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROW_KEYS = {
    "turns": {"turn", "reuse", "no_reuse", "ratio"},
    "live": {"objects", "frames_per_second", "frames_per_second_with_questions", "first_token_seconds"},
    "decode": {"clip", "frames", "ratio", "clip_seconds", "bare_seconds", "clip_open_seconds"},
    "startup": {"what", "seconds"},
    "jf": {"way"},
    "training": {"preset", "forward_seconds", "backward_seconds", "tokens_per_second", "matrix_use"},
    "other_hand": {"figure", "mean", "low", "high", "count"},
    "mask_index": {"step", "seconds", "memory_mib"},
    "annotate": {"backend", "clips_per_hour", "outside_waiting_seconds_per_clip", "cpu_seconds_per_clip", "memory_mib"},
    "loading": {"step", "records", "seconds", "records_per_second", "memory_mib"},
}


def run(repository: Path, script: str, *options: str) -> str:
    path = os.pathsep.join(filter(None, [str(repository / "src"), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, str(repository / "benchmarks" / f"{script}.py"), *options]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}, timeout=900, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("script", sorted(ROW_KEYS))
def test_benchmark_writes_its_result(repository: Path, tmp_path: Path, script: str) -> None:
    target = tmp_path / "result.json"
    assert run(repository, script, "--quick", "--json", str(target)).strip()
    result = json.loads(target.read_text())
    assert {"benchmark", "date", "arguments", "machine", "rows", "peak_rss_mib"} <= set(result)
    assert result["benchmark"] == script
    assert result["rows"]
    assert all(ROW_KEYS[script] <= set(row) for row in result["rows"])


def test_real_size_writes_turns_and_tracks(repository: Path, tmp_path: Path) -> None:
    target = tmp_path / "result.json"
    run(repository, "real_size", "--quick", "--json", str(target))
    result = json.loads(target.read_text())
    (chat,) = result["chats"]
    assert [row["vision_frames"] > 0 for row in chat["rows"]] == [True, False]
    assert [row["segmenter_frames"] > 0 for row in chat["rows"]] == [True, False]
    assert {row["objects"] for row in result["tracks"]} == {1, 2}


def test_serving_writes_load_memory_and_soak(repository: Path, tmp_path: Path) -> None:
    target = tmp_path / "result.json"
    run(repository, "serving", "--quick", "--films", "1", "--json", str(target))
    result = json.loads(target.read_text())
    assert [(row["side"], row["clients"]) for row in result["load"]] == [
        (side, clients) for clients in (1, 2) for side in ("sama-serve", "one-by-one", "plain")
    ]
    assert all(row["errors"] == 0 and row["same_texts"] for row in result["load"])
    assert [row["conversations"] for row in result["memory"]["rows"]] == [2, 20]
    assert result["soak"]["errors"] == 0
    assert result["soak"]["requests"] > 0


def test_follow_up_turn_encodes_nothing_and_tracks_nothing(repository: Path, tmp_path: Path) -> None:
    target = tmp_path / "result.json"
    run(repository, "turns", "--quick", "--json", str(target))
    result = json.loads(target.read_text())
    frames = result["frames"]
    first, known, new, text = (row["reuse"] for row in result["rows"])
    assert (first["segmenter_frames"], first["propagations"]) == (frames, 1)
    assert (known["vision_frames"], known["segmenter_frames"], known["propagations"]) == (0, 0, 0)
    assert (new["vision_frames"], new["segmenter_frames"], new["propagations"]) == (0, 0, 1)
    assert (text["segmenter_frames"], text["propagations"]) == (0, 0)
    assert all(row["reuse"]["prefill_tokens"] <= row["no_reuse"]["prefill_tokens"] for row in result["rows"])
    assert result["smallest_mask_iou"] > 0.9


def test_page_shows_every_result(repository: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    options = ["--quick", "--only", "objects", "length", "--results", str(tmp_path), "--page", str(page)]
    run(repository, "run_all", *options)
    text = page.read_text()
    assert {path.name for path in tmp_path.glob("*.json")} == {"objects.cpu.json", "length.cpu.json"}
    assert "## Objects tracked together" in text
    assert "## Length of the clip" in text
    assert str(tmp_path) not in text
