"""VidSTG's sentences with boxes, and SA-V's videos with their own masklets."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_sama import box_rle, write_json

from sama_video.data.findings import FaultError, Findings
from sama_video.data.sources.sav import read_sav
from sama_video.data.sources.vidstg import VidstgVideo, read_vidstg
from sama_video.regions.rle import area
from sama_video.video.writer import write_video

HEIGHT, WIDTH, FRAMES = 24, 32, 10
VIDEO = "2401075277"


def video(path: Path, frames: int = FRAMES) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, [np.full((HEIGHT, WIDTH, 3), 20 * idx, np.uint8) for idx in range(frames)], fps=5)


def vidstg_row(**change: Any) -> dict[str, Any]:
    row = {
        "vid": VIDEO,
        "frame_count": FRAMES,
        "fps": 5,
        "width": WIDTH,
        "height": HEIGHT,
        "subject/objects": [{"tid": 0, "category": "bicycle"}, {"tid": 1, "category": "child"}],
        "used_segment": {"begin_fid": 0, "end_fid": 10},
        "used_relation": {"subject_tid": 0, "object_tid": 1, "predicate": "in_front_of", "begin_fid": 2, "end_fid": 5},
        "temporal_gt": {"begin_fid": 2, "end_fid": 5},
        "captions": [{"description": "a bicycle is in front of a child", "type": "subject", "target_id": 0}],
        "questions": [{"description": "what is in front of a child", "type": "subject", "target_id": 0}],
    }
    return row | change


def boxes(**change: Any) -> dict[str, Any]:
    bbox = {"xmin": 3, "ymin": 4, "xmax": 13, "ymax": 14} | change
    entry = {"tid": 0, "bbox": bbox, "generated": 0, "tracker": "none"}
    return {"video_id": VIDEO, "trajectories": [[entry] if idx != 3 else [] for idx in range(FRAMES)]}


def read(tmp_path: Path, findings: Findings, *rows: Any, trajectories: Any = None) -> list[VidstgVideo]:
    write_json(tmp_path / "VidSTG" / "annotations" / "train_annotations.json", list(rows))
    vidor = tmp_path / "vidor"
    video(vidor / "video" / "2401" / f"{VIDEO}.mp4")
    write_json(vidor / "annotation" / "training" / "2401" / f"{VIDEO}.json", trajectories or boxes())
    return list(read_vidstg(tmp_path / "VidSTG", "train", vidor, findings))


def test_sentences_have_a_span_in_seconds_and_a_tube(tmp_path: Path) -> None:
    (found,) = read(tmp_path, Findings(strict=True), vidstg_row())
    assert found.seconds() == (0.4, 1.0)
    assert [(one.is_question, one.category) for one in found.sentences] == [(False, "bicycle"), (True, "bicycle")]
    box = (3, 4, 13, 14)
    assert found.tube("0") == (None, None, box, None, box, *[None] * 5)
    assert found.clip.num_frames == found.num_frames
    with pytest.raises(FaultError, match="no box in the sentence's span"):
        found.tube("1")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"vid": "1"}, "missing_video"),
        ({"vid": None}, "schema_error"),
        ({"vid": f"../video/2401/{VIDEO}"}, "missing_video"),
        ({"fps": 0}, "schema_error"),
        ({"fps": float("nan")}, "schema_error"),
        ({"temporal_gt": {"begin_fid": 5, "end_fid": 5}}, "schema_error"),
        ({"temporal_gt": {"begin_fid": 5, "end_fid": 11}}, "schema_error"),
        ({"temporal_gt": {"begin_fid": -1, "end_fid": 3}}, "schema_error"),
        ({"used_segment": {"begin_fid": 0}}, "missing_key"),
        ({"subject/objects": [{"tid": 0}]}, "missing_key"),
        ({"captions": {}}, "schema_error"),
    ],
)
def test_an_entry_that_cannot_be_used_is_dropped(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    findings = Findings()
    assert len(read(tmp_path, findings, vidstg_row(**change), vidstg_row())) == 1
    assert findings.faults == {reason: 1}


def test_a_sentence_about_an_unknown_object_is_dropped_alone(tmp_path: Path) -> None:
    findings = Findings()
    captions = [{"description": "x", "target_id": 9}, {"description": " ", "target_id": 0}]
    (found,) = read(tmp_path, findings, vidstg_row(captions=captions))
    assert [one.is_question for one in found.sentences] == [True]
    assert findings.faults == {"missing_annotation": 1, "schema_error": 1}


@pytest.mark.parametrize(
    ("trajectories", "reason"),
    [
        (boxes(xmax=WIDTH + 1), "bad_box"),
        (boxes(xmax=3), "bad_box"),
        (boxes(ymin=-1), "bad_box"),
        (boxes(ymin="4"), "schema_error"),
        ({"trajectories": boxes()["trajectories"][1:]}, "track_length_mismatch"),
        ({"trajectories": [3] * FRAMES}, "schema_error"),
        ({"trajectory": []}, "missing_key"),
    ],
)
def test_damaged_boxes_are_refused_when_asked_for(tmp_path: Path, trajectories: Any, reason: str) -> None:
    (found,) = read(tmp_path, Findings(strict=True), vidstg_row(), trajectories=trajectories)
    with pytest.raises(FaultError, match=reason):
        found.tube("0")


def sav_document(**change: Any) -> dict[str, Any]:
    kept = (FRAMES + 3) // 4
    rows = [[box_rle(1 + idx, HEIGHT, WIDTH), box_rle(9, HEIGHT, WIDTH)] for idx in range(kept)]
    document = {"video_id": "sav_000001", "video_height": 24.0, "video_width": 32.0, "video_frame_count": 10.0}
    return document | {"masklet": rows, "masklet_num": 2, "masklet_id": [0, 1]} | change


def sav(root: Path, kind: str = "manual", **change: Any) -> Path:
    video(root / "sav_000" / "sav_000001.mp4")
    write_json(root / "sav_000" / f"sav_000001_{kind}.json", sav_document(**change))
    return root


def test_sav_tracks_are_those_of_every_fourth_frame(tmp_path: Path) -> None:
    (found,) = read_sav(sav(tmp_path), Findings(strict=True))
    assert found.clip.num_frames == 3
    assert found.object_ids == ("0", "1")
    assert [area(rle) for rle in found.track("1")] == [40, 40, 40]
    assert found.stated_size == found.size
    assert [one.video_id for one in read_sav(tmp_path / "sav_000", Findings(strict=True))] == ["sav_000001"]
    assert list(read_sav(tmp_path, Findings(strict=True), "auto")) == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"video_id": "sav_000002"}, "schema_error"),
        ({"masklet": [[1], []]}, "schema_error"),
        ({"masklet": []}, "schema_error"),
        ({"masklet_num": 3}, "schema_error"),
        ({"video_height": 24.5}, "schema_error"),
        ({"video_height": None}, "schema_error"),
        ({"video_width": float("inf")}, "schema_error"),
    ],
)
def test_a_sav_file_that_disagrees_with_itself_is_dropped(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    findings = Findings()
    assert list(read_sav(sav(tmp_path, **change), findings)) == []
    assert findings.faults == {reason: 1}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"masklet": sav_document()["masklet"][:2]}, "track_length_mismatch"),
        ({"masklet": [[box_rle(1), {"size": [24, 32], "counts": "#"}]] * 3}, "bad_rle"),
        ({"masklet": [[box_rle(1), box_rle(1, 24, 33)]] * 3}, "mask_size_mismatch"),
    ],
)
def test_a_damaged_sav_track_is_refused_when_asked_for(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    (found,) = read_sav(sav(tmp_path, **change), Findings(strict=True))
    with pytest.raises(FaultError, match=reason):
        found.track("1")


def test_a_sav_video_without_manual_masklets_is_a_fault_and_an_empty_folder_too(tmp_path: Path) -> None:
    video(tmp_path / "sav_000" / "sav_000001.mp4")
    findings = Findings()
    assert list(read_sav(tmp_path, findings)) == list(read_sav(tmp_path / "none", findings)) == []
    assert findings.faults == {"missing_file": 1, "missing_video": 1}
