import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from annotate_world import SIDE, drawn_clips, square_masklet
from PIL import Image

from sama_video.annotate.case import Subject, Thing
from sama_video.annotate.inputs.annotations import AnnotationInput, ClipInput
from sama_video.annotate.inputs.catalogue import Input, Listed, read_catalogue, safe_name
from sama_video.annotate.inputs.records import RecordInput, SyntheticInput, merged_things
from sama_video.annotate.ledger import Ledger
from sama_video.annotate.stages import Json
from sama_video.annotate.subject_json import subject_from_json, subject_to_json
from sama_video.data.findings import Findings
from sama_video.data.records import DialogueRecord, FileClip, RecordTurn, read_records, write_records
from sama_video.data.synthetic.levels import SHAPES
from sama_video.errors import ConfigError, DataError
from sama_video.regions.shapes import Box, Points
from sama_video.video.writer import write_video


def subjects_of(source: Input) -> dict[str, Subject]:
    findings = Findings()
    return {row.subject_id: source.load(row.locator) for row in source.listed(findings)}


def frames_folder(folder: Path, name: str, count: int = 4) -> None:
    (folder / name).mkdir(parents=True)
    for number in range(count):
        Image.fromarray(np.full((SIDE, SIDE, 3), 60 * number, np.uint8)).save(folder / name / f"{number:05d}.jpg")


def record(name: str, path: str, *, boxes: tuple[tuple[int, int, int, int], ...], words: str) -> DialogueRecord:
    masklets = tuple(square_masklet(f"obj{n}", [box] * 4) for n, box in enumerate(boxes, start=1))
    turn = RecordTurn("What is there?", (), f"<p> {words} </p> [SEG].", ((f"obj{len(boxes)}",),))
    return DialogueRecord(name, FileClip(path, 4, SIDE, SIDE), masklets, (turn,), "set", "CC-BY-4.0")


A, B = (0, 0, 10, 10), (20, 20, 40, 40)


def test_records_of_one_clip_become_one_subject_with_each_object_once(tmp_path: Path) -> None:
    frames_folder(tmp_path, "one")
    frames_folder(tmp_path, "two")
    rows = [
        record("r1", "one", boxes=(A,), words="The left one"),
        record("r2", "two", boxes=(A,), words="Alone"),
        record("r3", "one", boxes=(B, A), words="The small one"),
        record("r4", "one", boxes=(A,), words="The left one"),
    ]
    write_records(tmp_path / "records.jsonl", rows)
    found = subjects_of(RecordInput(tmp_path / "records.jsonl"))
    assert set(found) == {"one", "two"}
    first, second = found["one"].things
    assert first.masklet is not None
    assert first.masklet.box(0) == A
    assert first.expressions == ("The left one", "The small one")
    assert second.masklet is not None
    assert (second.object_id, second.masklet.object_id, second.masklet.box(3)) == ("obj2", "obj2", B)
    assert found["one"].clip.open().num_frames == 4
    assert found["one"].licence == "CC-BY-4.0"
    assert subjects_of(RecordInput(tmp_path / "records.jsonl", licence="MIT"))["one"].licence == "MIT"


def test_a_moved_folder_gives_the_same_fingerprints(tmp_path: Path) -> None:
    prints = []
    for place in ("here", "there"):
        frames_folder(tmp_path / place, "one")
        write_records(tmp_path / place / "r.jsonl", [record("r1", "one", boxes=(A,), words="It")])
        prints.append([row.fingerprint for row in RecordInput(tmp_path / place / "r.jsonl").listed(Findings())])
    assert prints[0] == prints[1]
    write_records(tmp_path / "here" / "r.jsonl", [record("r1", "one", boxes=(B,), words="It")])
    assert [row.fingerprint for row in RecordInput(tmp_path / "here" / "r.jsonl").listed(Findings())] != prints[0]


def test_labels_come_from_the_facts_of_any_record() -> None:
    plain = record("r1", "one", boxes=(A,), words="It")
    told = replace(plain, facts={"obj1": {"label": "box"}})
    assert merged_things([plain, told])[0].label == "box"


def test_drawn_clips_know_their_seed_and_nothing_of_their_dialogue(tmp_path: Path) -> None:
    source = SyntheticInput(tmp_path / "drawn", clips=2, seed=3, level=1, size=SIDE)
    found = subjects_of(source)
    assert list(found) == ["train-1-13000000", "train-1-13000001"]
    second = found["train-1-13000001"]
    assert second.provenance["world_seed"] == 13000001
    assert all(thing.masklet is not None and not thing.expressions for thing in second.things)
    assert {thing.label for thing in second.things} <= set(SHAPES)
    more = SyntheticInput(tmp_path / "drawn", clips=3, seed=3, level=1, size=SIDE)
    assert list(subjects_of(more))[:2] == list(found)
    assert list(subjects_of(source)) == list(found)


def coco(folder: Path) -> Path:
    images = [{"id": n, "file_name": f"{n:05d}.jpg", "height": SIDE, "width": SIDE} for n in (0, 1)]
    outline = [[0, 0, 10, 0, 10, 10, 0, 10]]
    annotations = [
        {"id": 1, "image_id": 0, "category_id": 1, "bbox": [5, 6, 20, 10], "iscrowd": 0},
        {"id": 2, "image_id": 1, "category_id": 1, "bbox": [0, 0, 10, 10], "segmentation": outline, "iscrowd": 0},
    ]
    frames_folder(folder, "pictures", 2)
    document = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "cat"}]}
    (folder / "coco.json").write_text(json.dumps(document))
    return folder / "coco.json"


def test_boxes_of_an_annotation_tool_become_prompts_and_masks_stay(tmp_path: Path) -> None:
    source = AnnotationInput(coco(tmp_path), media=tmp_path / "pictures", licence="CC-BY-4.0")
    found = list(subjects_of(source).values())
    assert [subject.things[0].label for subject in found] == ["cat", "cat"]
    boxed, masked = sorted(found, key=lambda subject: subject.things[0].masklet is not None)
    assert boxed.things[0].prompts == (Box(0, xyxy=(5, 6, 25, 16)),)
    assert masked.things[0].masklet is not None
    assert masked.licence == "CC-BY-4.0"
    with pytest.raises(ConfigError, match="format 'x' is unknown"):
        list(AnnotationInput(tmp_path / "coco.json", "x").listed(Findings()))


def test_a_folder_of_clips_with_boxes_and_points(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (6, SIDE, SIDE, 3)).astype(np.uint8)
    write_video(tmp_path / "dog run.mp4", iter(pixels), fps=10)
    frames_folder(tmp_path, "walk")
    prompts = {
        "dog run.mp4": [
            {"frame": 0, "box": [1, 2, 30, 40]},
            {"regions": [{"seconds": 0.25, "points": [[5, 6]]}], "label": "dog", "expressions": ["the brown dog"]},
        ],
        "walk": [{"frame": 3, "points": [[1, 1]]}],
        "gone.mp4": [{"frame": 0, "box": [1, 2, 3, 4]}],
        "../up.mp4": [{"frame": 0, "box": [1, 2, 3, 4]}],
    }
    (tmp_path / "prompts.json").write_text(json.dumps(prompts))
    findings = Findings()
    source = ClipInput(tmp_path, source="mine", licence="MIT")
    found = {row.subject_id: source.load(row.locator) for row in source.listed(findings)}
    assert set(found) == {"dog-run", "walk"}
    first, second = found["dog-run"].things
    assert first.prompts == (Box(0, xyxy=(1, 2, 30, 40)),)
    assert second.prompts == (Points(2, xy=[(5, 6)]),)
    assert (second.label, second.expressions) == ("dog", ("the brown dog",))
    assert found["dog-run"].clip.open().num_frames == 6
    assert findings.faults == {"missing_video": 1, "unsafe_path": 1}


GOOD = {"frame": 0, "box": [1, 2, 3, 4]}


@pytest.mark.parametrize(
    ("entries", "place", "told"),
    [
        ([{"frame": 9, "box": [1, 2, 3, 4]}], "walk, object 1", "on frame 9, but the clip has 4 frames"),
        ([{"frame": 0, "box": [9, 9, 3, 4]}], "walk, object 1", "has no area"),
        ([GOOD, {"frame": 0, "box": [1, 2, 65, 4]}], "walk, object 2", "is not inside the frame, which is 64x64"),
        ([{"frame": 0, "points": [[64, 1]]}], "walk, object 1", "point [64, 1] is outside the frame"),
        ([{"frame": 0, "points": []}], "walk, object 1", "hold no point"),
        ([{"frame": 0, "points": [[1, 1]], "labels": [0]}], "walk, object 1", "all labelled 0"),
        ([{"seconds": 99, "box": [1, 2, 3, 4]}], "walk, object 1", "99 s is outside"),
        ([{"frame": 0, "seconds": 0, "box": [1, 2, 3, 4]}], "walk, object 1", "frame and seconds"),
        ([{"box": [1, 2, 3, 4]}], "walk, object 1", "gives no moment"),
        ([{"frame": 0, "box": [1, 2, float("nan"), 4]}], "walk, object 1", "box has nan"),
        ([{"frame": 0, "mask": {"size": [4, 4], "counts": "0"}}], "walk, object 1", "mask"),
        ([{"frame": 0}], "walk, object 1", "gives none of them"),
        ([{"object": "obj1"}], "walk, object 1", "names an object"),
        ([[1, 2, 3, 4]], "walk, object 1", "region is [1, 2, 3, 4]"),
        ([{"label": "dog"}], "walk, object 1", "has no regions"),
        ([{"regions": []}], "walk, object 1", "regions holds []"),
        ([{"regions": [GOOD], "labels": "x"}], "walk, object 1", "unknown key 'labels'"),
        ([{"regions": [GOOD], "label": "<obj1>"}], "walk, object 1", "holds the tag"),
        ([{"regions": [GOOD], "label": 5}], "walk, object 1", "5 is no text"),
        ([{"regions": [GOOD], "expressions": "the dog"}], "walk, object 1", "give a list of at least one"),
        ([], "walk", "a list of at least one"),
        (GOOD, "walk", "a list of at least one"),
        (None, "walk", "a list of at least one"),
    ],
)
def test_boxes_that_cannot_be_are_counted_with_their_clip(tmp_path: Path, entries: Json, place: str, told: str) -> None:
    frames_folder(tmp_path, "walk")
    (tmp_path / "prompts.json").write_text(json.dumps({"walk": entries}))
    findings = Findings()
    assert list(ClipInput(tmp_path).listed(findings)) == []
    (row,) = findings.rows
    assert (row.file, row.record, row.reason) == (str(tmp_path / "prompts.json"), place, "schema_error")
    assert told in row.detail


def test_every_wrong_object_of_a_clip_is_told_at_once(tmp_path: Path) -> None:
    frames_folder(tmp_path, "walk")
    wrong = {"frame": 4, "box": [1, 2, 3, 4]}
    (tmp_path / "prompts.json").write_text(json.dumps({"walk": [wrong, GOOD, wrong]}))
    findings = Findings()
    assert list(ClipInput(tmp_path).listed(findings)) == []
    assert {row.record for row in findings.rows} == {"walk, object 1", "walk, object 3"}


def test_what_is_left_out_is_remembered_and_told(tmp_path: Path) -> None:
    frames_folder(tmp_path, "walk")
    entries = {"walk": [GOOD], "gone": [GOOD], "up": [{"frame": 0, "box": [0, 0, 99, 9]}]}
    frames_folder(tmp_path, "up")
    (tmp_path / "prompts.json").write_text(json.dumps(entries))
    with Ledger(tmp_path / "l.sqlite") as ledger:
        first = read_catalogue([ClipInput(tmp_path)], ledger)
        assert first == read_catalogue([ClipInput(tmp_path)], ledger)
        assert [row.record for row in first.left_out] == ["gone", "up, object 1"]
        first.check_usable()
        del entries["walk"]
        (tmp_path / "prompts.json").write_text(json.dumps(entries))
        rest = read_catalogue([ClipInput(tmp_path)], ledger)
    with pytest.raises(DataError) as caught:
        rest.check_usable()
    assert str(caught.value) == (
        f"the inputs hold no clip that can be used: {tmp_path / 'prompts.json'}, gone: gone is not in {tmp_path} "
        "(missing_video), and 1 more; correct them."
    )


def test_a_clip_that_was_mended_below_the_folder_is_looked_at_again(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.mp4").write_bytes(b"half")
    (tmp_path / "prompts.json").write_text(json.dumps({"in/a.mp4": [GOOD]}))
    with Ledger(tmp_path / "l.sqlite") as ledger:
        assert dict(read_catalogue([ClipInput(tmp_path)], ledger).faults) == {"unreadable_video": 1}
        pixels = np.zeros((3, SIDE, SIDE, 3), np.uint8)
        write_video(tmp_path / "b.mp4", iter(pixels), fps=10)
        (tmp_path / "in" / "a.mp4").write_bytes((tmp_path / "b.mp4").read_bytes())
        assert [row.subject_id for row in read_catalogue([ClipInput(tmp_path)], ledger).rows] == ["a"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[", "cannot be read"),
        ("[]", "is a list"),
        ('{"walk": [], "walk": []}', "names 'walk' twice"),
        ('{"walk": [{"frame": 0, "frame": 1}]}', "names 'frame' twice"),
        ("[" * 100_000, "cannot be read"),
    ],
)
def test_a_file_of_boxes_that_is_damaged_is_told(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "prompts.json").write_text(text)
    with pytest.raises(DataError, match=told):
        ClipInput(tmp_path).key()
    (tmp_path / "prompts.json").unlink()
    with pytest.raises(ConfigError, match="is not there; write what is to be followed"):
        ClipInput(tmp_path).key()


def test_subjects_round_trip_through_json(tmp_path: Path) -> None:
    source = RecordInput(drawn_clips() / "records.jsonl")
    for subject in subjects_of(source).values():
        read = subject_from_json(json.loads(json.dumps(subject_to_json(subject))))
        assert read == subject
        assert read.provenance == subject.provenance
        assert read.clip.open().num_frames == subject.clip.num_frames


def test_the_list_is_made_once_and_again_when_a_file_changes(tmp_path: Path) -> None:
    frames_folder(tmp_path, "one")
    write_records(tmp_path / "r.jsonl", [record("r1", "one", boxes=(A,), words="It")])
    source = RecordInput(tmp_path / "r.jsonl")
    with Ledger(tmp_path / "l.sqlite") as ledger:
        first = read_catalogue([source], ledger)
        assert read_catalogue([source], ledger).rows == first.rows
        assert len(ledger.outcomes("list")) == 1
        frames_folder(tmp_path, "two")
        more = [record("r1", "one", boxes=(A,), words="It"), record("r2", "two", boxes=(A,), words="It")]
        write_records(tmp_path / "r.jsonl", more)
        assert [row.subject_id for row in read_catalogue([source], ledger).rows] == ["one", "two"]


class Fixed(Input):
    """Rows that are given."""

    def __init__(self, *rows: Listed) -> None:
        self.rows = rows

    def key(self) -> Json:
        return [[row.subject_id, row.fingerprint] for row in self.rows]

    def listed(self, findings: Findings) -> list[Listed]:  # type: ignore[override]
        return list(self.rows)

    def load(self, locator: Json) -> Subject:
        raise AssertionError


def test_names_that_clash_get_a_part_of_their_hash_in_any_order(tmp_path: Path) -> None:
    rows = [Listed("a", "11" * 16, 0), Listed("A", "22" * 16, 1), Listed("b", "33" * 16, 2), Listed("b", "33" * 16, 2)]
    with Ledger(tmp_path / "l.sqlite") as ledger:
        names = [row.subject_id for row in read_catalogue([Fixed(*rows)], ledger).rows]
        turned = [row.subject_id for row in read_catalogue([Fixed(*rows[::-1])], ledger).rows]
    assert names == turned == ["A-22222222", "a-11111111", "b-33333333"]


def test_nothing_to_annotate_is_told(tmp_path: Path) -> None:
    frames_folder(tmp_path, "walk")
    (tmp_path / "prompts.json").write_text("{}")
    with Ledger(tmp_path / "l.sqlite") as ledger:
        with pytest.raises(DataError, match="name no clip"):
            read_catalogue([ClipInput(tmp_path)], ledger).check_usable()
        with pytest.raises(ConfigError, match="is not there"):
            read_catalogue([RecordInput(tmp_path / "absent.jsonl")], ledger)
        (tmp_path / "prompts.json").write_text("[")
        with pytest.raises(DataError, match="give JSON"):
            read_catalogue([ClipInput(tmp_path)], ledger)


@pytest.mark.parametrize("text", ["../../etc", "...", "", "a b/c", "ä" * 300, "-x-"])
def test_names_are_safe(text: str) -> None:
    name = safe_name(text)
    assert Subject(name, FileClip("x", 1, 2, 2), (), "s", "l").subject_id == name


def test_things_are_checked_when_they_are_built() -> None:
    with pytest.raises(DataError, match="no masklet and no prompt"):
        Thing("obj1", None)
    with pytest.raises(DataError, match="out of order"):
        Subject("a", FileClip("x", 4, SIDE, SIDE), (Thing("obj2", square_masklet("obj2", [A] * 4)),), "s", "l")
    with pytest.raises(DataError, match="one mask for each frame"):
        Subject("a", FileClip("x", 5, SIDE, SIDE), (Thing("obj1", square_masklet("obj1", [A] * 4)),), "s", "l")


def test_the_drawn_records_are_what_the_tests_think() -> None:
    assert len(list(read_records(drawn_clips() / "records.jsonl"))) == 3
