"""The demonstration: the bundled model on the bundled clip says and shows what is true."""

import json
from pathlib import Path

import pytest

from sama_video.app.cli.main import main
from sama_video.app.demo import load_demo
from sama_video.metrics.overlap import region_similarity
from sama_video.regions.masklet import Masklet


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "out"
    assert main(["demo", "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def session(out: Path) -> dict:
    return json.loads((out / "answers.json").read_text())


def test_three_turns_are_right_and_grounded(session: dict) -> None:
    turns = load_demo().turns
    assert [turn["question"] for turn in session["turns"]] == [turn.question for turn in turns]
    assert len(turns) == 3
    for said, wanted in zip(session["turns"], turns, strict=True):
        assert set(wanted.expected) <= set(said["text"].lower().replace(".", " ").split()), said["text"]
        assert said["phrases"]
        assert all(phrase["object"] is not None for phrase in said["phrases"])


def test_masks_lie_on_the_true_objects(out: Path, session: dict) -> None:
    assert len(session["objects"]) == 3
    for row in session["objects"]:
        found = Masklet.from_json(json.loads((out / row["masklet"]).read_text()))
        truth = Masklet.from_json(json.loads((out / "truth" / f"{row['id']}.json").read_text()))
        assert region_similarity(found.masks, truth.masks) > 0.6


def test_later_turns_see_no_frame_again(session: dict) -> None:
    for turn in session["turns"][1:]:
        assert turn["timing"]["vision_frames_encoded"] == 0
        assert turn["timing"]["segmenter_frames_encoded"] == 0
        assert turn["timing"]["reused_tokens"] > turn["timing"]["prefill_tokens"]


def test_every_file_of_the_contract_is_there(out: Path) -> None:
    names = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert {"answers.json", "overlay.mp4", "overlay.png", "masklets/obj1.json", "truth/obj1.json"} <= names
