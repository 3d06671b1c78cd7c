import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from sama_video.errors import DataError
from sama_video.metrics.volume import VolumeScores, mean_volume_scores, volume_scores
from sama_video.regions import rle

volumes = npst.arrays(np.bool_, st.tuples(st.just(2), st.integers(1, 3), st.just(5), st.just(7)))


def encoded(frames: np.ndarray) -> list[rle.Rle | None]:
    return [rle.encode(mask) if mask.any() else None for mask in frames]


@given(volumes)
def test_volumes_by_definition(pair):
    true, predicted = pair
    found = volume_scores(encoded(true), encoded(predicted), (5, 7), "strict")
    shared, united = (true & predicted).sum(), (true | predicted).sum()
    f = 2 * shared / (true.sum() + predicted.sum()) if united else 1.0
    assert (found.j, found.f) == pytest.approx((shared / united if united else 1.0, f))
    reference = volume_scores(encoded(true), encoded(predicted), (5, 7), "reference")
    if united:
        assert (reference.j, reference.f) == pytest.approx((found.j, found.f), abs=1e-5)


def test_two_empty_tracks():
    assert volume_scores([None], [None], (5, 7), "reference") == VolumeScores(0.0, 0.0)
    assert volume_scores([None], [None], (5, 7), "strict") == VolumeScores(1.0, 1.0)
    with pytest.raises(DataError, match="1 and 2 frames"):
        volume_scores([None], [None, None], (5, 7), "strict")


def test_mean_over_objects():
    found = mean_volume_scores([VolumeScores(1.0, 1.0), VolumeScores(0.0, 0.5)])
    assert (found.j, found.f, found.jf) == (0.5, 0.75, 0.625)
    with pytest.raises(DataError, match="no objects"):
        mean_volume_scores([])
