"""`sama data preview`: which records are shown, what a page can never hold, and how a mistake ends."""

import json
import re
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_sama import MEVIS, RECORDS, TinySama, record

from sama_video.app.cli.main import main
from sama_video.data.checking import layouts_below
from sama_video.data.preview import Preview, choose_records
from sama_video.data.preview_subjects import Subject
from sama_video.data.stores.masks import masklet_to_json
from sama_video.regions.masklet import Masklet
from sama_video.video.writer import write_video

HOSTILE = "</article></style><script>alert(1)</script><img src=x onerror=alert(2)>'\"&amp;\u202egnp\x00\x1b[31m"


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = main(["data", "preview", *(str(word) for word in words)])
    out, err = capsys.readouterr()
    return code, out, err


class Page(HTMLParser):
    """The tags and the text of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def count(self, tag: str) -> int:
        return sum(one == tag for one, _ in self.tags)

    @property
    def titles(self) -> list[str]:
        return re.findall(r"(mevis|ref_youtube_vos)/train/JPEGImages/(\w+)", self.text)


def many(tmp_path: Path, count: int) -> TinySama:
    tiny = TinySama(tmp_path)
    tiny.records = [record(MEVIS, 10) for _ in range(count)]
    for number, one in enumerate(tiny.records):
        one["conversation"][0]["value"] = f"Question {number}: what is <mask>?"
    return tiny.write()


def test_masks_dialogue_descriptions_and_notes_stand_side_by_side(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = TinySama(tmp_path)
    tiny.first["anno_map"] += [-1]
    tiny.turn(1)[1]["from"] = "human"
    tiny.write()
    code, out, err = run(capsys, tmp_path, "--out", tmp_path / "page.html")
    assert (code, err) == (0, "")
    assert out.startswith("2 of 2 records, ")
    page = Page(tmp_path / "page.html")
    assert page.count("article") == 2
    assert page.count("img") >= 4
    for words in ("What is", "beside another", "A box that goes right.", "role_order", "object_without_track"):
        assert words in page.text
    assert page.count("script") == 0
    assert all(attrs["src"].startswith("data:image/jpeg;base64,") for tag, attrs in page.tags if tag == "img")
    policy = next(attrs["content"] for tag, attrs in page.tags if attrs.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")


def test_whatever_a_data_set_says_is_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny = TinySama(tmp_path)
    tiny.turn()[0]["value"] = f"{HOSTILE} <mask>"
    tiny.turn()[1]["value"] = f"<p> {HOSTILE} </p> [SEG] is <p> beside </p> [SEG]. {HOSTILE}"
    tiny.turn(1)[0]["from"] = HOSTILE
    tiny.first["description"] = {"<obj0>": HOSTILE, HOSTILE: "x"}
    tiny.records.append({"video": HOSTILE})
    folder = tmp_path / "<b>x & y"
    tiny.root = folder
    tiny.write()
    code, _, err = run(capsys, folder, "--out", tmp_path / "page.html")
    assert (code, err) == (0, "")
    content = (tmp_path / "page.html").read_text(encoding="utf-8")
    page = Page(tmp_path / "page.html")
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "b", "iframe", "a", "object", "svg"})
    assert not any(name.startswith("on") for _, attrs in page.tags for name in attrs)
    assert page.text.count("<script>alert(1)</script>") >= 4
    assert not set("\x00\x1b\u202e") & set(content)
    # The policy's hash is of the one style, which no text can end.
    assert page.count("style") == 1
    assert "<b>x & y" in page.text


def test_the_same_seed_gives_the_same_page_and_another_one_other_records(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    many(tmp_path / "data", 30)
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert run(capsys, tmp_path / "data", "--out", tmp_path / name, "--limit", 5, "--seed", seed)[0] == 0
    pages = [(tmp_path / name).read_bytes() for name in "abc"]
    assert pages[0] == pages[1] != pages[2]
    numbers = [int(found) for found in re.findall(r"Question (\d+):", pages[0].decode())]
    assert numbers == sorted(set(numbers))
    assert len(numbers) == 5


@pytest.mark.parametrize(("limit", "shown"), [(1, 1), (7, 7), (200, 8)])
def test_limit_is_the_most_records(tmp_path: Path, capsys: pytest.CaptureFixture[str], limit: int, shown: int) -> None:
    many(tmp_path / "data", 8)
    code, out, _ = run(capsys, tmp_path / "data", "--out", tmp_path / "p.html", "--limit", limit, "--json")
    document = json.loads(out)
    assert code == 0
    assert (document["records"], len(document["shown"])) == (8, shown)
    assert document["bytes"] == (tmp_path / "p.html").stat().st_size
    assert Page(tmp_path / "p.html").count("article") == shown


def test_every_record_is_as_likely_as_any_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = layouts_below(TinySama(tmp_path).write().root)
    monkeypatch.setattr("sama_video.data.preview.layouts_below", lambda base: layout)
    candidates = [partial(Subject, str(number), "", "", "") for number in range(6)]
    monkeypatch.setattr("sama_video.data.preview._candidates", lambda layout, preview: iter(candidates))
    seen = np.zeros(6, int)
    for seed in range(300):
        kept = choose_records(tmp_path, Preview(tmp_path / "p"), 2, seed, lambda _: None)
        chosen = [candidates.index(one) for one in kept]
        assert chosen == sorted(set(chosen))
        seen[chosen] += 1
    assert seen.sum() == 600
    assert 70 < seen.min() <= seen.max() < 130


def own_records(folder: Path, **change: Any) -> None:
    folder.mkdir()
    write_video(folder / "a.mp4", [np.full((16, 24, 3), 60, np.uint8)] * 3, fps=2)
    masklet = Masklet.from_masks("obj1", np.ones((3, 16, 24), bool)).to_json()
    turn = {"question": "Who?", "regions": [], "answer": "<p> A dog </p> [SEG].", "targets": [["obj1"]]}
    row = {"schema": "sama-record/1", "id": "r1", "clip": {"path": "a.mp4", "frames": 3, "height": 16, "width": 24}}
    row |= {"objects": [masklet], "turns": [turn], "source": "mine", "licence": "CC0-1.0"}
    lines = [json.dumps(row), json.dumps(row | change), "{", json.dumps({"schema": "sama-record/9"})]
    (folder / "records.jsonl").write_text("\n".join(lines))


@pytest.mark.parametrize(
    ("clip", "says"),
    [
        ({"path": "gone.mp4", "frames": 3, "height": 16, "width": 24}, "the clip is not there"),
        ({"path": "../a.mp4", "frames": 3, "height": 16, "width": 24}, "leaves the data set"),
    ],
)
def test_records_whose_clip_is_missing_or_hostile_are_shown_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], clip: dict[str, Any], says: str
) -> None:
    own_records(tmp_path / "mine", clip=clip, id="r2")
    code, _, err = run(capsys, tmp_path / "mine", "--out", tmp_path / "page.html")
    assert (code, err) == (0, "")
    page = Page(tmp_path / "page.html")
    assert page.count("article") == 4
    assert "r1" in page.text
    assert says in page.text
    assert "json_error" in page.text


def test_labels_tasks_and_moments_of_records_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own_records(tmp_path / "mine")
    file = tmp_path / "mine" / "records.jsonl"
    row = json.loads(file.read_text().splitlines()[0]) | {"schema": "sama-record/2"}
    row["objects"] = [masklet_to_json(Masklet.from_json(row["objects"][0]))]
    row["turns"][0]["spans"] = [[0.5, 1.25]]
    file.write_text(json.dumps(row | {"task": "temporal", "facts": {"obj1": {"label": "poodle"}}}))
    assert run(capsys, tmp_path / "mine", "--out", tmp_path / "page.html")[0] == 0
    text = Page(tmp_path / "page.html").text
    for words in ("task: temporal", "poodle", "(0.5-1.25 s)"):
        assert words in text


@pytest.mark.parametrize(
    "words",
    [
        ("{}/none",),
        ("{}",),
        ("{}/file.txt",),
        ("{}", "--limit", "0"),
        ("{}", "--limit", "201"),
        ("{}", "--seed", "-1"),
        (),
    ],
)
def test_mistakes_are_one_line(words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file.txt").touch()
    out_words = ("--out", tmp_path / "page.html") if words else ()
    code, out, err = run(capsys, *(word.format(tmp_path) for word in words), *out_words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert not (tmp_path / "page.html").exists()


def test_a_page_that_cannot_be_written_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    TinySama(tmp_path / "data").write()
    (tmp_path / "file").touch()
    code, out, err = run(capsys, tmp_path / "data", "--out", tmp_path / "file" / "page.html")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "--out" in err


def test_a_folder_whose_record_file_is_damaged_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny = TinySama(tmp_path).write()
    (tiny.folder / RECORDS).write_text("[{")
    code, out, err = run(capsys, tmp_path, "--out", tmp_path / "page.html")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "no record to show" in err
