"""COCO and YouTube-VIS files as other people write them, and what is dropped from damaged ones."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco

from sama_video.data.findings import FaultError, Findings
from sama_video.data.formats import FORMATS, ReadOptions
from sama_video.data.formats.annotated import AnnotatedClip
from sama_video.errors import DataError
from sama_video.regions.rle import as_rle, decode, encode

# The library's own decoder is used to check ours; under NumPy 2 it warns.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SIZE = (12, 16)
SQUARE = [2, 3, 9, 3, 9, 8, 2, 8]
TRIANGLE = [4.5, 0.5, 15.2, 0.5, 4.5, 11.0]


def plain_runs(mask: np.ndarray) -> dict[str, object]:
    ends = np.flatnonzero(np.diff(mask.ravel(order="F"), prepend=False, append=not mask[-1, -1]))
    return {"size": list(mask.shape), "counts": np.diff(ends, prepend=0).tolist()}


def instances(*annotations: dict[str, Any], **changes: Any) -> dict[str, Any]:
    base = {
        "images": [{"id": 7, "file_name": "a.png", "height": SIZE[0], "width": SIZE[1], "license": 3}],
        "licenses": [{"id": 3, "name": "CC-BY-2.0"}],
        "categories": [{"id": 18, "name": "dog"}, {"id": 1, "name": "person"}],
        "annotations": [
            {"id": i, "image_id": 7, "category_id": 18, "iscrowd": 0} | row for i, row in enumerate(annotations)
        ],
    }
    return base | changes


@pytest.fixture
def folder(tmp_path, pictures) -> Path:
    pictures(tmp_path / "val2017", ["a.png", "b.png", "c.png"], SIZE)
    (tmp_path / "annotations").mkdir()
    return tmp_path


def read(folder: Path, document: object, findings: Findings, name: str = "coco") -> list[AnnotatedClip]:
    path = folder / "annotations" / "instances_val2017.json"
    path.write_text(json.dumps(document))
    return list(FORMATS[name].read(path, findings))


def test_every_form_of_a_mask_is_read(folder):
    mask = np.zeros(SIZE, bool)
    mask[1:4, 2:6] = mask[11, 15] = True
    rows = [
        {"segmentation": [SQUARE]},
        {"segmentation": [SQUARE, TRIANGLE]},
        {"segmentation": plain_runs(mask), "iscrowd": 1, "category_id": 1},
        {"segmentation": dict(encode(mask))},
        {"segmentation": [], "bbox": [2, 3, 7, 5]},
        {"bbox": [1.4, 2.6, 3.0, 3.0]},
    ]
    findings = Findings(strict=True)
    (clip,) = read(folder, instances(*rows), findings)
    assert (clip.name, clip.size, clip.licence, clip.source) == ("a", SIZE, "CC-BY-2.0", "coco")
    assert clip.clip.paths == (folder / "val2017" / "a.png",)
    filled = coco.merge(coco.frPyObjects([SQUARE, TRIANGLE], *SIZE))
    found = [one.masklet.mask(0) for one in clip.objects]
    assert (found[0] == coco.decode(coco.frPyObjects([SQUARE], *SIZE))[..., 0].astype(bool)).all()
    assert (found[1] == decode(as_rle({"size": list(SIZE), "counts": filled["counts"]}))).all()
    assert (found[2] == mask).all()
    assert (found[3] == mask).all()
    assert [one.masklet.box(0) for one in clip.objects][4:] == [(2, 3, 9, 8), (1, 3, 4, 6)]
    assert [one.is_box_only for one in clip.objects] == [False] * 4 + [True] * 2
    assert [one.is_crowd for one in clip.objects] == [False, False, True, False, False, False]
    assert [one.label for one in clip.objects] == ["dog", "dog", "person", "dog", "dog", "dog"]
    assert findings.notes == {"polygons": 1, "uncompressed_rle": 1, "crowd_region": 1, "boxes_only": 2}


coordinates = st.floats(-4, 20, allow_nan=False).map(lambda number: round(number, 2))


@given(
    st.lists(st.lists(coordinates, min_size=6, max_size=12).filter(lambda p: len(p) % 2 == 0), min_size=1, max_size=3)
)
@settings(max_examples=30)
def test_polygons_are_filled_as_coco_fills_them(tmp_path_factory, polygons):
    from sama_video.data.findings import Place
    from sama_video.data.formats.coco_entries import entry_mask

    found, is_box = entry_mask(polygons, None, SIZE, Place("a.json"), set())
    expected = coco.decode(coco.merge(coco.frPyObjects(polygons, *SIZE)))
    assert found is not None
    assert not is_box
    assert (decode(found) == expected.astype(bool)).all()


def test_pictures_of_a_video_become_one_clip_in_the_order_of_their_frames(folder):
    images = [
        {"id": 10 + frame, "file_name": name, "height": 12, "width": 16, "video_id": 4, "frame_id": frame}
        for frame, name in ((2, "c.png"), (0, "a.png"), (1, "b.png"))
    ]
    rows = [
        {"image_id": 12, "instance_id": 0, "segmentation": [SQUARE]},
        {"image_id": 10, "instance_id": 0, "segmentation": [TRIANGLE]},
        {"image_id": 11, "instance_id": 5, "bbox": [0, 0, 2, 2], "text": "the small  dog"},
    ]
    videos = [{"id": 4, "name": "walk/1"}]
    (clip,) = read(folder, instances(*rows, images=images, videos=videos), Findings(strict=True))
    assert clip.name == "walk-1"
    assert clip.clip.names == ("a.png", "b.png", "c.png")
    assert [one.object_id for one in clip.objects] == ["obj1", "obj2"]
    assert [one.masklet.visible_frames for one in clip.objects] == [(0, 2), (1,)]
    assert [one.box_frames for one in clip.objects] == [(), (1,)]
    assert clip.objects[1].text == "the small dog"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"segmentation": {"size": [5, 5], "counts": [25]}}, "mask_size_mismatch"),
        ({"segmentation": {"size": list(SIZE), "counts": [5]}}, "bad_rle"),
        ({"segmentation": {"size": list(SIZE), "counts": "zz"}}, "bad_rle"),
        ({"segmentation": [[1, 2, 3]]}, "bad_rle"),
        ({"segmentation": [[1, 2, 3, float("nan"), 5, 6]]}, "bad_rle"),
        ({"segmentation": "all of it"}, "schema_error"),
        ({"segmentation": [SQUARE], "category_id": 99}, "unknown_category"),
        ({"segmentation": [SQUARE], "category_id": [1]}, "schema_error"),
        ({"bbox": [1, 2, -3, 4]}, "bad_box"),
        ({"bbox": [1, 2, 3]}, "bad_box"),
        ({"bbox": [1, 2, 3, 10**400]}, "bad_box"),
        ({"segmentation": [SQUARE], "text": "a <region> [SEG]"}, "bad_label"),
        ({"segmentation": [SQUARE], "image_id": 8}, "schema_error"),
        ({"segmentation": [SQUARE], "image_id": {}}, "schema_error"),
    ],
)
def test_a_damaged_annotation_is_dropped_with_its_reason(folder, row, reason):
    findings = Findings()
    clips = read(folder, instances(row, {"segmentation": [SQUARE]}), findings)
    assert findings.faults == {reason: 1}
    if row.get("image_id") != {}:
        assert [len(clip.objects) for clip in clips] == [1]
    with pytest.raises(FaultError):
        read(folder, instances(row, {"segmentation": [SQUARE]}), Findings(strict=True))


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        ({"file_name": "../secret.png"}, "unsafe_path"),
        ({"file_name": "/etc/passwd"}, "unsafe_path"),
        ({"file_name": "x" * 5000}, "missing_frame"),
        ({"file_name": "\ud800.png"}, "missing_frame"),
        ({"file_name": ""}, "unsafe_path"),
        ({"height": 13}, "mask_size_mismatch"),
        ({"height": 0}, "schema_error"),
        ({"license": [3], "file_name": "d.png"}, "missing_frame"),
    ],
)
def test_a_picture_that_cannot_be_used_is_dropped(folder, image, reason):
    document = instances({"segmentation": [SQUARE]})
    document["images"][0] |= image
    findings = Findings()
    assert read(folder, document, findings) == []
    assert findings.faults == {reason: 1}


def test_text_is_no_picture(folder):
    (folder / "val2017" / "a.png").write_text("not a picture")
    findings = Findings()
    assert read(folder, instances(), findings) == []
    assert findings.faults == {"unreadable_frame": 1}


@pytest.mark.parametrize(
    ("content", "reason"), [(b"{", "json_error"), (b"\xff\xfe{}", "encoding_error"), (b'{"images": 3}', "missing_key")]
)
def test_a_file_that_is_no_instances_file_is_one_fault(tmp_path, content, reason):
    (tmp_path / "a.json").write_bytes(content)
    findings = Findings()
    assert list(FORMATS["coco"].read(tmp_path / "a.json", findings)) == []
    assert findings.faults == {reason: 1}


def test_pictures_are_found_where_somebody_says_they_are(folder):
    (folder / "val2017").rename(folder / "elsewhere")
    path = folder / "a.json"
    path.write_text(json.dumps(instances({"segmentation": [SQUARE]}, licenses="none")))
    options = ReadOptions(media=folder / "elsewhere", source="mine", licence="CC0-1.0")
    (clip,) = FORMATS["coco"].read(path, Findings(strict=True), options)
    assert (clip.source, clip.licence) == ("mine", "CC0-1.0")


def test_a_folder_with_several_files_asks_for_one(folder):
    for name in ("train", "val"):
        (folder / "annotations" / f"instances_{name}.json").write_text(json.dumps(instances()))
    with pytest.raises(DataError, match="2 files of coco"):
        list(FORMATS["coco"].read(folder, Findings()))


def test_other_tools_read_what_is_written(make_clip, tmp_path):
    from pycocotools.coco import COCO

    clip = make_clip()
    FORMATS["coco"].write([clip], tmp_path / "out")
    document = json.loads((tmp_path / "out" / "instances.json").read_text())
    api = COCO()
    api.dataset = document
    api.createIndex()
    for image in api.loadImgs(api.getImgIds()):
        assert (tmp_path / "out" / "images" / image["file_name"]).is_file()
        for row in api.loadAnns(api.getAnnIds(image["id"])):
            one = clip.objects[row["instance_id"] - 1]
            mask = one.masklet.mask(image["frame_id"])
            assert (api.annToMask(row).astype(bool) == mask).all()
            assert row["area"] == mask.sum()
            assert list(coco.toBbox(row["segmentation"])) == row["bbox"]
            assert api.loadCats(row["category_id"])[0]["name"] == one.label


def video_file(*tracks: dict[str, Any], **changes: Any) -> dict[str, Any]:
    base = {
        "videos": [{"id": 1, "file_names": ["x/a.png", "x/b.png"], "height": 12, "width": 16, "length": 2}],
        "categories": [{"id": 18, "name": "dog"}],
        "annotations": [{"id": i, "video_id": 1, "category_id": 18} | row for i, row in enumerate(tracks)],
    }
    return base | changes


def read_videos(tmp_path, pictures, document, findings):
    pictures(tmp_path / "train" / "JPEGImages" / "x", ["a.png", "b.png"], SIZE)
    (tmp_path / "train.json").write_text(json.dumps(document))
    return list(FORMATS["youtube-vis"].read(tmp_path / "train.json", findings))


def test_official_youtube_vis_is_read(tmp_path, pictures):
    mask = np.zeros(SIZE, bool)
    mask[3:5, 4:9] = True
    rows = [
        {"segmentations": [plain_runs(mask), None], "bboxes": [[4, 3, 5, 2], None], "iscrowd": 0},
        {"bboxes": [None, [1, 1, 2, 2]]},
        {"segmentations": [None, None], "bboxes": [[0, 0, 0, 0], None]},
    ]
    findings = Findings(strict=True)
    (clip,) = read_videos(tmp_path, pictures, video_file(*rows), findings)
    assert (clip.name, clip.num_frames, clip.clip.folder) == ("x", 2, "x")
    assert (clip.objects[0].masklet.masks == np.stack([mask, np.zeros(SIZE, bool)])).all()
    assert clip.objects[1].box_frames == (1,)
    assert clip.objects[2].masklet.visible_frames == ()
    assert findings.notes == {"uncompressed_rle": 1, "boxes_only": 1, "object_never_visible": 1}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"segmentations": [None]}, "track_length_mismatch"),
        ({"segmentations": None}, "schema_error"),
        ({"segmentations": [None, {"size": [12, 16], "counts": [1]}]}, "bad_rle"),
        ({"segmentations": [None, None], "video_id": 2}, "schema_error"),
        ({"segmentations": [None, None], "category_id": 2}, "unknown_category"),
        ({"segmentations": [None, None], "bboxes": 7}, "track_length_mismatch"),
    ],
)
def test_a_damaged_track_is_dropped_whole(tmp_path, pictures, row, reason):
    good = {"segmentations": [None, [SQUARE]]}
    findings = Findings()
    (clip,) = read_videos(tmp_path, pictures, video_file(row, good), findings)
    assert findings.faults == {reason: 1}
    assert [one.masklet.visible_frames for one in clip.objects] == [(1,)]


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["x/a.png", "y/b.png"], "schema_error"),
        (["x/a.png", "x/../../b.png"], "unsafe_path"),
        (["x/a.png", "x/z.png"], "missing_frame"),
        (["x/a.png", 4], "schema_error"),
        ([], "schema_error"),
    ],
)
def test_a_video_whose_frames_cannot_be_used_is_dropped(tmp_path, pictures, names, reason):
    document = video_file()
    document["videos"][0]["file_names"] = names
    findings = Findings()
    assert read_videos(tmp_path, pictures, document, findings) == []
    assert findings.faults == {reason: 1}
