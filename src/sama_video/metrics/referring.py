"""Referring expressions in pictures: cIoU, gIoU and precision at thresholds, as RefCOCO, RefCOCO+ and RefCOCOg count.

cIoU is all intersections over all unions, so large objects weigh more; gIoU is the mean of the IoUs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import UInt8

from sama_video.errors import DataError
from sama_video.metrics.tracks import Mode
from sama_video.regions.rle import Rle, decode, encode, overlap_areas, union

THRESHOLDS: Final = (0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True)
class Overlap:
    """One answer's overlap with the truth, in pixels.

    Attributes:
        answered: Whether the answer had a mask at all; without one, its mask counts as empty.
    """

    intersection: int
    union: int
    answered: bool = True

    @property
    def iou(self) -> float:
        """IoU, 1 where nothing is to be found and nothing was."""
        return self.intersection / self.union if self.union else 1.0


@dataclass(frozen=True)
class ReferringScores:
    """Scores over all expressions.

    Attributes:
        precision: Share of expressions with an IoU above the threshold, by threshold.
        unanswered: Expressions whose answer had no mask.
    """

    ciou: float
    giou: float
    precision: Mapping[float, float]
    unanswered: int


def mask_overlap(true: Rle, predicted: Rle | None) -> Overlap:
    """Overlap of the mask that is meant with the mask of the answer, None where that has none."""
    return Overlap(*overlap_areas(true, predicted), answered=predicted is not None)


def referring_scores(pictures: Sequence[Sequence[Overlap]], mode: Mode) -> ReferringScores:
    """Scores over the expressions of all pictures.

    In `strict` an answer without a mask is an empty mask. In `reference` it is left out of cIoU and counts 0 in gIoU
    (Q26), small numbers keep divisors from 0, and sums are single precision, picture by picture. The published script
    has no precision at thresholds, and it stops at a picture in which no answer has a mask, which counts here.
    """
    overlaps = [one for picture in pictures for one in picture]
    if not overlaps:
        raise DataError("no referring expressions to score; give the overlaps of at least one.")
    ciou, giou = (_reference_ious if mode == "reference" else _strict_ious)(pictures)
    precision = {bound: sum(one.iou > bound for one in overlaps) / len(overlaps) for bound in THRESHOLDS}
    return ReferringScores(ciou, giou, precision, sum(not one.answered for one in overlaps))


def polygon_mask(parts: Sequence[Rle], *, reference: bool = False) -> Rle:
    """The mask of an annotation made of several polygons.

    Args:
        reference: Add the polygons up as the published reader does before it makes run lengths of the sums: each change
            of value begins a run, so that where two polygons overlap there is a hole (Q27).
    """
    if not reference:
        return union(parts)
    union(parts)  # refuses none, and masks of unlike sizes
    return encode_sums(np.asarray(np.sum([decode(part) for part in parts], axis=0, dtype=np.uint8)))


def encode_sums(values: UInt8[np.ndarray, "height width"]) -> Rle:
    """Run lengths as the published reader makes them of anything but 0 and 1: every change of value begins a run.

    >>> decode(encode_sums(np.array([[1], [2], [1], [0]], dtype=np.uint8)))[:, 0].tolist()
    [True, False, True, False]
    """
    column_wise = values.ravel(order="F")
    num_changes = np.cumsum(np.diff(column_wise, prepend=np.uint8(0)) != 0)
    return encode((num_changes % 2 == 1).reshape(values.shape, order="F"))


def _strict_ious(pictures: Sequence[Sequence[Overlap]]) -> tuple[float, float]:
    overlaps = [one for picture in pictures for one in picture]
    shared, united = sum(one.intersection for one in overlaps), sum(one.union for one in overlaps)
    return shared / united if united else 1.0, sum(one.iou for one in overlaps) / len(overlaps)


def _reference_ious(pictures: Sequence[Sequence[Overlap]]) -> tuple[float, float]:
    shared, united, ious = np.float32(0), np.float32(0), np.float32(0)
    for picture in filter(None, pictures):
        sums = _picture_sums([one for one in picture if one.answered])
        number = np.float32(len(picture))
        # The script divides by the number and multiplies again, which single precision notices.
        shared, united, ious = shared + sums[0], united + sums[1], ious + sums[2] / number * number
    return float(shared / (united + np.float32(1e-10))), float(ious / np.float32(sum(map(len, pictures))))


def _picture_sums(answered: Sequence[Overlap]) -> tuple[np.float32, np.float32, np.float32]:
    """Intersections, unions and IoUs of one picture, each added up in single precision."""
    shared, united, ious = np.float32(0), np.float32(0), np.float32(0)
    for one in answered:
        inside, together = np.float32(one.intersection), np.float32(one.union)
        shared, united = shared + inside, united + together
        ious += inside / (together + np.float32(1e-5)) + np.float32(one.union == 0)
    return shared, united, ious
