"""The commands that use a model, run as the shell would, on the tiny one: what they print, write and refuse."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from tiny_model import build_model, build_processor, moving_squares

from sama_video.app.cli.main import main
from sama_video.video.writer import write_video

CLICK = '{"frame": 0, "points": [[11, 13]]}'


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("tiny")
    build_model().save_pretrained(folder)
    build_processor().save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("clip") / "squares.mp4"
    squares = moving_squares(12)
    write_video(path, iter(squares.frames(range(12))), fps=10.0)
    return str(path)


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(words)
    out, err = capsys.readouterr()
    return code, out, err


def test_chat_answers_each_question_and_writes_the_contract(
    capsys: pytest.CaptureFixture[str], model: str, clip: str, tmp_path: Path
) -> None:
    words = ["chat", clip, "--model", model, "--out", str(tmp_path / "out"), "--json"]
    words += ["--ask", "What is <region>?", "--region", CLICK, "--ground", "yes", "--ask", "Why?", "--ground", "no"]
    code, out, err = run(capsys, *words)
    assert (code, err) == (0, "")
    document = json.loads(out)
    written = json.loads((tmp_path / "out" / "answers.json").read_text())
    assert document == written
    assert document["schema"] == "sama-session/1"
    assert [turn["question"] for turn in document["turns"]] == ["What is <region>?", "Why?"]
    assert document["turns"][0]["regions"] == [{"frame": 0, "points": [[11, 13]], "labels": [1], "object": "obj1"}]
    assert document["turns"][0]["phrases"]
    assert document["turns"][1]["phrases"] == []
    assert document["turns"][1]["timing"]["vision_frames_encoded"] == 0
    assert document["turns"][1]["timing"]["reused_tokens"] > 0
    assert document["video"]["frames"] == 12
    for row in document["objects"]:
        masklet = json.loads((tmp_path / "out" / row["masklet"]).read_text())
        assert masklet["object"] == row["id"]
        assert [frame["frame"] for frame in masklet["frames"]] == list(range(12))


def test_overlays_have_the_source_size_rate_and_length(
    capsys: pytest.CaptureFixture[str], model: str, clip: str, tmp_path: Path
) -> None:
    assert run(capsys, "track", clip, "--model", model, "--region", CLICK, "--out", str(tmp_path))[0] == 0
    with av.open(str(tmp_path / "overlay.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (stream.width, stream.height) == (64, 48)
        assert float(stream.average_rate) == pytest.approx(10.0)
        assert sum(1 for _ in container.decode(video=0)) == 12
    with Image.open(tmp_path / "overlay.png") as sheet:
        assert sheet.width == 1280


def test_track_gives_a_masklet_for_each_region(capsys: pytest.CaptureFixture[str], model: str, clip: str) -> None:
    box = '{"seconds": 0.35, "box": [46, 6, 62, 30]}'
    code, out, _ = run(capsys, "track", clip, "--model", model, "--region", CLICK, "--region", box, "--json")
    assert code == 0
    assert [row["object"] for row in json.loads(out)["objects"]] == ["obj1", "obj2"]


def test_segment_gives_what_was_found_and_nothing_else(
    capsys: pytest.CaptureFixture[str], model: str, clip: str
) -> None:
    code, out, _ = run(capsys, "segment", clip, "the red square", "--model", model, "--json")
    assert code == 0
    assert isinstance(json.loads(out)["objects"], list)


@pytest.mark.slow
def test_an_image_and_a_folder_are_videos_too(capsys: pytest.CaptureFixture[str], model: str, tmp_path: Path) -> None:
    frames = tmp_path / "frames"
    frames.mkdir()
    for idx, frame in enumerate(moving_squares(3).frames(range(3))):
        Image.fromarray(frame).save(frames / f"{idx}.png")
    for video, count in ((frames, 3), (frames / "0.png", 1)):
        code, out, _ = run(capsys, "chat", str(video), "--model", model, "--ask", "What?", "--ground", "no", "--json")
        assert code == 0
        assert json.loads(out)["video"]["frames"] == count


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["track", "CLIP"], "was given no --region"),
        (["track", "nowhere.mp4", "--region", CLICK], "nowhere.mp4 does not exist"),
        (["track", "CLIP", "--region", '{"frame": 99, "points": [[1, 1]]}'], "the clip has 12 frames"),
        (["track", "CLIP", "--region", '{"frame": 0, "box": [5, 5, 2, 9]}'], "box"),
        (["track", "CLIP", "--region", "{"], "is not JSON"),
        (["chat", "CLIP", "--ask", "What is <region>?"], "1 <region> tag"),
        (["chat", "CLIP", "--ask", "Is <obj7> red?"], "obj7"),
        (["chat", "CLIP", "--json"], "at least one --ask"),
        (["chat", "CLIP", "--ask", "Hi", "--model", "/no/such/folder"], "no folder here"),
        (["chat", "CLIP", "--ask", "Hi", "--device", "cuda:77"], "cuda:77"),
        (["convert", "/no/such/folder", "DEST"], "/no/such/folder"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(
    capsys: pytest.CaptureFixture[str], model: str, clip: str, tmp_path: Path, words: list[str], said: str
) -> None:
    words = [{"CLIP": clip, "DEST": str(tmp_path / "dest")}.get(word, word) for word in words]
    if words[0] != "convert" and "--model" not in words:
        words += ["--model", model]
    code, out, err = run(capsys, *words)
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1


def test_the_interactive_prompt_points_asks_and_forgets(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, model: str, clip: str, tmp_path: Path
) -> None:
    lines = iter(
        (
            "/help",
            "/click 0 11 13",
            "What is <region>?",
            "/objects",
            "/forget obj1",
            "/objects",
            "/click 99 1 1",
            "/nonsense",
            "What is <region>?",
            f"/save {tmp_path / 'saved'}",
            "/quit",
        )
    )
    monkeypatch.setattr("builtins.input", lambda _prompt: next(lines))
    code, out, err = run(capsys, "chat", clip, "--model", model)
    assert (code, err) == (0, "")
    assert "obj1" in out
    assert "forgot obj1" in out
    assert "no command /nonsense" in out
    assert "the clip has 12 frames" in out
    assert "1 <region> tag" in out
    saved = json.loads((tmp_path / "saved" / "answers.json").read_text())
    assert [turn["question"] for turn in saved["turns"]] == ["What is <region>?"]


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")
@pytest.mark.slow
def test_ctrl_c_keeps_the_turns_before_it(model: str, clip: str, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "sama_video.app.cli.main", "chat", clip, "--model", model, "--out", str(tmp_path)]
    running = subprocess.Popen(
        [*words, "--ask", "First?", *(["--ask", "And then?"] * 200)],
        stdout=subprocess.PIPE,
        text=True,
        # A runner in the background hands down an ignored SIGINT; a terminal does not.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert running.stdout is not None
    questions = 0
    while questions < 3:
        questions += running.stdout.readline().startswith("> ")
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=120)
    assert running.returncode == 130
    saved = json.loads((tmp_path / "answers.json").read_text())
    assert 2 <= len(saved["turns"]) < 201


def test_saved_answers_restore_in_python(
    capsys: pytest.CaptureFixture[str], model: str, clip: str, tmp_path: Path
) -> None:
    from sama_video.chat.loading import load

    words = ["chat", clip, "--model", model, "--out", str(tmp_path), "--ask", "What is <region>?", "--region", CLICK]
    assert run(capsys, *words)[0] == 0
    session = load(model, device="cpu").restore(tmp_path)
    assert session.dialogue[0].question == "What is <region>?"
    assert np.array_equal(session.masklet("obj1").masks.shape, (12, 48, 64))
