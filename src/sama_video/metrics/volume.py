"""PixelQA: J and region F of an object's track, taken as one volume over all its frames."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sama_video.errors import DataError
from sama_video.metrics.tracks import Mode, Size, Track, num_frames
from sama_video.regions.rle import filled_runs, track_overlaps


@dataclass(frozen=True)
class VolumeScores:
    """J, F and their mean. This F counts pixels of the region, unlike that of the contours elsewhere."""

    j: float
    f: float

    @property
    def jf(self) -> float:
        """Mean of both."""
        return (self.j + self.f) / 2


def volume_scores(true: Track, predicted: Track, size: Size, mode: Mode) -> VolumeScores:
    """Overlap of two tracks as volumes.

    `reference` keeps divisors from 0 by 1e-6 in single precision, so that two empty tracks score 0; `strict` divides
    plainly and gives two empty tracks 1, as J and F of video segmentation do.
    """
    num_frames([true, predicted], size)
    shared, united = (int(areas.sum()) for areas in track_overlaps(true, predicted))
    if mode == "reference":
        return _in_single_precision(shared, united, _area(true, size), _area(predicted, size))
    if united == 0:
        return VolumeScores(1.0, 1.0)
    return VolumeScores(shared / united, 2 * shared / (united + shared))


def mean_volume_scores(scores: Sequence[VolumeScores]) -> VolumeScores:
    """Mean over the objects of all questions."""
    if not scores:
        raise DataError("no objects to average; give the scores of at least one.")
    j, f = np.mean([(one.j, one.f) for one in scores], axis=0).tolist()
    return VolumeScores(j, f)


def _in_single_precision(shared: int, united: int, true_area: int, predicted_area: int) -> VolumeScores:
    inside, little = np.float32(shared), np.float32(1e-6)
    precision, recall = (inside / (np.float32(area) + little) for area in (predicted_area, true_area))
    f = 2 * precision * recall / (precision + recall + little)
    return VolumeScores(float(inside / (np.float32(united) + little)), float(f))


def _area(track: Track, size: Size) -> int:
    starts, ends = filled_runs(track, size[0] * size[1])
    return int((ends - starts).sum())
