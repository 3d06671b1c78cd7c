import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from pycocotools import mask as coco

from sama_video.errors import RegionError
from sama_video.regions import rle

shapes = npst.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=24)
masks = npst.arrays(np.bool_, shapes)
mask_pairs = shapes.flatmap(lambda shape: st.tuples(npst.arrays(np.bool_, shape), npst.arrays(np.bool_, shape)))
quick = settings(max_examples=60, deadline=None)


@quick
@given(masks)
def test_decoding_gives_back_the_mask(mask):
    packed = rle.encode(mask)
    assert isinstance(packed["counts"], str)
    assert packed["size"] == list(mask.shape)
    assert np.array_equal(rle.decode(packed), mask)
    assert rle.area(packed) == mask.sum()


@quick
@given(st.lists(masks, max_size=40))
def test_areas_of_many_masks_are_those_of_each(many):
    packed = [rle.encode(mask) for mask in many]
    assert rle.areas(packed) == [rle.area(one) for one in packed] == [mask.sum() for mask in many]


@quick
@given(masks)
def test_every_accepted_spelling_of_a_mask_becomes_the_same_value(mask):
    packed = rle.encode(mask)
    flat = mask.flatten(order="F")
    borders = np.flatnonzero(np.diff(np.concatenate([[False], flat]).astype(np.int8)))
    plain = np.diff(np.concatenate([[0], borders, [flat.size]])).tolist()
    for counts in (packed["counts"].encode(), plain, [*plain, 0], [*plain, 0, 0]):
        assert rle.as_rle({"size": list(mask.shape), "counts": counts}) == packed


def test_empty_runs_are_joined():
    assert rle.as_rle({"size": [2, 3], "counts": [1, 2, 0, 2, 1]}) == rle.as_rle({"size": [2, 3], "counts": [1, 4, 1]})


@quick
@given(masks)
def test_box_is_the_smallest_one_around_the_mask(mask):
    box = rle.box_of(rle.encode(mask))
    if not mask.any():
        assert box is None
        return
    x0, y0, x1, y1 = box
    assert mask[y0:y1, x0:x1].sum() == mask.sum()
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    assert (x0, y0, x1, y1) == (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)


@quick
@given(mask_pairs)
def test_iou_and_union_agree_with_arrays(pair):
    a, b = pair
    packed_a, packed_b = rle.encode(a), rle.encode(b)
    shared, united = int((a & b).sum()), int((a | b).sum())
    assert rle.overlap_areas(packed_a, packed_b) == (shared, united)
    assert rle.iou(packed_a, packed_b) == rle.iou(packed_b, packed_a) == (shared / united if united else 0.0)
    assert np.array_equal(rle.decode(rle.union([packed_a, packed_b])), a | b)


def test_a_missing_mask_overlaps_nothing():
    packed = rle.encode(np.ones((2, 3), dtype=bool))
    assert rle.overlap_areas(packed, None) == rle.overlap_areas(None, packed) == (0, 6)
    assert rle.overlap_areas(None, None) == (0, 0)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, "mask is null"),
        ("abc", "mask is a str"),
        ({"size": [2, 2]}, "exactly"),
        ({"size": [2, 2], "counts": "04", "score": 1}, "exactly"),
        ({"size": [2, 2], "counts": 7}, "counts are a int"),
        ({"size": [2], "counts": "04"}, "size is"),
        ({"size": "22", "counts": "04"}, "size is"),
        ({"size": [2.0, 2], "counts": "04"}, "size is"),
        ({"size": [True, 4], "counts": "04"}, "size is"),
        ({"size": [0, 4], "counts": ""}, "size is"),
        ({"size": [-2, -2], "counts": "04"}, "size is"),
        ({"size": [10**9, 10**9], "counts": "0"}, "size is"),
        ({"size": [2, 2], "counts": ""}, "cut off"),
        ({"size": [2, 2], "counts": "P"}, "cut off"),
        ({"size": [2, 2], "counts": "0 4"}, "characters"),
        ({"size": [2, 2], "counts": "0é"}, "characters"),
        ({"size": [2, 2], "counts": b"\xff\xfe"}, "characters"),
        ({"size": [2, 2], "counts": "03"}, "cover 3 pixels, but size [2, 2] has 4"),
        ({"size": [2, 2], "counts": "05"}, "cover 5 pixels"),
        ({"size": [2, 2], "counts": "PPPPPPPPPPPP0"}, "longer than any picture"),
        ({"size": [2, 2], "counts": [1, -1, 4]}, "negative"),
        ({"size": [2, 2], "counts": [1.0, 3]}, "whole numbers"),
        ({"size": [2, 2], "counts": [True, 3]}, "whole numbers"),
        ({"size": [2, 2], "counts": [10**30]}, "whole numbers"),
        ({"size": [2, 2], "counts": []}, "cover 0 pixels"),
    ],
)
def test_damaged_run_lengths_are_refused(value, told):
    with pytest.raises(RegionError) as caught:
        rle.as_rle(value)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_cut_string_never_reaches_the_library():
    packed = rle.encode(np.random.default_rng(0).random((20, 30)) < 0.4)
    for length in range(len(packed["counts"])):
        with pytest.raises(RegionError):
            rle.decode({"size": [20, 30], "counts": packed["counts"][:length]})


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # the library's decoder on NumPy 2
@settings(max_examples=300, deadline=None)
@given(st.text(st.characters(min_codepoint=40, max_codepoint=120), max_size=12))
def test_any_string_is_read_as_the_library_reads_it_or_refused(counts):
    try:
        read = rle.decode({"size": [5, 4], "counts": counts})
    except RegionError:
        return
    assert np.array_equal(read, coco.decode({"size": [5, 4], "counts": counts.encode()}))


def test_masks_of_different_sizes_do_not_mix():
    small, large = (rle.encode(np.ones(shape, dtype=bool)) for shape in ((2, 3), (3, 2)))
    for combine in (lambda: rle.iou(small, large), lambda: rle.union([small, large])):
        with pytest.raises(RegionError, match="2x3, 3x2"):
            combine()
    with pytest.raises(RegionError, match="no masks"):
        rle.union([])


def test_fill_box_fills_each_frame_and_leaves_empty_frames_empty():
    masks = np.zeros((3, 4, 5), dtype=bool)
    masks[0, 1, 1] = masks[0, 2, 3] = masks[2, 0, 4] = True
    filled = rle.fill_box(masks)
    expected = np.zeros_like(masks)
    expected[0, 1:3, 1:4] = expected[2, 0, 4] = True
    assert np.array_equal(filled, expected)
    assert np.array_equal(rle.fill_box(masks[0]), expected[0])


def test_resize_takes_the_upper_left_pixel_of_each_cell():
    mask = np.arange(24).reshape(4, 6) % 5 == 0
    assert np.array_equal(rle.resize_nearest(mask, (2, 3)), mask[::2, ::2])
    assert np.array_equal(rle.resize_nearest(mask, (8, 12)), mask.repeat(2, 0).repeat(2, 1))
    assert rle.resize_nearest(np.stack([mask] * 3), (7, 5)).shape == (3, 7, 5)


def test_resize_rounds_cell_positions_in_single_precision():
    # 47 * (49 / 47) is just below 49 in single precision at some cells; the model's training resize did the same.
    line = np.arange(331) % 2 == 0
    positions = np.floor(np.arange(112, dtype=np.float32) * np.float32(331 / 112)).astype(int)
    assert np.array_equal(rle.resize_nearest(line[None], (1, 112))[0], line[positions])
