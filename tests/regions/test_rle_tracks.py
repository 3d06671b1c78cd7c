import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from sama_video.errors import RegionError
from sama_video.regions import rle

pairs = npst.arrays(np.bool_, st.tuples(st.just(2), st.integers(0, 5), st.integers(1, 4), st.integers(1, 5)))


def encoded(frames: np.ndarray) -> list[rle.Rle | None]:
    return [rle.encode(mask) if mask.any() else None for mask in frames]


@given(pairs)
def test_tracks_overlap_as_their_frames_do(pair):
    a, b = (encoded(frames) for frames in pair)
    shared, united = rle.track_overlaps(a, b)
    frames = [rle.overlap_areas(one, other) for one, other in zip(a, b, strict=True)]
    assert list(zip(shared.tolist(), united.tolist(), strict=True)) == frames


def test_long_tracks_are_compared_in_parts(monkeypatch):
    rng = np.random.default_rng(0)
    a, b = (encoded(rng.random((7, 4, 5)) < share) for share in (0.5, 0.1))
    whole = rle.track_overlaps(a, b)
    monkeypatch.setattr(rle, "_JOINED_FRAMES", 2)
    assert np.array_equal(rle.track_overlaps(a, b), whole)


def test_run_without_pixels_at_the_very_end_belongs_to_no_frame():
    odd: rle.Rle = {"size": [2, 2], "counts": "40"}  # four of background, then a filled run of none
    shared, united = rle.track_overlaps([odd], [rle.encode(np.ones((2, 2), dtype=bool))])
    assert (shared.tolist(), united.tolist()) == ([0], [4])


@given(pairs)
def test_unpacked_together_is_unpacked_one_by_one(pair):
    masks = [rle.encode(mask) for mask in pair.reshape(-1, *pair.shape[2:])]
    runs, counts = rle.unpack(masks)
    assert np.concatenate([np.zeros(0, dtype=int), *(rle.unpack([one])[0] for one in masks)]).tolist() == runs.tolist()
    assert counts.sum() == runs.size


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ("", "cut off"),
        ("0", "cover 0 pixels"),
        ("b", "cut off"),
        ("0[", "cut off"),
        ("13M2", "negative"),
        ("9~", "never"),
    ],
)
def test_one_damaged_mask_among_others_is_found(counts, words):
    good = rle.encode(np.eye(3, dtype=bool))
    with pytest.raises(RegionError, match=words):
        rle.unpack([good, {"size": [3, 3], "counts": counts}, good])


def test_tracks_that_do_not_belong_together_are_refused():
    mask = rle.encode(np.eye(3, dtype=bool))
    with pytest.raises(RegionError, match="1 and 2 frames"):
        rle.track_overlaps([mask], [mask, None])
    with pytest.raises(RegionError, match="3x3, 4x4"):
        rle.track_overlaps([mask, None], [None, rle.encode(np.eye(4, dtype=bool))])


@given(npst.arrays(np.bool_, st.tuples(st.just(2), st.integers(1, 4), st.integers(1, 5))))
def test_difference_is_what_only_the_first_covers(pair):
    found = rle.difference(rle.encode(pair[0]), rle.encode(pair[1]))
    assert (rle.decode(found) == (pair[0] & ~pair[1])).all()
    assert rle.area(rle.as_rle(found)) == (pair[0] & ~pair[1]).sum()
