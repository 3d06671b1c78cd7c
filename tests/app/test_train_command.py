"""`sama train` as the shell runs it: on one's own clips from folder to chat, looked at first, refused in one line."""

import json
import shutil
from pathlib import Path

import pytest
from shared_folders import REPOSITORY
from tiny_model import build_model, build_processor

from sama_video.app.cli.main import main

EXAMPLE = REPOSITORY / "examples" / "own_video" / "clips"
QUICK = (
    "steps=2",
    "batch=1",
    "accumulation=1",
    "data.workers=0",
    "data.mask_frames=1",
    "loss.points_per_mask=16",
    "engine.precision=fp32",
    "engine.checkpoint_every=1",
    "engine.report_to=[]",
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("tiny")
    build_model().save_pretrained(folder)
    build_processor().save_pretrained(folder)
    return str(folder)


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    shutil.copytree(EXAMPLE / "garden-00", tmp_path / "clips" / "garden-00")
    return tmp_path / "clips"


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(words)
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.slow
def test_own_clips_become_a_model_that_talks_and_merges(
    capsys: pytest.CaptureFixture[str], model: str, clips: Path, tmp_path: Path
) -> None:
    words = ["train", "lora-own-data", f"data={clips}", f"model={model}", *QUICK, "--device", "cpu"]
    code, out, err = run(capsys, *words, "--out", str(tmp_path / "run"), "--json")
    assert code == 0, err
    document = json.loads(out)
    assert document["steps"] == 2
    assert document["plan"]["problems"] == []
    assert document["figures"]["text_loss"] > 0

    again = run(capsys, *words, "--out", str(tmp_path / "run"))
    assert again[0] == 2
    assert "--resume" in again[2]

    merged = run(capsys, "train", "merge", str(tmp_path / "run"), "--out", str(tmp_path / "merged"), "--json")
    assert merged[0] == 0, merged[2]
    told = json.loads(merged[1])
    assert (told["step"], told["adapters"]) == (2, 14)
    for name in ("run/model", "merged"):
        chat = ["chat", str(REPOSITORY / "examples/own_video/try.mp4"), "--model", str(tmp_path / name)]
        code, out, err = run(capsys, *chat, "--ask", "Segment the beetle.", "--ground", "no", "--json")
        assert code == 0, err
        assert json.loads(out)["turns"][0]["question"] == "Segment the beetle."
    code, out, err = run(
        capsys, "convert", str(tmp_path / "merged"), str(tmp_path / "official"), "--to", "official", "--json"
    )
    assert code == 0, err
    assert (tmp_path / "official" / "config.json").is_file()


@pytest.mark.slow
def test_a_dry_run_tells_and_leaves_nothing(
    capsys: pytest.CaptureFixture[str], model: str, clips: Path, tmp_path: Path
) -> None:
    words = ["train", "lora-own-data", f"data={clips}", f"model={model}", *QUICK, "--out", str(tmp_path / "run")]
    code, out, _ = run(capsys, *words, "--dry-run", "--json")
    document = json.loads(out)
    assert (code, document["schema"], document["steps"], document["records"]) == (0, "sama-train-plan/1", 2, 1)
    assert not (tmp_path / "run").exists()


def test_recipes_are_listed_with_what_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "train", "--list", "--json")
    names = [row["name"] for row in json.loads(out)]
    assert code == 0
    assert names[0] == "nano"
    assert {"sama-1b", "sama-4b", "sama-8b", "lora-own-data", "sama-1b-foundation", "sama-1b-instruct"} <= set(names)


def test_a_dry_run_of_stages_names_their_steps(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, _ = run(
        capsys, "train", "nano", "stages=[see]", "see.steps=7", "--dry-run", "--json", "--out", str(tmp_path / "x")
    )
    assert (code, json.loads(out)["stages"]) == (0, {"see": 7})
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train"], "--list"),
        (["train", "sama1b"], "did you mean sama-1b?"),
        (["train", "sama-1b", "batchs=2"], "did you mean batch?"),
        (["train", "nano", "see.stepz=2"], "did you mean steps?"),
        (["train", "lora-own-data", "data=/nowhere/at/all", "model=nano", "--dry"], "--dry"),
        (["train", "merge", "nowhere", "--out", "x"], "no run"),
        (["train", "merge"], "RUN"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    code, out, err = run(capsys, *words)
    assert (code, out) == (2, "")
    assert said in err
    assert len(err.splitlines()) == 1
