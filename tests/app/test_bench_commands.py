"""`sama bench` on the small official layout: predictions in, the expected scores out, whatever happens in between."""

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import shared_folders

from sama_video.app.cli.main import main

BENCH = ("SAMA_BENCH_FIXTURES_DIR", shared_folders.REPOSITORY.parent / "shared" / "fixtures" / "bench_mini")
NOT_SCORED = {"noise"}
"""What the expected scores say of how a prediction was made."""


@pytest.fixture(scope="module")
def data() -> Path:
    return shared_folders.need_folder(*BENCH)


@pytest.fixture
def sama(capsys: pytest.CaptureFixture[str], bare_environment: pytest.MonkeyPatch) -> Any:
    """Call it with the words after `sama`; gives exit code, stdout and stderr."""
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        bare_environment.delenv(name, raising=False)

    def run(*words: object) -> tuple[int, str, str]:
        code = main([str(word) for word in words])
        return code, *capsys.readouterr()

    return run


def oracle(data: Path, name: str = "oracle") -> str:
    return f"file:{data / f'predictions_{name}.jsonl'}"


def differences(found: Any, expected: Any, path: str = "") -> list[str]:
    """Where `expected` is not in `found`, to the tolerance that it states."""
    if isinstance(expected, dict):
        told = [f"{path}/{key} is missing" for key in expected if key not in found and key not in NOT_SCORED]
        return told + [line for key in expected if key in found for line in differences(found[key], expected[key], key)]
    if isinstance(expected, list):
        if len(found) != len(expected):
            return [f"{path} has {len(found)} entries"]
        pairs = enumerate(zip(found, expected, strict=True))
        return [line for place, pair in pairs for line in differences(*pair, f"{path}[{place}]")]
    if isinstance(expected, float):
        return [] if math.isclose(found, expected, rel_tol=0, abs_tol=1e-9) else [f"{path}: {found} not {expected}"]
    return [] if found == expected else [f"{path}: {found!r} not {expected!r}"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["oracle", "noisy"])
@pytest.mark.parametrize("with_files", [True, False])
def test_grounded_scores_are_the_expected_ones(
    sama: Any, data: Path, tmp_path: Path, name: str, with_files: bool
) -> None:
    files = ["--data", data] if with_files else []
    words = ["bench", "run", "sama-bench-g", "--model", oracle(data, name), *files, "--out", tmp_path, "--json"]
    code, out, err = sama(*words)
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert (told["questions"], told["answered"], told["complete"]) == (25, 25, True)
    code, out, err = sama("bench", "score", tmp_path, "--no-captions", "--json")
    assert (code, err) == (0, "")
    assert out == (tmp_path / "scores.json").read_text()
    document = json.loads(out)
    expected = json.loads((data / "expected_scores.json").read_text())[f"predictions_{name}.jsonl"]["G"]
    expected.pop("total_reference_with_stale_slots")  # what a defect would give, and we do not have it
    assert differences(document["G"], expected) == []
    assert (document["complete"], document["similarity"]) == (True, "exact")


@pytest.mark.parametrize("name", ["oracle", "noisy"])
def test_counts_of_the_described_part_are_the_expected_ones(sama: Any, data: Path, tmp_path: Path, name: str) -> None:
    words = ["bench", "run", "sama-bench-c", "--model", oracle(data, name), "--data", data, "--out", tmp_path]
    assert sama(*words)[0] == 0
    code, out, _ = sama("bench", "score", tmp_path, "--no-captions", "--json")
    expected = json.loads((data / "expected_scores.json").read_text())[f"predictions_{name}.jsonl"]["C"]
    assert code == 0
    assert differences(json.loads(out)["C"], expected) == []


def scored(sama: Any, folder: Path) -> tuple[bytes, bytes]:
    assert sama("bench", "score", folder, "--no-captions")[0] == 0
    return (folder / "scores.json").read_bytes(), (folder / "per_question.jsonl").read_bytes()


@pytest.mark.slow
def test_parts_give_the_bytes_of_the_whole(sama: Any, data: Path, tmp_path: Path) -> None:
    words = ["bench", "run", "sama-bench-g", "--model", oracle(data, "noisy"), "--data", data]
    assert sama(*words, "--out", tmp_path / "whole")[0] == 0
    expected = scored(sama, tmp_path / "whole")
    for index in range(3):
        assert sama(*words, "--shard", f"{index}/3", "--out", tmp_path / "parts")[0] == 0
    assert scored(sama, tmp_path / "parts") == expected


@pytest.mark.slow
def test_under_torchrun_each_process_takes_its_part(
    sama: Any, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["bench", "run", "sama-bench-g", "--model", oracle(data), "--data", data, "--out", tmp_path]
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        monkeypatch.setenv("LOCAL_RANK", rank)
        assert sama(*words)[0] == 0
    stored = {path.name for path in (tmp_path / "predictions").glob("*.jsonl")}
    assert stored == {"shard-0-of-2.jsonl", "shard-1-of-2.jsonl"}
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name)
    code, out, _ = sama(*words)
    assert code == 0
    assert "25 of 25 questions answered" in out


def test_a_run_that_is_not_over_scores_with_a_warning(sama: Any, data: Path, tmp_path: Path) -> None:
    words = ["bench", "run", "sama-bench-g", "--model", oracle(data), "--data", data, "--shard", "0/2"]
    code, out, err = sama(*words, "--out", tmp_path)
    assert (code, err) == (0, "")
    assert "not asked yet" in out
    code, out, err = sama("bench", "score", tmp_path, "--no-captions", "--json")
    assert code == 0
    document = json.loads(out)
    assert document["complete"] is False
    assert document["missing"] > 0
    assert err.startswith(f"warning: the scores of {tmp_path} are not complete: ")
    assert err.count("\n") == 1


def test_answers_that_are_missing_warn_and_are_asked_again(sama: Any, data: Path, tmp_path: Path) -> None:
    lines = (data / "predictions_oracle.jsonl").read_text().splitlines()
    half = tmp_path / "half.jsonl"
    half.write_text("\n".join(line for line in lines if '"part":"G"' in line and '"subset":"mevis"' in line))
    words = ["bench", "run", "sama-bench-g", "--model", f"file:{half}", "--data", data, "--out", tmp_path / "run"]
    code, out, err = sama(*words, "--json")
    assert code == 0
    assert json.loads(out)["failed"] == {"no prediction given": 18}
    assert err == "warning: 18 questions failed; the same command asks them again\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["run", "sama-bench-x", "--model", "nano", "--out", "OUT"], "no benchmark 'sama-bench-x'; `sama bench list`"),
        (["run", "sama-bench-g", "--out", "OUT", "--data", "nowhere"], "--data nowhere does not exist"),
        (["run", "sama-bench-g", "--model", "file:DATA/expected.json", "--out", "OUT"], "expected.json, line 1"),
        (["run", "refcoco", "--model", "file:ORACLE", "--out", "OUT"], "--data"),
        (["run", "sama-bench-g", "--model", "file:ORACLE", "--out", "OUT", "--shard", "3/3"], "the last is 2/3"),
        (["run", "sama-bench-g", "--model", "file:ORACLE", "--out", "OUT", "--dtype", "bfloat16"], "--dtype has no"),
        (["run", "sama-bench-g"], "--out is missing"),
        (["score", "nowhere"], "nowhere holds no run"),
        (["score", "RUN", "--similarity", "nowhere", "--no-captions"], "--similarity nowhere is neither exact nor"),
        (["score", "RUN", "--judge", "me"], "has no judgements of 'me'"),
        (["check", "sama-bench-g", "--data", "nowhere"], "--data nowhere is no folder"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(
    sama: Any, data: Path, tmp_path: Path, words: list[str], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if "RUN" in words:
        run = ["bench", "run", "sama-bench-g", "--model", oracle(data), "--out", tmp_path / "RUN", "--limit", "1"]
        assert sama(*run)[0] == 0
    places = {"DATA": str(data), "ORACLE": str(data / "predictions_oracle.jsonl")}
    for name, place in places.items():
        words = [word.replace(name, place) for word in words]
    code, out, err = sama("bench", *words)
    assert (code, out) == (2, "")
    assert told in err
    assert err.count("\n") == 1


def test_another_run_does_not_join_the_folder(sama: Any, data: Path, tmp_path: Path) -> None:
    words = ["bench", "run", "sama-bench-g", "--data", data, "--out", tmp_path, "--model"]
    assert sama(*words, oracle(data))[0] == 0
    code, _, err = sama(*words, oracle(data, "noisy"))
    assert code == 2
    assert 'holds a run with model "file:predictions_oracle.jsonl"' in err


def test_the_benchmarks_are_named(sama: Any) -> None:
    code, out, _ = sama("bench", "list", "--json")
    names = [row["name"] for row in json.loads(out)]
    assert code == 0
    assert {"sama-bench-g", "sama-bench-c", "refcoco", "synth"} <= set(names)
    assert [line.split()[0] for line in sama("bench", "list")[1].splitlines()] == names


def test_a_check_counts_what_is_there(sama: Any, data: Path) -> None:
    code, out, err = sama("bench", "check", "sama-bench-g", "--data", data, "--json")
    document = json.loads(out)
    assert document["task"] == "sama-bench-g"
    assert document["counts"]["total"]["rounds_kept"] == 25
    assert (code, err) == (0, "")
    code, out, _ = sama("bench", "check", "sama-bench-g", "--data", data)
    assert "rounds_kept: 25" in out


def test_a_check_refuses_a_benchmark_with_a_missing_file(sama: Any, data: Path, tmp_path: Path) -> None:
    shutil.copytree(data / "sama_bench", tmp_path / "sama_bench")
    next((tmp_path / "sama_bench").glob("lvvis/val/JPEGImages/*/*.jpg")).unlink()
    code, out, err = sama("bench", "check", "sama-bench-g", "--data", tmp_path, "--json")
    assert code == 2
    assert json.loads(out)["faults"]
    assert err.startswith("error: sama-bench-g cannot be run as published")
    assert err.count("\n") == 1


def test_stored_answers_are_run_and_scored_without_torch(data: Path, tmp_path: Path) -> None:
    words = [
        "run",
        "sama-bench-c",
        "--model",
        oracle(data),
        "--data",
        str(data),
        "--limit",
        "3",
        "--out",
        str(tmp_path),
    ]
    lines = [["bench", *words], ["bench", "score", str(tmp_path), "--no-captions"], ["bench", "run", "--help"]]
    code = f"""import sys
from sama_video.app.cli.main import main
codes = [main(words) for words in {lines!r}]
sys.exit(codes != [0, 0, 0] or "torch" in sys.modules)"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
