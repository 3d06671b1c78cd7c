"""`sama data annotate` from the command line, in this process."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from annotate_world import drawn_clips

from sama_video.annotate.publish import uploading
from sama_video.annotate.publish.uploading import upload
from sama_video.app.cli.main import main
from sama_video.errors import ConfigError


def config(folder: Path, **changes: Any) -> str:
    tree = {
        "schema": "sama-annotate/1",
        "inputs": [{"records": str(drawn_clips(2) / "records.jsonl")}],
        "ask": {"model": "scripted"},
        "draw": {"pictures": 2, "longest_side": 96},
        "select": {"duplicate_bits": None},
    }
    path = folder / "c.yaml"
    path.write_text(yaml.safe_dump({**tree, **changes}))
    return str(path)


def test_the_command_publishes_and_says_what_it_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "out")
    assert main(["data", "annotate", config(tmp_path), "--out", out]) == 0
    told = capsys.readouterr().out
    assert "ask" in told
    assert "in 2, out 2" in told
    assert f"published in {out}; next: sama data check {out}" in told
    assert main(["data", "check", out]) == 0
    capsys.readouterr()
    assert main(["data", "annotate", config(tmp_path), "--out", out, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["complete"] is True
    assert [row["stage"] for row in document["stages"]][:3] == ["probe", "select", "track"]
    assert document["cost"]["requests"] == 2


def test_a_dry_run_prints_the_request_and_the_cost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = config(tmp_path, ask={"model": "scripted", "prices": {"prompt": 1000.0}})
    assert main(["data", "annotate", path, "--out", str(tmp_path / "out"), "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "the first request" in told
    assert "--- system" in told
    assert "[picture, " in told
    assert "2 requests to send, 0 recorded already; nothing was sent" in told
    assert not (tmp_path / "out" / "train.jsonl").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["c.yaml"], "given no --out"),
        (["absent.yaml", "--out", "o"], "give a YAML file of settings"),
        (["c.yaml", "--out", "o", "--workers", "2"], "--workers is of --ray"),
    ],
)
def test_mistakes_are_one_line(
    tmp_path: Path, words: list[str], told: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert main(["data", "annotate", *words]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


def test_a_key_that_is_missing_is_told_before_anything_is_sent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    path = config(tmp_path, ask={"model": "some-model"})
    assert main(["data", "annotate", path, "--out", str(tmp_path / "out")]) == 2
    assert "set OPENAI_API_KEY" in capsys.readouterr().err


def test_inputs_that_cannot_be_used_are_told_one_by_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clips, out = tmp_path / "clips", tmp_path / "out"
    clips.mkdir()
    box = {"frame": 0, "box": [1, 2, 3, 4]}
    (clips / "prompts.json").write_text(json.dumps({"gone.mp4": [box], "../up.mp4": [box]}))
    path = config(tmp_path, inputs=[{"clips": str(clips)}])
    assert main(["data", "annotate", path, "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert "gone.mp4 is not in" in error
    assert "(missing_video), and 1 more; correct them" in error
    assert error.count("\n") == 1
    report = json.loads((out / "report.json").read_text())
    assert [row["record"] for row in report["input_rows"]] == ["gone.mp4", "../up.mp4"]
    assert "../up.mp4: clip '../up.mp4' leaves the folder (unsafe_path)" in (out / "report.md").read_text()


def test_what_was_left_out_and_dropped_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = tmp_path / "records.jsonl"
    shutil.copytree(drawn_clips(2), tmp_path, dirs_exist_ok=True)
    with records.open("a") as lines:
        lines.write('{"schema":"sama-record/2"}\n')
    second = json.loads(records.read_text().splitlines()[1])["clip"]["path"]
    (tmp_path / second / "00000.jpg").write_bytes(b"no picture")
    path = config(tmp_path, inputs=[{"records": str(records)}])
    assert main(["data", "annotate", path, "--out", str(tmp_path / "out")]) == 0
    told = capsys.readouterr().out
    assert f"left out: {records}, record 2: " in told
    assert "dropped: " in told
    assert "(probe: unreadable_frame)" in told
    report = (tmp_path / "out" / "report.md").read_text()
    assert "# What the inputs had that cannot be used" in report
    assert "Dropped, one by one:" in report
    document = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [row["reason"] for row in document["dropped"]] == ["unreadable_frame"]


def test_an_empty_data_set_is_not_called_published(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = config(tmp_path, select={"objects": [50, 60]})
    assert main(["data", "annotate", path, "--out", str(tmp_path / "out")]) == 0
    told = capsys.readouterr()
    assert "(select: too_few_objects)" in told.out
    assert "published in" not in told.out
    assert "no clip is left, so nothing is published" in told.err


class FakeHub:
    """Remembers what it was sent."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    def create_repo(self, repo_id: str, *, repo_type: str, private: bool, exist_ok: bool) -> None:
        self.calls.append({"repo": repo_id, "type": repo_type, "private": private})

    def upload_folder(self, **given: Any) -> str:
        self.calls.append(given)
        return "sent"


def test_an_upload_sends_the_data_set_and_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "out"
    hub = FakeHub()
    with pytest.raises(ConfigError, match="holds no whole data set"):
        upload(out, "me/mine", hub=hub)
    assert main(["data", "annotate", config(tmp_path), "--out", str(out)]) == 0
    assert upload(out, "me/mine", hub=hub) == "me/mine"
    made, sent = hub.calls
    assert made == {"repo": "me/mine", "type": "dataset", "private": True}
    assert sent["folder_path"] == str(out)
    patterns = sent["allow_patterns"]
    assert {"README.md", "dataset.json", "train.jsonl", "clips/*"} <= set(patterns)
    assert not any("sqlite" in pattern or "review" in pattern or "annotate.yaml" in pattern for pattern in patterns)
    with pytest.raises(ConfigError, match="write owner/name"):
        upload(out, "mine", hub=hub)


class Refusing(FakeHub):
    """Lets nobody in."""

    def create_repo(self, repo_id: str, *, repo_type: str, private: bool, exist_ok: bool) -> None:
        raise OSError("401: no token")


def test_a_refused_upload_says_how_to_log_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploading, "is_whole", lambda out: True)
    with pytest.raises(ConfigError, match=r"refuses me/mine \(401: no token\); log in with `hf auth login`"):
        upload(tmp_path, "me/mine", hub=Refusing())
