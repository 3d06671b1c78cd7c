"""Chat-UniVi, the LLaVA mixture, Osprey and VideoRefer-700K: conversations, and what is dropped of them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny_sama import box_rle, write_json

from sama_video.data.findings import FaultError, Findings
from sama_video.data.sources import chat_univi, llava, osprey
from sama_video.data.sources.chat_univi import read_chat_univi
from sama_video.data.sources.llava import read_llava
from sama_video.data.sources.osprey import read_osprey, region_numbers
from sama_video.data.sources.videorefer_700k import read_videorefer_700k
from sama_video.regions.rle import area
from sama_video.video.writer import write_video

HOSTILE = ["../a.jpg", "/etc/passwd", "a/../../b", "", "c:\\x", "a\0b"]


def talk(*texts: str) -> list[dict[str, str]]:
    return [{"from": ("human", "gpt")[idx % 2], "value": text} for idx, text in enumerate(texts)]


def picture(path: Path, size: tuple[int, int] = (24, 32)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size[::-1], (10, 90, 60)).save(path)


def video(path: Path, frames: int = 4) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, [np.full((24, 32, 3), 20 * idx, np.uint8) for idx in range(frames)], fps=4)


def univi(root: Path, *records: Any) -> Path:
    write_json(root / chat_univi.FILE, list(records))
    return root


def test_chat_univi_finds_the_converted_video_and_takes_the_picture_tag_out(tmp_path: Path) -> None:
    video(tmp_path / "Activity_Videos" / "v_1.mp4")
    row = {"id": 7, "video": "v_1.mkv", "conversations": talk("<video>\nWhat\nhappens?", " A man runs. ", "And?", "No")}
    (found,) = read_chat_univi(univi(tmp_path, row), Findings(strict=True))
    assert found.item_id == "7"
    assert found.media == "v_1.mkv"
    assert found.clip is not None
    assert found.clip.num_frames == 4
    # The line break between words stays: the reference deletes it, and glues the words together.
    assert [(turn.question, turn.answer) for turn in found.turns] == [("What\nhappens?", "A man runs."), ("And?", "No")]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"video": "v_2.mp4"}, "missing_video"),
        ({"video": 3}, "schema_error"),
        ({"id": None}, "schema_error"),
        ({"conversations": {}}, "schema_error"),
        ({"conversations": []}, "schema_error"),
        *(({"video": path}, "unsafe_path") for path in HOSTILE),
    ],
)
def test_a_bad_record_is_dropped_with_its_reason_and_the_next_is_read(
    tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    video(tmp_path / "Activity_Videos" / "v_1.mp4")
    row = {"id": "a", "video": "v_1.mp4", "conversations": talk("Who?", "A man.")}
    findings = Findings()
    found = list(read_chat_univi(univi(tmp_path, row | change, row, 5, None), findings))
    assert len(found) == 1
    assert findings.faults == {reason: 1, "schema_error": 2} if reason != "schema_error" else {"schema_error": 3}
    with pytest.raises(FaultError, match=reason):
        list(read_chat_univi(tmp_path, Findings(strict=True)))


def test_a_bad_turn_is_dropped_alone(tmp_path: Path) -> None:
    video(tmp_path / "Activity_Videos" / "v.mp4")
    said = talk("One?", "1", "Two?", "2", "<video>", "3", "Four?", "  ", "Five?", "5", "Six?")
    said[2]["from"] = "gpt"
    findings = Findings()
    row = {"id": "a", "video": "v.mp4", "conversations": [*said[:8], {"from": "human"}, 4, *said[8:]]}
    (found,) = read_chat_univi(univi(tmp_path, row), findings)
    assert [(turn.round_idx, turn.answer) for turn in found.turns] == [(0, "1"), (5, "5")]
    assert findings.faults == {"role_order": 1, "schema_error": 2, "missing_key": 1}
    assert findings.notes == {"unanswered_last_message": 1}
    assert findings.rows[1].record == "record 0, turn 1"


def test_a_cut_file_is_one_fault_and_what_came_before_is_not_guessed(tmp_path: Path) -> None:
    (tmp_path / chat_univi.FILE).write_text('[{"id": 1, "video": "v.mp4", "conversations": [')
    findings = Findings()
    assert list(read_chat_univi(tmp_path, findings)) == []
    assert findings.faults == {"json_error": 1}


def test_records_come_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video(tmp_path / "Activity_Videos" / "v.mp4")
    row = {"id": "a", "video": "v.mp4", "conversations": talk("Who?", "A man.")}
    monkeypatch.setattr("sama_video.data.clips.open_video", lambda *args: pytest.fail("opened"))
    found = read_chat_univi(univi(tmp_path, row, row), Findings())
    next(found)
    (tmp_path / "Activity_Videos" / "v.mp4").unlink()
    assert list(found) == []


def mixture(root: Path, *records: Any) -> Path:
    write_json(root / llava.FILE, list(records))
    return root


def test_llava_talks_about_a_picture_or_about_none(tmp_path: Path) -> None:
    picture(tmp_path / llava.PICTURES / "coco" / "1.png")
    rows = [
        {"id": "a", "image": "coco/1.png", "conversations": talk("<image>\nWhat is it?", "Green.")},
        {"conversations": talk("Two and two?", "Four.")},
        {"id": "b", "image": "coco/2.png", "conversations": talk("<image>\nWhat is it?", "Green.")},
    ]
    findings = Findings()
    first, second = read_llava(mixture(tmp_path, *rows), findings)
    assert first.clip is not None
    assert (first.clip.num_frames, first.clip.size) == (1, (24, 32))
    assert first.turns[0].question == "What is it?"
    assert (second.clip, second.media, second.item_id) == (None, None, "record 1")
    assert findings.faults == {"missing_frame": 1}


@pytest.mark.parametrize("path", HOSTILE)
def test_llava_refuses_paths_out_of_its_folder(tmp_path: Path, path: str) -> None:
    picture(tmp_path / "a.jpg")
    findings = Findings()
    rows = {"id": 1, "image": path, "conversations": talk("Who?", "I.")}
    assert list(read_llava(mixture(tmp_path, rows), findings)) == []
    assert findings.faults == {"unsafe_path": 1}


def test_reading_twice_gives_the_same(tmp_path: Path) -> None:
    # The reference edits its records in place, so that a second visit sees picture tokens twice.
    picture(tmp_path / llava.PICTURES / "1.png")
    mixture(tmp_path, {"id": "a", "image": "1.png", "conversations": talk("<image>\nWhat is it?", "Green.")})
    assert list(read_llava(tmp_path, Findings())) == list(read_llava(tmp_path, Findings()))


def regions(root: Path, *records: Any, file: str = osprey.FILES[0]) -> Path:
    write_json(root / osprey.FOLDER / file, list(records))
    return root


def region_row(**change: Any) -> dict[str, Any]:
    row = {
        "file_name": "1.jpg",
        "height": 24,
        "width": 32,
        "annotation": [
            {"segmentation": [[2, 2, 10, 2, 10, 10, 2, 10], [6, 6, 14, 6, 14, 14, 6, 14]]},
            {"segmentation": box_rle(3)},
        ],
        "conversations": talk(
            "What is <region1>?", "A kite.", "Is <region2> near region1?", "Yes.", "<region3>?", "No"
        ),
    }
    return row | change


def test_osprey_regions_are_outlines_whose_parts_are_united(tmp_path: Path) -> None:
    picture(tmp_path / "coco" / "train2017" / "1.jpg")
    findings = Findings()
    (found,) = read_osprey(regions(tmp_path, region_row()), osprey.FILES[0], findings)
    forms: set[str] = set()
    masks = found.masks(forms)
    # Added up, the two polygons would have 16 pixels twice.
    assert [area(mask) for mask in masks] == [8 * 8 + 8 * 8 - 4 * 4, 40]
    assert forms == {"polygons"}
    assert [turn.round_idx for turn in found.turns] == [0, 1]
    assert found.descriptions == ()
    assert region_numbers(found.turns[1].question) == (1, 0)
    assert findings.faults == {"region_count_mismatch": 1}
    assert found.picture.open().num_frames == 1


def test_osprey_descriptions_are_one_a_region(tmp_path: Path) -> None:
    picture(tmp_path / "coco" / "val2014" / "1.jpg")
    row = region_row(description=["A kite.", " A boy. "])
    del row["conversations"]
    file = osprey.FILES[1]
    (found,) = read_osprey(regions(tmp_path, row, file=file), file, Findings(strict=True))
    assert (found.turns, found.descriptions) == ((), ("A kite.", "A boy."))
    findings = Findings()
    regions(tmp_path, row | {"description": ["A kite."]}, row | {"description": ["A kite.", 3]}, file=file)
    assert list(read_osprey(tmp_path, file, findings)) == []
    assert findings.faults == {"region_count_mismatch": 1, "schema_error": 1}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"annotation": []}, "missing_annotation"),
        ({"annotation": [3]}, "schema_error"),
        ({"height": "24"}, "schema_error"),
        ({"width": 0}, "schema_error"),
        ({"file_name": "2.jpg"}, "missing_frame"),
        ({"conversations": talk("<region9>?", "No")}, "region_count_mismatch"),
        *(({"file_name": path}, "unsafe_path") for path in HOSTILE),
    ],
)
def test_osprey_drops_what_it_cannot_use(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    picture(tmp_path / "coco" / "train2017" / "1.jpg")
    findings = Findings()
    assert list(read_osprey(regions(tmp_path, region_row(**change)), osprey.FILES[0], findings)) == []
    assert findings.faults[reason] == 1


@pytest.mark.parametrize(
    ("segmentation", "reason"),
    [
        (None, "prompt_never_visible"),
        ([], "prompt_never_visible"),
        ([[1, 2]], "bad_rle"),
        ({"size": [24, 32], "counts": [5]}, "bad_rle"),
        ({"size": [24, 33], "counts": [24 * 33]}, "mask_size_mismatch"),
        ("x", "schema_error"),
    ],
)
def test_osprey_masks_are_checked_when_asked_for(tmp_path: Path, segmentation: Any, reason: str) -> None:
    picture(tmp_path / "coco" / "train2017" / "1.jpg")
    row = region_row(annotation=[{"segmentation": segmentation}], conversations=talk("<region1>?", "A kite."))
    (found,) = read_osprey(regions(tmp_path, row), osprey.FILES[0], Findings(strict=True))
    with pytest.raises(FaultError, match=reason):
        found.masks()


def refer_row(**change: Any) -> dict[str, Any]:
    row = {
        "id": 0,
        "video": "part/a.mp4",
        "conversations": talk("<video>\nIs <region> behind <region>?", "Yes.", "Day?", "Yes.", "And <region>?", "No."),
        "annotation": [
            {"0": {"segmentation": box_rle(1)}, "2": {"segmentation": box_rle(5)}},
            {"3": {"segmentation": [[2, 2, 10, 2, 10, 10]]}},
            {"1": {"segmentation": box_rle(9)}, "2": None},
        ],
    }
    return row | change


def test_videorefer_tags_stand_for_objects_in_order(tmp_path: Path) -> None:
    video(tmp_path / "part" / "a.mp4")
    write_json(tmp_path / "qa.json", [refer_row()])
    (found,) = read_videorefer_700k(tmp_path / "qa.json", tmp_path, Findings(strict=True))
    assert [found.objects_of(turn) for turn in found.turns] == [found.objects[:2], (), found.objects[2:]]
    assert [sorted(found.masks(one)) for one in found.objects] == [[0, 2], [3], [1]]
    assert area(found.masks(found.objects[0])[2]) == 40


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"annotation": refer_row()["annotation"][:2]}, "region_count_mismatch"),
        ({"annotation": [{}] * 3}, "missing_annotation"),
        ({"annotation": [{"0": {"height": 5}}] * 3}, "missing_annotation"),
        ({"annotation": [{"-1": None}] * 3}, "schema_error"),
        ({"annotation": [{"0": 4}] * 3}, "schema_error"),
        ({"annotation": None}, "schema_error"),
        ({"conversations": [*talk("<region>?"), {"from": "gpt"}]}, "missing_key"),
        ({"video": "b.mp4"}, "missing_video"),
        *(({"video": path}, "unsafe_path") for path in HOSTILE),
    ],
)
def test_videorefer_drops_the_record_with_its_reason(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    video(tmp_path / "part" / "a.mp4")
    write_json(tmp_path / "qa.json", [refer_row(**change), refer_row(id=1)])
    findings = Findings()
    assert [item.item_id for item in read_videorefer_700k(tmp_path / "qa.json", tmp_path, findings)] == ["1"]
    assert findings.faults == {reason: 1}


@pytest.mark.parametrize(
    ("masks", "reason"),
    [
        ({"4": {"segmentation": box_rle(1)}}, "track_length_mismatch"),
        ({"0": {"segmentation": box_rle(1, height=25)}}, "mask_size_mismatch"),
        ({"0": {"segmentation": {"size": [24, 32], "counts": "#"}}}, "bad_rle"),
    ],
)
def test_videorefer_masks_must_fit_the_video(tmp_path: Path, masks: dict[str, Any], reason: str) -> None:
    video(tmp_path / "part" / "a.mp4")
    write_json(tmp_path / "qa.json", [refer_row(annotation=[masks], conversations=talk("<region>?", "A cat."))])
    (found,) = read_videorefer_700k(tmp_path / "qa.json", tmp_path, Findings(strict=True))
    with pytest.raises(FaultError, match=reason):
        found.masks(found.objects[0])
