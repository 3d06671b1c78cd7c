import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from sama_video.errors import RegionError
from sama_video.regions import Masklet, rle

tracks = npst.arrays(np.bool_, st.tuples(st.integers(1, 5), st.integers(1, 8), st.integers(1, 8)))


def small_track() -> np.ndarray:
    masks = np.zeros((4, 6, 8), dtype=bool)
    masks[0, 1:3, 2:5] = True
    masks[2, 5, 7] = True
    return masks


@settings(max_examples=50, deadline=None)
@given(tracks)
def test_masks_and_json_come_back(masks):
    masklet = Masklet.from_masks("obj1", masks)
    assert np.array_equal(masklet.masks, masks)
    assert masklet.visible_frames == tuple(np.flatnonzero(masks.any(axis=(1, 2))))
    back = Masklet.from_json(json.loads(json.dumps(masklet.to_json())))
    assert back == masklet
    assert hash(back) == hash(masklet)


def test_file_form_is_the_contracts():
    masklet = Masklet.from_masks("obj2", small_track(), [0.98, None, 0.5, 0.25])
    document = masklet.to_json()
    assert {key: document[key] for key in ("object", "height", "width")} == {"object": "obj2", "height": 6, "width": 8}
    first, second, third, _ = document["frames"]
    assert first == {"frame": 0, "mask": rle.encode(small_track()[0]), "box": [2, 1, 5, 3], "score": 0.98}
    assert second == {"frame": 1, "mask": None, "box": None, "score": None}
    assert third["box"] == [7, 5, 8, 6]


def test_frames_without_the_object_are_empty():
    masklet = Masklet.from_masks("obj1", small_track())
    assert masklet.num_frames == 4
    assert masklet.visible_frames == (0, 2)
    assert masklet.box(1) is None
    assert not masklet.mask(1).any()
    assert masklet.box(0) == (2, 1, 5, 3)


def test_an_empty_mask_means_not_visible():
    empty = rle.encode(np.zeros((6, 8), dtype=bool))
    assert Masklet("obj1", 6, 8, (empty, None), (None, None)).rles == (None, None)


def test_masks_are_taken_from_a_stream():
    assert Masklet.from_masks("obj1", iter(small_track())) == Masklet.from_masks("obj1", small_track())


@pytest.mark.parametrize("frame_idx", [-1, 4])
def test_frames_outside_the_clip_are_refused(frame_idx):
    masklet = Masklet.from_masks("obj1", small_track())
    for read in (masklet.mask, masklet.box):
        with pytest.raises(RegionError, match=r"4 frames \(0-3\)"):
            read(frame_idx)


def test_parts_that_do_not_fit_are_refused():
    masklet = Masklet.from_masks("obj1", small_track())
    with pytest.raises(RegionError, match="4 masks and 3 scores"):
        replace(masklet, scores=(None,) * 3)
    with pytest.raises(RegionError, match="mask on frame 0 is 6x8"):
        replace(masklet, width=9)
    with pytest.raises(RegionError, match="no frames"):
        Masklet.from_masks("obj1", [])
    with pytest.raises(RegionError, match="6x8, but its mask on frame 1 is 8x6"):
        Masklet.from_masks("obj1", [small_track()[0], np.ones((8, 6), dtype=bool)])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"object": ""}, "object is ''"),
        ({"object": 1}, "object is 1"),
        ({"height": 0}, "height is 0"),
        ({"width": True}, "width is True"),
        ({"height": 7}, "7x8"),
        ({"frames": []}, "no list of frames"),
        ({"frames": {}}, "no list of frames"),
        ({"frames": [{"frame": 1, "mask": None}]}, "row 0 is for frame 1"),
        ({"frames": [{"frame": False, "mask": None}]}, "row 0 is for frame False"),
        ({"frames": [{"frame": 0}]}, "no 'mask'"),
        ({"frames": [3]}, "row 0 is a int"),
        ({"frames": [{"frame": 0, "mask": None, "score": "high"}]}, "'high'"),
        ({"frames": [{"frame": 0, "mask": None, "score": float("nan")}]}, "finite"),
        ({"frames": [{"frame": 0, "mask": {"size": [6, 8], "counts": "0"}}]}, "cover 0 pixels"),
        ({"colour": "red"}, "unknown key 'colour'"),
    ],
)
def test_damaged_files_are_refused(change, told):
    document = Masklet.from_masks("obj1", small_track()).to_json() | change
    with pytest.raises(RegionError) as caught:
        Masklet.from_json(document)
    assert told in str(caught.value)
