"""Pixels in time: any video in, frames with exact times out, and back into a file."""

from sama_video.video.clip import Clip
from sama_video.video.reader import VideoSource, open_video
from sama_video.video.sampling import (
    sparse_indices,
    spread_dense_positions,
    tile_grid,
    training_dense_positions,
    uniform_indices,
    window_slices,
)
from sama_video.video.writer import VideoWriter, write_video

__all__ = [
    "Clip",
    "VideoSource",
    "VideoWriter",
    "open_video",
    "sparse_indices",
    "spread_dense_positions",
    "tile_grid",
    "training_dense_positions",
    "uniform_indices",
    "window_slices",
    "write_video",
]
