import json
import math
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sama_video.errors import RegionError
from sama_video.regions import (
    Box,
    Mask,
    ObjectRef,
    Points,
    at_frame,
    check_region,
    region_from_json,
    region_to_json,
    rle,
)

# The shape checker of the test run draws random numbers where strategies build our values.
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")

CLIP = {"num_frames": 96, "height": 240, "width": 320}
FULL = rle.encode(np.ones((240, 320), dtype=bool))

coordinate = st.one_of(st.integers(0, 1000), st.floats(0, 1000))
moment = st.one_of(
    st.fixed_dictionaries({"frame": st.integers(0, 500)}), st.fixed_dictionaries({"seconds": st.floats(0, 1e4)})
)
clicks = st.lists(st.tuples(coordinate, coordinate, st.integers(0, 1)), min_size=1, max_size=4)
sides = st.tuples(coordinate, coordinate, coordinate, coordinate).filter(
    lambda box: box[0] < box[2] and box[1] < box[3]
)
bits = st.lists(st.lists(st.booleans(), min_size=4, max_size=4), min_size=1, max_size=4).filter(
    lambda m: any(map(any, m))
)
regions = st.one_of(
    st.builds(
        lambda when, points: Points(xy=[(x, y) for x, y, _ in points], labels=[label for *_, label in points], **when),
        moment,
        clicks,
    ),
    st.builds(lambda when, box: Box(xyxy=box, **when), moment, sides),
    st.builds(lambda when, mask: Mask(mask=np.array(mask), **when), moment, bits),
    st.builds(lambda number: ObjectRef(f"obj{number}"), st.integers(1, 99)),
)


@settings(max_examples=100, deadline=None)
@given(regions)
def test_json_gives_the_region_back(region):
    wire = json.loads(json.dumps(region_to_json(region)))
    back = region_from_json(wire)
    assert back == region
    assert hash(back) == hash(region)
    assert region_to_json(back) == wire


def test_wire_form_is_the_contracts():
    assert region_to_json(Box(frame=0, xyxy=(10, 20, 60, 90))) == {"frame": 0, "box": [10, 20, 60, 90]}
    assert (
        json.dumps(region_to_json(Box(frame=0, xyxy=(10, 20.5, 60, 90)))) == '{"frame": 0, "box": [10, 20.5, 60, 90]}'
    )
    assert region_to_json(Points(seconds=1.5, xy=[(40, 50)])) == {"seconds": 1.5, "points": [[40, 50]], "labels": [1]}
    assert region_to_json(ObjectRef("obj2")) == {"object": "obj2"}
    assert region_from_json({"frame": 3, "points": [[1, 2], [3, 4]]}) == Points(3, xy=[(1, 2), (3, 4)], labels=[1, 1])


def test_arrays_become_plain_numbers():
    points = Points(np.int64(3), xy=np.array([[1.5, 2.0], [3, 4]], dtype=np.float32), labels=np.array([1, 0]))
    assert points == Points(3, xy=((1.5, 2), (3, 4)), labels=(1, 0))
    assert type(points.frame) is int
    assert all(type(number) is float for pair in points.xy for number in pair)
    assert Box(0, xyxy=np.array([1, 2, 3, 4])).xyxy == (1.0, 2.0, 3.0, 4.0)


def test_masks_are_taken_as_arrays_and_as_run_lengths():
    array = np.zeros((4, 5), dtype=bool)
    array[1:3, 2] = True
    for mask in (array, array.astype(np.uint8), rle.encode(array), {"size": [4, 5], "counts": [9, 2, 9]}):
        region = Mask(0, mask=mask)
        assert region == Mask(0, mask=array)
        assert np.array_equal(region.dense(), array)


def test_shapes_are_frozen_and_serve_as_keys():
    box = Box(0, xyxy=(1, 2, 3, 4))
    with pytest.raises(FrozenInstanceError):
        box.frame = 3
    assert len({box, Box(0, xyxy=(1.0, 2.0, 3.0, 4.0)), Mask(0, mask=FULL), Mask(0, mask=FULL)}) == 2
    assert replace(box, frame=7) == Box(7, xyxy=(1, 2, 3, 4))


def test_at_frame_settles_the_moment():
    assert at_frame(Box(seconds=2.5, xyxy=(1, 2, 3, 4)), 60) == Box(frame=60, xyxy=(1, 2, 3, 4))
    assert at_frame(Mask(seconds=2.5, mask=FULL), 60) == Mask(60, mask=FULL)
    assert at_frame(Points(3, xy=[(1, 2)], labels=[0]), np.int64(60)) == Points(60, xy=[(1, 2)], labels=[0])
    assert at_frame(ObjectRef("obj1"), 60) == ObjectRef("obj1")


def test_frame_beyond_the_clip_is_told_in_the_agreed_form():
    with pytest.raises(RegionError) as caught:
        check_region(Box(212, xyxy=(1, 2, 3, 4)), **CLIP)
    assert str(caught.value) == (
        "box on frame 212, but the clip has 96 frames (0-95). Frames count within the clip, not the source file; "
        "use clip.index_at(seconds=...)."
    )


@pytest.mark.parametrize(
    "region",
    [
        Box(0, xyxy=(0, 0, 320, 240)),
        Box(95, xyxy=(0.5, 0, 1, 0.25)),
        Box(seconds=1e6, xyxy=(0, 0, 1, 1)),
        Points(0, xy=[(0, 0), (319.9, 239.9)], labels=[0, 1]),
        Mask(0, mask=FULL),
        ObjectRef("obj7"),
    ],
)
def test_regions_that_keep_the_rules_pass(region):
    check_region(region, **CLIP)


@pytest.mark.parametrize(
    ("region", "told"),
    [
        (Box(96, xyxy=(0, 0, 1, 1)), "box on frame 96"),
        (Points(96, xy=[(0, 0)]), "points on frame 96"),
        (Mask(96, mask=FULL), "mask on frame 96"),
        (Box(0, xyxy=(-1, 0, 1, 1)), "not inside the frame, which is 320x240"),
        (Box(0, xyxy=(0, 0, 320.5, 1)), "not inside"),
        (Box(0, xyxy=(0, 0, 1, 241)), "not inside"),
        (Points(0, xy=[(1, 1), (320, 1)]), "point [320, 1] is outside"),
        (Points(0, xy=[(1, 240)]), "outside"),
        (Points(0, xy=[(-0.1, 1)]), "outside"),
        (Points(0, xy=[(1, 1), (2, 2)], labels=[0, 0]), "all labelled 0"),
        (Mask(0, mask=np.ones((320, 240), dtype=bool)), "mask is 240x320, but the clip's frames are 320x240"),
    ],
)
def test_regions_that_break_a_rule_are_refused(region, told):
    with pytest.raises(RegionError) as caught:
        check_region(region, **CLIP)
    assert told in str(caught.value)


def test_refining_may_only_take_away():
    check_region(Points(0, xy=[(1, 1)], labels=[0]), refining=True, **CLIP)


BOX, POINTS = [1, 2, 3, 4], [[1, 2]]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ([], "give an object"),
        (None, "give an object"),
        ({}, "none of them"),
        ({"frame": 0}, "none of them"),
        ({"frame": 0, "box": BOX, "points": POINTS}, "points and box"),
        ({"frame": 0, "box": BOX, "object": "obj1"}, "box and object"),
        ({"box": BOX}, "no moment"),
        ({"frame": 0, "seconds": 0, "box": BOX}, "frame and seconds"),
        ({"frame": 0, "bbox": BOX}, "unknown key 'bbox'"),
        ({"frame": 0, "box": BOX, "labels": [1]}, "only points"),
        ({"frame": 0, "object": "obj1"}, "needs no moment"),
        ({"object": "dog"}, "obj1, obj2"),
        ({"object": "obj0"}, "obj1, obj2"),
        ({"object": 3}, "obj1, obj2"),
        ({"frame": "0", "box": BOX}, "whole number"),
        ({"frame": 1.0, "box": BOX}, "whole number"),
        ({"frame": True, "box": BOX}, "whole number"),
        ({"frame": None, "box": BOX}, "whole number"),
        ({"frame": -1, "box": BOX}, "frame -1"),
        ({"seconds": "1", "box": BOX}, "give numbers"),
        ({"seconds": -0.5, "box": BOX}, "-0.5 seconds"),
        ({"seconds": math.nan, "box": BOX}, "finite"),
        ({"frame": 0, "box": [1, 2, 3]}, "3 numbers"),
        ({"frame": 0, "box": "1234"}, "give [x0, y0, x1, y1]"),
        ({"frame": 0, "box": {"x0": 1}}, "give [x0, y0, x1, y1]"),
        ({"frame": 0, "box": 5}, "give [x0, y0, x1, y1]"),
        ({"frame": 0, "box": [1, 2, "3", 4]}, "'3'"),
        ({"frame": 0, "box": [1, 2, True, 4]}, "True"),
        ({"frame": 0, "box": [1, 2, math.inf, 4]}, "finite"),
        ({"frame": 0, "box": [1, 2, 10**400, 4]}, "finite"),
        ({"frame": 0, "box": [3, 2, 1, 4]}, "no area"),
        ({"frame": 0, "box": [1, 2, 3, 2]}, "no area"),
        ({"frame": 0, "points": []}, "no point"),
        ({"frame": 0, "points": [1, 2]}, "give [x, y]"),
        ({"frame": 0, "points": [[1, 2, 3]]}, "3 numbers"),
        ({"frame": 0, "points": [[1, None]]}, "None"),
        ({"frame": 0, "points": POINTS, "labels": [1, 0]}, "1 points with 2 labels"),
        ({"frame": 0, "points": POINTS, "labels": [2]}, "label is 1"),
        ({"frame": 0, "points": POINTS, "labels": [True]}, "label is 1"),
        ({"frame": 0, "points": POINTS, "labels": [1.0]}, "label is 1"),
        ({"frame": 0, "points": POINTS, "labels": "1"}, "list of 0 and 1"),
        ({"frame": 0, "points": POINTS, "labels": None}, "list of 0 and 1"),
        ({"frame": 0, "mask": [[1, 0]]}, "mask is a list"),
        ({"frame": 0, "mask": {"size": [2, 2], "counts": "0"}}, "cover 0 pixels"),
        ({"frame": 0, "mask": {"size": [2, 2], "counts": "4"}}, "no set pixel"),
    ],
)
def test_json_that_breaks_a_rule_is_refused_in_one_line(value, told):
    with pytest.raises(RegionError) as caught:
        region_from_json(value)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "mask", [np.ones(4, dtype=bool), np.ones((2, 2)), np.full((2, 2), 2), np.zeros((0, 4), dtype=bool)]
)
def test_arrays_that_are_no_masks_are_refused(mask):
    with pytest.raises(RegionError):
        Mask(0, mask=mask)


scalars = st.one_of(st.none(), st.booleans(), st.integers(-5, 400), st.floats(), st.text(max_size=3))
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner)
)
keys = st.sampled_from(["frame", "seconds", "points", "labels", "box", "mask", "object", "other"])


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(keys, json_values, max_size=4))
def test_any_json_is_a_region_or_refused(value):
    try:
        region = region_from_json(value)
    except RegionError:
        return
    assert region_from_json(region_to_json(region)) == region
