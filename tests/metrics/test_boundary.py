import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from sama_video.errors import DataError, RegionError
from sama_video.metrics import boundary, contours, strips
from sama_video.metrics.boundary import jf_series, jf_table, tolerance
from sama_video.regions import rle

FULL, EMPTY = np.ones((20, 30), dtype=bool), np.zeros((20, 30), dtype=bool)


def by_definition(true: np.ndarray, predicted: np.ndarray, radius: int) -> tuple[float, float]:
    """J and F written as they are told: whole pictures, and the distance of every contour pixel to every other."""
    united = np.count_nonzero(true | predicted)
    j = np.count_nonzero(true & predicted) / united if united else 1.0
    one, other = (np.argwhere(edges(mask)) for mask in (true, predicted))
    if not (len(one) and len(other)):
        return j, float(len(one) == len(other))
    near = ((one[:, None] - other[None]) ** 2).sum(axis=-1) <= radius**2
    recall, precision = near.any(axis=1).mean(), near.any(axis=0).mean()
    return j, 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def edges(mask: np.ndarray) -> np.ndarray:
    around = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
    right, below, across = around[:-1, 1:], around[1:, :-1], around[1:, 1:]
    return (mask != right) | (mask != below) | (mask != across)


def score(true: np.ndarray, predicted: np.ndarray, bound: float = boundary.BOUND) -> tuple[float, float]:
    found = jf_series([rle.encode(true)], [rle.encode(predicted)], true.shape, bound=bound)
    return float(found.j[0]), float(found.f[0])


def rectangle(size: tuple[int, int], y0: int, x0: int, y1: int, x1: int) -> np.ndarray:
    mask = np.zeros(size, dtype=bool)
    mask[y0:y1, x0:x1] = True
    return mask


def pixel(size: tuple[int, int], y: int, x: int) -> np.ndarray:
    return rectangle(size, y, x, y + 1, x + 1)


@st.composite
def pairs(draw) -> tuple[np.ndarray, np.ndarray]:
    """Two masks of one size, of a few rectangles each or of noise; tall ones take several words a column."""
    size = draw(st.tuples(st.sampled_from([1, 2, 9, 63, 64, 65, 130]), st.sampled_from([1, 2, 9, 40])))
    return draw(masks(size)), draw(masks(size))


def masks(size: tuple[int, int]) -> st.SearchStrategy[np.ndarray]:
    sides = [st.tuples(st.integers(0, length), st.integers(0, length)) for length in size]
    boxes = st.lists(st.tuples(*sides), max_size=3)
    noise = st.integers(0, 2**32 - 1).map(lambda seed: np.random.default_rng(seed).random(size) < 0.1)
    return boxes.map(lambda given: union_of(size, given)) | noise


def union_of(size: tuple[int, int], boxes) -> np.ndarray:
    mask = np.zeros(size, dtype=bool)
    for rows, columns in boxes:
        mask ^= rectangle(size, min(rows), min(columns), max(rows), max(columns))
    return mask


@settings(max_examples=80)
@given(pairs(), st.sampled_from([1, 2, 3, 8, 70]))
def test_bits_of_crops_agree_with_whole_pictures(pair, radius):
    assert score(*pair, radius) == pytest.approx(by_definition(*pair, radius), abs=1e-12)


@pytest.mark.parametrize("radius", [18, 40, 64, 70])
@pytest.mark.parametrize("row", [0, 1, 4, 7])
def test_wide_tolerances_leave_no_gaps_at_the_upper_border(row, radius):
    near = pixel((130, 2), row, 0)
    for other in range(row + 2, 130, 3):
        far = pixel((130, 2), other, 0)
        assert score(near, far, radius) == by_definition(near, far, radius)


@given(pairs(), st.sampled_from([1, 5]))
def test_scores_are_symmetric_within_range_and_perfect_for_itself(pair, radius):
    j, f = score(*pair, radius)
    assert (j, f) == score(*reversed(pair), radius)
    assert 0 <= j <= 1
    assert 0 <= f <= 1
    assert score(pair[0], pair[0], radius) == (1, 1)


@given(npst.arrays(np.bool_, (2, 7, 9)), st.integers(0, 80), st.integers(0, 40))
def test_place_in_the_picture_does_not_matter(pair, down, right):
    def placed(mask: np.ndarray, y: int, x: int) -> np.ndarray:
        picture = np.zeros((100, 60), dtype=bool)
        picture[y + 1 : y + 8, x + 1 : x + 10] = mask
        return picture

    there, here = (score(*(placed(mask, *at) for mask in pair), 2) for at in ((0, 0), (down, right)))
    assert there == here


@given(pairs())
def test_wider_tolerance_never_scores_less(pair):
    scores = [score(*pair, radius)[1] for radius in (1, 2, 4, 300)]
    assert scores == sorted(scores)


@pytest.mark.parametrize(
    ("true", "predicted", "expected"),
    [
        (EMPTY, EMPTY, (1, 1)),
        (FULL, FULL, (1, 1)),
        (FULL, EMPTY, (0, 1)),  # neither has a contour: the border of the picture is none
        (EMPTY, pixel((20, 30), 3, 3), (0, 0)),
        (FULL, rectangle((20, 30), 0, 0, 20, 15), (0.5, 0)),
        (pixel((20, 30), 3, 3), pixel((20, 30), 3, 4), (0, 1)),
        (pixel((20, 30), 3, 3), pixel((20, 30), 3, 20), (0, 0)),
        (pixel((1, 1), 0, 0), np.zeros((1, 1), dtype=bool), (0, 1)),
        (pixel((1, 9), 0, 4), pixel((1, 9), 0, 5), (0, 1)),
        (pixel((9, 1), 0, 0), pixel((9, 1), 8, 0), (0, 0)),
        (pixel((20, 30), 0, 0), pixel((20, 30), 19, 29), (0, 0)),
    ],
)
def test_masks_at_the_border(true, predicted, expected):
    assert score(true, predicted) == expected
    assert by_definition(true, predicted, tolerance(true.shape)) == expected


def test_edges_by_hand():
    mask = rectangle((3, 4), 0, 1, 2, 4)  # touches the upper and the right border
    assert edges(mask).astype(int).tolist() == [[1, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]]
    (found,) = contours.contours([rle.encode(mask)], (3, 4), 1)
    assert (found.area, found.length) == (6, 5)


def test_tolerance_is_a_share_of_the_diagonal_or_pixels():
    assert [tolerance(size) for size in ((480, 854), (48, 64), (1, 1), (300, 400))] == [8, 1, 1, 4]
    assert tolerance((480, 854), 3) == 3
    for bound in (0, -1, 1.5, math.nan):
        with pytest.raises(DataError, match="tolerance"):
            tolerance((480, 854), bound)


def test_void_pixels_count_on_neither_side():
    rng = np.random.default_rng(0)
    true, predicted, void = (rng.random((30, 40)) < share for share in (0.5, 0.5, 0.3))
    track = [rle.encode(true)], [rle.encode(predicted)]
    found = jf_series(*track, (30, 40), void=[rle.encode(void)])
    assert (found.j[0], found.f[0]) == pytest.approx(by_definition(true & ~void, predicted & ~void, 1))
    unseen = jf_series(*track, (30, 40), void=[rle.encode(np.ones((30, 40), dtype=bool))])
    assert (unseen.j[0], unseen.f[0]) == (1, 1)
    assert jf_series(*track, (30, 40), void=[None]).j == jf_series(*track, (30, 40)).j


def some_tracks(rng: np.random.Generator, count: int, length: int) -> list[list[rle.Rle | None]]:
    def mask() -> rle.Rle | None:
        if rng.random() < 0.2:
            return None
        y, x = rng.integers(0, 60, 2)
        return rle.encode(rectangle((70, 80), y, x, y + rng.integers(0, 60), x + rng.integers(0, 60)))

    return [[mask() for _ in range(length)] for _ in range(count)]


def test_table_holds_every_pair_however_the_work_is_cut(monkeypatch):
    rng = np.random.default_rng(0)
    true, predicted = some_tracks(rng, 2, 9), some_tracks(rng, 3, 9)
    predicted[1][4] = true[0][4]
    whole = jf_table(true, predicted, (70, 80))
    assert whole.j.shape == whole.f.shape == (3, 2, 9)
    for row, one in enumerate(predicted):
        for column, other in enumerate(true):
            alone = jf_series(other, one, (70, 80))
            assert (whole.j[row, column] == alone.j).all()
            assert (whole.f[row, column] == alone.f).all()
    monkeypatch.setattr(boundary, "_BLOCK_BYTES", 1)
    monkeypatch.setattr(contours, "_SHEET_WORDS", 1)
    monkeypatch.setattr(contours, "_READ_CHARACTERS", 1)
    pieces = jf_table(true, predicted, (70, 80))
    assert (pieces.j == whole.j).all()
    assert (pieces.f == whole.f).all()


def test_equal_masks_are_never_unpacked(monkeypatch):
    track = [rle.encode(pixel((9, 9), 4, 4)), None]

    def refuse(*_args: object) -> None:
        raise AssertionError

    monkeypatch.setattr(strips, "unpack", lambda masks: rle.unpack(masks) if not masks else refuse())
    found = jf_series(track, list(track), (9, 9))
    assert found.j.tolist() == found.f.tolist() == [1, 1]


@given(npst.arrays(np.uint64, st.tuples(st.integers(0, 3), st.integers(1, 5))))
def test_bits_are_counted_alike_with_and_without_numpy_2(words):
    expected = [[bin(word).count("1") for word in row] for row in words.tolist()]
    assert contours._count_bits(words).tolist() == expected
    assert contours._count_bits_by_table(words).tolist() == expected


MASK = rle.encode(pixel((9, 9), 4, 4))


@pytest.mark.parametrize(
    ("true", "predicted", "words"),
    [
        ([], [], "have 0 frames"),
        ([MASK], [MASK, MASK], "have 1 and 2 frames"),
        ([MASK], [rle.encode(pixel((9, 8), 4, 4))], "mask of 9x8 among masks of 9x9"),
    ],
)
def test_tracks_that_do_not_belong_together_are_refused(true, predicted, words):
    with pytest.raises(DataError, match=words):
        jf_series(true, predicted, (9, 9))
    with pytest.raises(DataError, match="have no frames"):
        jf_table([], [], (9, 9))


def test_damaged_mask_is_refused():
    with pytest.raises(RegionError, match="cover"):
        jf_series([MASK], [{"size": [9, 9], "counts": "0"}], (9, 9))
