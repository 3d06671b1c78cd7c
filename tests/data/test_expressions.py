"""Expression sets: the numbering of their masks, and what is left of a video with something wrong."""

import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_sama import FRAMES, HEIGHT, WIDTH, box_rle, track, write_frames, write_json

from sama_video.data.checking import CheckReport, check_folder
from sama_video.data.findings import FaultError, Findings
from sama_video.data.sources.expressions import (
    ExpressionVideo,
    read_mevis,
    read_ref_davis17,
    read_ref_sav,
    read_ref_youtube_vos,
    read_revos,
)
from sama_video.regions.rle import as_rle
from sama_video.video import write_video

NAMES = [f"{idx:05}" for idx in range(FRAMES)]


def words(objects: list[str]) -> dict[str, Any]:
    """One expression for each entry, about the object it names."""
    return {
        "frames": NAMES,
        "expressions": {str(number): {"exp": f"thing {one}", "obj_id": one} for number, one in enumerate(objects)},
    }


def write_numbered(root: Path, split: str, videos: dict[str, Any], masks: dict[Any, Any], pickle_path: str) -> None:
    for name in videos:
        write_frames(root / split / "JPEGImages" / name)
    write_json(root / "meta_expressions" / split / "meta_expressions.json", {"videos": videos})
    (root / pickle_path).write_bytes(pickle.dumps(masks))


def first_left(video: ExpressionVideo, expression: int) -> Any:
    (annotation_id,) = video.expressions[expression].annotation_ids
    return video.track(annotation_id)[0]


LEFT = {"a": 1, "b": 6, "c": 11}
"""Where each object's track begins."""


def text_order(expressions: int) -> list[int]:
    return sorted(range(expressions), key=str)


@pytest.mark.parametrize("order", ["text", "file"])
def test_numbering_is_that_under_which_tracks_agree(tmp_path: Path, order: str) -> None:
    objects = [*"abcabcabcabb"]
    videos = {"zz": words(objects), "yy": words(["c", "a"])}
    counted = text_order(len(objects)) if order == "text" else range(len(objects))
    tracks = [track(LEFT[objects[number]]) for number in counted] + [track(LEFT["c"]), track(LEFT["a"])]
    write_numbered(tmp_path, "train", videos, dict(enumerate(tracks)), "mask_dict.pkl")
    findings = Findings()
    first, second = read_ref_youtube_vos(tmp_path, "train", findings)
    assert (first.video, second.video) == ("zz", "yy")
    assert [first_left(first, number) for number in range(len(objects))] == [
        as_rle(box_rle(LEFT[one])) for one in objects
    ]
    assert first_left(second, 0) == as_rle(box_rle(LEFT["c"]))
    assert (findings.faults, dict(findings.notes)) == ({}, {"file_order_keys": 1} if order == "file" else {})


def test_numbering_that_fits_no_order_stops(tmp_path: Path) -> None:
    videos = {"aa": words(["a", "a", "b"])}
    write_numbered(tmp_path, "train", videos, {0: track(1), 1: track(2), 2: track(3)}, "mask_dict.pkl")
    findings = Findings()
    assert list(read_ref_youtube_vos(tmp_path, "train", findings)) == []
    assert findings.faults == {"schema_error": 1}
    assert "expressions 0 and 1 of aa mean one object" in findings.rows[0].detail


@pytest.mark.parametrize(
    ("spoilt", "reason"),
    [
        (track(1, FRAMES - 1), "track_length_mismatch"),
        ([box_rle(1, HEIGHT * 2), *track(2, FRAMES - 1)], "mask_size_mismatch"),
        ([{"size": [HEIGHT, WIDTH], "counts": "0"}, *track(2, FRAMES - 1)], "bad_rle"),
    ],
)
def test_one_damaged_track_does_not_hide_the_numbering(tmp_path: Path, spoilt: Any, reason: str) -> None:
    root = tmp_path / "video_datas" / "rvos"
    masks = {0: track(1), 1: spoilt, 2: track(3)}
    write_numbered(root, "train", {"aa": words(["a", "a", "b"])}, masks, "mask_dict.pkl")
    assert faults_below(tmp_path) == {reason: 1}


def faults_below(base: Path) -> dict[str, int]:
    report = CheckReport(Findings(base=base))
    check_folder(base, report, lambda steps: None)
    return dict(report.findings.faults)


def test_davis_counts_videos_by_name(tmp_path: Path) -> None:
    (tmp_path / "valid").mkdir()
    videos = {"zebra": words(["1"]), "apple": words(["1", "1"])}
    masks = {0: track(1), 1: track(1), 2: track(9)}
    write_numbered(tmp_path, "valid", videos, masks, "valid/mask_dict.pkl")
    found = {video.video: video for video in read_ref_davis17(tmp_path, "valid", Findings(strict=True))}
    assert list(found) == ["apple", "zebra"]
    assert first_left(found["zebra"], 0) == as_rle(box_rle(9))


def test_video_of_another_form_does_not_stop_the_numbering(tmp_path: Path) -> None:
    videos = {"aa": "nothing", "bb": words(["a", "a"])}
    write_numbered(tmp_path, "train", videos, {0: track(1), 1: track(1)}, "mask_dict.pkl")
    findings = Findings()
    assert [video.video for video in read_ref_youtube_vos(tmp_path, "train", findings)] == ["bb"]
    assert findings.faults == {"schema_error": 1}


def test_split_without_ground_truth_has_no_tracks(tmp_path: Path) -> None:
    write_frames(tmp_path / "valid" / "JPEGImages" / "aa")
    videos = {"aa": {"frames": NAMES, "expressions": {"0": {"exp": "a thing"}}}}
    write_json(tmp_path / "valid" / "meta_expressions.json", {"videos": videos})
    write_json(tmp_path / "meta_expressions" / "valid" / "meta_expressions.json", {"videos": videos})
    for read in (read_mevis, read_ref_youtube_vos):
        (video,) = read(tmp_path, "valid", Findings(strict=True))
        assert (video.annotation_ids, video.size) == ((), (HEIGHT, WIDTH))
        with pytest.raises(FaultError, match="no ground truth"):
            video.track("0")


def mevis(root: Path) -> dict[str, Any]:
    """Write a sound MeViS split; gives its file's content, to be changed and written again."""
    write_frames(root / "train" / "JPEGImages" / "aa")
    meta = {
        "videos": {
            "aa": {
                "frames": NAMES,
                "expressions": {
                    "0": {"exp": "both", "obj_id": [0, 1], "anno_id": [5, 6]},
                    "1": {"exp": "one", "obj_id": [0], "anno_id": [5]},
                    "2": {"exp": "none", "obj_id": [], "anno_id": []},
                },
            }
        }
    }
    write_json(root / "train" / "meta_expressions.json", meta)
    write_json(root / "train" / "mask_dict.json", {"5": track(1), "6": track(9)})
    return meta


def mevis_expressions(root: Path, findings: Findings) -> list[str]:
    return [one.expression_id for video in read_mevis(root, "train", findings) for one in video.expressions]


def test_expressions_mean_none_one_or_many(tmp_path: Path) -> None:
    mevis(tmp_path)
    (video,) = read_mevis(tmp_path, "train", Findings(strict=True))
    assert [one.annotation_ids for one in video.expressions] == [("5", "6"), ("5",), ()]
    assert [one.object_ids for one in video.expressions] == [("0", "1"), ("0",), ()]
    assert (video.stated_size, video.clip.num_frames, video.height) == (None, FRAMES, HEIGHT)


def test_expression_without_its_mask_is_dropped(tmp_path: Path) -> None:
    mevis(tmp_path)
    write_json(tmp_path / "train" / "mask_dict.json", {"5": track(1)})
    findings = Findings()
    assert mevis_expressions(tmp_path, findings) == ["1", "2"]
    assert findings.faults == {"missing_annotation": 1}


@pytest.mark.parametrize(
    ("change", "reason", "left"),
    [
        ({"exp": 3, "obj_id": [0], "anno_id": [5]}, "schema_error", ["1", "2"]),
        ({"obj_id": [0], "anno_id": [5]}, "missing_key", ["1", "2"]),
        ({"exp": "x", "obj_id": [0]}, "missing_key", ["1", "2"]),
        ({"exp": "x", "obj_id": [0], "anno_id": [[5]]}, "schema_error", ["1", "2"]),
        ("words", "schema_error", ["1", "2"]),
    ],
)
def test_expression_of_another_form_is_dropped(tmp_path: Path, change: Any, reason: str, left: list[str]) -> None:
    meta = mevis(tmp_path)
    meta["videos"]["aa"]["expressions"]["0"] = change
    write_json(tmp_path / "train" / "meta_expressions.json", meta)
    findings = Findings()
    assert mevis_expressions(tmp_path, findings) == left
    assert findings.faults == {reason: 1}


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"expressions": {}}, "missing_key"),
        ({"frames": [], "expressions": {}}, "schema_error"),
        ({"frames": ["../x"], "expressions": {}}, "unsafe_path"),
        ("video", "schema_error"),
    ],
)
def test_video_of_another_form_is_dropped(tmp_path: Path, entry: Any, reason: str) -> None:
    meta = mevis(tmp_path)
    meta["videos"] = {"aa": entry}
    write_frames(tmp_path / "train" / "JPEGImages" / "bb")
    meta["videos"]["bb"] = {"frames": NAMES, "expressions": {"0": {"exp": "x", "obj_id": [], "anno_id": []}}}
    write_json(tmp_path / "train" / "meta_expressions.json", meta)
    findings = Findings()
    assert [video.video for video in read_mevis(tmp_path, "train", findings)] == ["bb"]
    assert findings.faults == {reason: 1}


def test_video_names_stay_in_the_folder(tmp_path: Path) -> None:
    meta = mevis(tmp_path)
    meta["videos"] = {"../JPEGImages/aa": meta["videos"]["aa"], "zz": meta["videos"]["aa"]}
    write_json(tmp_path / "train" / "meta_expressions.json", meta)
    findings = Findings()
    assert list(read_mevis(tmp_path, "train", findings)) == []
    assert findings.faults == {"unsafe_path": 1, "missing_video": 1}


def test_missing_files_of_a_set(tmp_path: Path) -> None:
    mevis(tmp_path)
    (tmp_path / "train" / "mask_dict.json").unlink()
    readers: list[Iterator[ExpressionVideo]] = []
    findings = Findings()
    readers += [read_mevis(tmp_path, "train", findings), read_mevis(tmp_path, "valid", findings)]
    readers += [read_revos(tmp_path, "train", findings), read_ref_davis17(tmp_path, "train", findings)]
    readers += [read_ref_youtube_vos(tmp_path, "train", findings)]
    readers += [read_ref_sav(tmp_path / "Ref-SAV.json", tmp_path, findings)]
    for videos in readers:
        assert list(videos) == []
    assert findings.faults == {"missing_file": 6}


@pytest.mark.parametrize("folder", ["JPEGImages", "."])
def test_revos_pictures_are_looked_for_in_both_places(tmp_path: Path, folder: str) -> None:
    write_frames(tmp_path / folder / "set" / "clip 1")
    expressions = {"0": {"exp": "Why?", "obj_id": [0], "anno_id": [3], "type_id": 1}}
    entry = {"height": HEIGHT, "width": WIDTH, "frames": NAMES, "expressions": expressions}
    write_json(tmp_path / "meta_expressions_valid_.json", {"videos": {"set/clip 1": entry}})
    write_json(tmp_path / "mask_dict.json", {"3": track(4)})
    (video,) = read_revos(tmp_path, "valid", Findings(strict=True))
    assert (video.video, video.stated_size) == ("set/clip 1", (HEIGHT, WIDTH))
    assert video.expressions[0].type_id == 1
    assert video.clip.open().num_frames == len(video.track("3")) == FRAMES


# Ref-SAV


def ref_sav(tmp_path: Path, *, entries: int = 3) -> Path:
    video = tmp_path / "video_datas" / "sam_v_full" / "sav_train" / "sav_000" / "v.mp4"
    video.parent.mkdir(parents=True)
    write_video(video, np.zeros((9, HEIGHT, WIDTH, 3), np.uint8), fps=24)
    masklet = [[box_rle(1 + idx), box_rle(9 + idx)] for idx in range(entries)]
    write_json(video.with_name("v_manual.json"), {"masklet": masklet, "video_frame_count": 9.0})
    objects = {
        "0": {"formated": "A thing that is long.", "short_caps": ["a thing"]},
        "1": {"formated": "Another.", "short_caps": []},
    }
    paths = {"video_path": "sam_v_full/sav_train/sav_000/v.mp4"}
    paths["anno_path"] = "sam_v_full/sav_train/sav_000/v_manual.json"
    write_json(tmp_path / "video_datas" / "Ref-SAV.json", {"v": paths | {"objects": objects}})
    return tmp_path / "video_datas"


def test_ref_sav_reads_columns(tmp_path: Path) -> None:
    folder = ref_sav(tmp_path)
    (video,) = read_ref_sav(folder / "Ref-SAV.json", folder / "sam_v_full", Findings(strict=True))
    assert [(one.text, one.short_texts) for one in video.expressions] == [
        ("A thing that is long.", ("a thing",)),
        ("Another.", ()),
    ]
    assert list(video.track("1")) == [as_rle(box_rle(9 + idx)) for idx in range(3)]
    assert faults_below(tmp_path) == {}


def test_ref_sav_counts_every_fourth_frame(tmp_path: Path) -> None:
    ref_sav(tmp_path, entries=9)
    assert faults_below(tmp_path) == {"track_length_mismatch": 2}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda entry: entry.pop("video_path"), "missing_key"),
        (lambda entry: entry.__setitem__("video_path", "sam_v_full"), "unsafe_path"),
        (lambda entry: entry.__setitem__("video_path", "sam_v_full/../../x.mp4"), "unsafe_path"),
        (lambda entry: entry.__setitem__("video_path", "sam_v_full/gone.mp4"), "missing_video"),
        (lambda entry: entry.__setitem__("anno_path", "sam_v_full/gone.json"), "missing_file"),
        (lambda entry: entry["objects"].__setitem__("x", {"formated": "It."}), "bad_object_key"),
        (lambda entry: entry["objects"].__setitem__("7", {"formated": "It."}), "missing_annotation"),
        (lambda entry: entry["objects"].__setitem__("1", {}), "missing_key"),
        (lambda entry: entry["objects"].__setitem__("1", {"formated": "It.", "short_caps": 3}), "schema_error"),
    ],
)
def test_ref_sav_faults(tmp_path: Path, change: Any, reason: str) -> None:
    file = ref_sav(tmp_path) / "Ref-SAV.json"
    document = json.loads(file.read_text())
    change(document["v"])
    write_json(file, document)
    assert faults_below(tmp_path) == {reason: 1}


def test_damaged_annotation_file_is_one_fault(tmp_path: Path) -> None:
    folder = ref_sav(tmp_path)
    (folder / "sam_v_full/sav_train/sav_000/v_manual.json").write_text('{"masklet": [')
    assert faults_below(tmp_path) == {"json_error": 1}
