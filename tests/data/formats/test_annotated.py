"""What an annotated clip must be, names, boxes on the pixel grid, and pictures."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import sama_video.data.formats as formats
from sama_video.data.clips import FrameClip
from sama_video.data.findings import FaultError, Place
from sama_video.data.formats.annotated import AnnotatedObject, ClipNames, clip_name
from sama_video.data.formats.media import picture_size, write_frames
from sama_video.data.formats.outlines import box_mask, turned_box_mask
from sama_video.errors import DataError
from sama_video.regions.masklet import Masklet
from sama_video.regions.rle import decode
from sama_video.video.stills import read_image

PLACE = Place("a.json")


def test_public_names():
    assert formats.__all__ == [
        "FORMATS",
        "AnnotatedClip",
        "AnnotatedObject",
        "Format",
        "ReadOptions",
        "clip_detections",
        "detect",
        "frame_detections",
        "own_frames",
        "to_records",
    ]
    assert all(hasattr(formats, name) for name in formats.__all__)


@pytest.mark.parametrize(
    "label", ["", " car", "a\nb", "a [SEG]", "<region>", "the <obj3>", "x" * 1001, "a\x00b", "\ud800"]
)
def test_words_that_no_dialogue_could_hold_are_refused(label):
    masklet = Masklet.from_masks("obj1", np.ones((1, 2, 2), bool))
    with pytest.raises(DataError, match="give it other words"):
        AnnotatedObject(masklet, label)
    with pytest.raises(DataError, match="give it other words"):
        AnnotatedObject(masklet, "car", label)


@pytest.mark.parametrize("name", ["obj0", "car", "obj01", "obj1\n", ""])
def test_objects_have_numbers(name):
    with pytest.raises(DataError, match="obj1, obj2"):
        AnnotatedObject(Masklet.from_masks(name, np.ones((1, 2, 2), bool)), "car")


def test_parts_must_agree(make_clip):
    clip = make_clip()
    with pytest.raises(DataError, match="an object twice"):
        replace(clip, objects=(clip.objects[0], clip.objects[0]))
    with pytest.raises(DataError, match="4 frames of 9x14, the clip 4 of 14x9"):
        replace(clip, height=14, width=9)
    with pytest.raises(DataError, match="box frames"):
        replace(clip.objects[0], box_frames=(1,))
    with pytest.raises(DataError, match="cannot name a folder"):
        replace(clip, name="../walk")


@given(st.text())
def test_clip_names_can_name_folders(text):
    name = clip_name(text)
    assert clip_name(name) == name
    assert 0 < len(name.encode()) <= 200
    assert not set(name) & set('/\\:*?"<>|\0\n')
    assert name.strip(" .") == name


def test_names_differ_in_more_than_the_case_of_letters():
    names = ClipNames()
    assert [names.unique(name) for name in ("a", "A", "a", "b")] == ["a", "2 A", "3 a", "b"]


@given(st.lists(st.integers(-3, 12), min_size=4, max_size=4))
def test_boxes_on_whole_pixels_are_exact(edges):
    x0, x1, y0, y1 = *sorted(edges[:2]), *sorted(edges[2:])
    expected = np.zeros((7, 9), bool)
    expected[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)] = True
    if x0 == x1 or y0 == y1:
        with pytest.raises(FaultError, match="bad_box"):
            box_mask((x0, y0, x1, y1), (7, 9), PLACE)
        return
    found = box_mask((x0, y0, x1, y1), (7, 9), PLACE)
    assert (found is None) == (not expected.any())
    assert found is None or (decode(found) == expected).all()
    turned = turned_box_mask((x0, y0, x1, y1), 360.0, (0.0, 0.0), (7, 9), PLACE)
    assert turned == found


@pytest.mark.parametrize(
    ("edges", "box"),
    [((1.5, 1.5, 3.5, 3.5), (1, 1, 3, 3)), ((2.6, 0, 2.9, 1), (2, 0, 3, 1)), ((0.4, 0.4, 0.45, 9), (0, 0, 1, 7))],
)
def test_a_box_covers_the_pixels_whose_centres_are_in_it(edges, box):
    found = box_mask(edges, (7, 9), PLACE)
    assert found is not None
    rows, columns = np.nonzero(decode(found))
    assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == box


def test_a_box_turned_by_a_quarter_is_the_box_lying_down():
    found = turned_box_mask((2, 3, 8, 5), 90.0, (5.0, 4.0), (9, 12), PLACE)
    assert found is not None
    assert found == box_mask((4, 1, 6, 7), (9, 12), PLACE)


def test_turned_pictures_are_written_upright(tmp_path):
    pixels = np.zeros((16, 24, 3), np.uint8)
    pixels[:, 12:] = 200
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "in").mkdir()
    Image.fromarray(pixels).save(tmp_path / "in" / "0.jpg", exif=exif, quality=95)
    assert picture_size(tmp_path / "in" / "0.jpg", PLACE) == (24, 16)
    (name,) = write_frames(FrameClip(tmp_path, "in", ("0.jpg",)), tmp_path / "out")
    with Image.open(tmp_path / "out" / name) as image:
        assert image.size == (16, 24)
        assert 0x0112 not in image.getexif()
    before, after = read_image(tmp_path / "in" / "0.jpg"), read_image(tmp_path / "out" / name)
    assert np.abs(before.astype(int) - after).max() <= 6


def test_frames_of_two_sizes_are_refused(tmp_path, pictures):
    pictures(tmp_path / "in", ["0.png"], (4, 4))
    pictures(tmp_path / "in", ["1.png"], (4, 5))
    with pytest.raises(DataError, match=r"1.png has another size"):
        write_frames(FrameClip(tmp_path, "in", ("0.png", "1.png")), tmp_path / "out")
