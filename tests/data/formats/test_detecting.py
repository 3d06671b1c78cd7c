"""Formats are told apart by what is inside."""

import json

import pytest

from sama_video.data.formats import FORMATS, detect
from sama_video.errors import DataError


@pytest.mark.parametrize("name", FORMATS)
def test_folder_and_file_are_recognised(name, make_clip, tmp_path):
    FORMATS[name].write([make_clip(apart=True)], tmp_path / "out")
    assert detect(tmp_path / "out").name == name
    for file in (*(tmp_path / "out").rglob("instances.json"), *(tmp_path / "out").rglob("annotations.xml")):
        assert detect(file).name == name


@pytest.mark.parametrize(
    "content", [{"images": []}, {"videos": [], "annotations": []}, [], [{"image": "a.png"}], [3], {"a": 1}]
)
def test_other_json_is_refused(content, tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(content))
    for path in (tmp_path / "a.json", tmp_path):
        with pytest.raises(DataError, match="coco, youtube-vis, davis, cvat-video, label-studio"):
            detect(path)


def test_what_is_not_there_is_told(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        detect(tmp_path / "none")


def test_damaged_files_are_in_no_format(tmp_path):
    for name, content in (("a.json", b'{"images": ['), ("b.xml", b"<annot"), ("c.zip", b"PK")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match="none of the formats"):
            detect(tmp_path / name)


def test_two_formats_in_one_folder_are_refused(make_clip, tmp_path):
    FORMATS["coco"].write([make_clip()], tmp_path / "out")
    FORMATS["label-studio"].write([make_clip()], tmp_path / "other")
    (tmp_path / "other" / "tasks.json").rename(tmp_path / "out" / "tasks.json")
    with pytest.raises(DataError, match="files of coco and of label-studio"):
        detect(tmp_path / "out")
