"""`sama data import` and `sama data export`: there and back in every format, sessions, and what is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sama_video.app.cli.main import main
from sama_video.data.findings import Findings
from sama_video.data.formats import FORMATS, AnnotatedClip, ReadOptions
from sama_video.data.formats.exporting import clips_below
from sama_video.data.formats.from_sessions import read_session_clips
from sama_video.data.formats.labels import called_object
from sama_video.data.records import DialogueRecord, SceneClip, read_records, write_records
from sama_video.regions.masklet import Masklet
from sama_video.video.writer import write_video

Maker = Callable[..., AnnotatedClip]
NAMES = {"coco": "coco", "youtube-vis": "youtube-vis", "davis": "davis", "cvat": "cvat-video"}
NAMES |= {"label-studio": "label-studio"}


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = main(["data", *(str(word) for word in words)])
    out, err = capsys.readouterr()
    return code, out, err


def masks_of(clip: AnnotatedClip) -> dict[str, tuple[Any, ...]]:
    return {
        one.object_id: (one.label, one.text, one.attributes, one.box_frames, one.is_crowd, one.masklet.rles)
        for one in clip.objects
    }


@pytest.mark.parametrize("name", NAMES)
def test_annotations_come_back_from_records_as_they_were(
    name: str, make_clip: Maker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clips = [
        make_clip("walk", apart=True, labels=("car", "dog", "car", "cat", "bus")),
        make_clip("run", 3, seed=5, boxes=True),
    ]
    clips = clips[:1] if name == "davis" else clips
    FORMATS[NAMES[name]].write(clips, tmp_path / "given")
    code, out, err = run(capsys, "import", tmp_path / "given", "--from", name, "--out", tmp_path / "mine")
    assert (code, err) == (0, "")
    assert f"of {len(clips)} clips" in out
    for path in (tmp_path / "given", tmp_path / "pictures"):
        shutil.rmtree(path)  # the records stand by themselves
    code, out, err = run(capsys, "export", tmp_path / "mine", "--to", name, "--out", tmp_path / "back", "--json")
    assert (code, err, json.loads(out)["clips"]) == (0, "", len(clips))
    back = {clip.name: clip for clip in FORMATS[NAMES[name]].read(tmp_path / "back", Findings(strict=True))}
    assert sorted(back) == sorted(clip.name for clip in clips)
    for clip in clips:
        assert masks_of(back[clip.name]) == masks_of(clip)
        assert back[clip.name].open().num_frames == clip.num_frames


def test_a_whole_video_stays_a_video(make_clip: Maker, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_video(tmp_path / "a.mp4", [np.full((32, 48, 3), 30 * idx, np.uint8) for idx in range(4)], fps=4)
    key = {"frame": 1, "enabled": True, "x": 25, "y": 25, "width": 50, "height": 50, "time": 0.25}
    box = {"type": "videorectangle", "id": "a", "from_name": "b", "to_name": "v"}
    box |= {"value": {"labels": ["car"], "framesCount": 4, "sequence": [key, key | {"frame": 4}]}}
    task = {"data": {"video": "/data/local-files/?d=a.mp4"}, "annotations": [{"result": [box]}]}
    (tmp_path / "tasks.json").write_text(json.dumps([task]))
    code, _, err = run(capsys, "import", tmp_path / "tasks.json", "--out", tmp_path / "mine", "--licence", "CC0-1.0")
    assert (code, err) == (0, "")
    (record,) = read_records(tmp_path / "mine" / "records.jsonl")
    assert (record.clip.path, record.licence) == ("clips/a.mp4", "CC0-1.0")
    assert (tmp_path / "mine" / "clips" / "a.mp4").read_bytes() == (tmp_path / "a.mp4").read_bytes()
    assert record.clip.open().num_frames == 4


def test_the_same_seed_gives_the_same_bytes(make_clip: Maker, tmp_path: Path) -> None:
    FORMATS["coco"].write([make_clip()], tmp_path / "given")
    for out, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert main(["data", "import", str(tmp_path / "given"), "--out", str(tmp_path / out), "--seed", str(seed)]) == 0
    content = [(tmp_path / out / "records.jsonl").read_bytes() for out in "abc"]
    assert content[0] == content[1] != content[2]


def test_damage_is_counted_and_strict_stops(
    make_clip: Maker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    FORMATS["coco"].write([make_clip(), make_clip("run", seed=1)], tmp_path / "given")
    file = tmp_path / "given" / "instances.json"
    document = json.loads(file.read_text())
    document["annotations"][0]["segmentation"]["counts"] = "#"
    file.write_text(json.dumps(document))
    code, out, err = run(capsys, "import", tmp_path / "given", "--out", tmp_path / "mine", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["faults"] == {"bad_rle": 1}
    assert json.loads(out)["clips"] == 2
    code, out, err = run(capsys, "import", tmp_path / "given", "--out", tmp_path / "strict", "--strict")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "bad_rle" in err
    assert not (tmp_path / "strict").exists()


def test_labels_of_a_dialogue_are_what_it_calls_its_objects(tmp_path: Path) -> None:
    folder = records_folder(tmp_path)
    (clip,) = clips_below(folder, Findings(strict=True))
    assert [(one.object_id, one.label, one.text) for one in clip.objects] == [
        ("obj1", "dog", "A small dog"),
        ("obj2", "object", None),
    ]
    # Records of one clip are one clip; an object of the same name with other masks is another object.
    first = next(read_records(folder / "records.jsonl"))
    other = Masklet.from_masks("obj1", ~first.objects[0].masks)
    second = DialogueRecord("b", first.clip, (other,), first.turns[:1], "mine", "CC0-1.0")
    write_records(folder / "records.jsonl", [first, second])
    (clip,) = clips_below(folder, Findings(strict=True))
    assert [one.object_id for one in clip.objects] == ["obj1", "obj2", "obj3"]
    assert clip.objects[2].masklet.rles == other.rles


def test_text_is_a_phrase_that_holds_the_label() -> None:
    masklet = Masklet("obj1", 2, 2, (None,), (None,))
    cases = {
        ("The dog", "a big dog", "the cat on the mat"): ("dog", "a big dog"),
        ("the dog", "The dog"): ("dog", None),
        ("[SEG]", ""): ("object", None),
        (): ("object", None),
    }
    for phrases, expected in cases.items():
        one = called_object(masklet, phrases)
        assert (one.label, one.text) == expected


def records_folder(tmp_path: Path) -> Path:
    """One record of a clip of two frames, whose second object no answer calls anything."""
    folder = tmp_path / "records"
    folder.mkdir()
    write_video(folder / "a.mp4", [np.zeros((16, 16, 3), np.uint8)] * 2, fps=2)
    masks = np.zeros((2, 16, 16), bool)
    masks[:, 2:5, 3:9] = True
    rows = [Masklet.from_masks(name, masks[:, :, ::step]).to_json() for name, step in (("obj1", 1), ("obj2", -1))]
    says = ["<p> A small dog </p> [SEG] runs.", "<p> the dog </p> [SEG] and <p> both </p> [SEG]."]
    turns = [
        {"question": "Who?", "regions": [], "answer": says[0], "targets": [["obj1"]]},
        {"question": "And?", "regions": [], "answer": says[1], "targets": [["obj1"], ["obj1", "obj2"]]},
    ]
    clip = {"path": "a.mp4", "frames": 2, "height": 16, "width": 16}
    row = {"schema": "sama-record/1", "id": "a", "clip": clip, "objects": rows, "turns": turns}
    (folder / "records.jsonl").write_text(json.dumps(row | {"source": "mine", "licence": "CC0-1.0"}) + "\n")
    return folder


def test_bad_records_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = records_folder(tmp_path)
    file = folder / "records.jsonl"
    row = json.loads(file.read_text())
    hostile = row | {"clip": row["clip"] | {"path": "../a.mp4"}}
    gone = row | {"clip": row["clip"] | {"path": "b.mp4"}}
    long = row | {"clip": row["clip"] | {"frames": 3}, "objects": [], "turns": [row["turns"][0] | {"targets": []}]}
    long["turns"][0]["answer"] = "No."
    lines = [json.dumps(one) for one in (hostile, gone, long, row)]
    file.write_text("\n".join([*lines, '{"schema": "sama-record/1"', '{"schema": "sama-record/9"}']))
    code, out, err = run(capsys, "export", folder, "--to", "davis", "--out", tmp_path / "out", "--json")
    assert (code, err) == (0, "")
    faults = json.loads(out)["faults"]
    assert faults == {"schema_error": 2, "missing_video": 1, "track_length_mismatch": 1, "json_error": 1}
    file.write_text("\n".join(lines[:2]))
    code, out, err = run(capsys, "export", folder, "--to", "davis", "--out", tmp_path / "none")
    assert (code, err.count("\n"), (tmp_path / "none").exists()) == (2, 1, False)
    assert err.startswith("error: there is nothing to export (records.jsonl: clip: path '../a.mp4' leaves")


def test_painted_scenes_are_exported_with_their_pixels(tmp_path: Path) -> None:
    scene = SceneClip(7, (2, 2), "easy", 1.0, (0.0, 0.5), 32)
    masklet = Masklet.from_masks("obj1", np.ones((2, 32, 32), bool))
    record = next(read_records(records_folder(tmp_path) / "records.jsonl"))
    folder = tmp_path / "scenes"
    folder.mkdir()
    turn = record.turns[0]
    write_records(folder / "s.jsonl", [DialogueRecord("s", scene, (masklet,), (turn,), "synthetic", "Apache-2.0")])
    for clip in clips_below(folder, Findings(strict=True)):
        found = clip.open()
        assert np.array_equal(np.stack([found.frame(0), found.frame(1)]), scene.render().frames)
        assert clip.licence == "Apache-2.0"


def session(folder: Path, source: str, sha256: str = "x", frames: int = 3) -> Path:
    """A saved session of one object that is on the first frame."""
    (folder / "masklets").mkdir(parents=True)
    masks = np.zeros((frames, 16, 24), bool)
    masks[0, 2:6, 3:9] = True
    masklet = Masklet.from_masks("obj1", masks)
    (folder / "masklets" / "obj1.json").write_text(json.dumps(masklet.to_json()))
    video = {"source": source, "sha256": sha256, "frames": frames, "height": 16, "width": 24, "seconds": 1.0}
    phrases = [
        {"text": "The red star", "start": 0, "end": 12, "object": "obj1"},
        {"text": "it", "start": 20, "end": 22, "object": None, "reason": "not visible"},
    ]
    turns = [{"question": "What?", "regions": [], "text": "The red star.", "raw": "", "phrases": phrases}]
    document = {"schema": "sama-session/1", "video": video, "model": {}, "turns": turns}
    document["objects"] = [{"id": "obj1", "masklet": "masklets/obj1.json"}]
    (folder / "answers.json").write_text(json.dumps(document))
    return folder


def short_video(path: Path) -> str:
    from sama_video.video.reader import open_video

    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, [np.full((16, 24, 3), 60 * idx, np.uint8) for idx in range(3)], fps=3)
    return open_video(path).sha256


@pytest.mark.parametrize("name", NAMES)
def test_sessions_are_exported_in_every_format(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    digest = short_video(tmp_path / "v" / "clip.mp4")
    for number in "ab":
        session(tmp_path / "sessions" / number, str(tmp_path / "v" / "clip.mp4"), digest)
    code, _, err = run(capsys, "export", tmp_path / "sessions", "--to", name, "--out", tmp_path / "out")
    assert (code, err) == (0, "")
    found = list(FORMATS[NAMES[name]].read(tmp_path / "out", Findings(strict=True)))
    assert sorted(clip.name for clip in found) == ["2 clip", "clip"]
    options = ReadOptions(licence="CC0-1.0")
    assert {clip.licence for clip in FORMATS[NAMES[name]].read(tmp_path / "out", Findings(), options)} == {"CC0-1.0"}
    for clip in found:
        (one,) = clip.objects
        assert (one.label, one.masklet.visible_frames, clip.num_frames) == ("red star", (0,), 3)


def test_a_video_that_moved_is_named_and_one_that_changed_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    digest = short_video(tmp_path / "moved" / "clip.mp4")
    folder = session(tmp_path / "s", "/gone/clip.mp4", digest)
    words = ["export", folder, "--to", "coco", "--out", tmp_path / "out"]
    code, _, err = run(capsys, *words)
    assert (code, err.count("\n")) == (2, 1)
    assert "--media" in err
    for media in (tmp_path / "moved", tmp_path / "moved" / "clip.mp4"):
        assert run(capsys, *words, "--media", media)[0] == 0
        shutil.rmtree(tmp_path / "out")
    (folder / "session.json").write_text(json.dumps({"path": str(tmp_path / "moved" / "clip.mp4")}))
    assert run(capsys, *words)[0] == 0
    shutil.rmtree(tmp_path / "out")
    write_video(tmp_path / "moved" / "clip.mp4", [np.zeros((16, 24, 3), np.uint8)] * 3, fps=3)
    code, _, err = run(capsys, *words)
    assert code == 2
    assert "its content differs" in err


def test_a_session_that_keeps_its_frames_needs_no_file(tmp_path: Path) -> None:
    folder = session(tmp_path / "s", "array")
    frames = np.random.default_rng(0).integers(0, 256, (3, 16, 24, 3), dtype=np.uint8)
    np.savez_compressed(folder / "frames.npz", frames=frames, times=np.arange(3) / 3)
    for clip in read_session_clips(folder, Findings(strict=True)):
        found = clip.open()
        assert np.array_equal(np.stack([found.frame(idx) for idx in range(3)]), frames)
        path = clip.clip.path
    assert not path.exists()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"schema": "sama-session/9"}, "schema_error"),
        ({"objects": [{"id": "obj1", "masklet": "../x.json"}]}, "unsafe_path"),
        ({"objects": [{"id": "obj1", "masklet": "masklets/obj2.json"}]}, "missing_file"),
        ({"objects": [{"id": "obj2", "masklet": "masklets/obj1.json"}]}, "schema_error"),
        ({"objects": [{"id": "obj1", "masklet": "masklets/obj1.json"}] * 2}, "schema_error"),
        ({"objects": 3}, "schema_error"),
        ({"turns": [{"phrases": [{"object": "obj1", "text": 3}]}]}, "schema_error"),
        ({"video": {"source": "a", "sha256": "x", "frames": True, "height": 16, "width": 24}}, "missing_video"),
    ],
)
def test_damaged_sessions_are_refused_with_their_reason(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    digest = short_video(tmp_path / "clip.mp4")
    folder = session(tmp_path / "all" / "s", str(tmp_path / "clip.mp4"), digest)
    session(tmp_path / "all" / "t", str(tmp_path / "clip.mp4"), digest)
    document = json.loads((folder / "answers.json").read_text())
    (folder / "answers.json").write_text(json.dumps(document | change))
    findings = Findings()
    assert len(list(read_session_clips(tmp_path / "all", findings))) == 1
    assert findings.faults == {reason: 1}


@pytest.mark.parametrize(
    "words",
    [
        ("export", "{}", "--to", "coco", "--out", "{}/out"),
        ("export", "{}/none", "--to", "coco", "--out", "{}/out"),
        ("export", "{}", "--to", "coco"),
        ("export", "{}", "--to", "voc", "--out", "{}/out"),
        ("import", "{}", "--out", "{}/out"),
        ("import", "{}/none", "--from", "davis", "--out", "{}/out"),
        ("import", "{}/none.json", "--from", "coco", "--out", "{}/out"),
        ("import", "{}", "--from", "coco", "--out", "{}/out"),
        ("import", "{}"),
    ],
)
def test_mistakes_are_one_line(words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, *(word.format(tmp_path) for word in words))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert not (tmp_path / "out").exists()


def test_a_folder_in_use_is_left_alone(make_clip: Maker, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    FORMATS["coco"].write([make_clip()], tmp_path / "given")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").touch()
    code, _, err = run(capsys, "import", tmp_path / "given", "--out", tmp_path / "out")
    assert (code, err.count("\n")) == (2, 1)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]
