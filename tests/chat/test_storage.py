"""Session folders: what is in them, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny_model import moving_squares

import sama_video as sama
from sama_video.chat.loading import LoadedModel
from sama_video.chat.session import ChatSession
from sama_video.errors import SessionError
from sama_video.video.writer import write_video


@pytest.fixture
def saved(chat: ChatSession, tmp_path: Path) -> Path:
    chat.ask("What is <region>?", [sama.Points(frame=0, xy=[(10, 12)])], ground=True)
    chat.save(tmp_path / "out")
    return tmp_path / "out"


def test_the_public_file_says_what_was_said(chat: ChatSession, saved: Path) -> None:
    told = json.loads((saved / "answers.json").read_text())
    assert told["schema"] == "sama-session/1"
    assert (told["video"]["frames"], told["video"]["height"], told["video"]["width"]) == (12, 48, 64)
    assert told["video"]["seconds"] == pytest.approx(1.2)
    assert told["model"]["protocol"] == "consistent"
    assert told["turns"][0]["regions"][0]["object"] == "obj1"
    assert told["turns"][0]["raw"] == chat.dialogue[0].raw
    for row in told["objects"]:
        masklet = sama.Masklet.from_json(json.loads((saved / row["masklet"]).read_text()))
        assert masklet == chat.masklet(row["id"])


def test_a_second_save_leaves_nothing_of_the_first(chat: ChatSession, model: LoadedModel, saved: Path) -> None:
    assert (saved / "frames.npz").is_file()
    path = saved.parent / "clip.mp4"
    write_video(path, (chat.clip.frame(idx) for idx in range(12)), fps=10)
    other = model.chat(path, max_new_tokens=12)
    other.ask("What is here?", ground=False)
    other.save(saved)
    assert not (saved / "frames.npz").exists()
    assert list((saved / "masklets").iterdir()) == []
    assert model.restore(saved).clip.source == str(path)


def test_a_file_is_found_again_from_another_folder(
    model: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = moving_squares(4)
    write_video(tmp_path / "clip.mp4", (clip.frame(idx) for idx in range(4)), fps=10)
    monkeypatch.chdir(tmp_path)
    chat = model.chat("clip.mp4", max_new_tokens=12)
    chat.save("out")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert model.restore("../out").clip.num_frames == 4


def test_a_clip_that_changed_is_refused(model: LoadedModel, tmp_path: Path) -> None:
    clip, path = moving_squares(4), tmp_path / "clip.mp4"
    write_video(path, (clip.frame(idx) for idx in range(4)), fps=10)
    model.chat(path).save(tmp_path / "out")
    write_video(path, (255 - clip.frame(idx) for idx in range(4)), fps=10)
    with pytest.raises(SessionError, match="its content has changed"):
        model.restore(tmp_path / "out")


def no_state(folder: Path) -> None:
    (folder / "session.json").unlink()


def no_masklet(folder: Path) -> None:
    (folder / "masklets" / "obj1.json").unlink()


def cut_off(folder: Path) -> None:
    path = folder / "session.json"
    path.write_text(path.read_text()[:100])


def no_turns(folder: Path) -> None:
    edit(folder / "session.json", lambda state: state.pop("turns"))


def odd_turn(folder: Path) -> None:
    edit(folder / "session.json", lambda state: state["turns"].append("what"))


def another_schema(folder: Path) -> None:
    edit(folder / "answers.json", lambda told: told.update(schema="other/2"))


def another_model(folder: Path) -> None:
    edit(folder / "answers.json", lambda told: told["model"].update(revision="other"))


def cut_frames(folder: Path) -> None:
    (folder / "frames.npz").write_bytes((folder / "frames.npz").read_bytes()[:200])


def edit(path: Path, change: Callable[[dict], object]) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


@pytest.mark.parametrize(
    "damage",
    [no_state, no_masklet, cut_off, no_turns, odd_turn, another_schema, another_model, cut_frames],
)
def test_damaged_folders_are_refused_in_one_line(
    model: LoadedModel, saved: Path, damage: Callable[[Path], None]
) -> None:
    damage(saved)
    with pytest.raises(SessionError) as told:
        model.restore(saved)
    assert "\n" not in str(told.value)


def test_a_folder_that_cannot_be_written_is_refused(chat: ChatSession, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(SessionError, match="cannot be saved"):
        chat.save(tmp_path / "file")
    with pytest.raises(SessionError, match="is not there"):
        chat.origin.restore(tmp_path / "file")


def test_half_written_files_are_never_seen(chat: ChatSession, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path.name: path.read_bytes() for path in saved.iterdir() if path.is_file()}
    chat.ask("And now?", ground=False)

    def fail(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez_compressed", fail)
    with pytest.raises(KeyboardInterrupt):
        chat.save(saved)
    assert {path.name: path.read_bytes() for path in saved.iterdir() if path.is_file()} == before
