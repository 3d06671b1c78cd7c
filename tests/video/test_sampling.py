import pytest
from hypothesis import given
from hypothesis import strategies as st

from sama_video.video import (
    sparse_indices,
    spread_dense_positions,
    training_dense_positions,
    uniform_indices,
    window_slices,
)

lengths = st.integers(1, 3000)


@given(lengths, st.integers(1, 10), st.integers(1, 64), st.integers(1, 16))
def test_sparse_indices_are_sorted_distinct_and_in_range(num_frames, interval, max_frames, min_frames):
    indices = sparse_indices(num_frames, interval=interval, max_frames=max_frames, min_frames=min_frames)
    assert indices == sorted(set(indices))
    assert indices[0] == 0
    assert indices[-1] < num_frames
    assert len(indices) <= max(max_frames, min_frames)


@given(st.integers(0, 300), st.integers(1, 12))
def test_spread_dense_positions_are_sorted_distinct_and_in_range(num_sparse, num_dense):
    positions = spread_dense_positions(num_sparse, num_dense)
    assert positions == sorted(set(positions))
    assert all(0 <= position < num_sparse for position in positions)
    assert len(positions) == min(num_sparse, num_dense)


@pytest.mark.parametrize("num_sparse", range(6, 33))
def test_spread_dense_positions_keep_the_training_ones_where_those_are_well_formed(num_sparse):
    assert spread_dense_positions(num_sparse) == training_dense_positions(num_sparse)


@given(lengths, st.integers(1, 100))
def test_uniform_indices_reach_from_first_frame_to_last(num_frames, count):
    indices = uniform_indices(num_frames, count)
    assert indices == sorted(set(indices))
    assert len(indices) == min(num_frames, count)
    assert indices[0] == 0
    assert count == 1 or indices[-1] == num_frames - 1


@given(st.integers(0, 500), st.integers(1, 60), st.integers(1, 60))
def test_windows_cover_everything_in_order(length, size, stride):
    windows = [range(length)[window] for window in window_slices(length, size, min(size, stride))]
    assert sorted({item for window in windows for item in window}) == list(range(length))
    assert all(0 < len(window) <= size for window in windows)


def test_nothing_gives_nothing():
    assert sparse_indices(0) == uniform_indices(0, 5) == spread_dense_positions(0) == list(window_slices(0, 2, 2)) == []
