"""How well the masks of an answer match those of its reference, when nobody says which belongs to which.

Masks are paired greedily by overlap. The `reference` scores follow the scripts that published numbers come from, with
their oddities; the `strict` ones are what one would mean. Both take similarities of phrases as a plain matrix, so no
text model is needed here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from jaxtyping import Float

from sama_video.errors import RegionError
from sama_video.metrics.overlap import iou_of_areas
from sama_video.metrics.tracks import Track
from sama_video.regions.rle import track_overlaps

MIN_IOU: Final = 0.5
MIN_SIMILARITY: Final = 0.5

Pairs: TypeAlias = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class ReferenceScore:
    """One question by the published scripts.

    Attributes:
        miou: Mean IoU of the pairs that were found, so what was missed costs nothing (Q5).
        counted: Whether the question enters the recall at all (Q6).
        positives: Phrases of the reference that the recall counts; 0 for a question that is not counted.
        matches: What the recall found, as (row, column) of the IoU matrix that the script uses.
    """

    miou: float
    counted: bool
    positives: int
    matches: Pairs


@dataclass(frozen=True)
class StrictScore:
    """One question by the corrected rules; `matches` are (true, predicted)."""

    miou_over_gt: float
    miou_over_max: float
    num_true: int
    num_predicted: int
    matches: Pairs


def iou_matrix(rows: Sequence[Track], columns: Sequence[Track], *, empty: float) -> Float[np.ndarray, "rows columns"]:
    """IoU of every track with every other, each taken as one volume over its frames; `empty` where both are empty.

    Worked out on run lengths, so no mask is ever painted.

    Raises:
        RegionError: The tracks have different numbers of frames, or masks of one frame different sizes.
    """
    lengths = sorted({len(track) for track in (*rows, *columns)})
    if len(lengths) > 1:
        raise RegionError(
            f"tracks have {' and '.join(map(str, lengths))} frames, but are to be compared frame by frame; "
            "give each one entry a frame, null where the object is not visible."
        )
    areas = np.array([[_track_areas(row, column) for column in columns] for row in rows], dtype=np.int64)
    areas = areas.reshape(len(rows), len(columns), 2)
    return iou_of_areas(areas[..., 0], areas[..., 1], empty=empty)


def reference_score(
    predicted: Sequence[Track],
    true: Sequence[Track],
    similarities: Float[np.ndarray, "true_phrases predicted_phrases"],
) -> ReferenceScore:
    """Score a question as the SAMA-Bench script does (spec bench 1.4, Q4 to Q8).

    The IoU matrix has predictions as rows, the similarities have references as rows, and yet the script looks up both
    at the same place (Q7); a script that did otherwise would give other numbers than the published ones.
    """
    ious = iou_matrix(predicted, true, empty=0.0)
    counted = bool(predicted) and similarities.shape[1] > 0
    return ReferenceScore(
        miou=mean_of_pairs(ious),
        counted=counted,
        positives=similarities.shape[0] if counted else 0,
        matches=matches_until_failure(ious, similarities) if counted else (),
    )


def image_reference_score(
    predicted: Sequence[Track],
    true: Sequence[Track],
    similarities: Float[np.ndarray, "true_phrases predicted_phrases"],
) -> ReferenceScore:
    """Score a picture as the grounded-caption script does.

    Both matrices have references as rows, and every picture counts. The IoU has no guard for empty unions: such an
    entry is NaN, which ends the pairing for the mIoU, but passes for a large IoU in the recall, whose tests are of the
    form "below the threshold".
    """
    ious = iou_matrix(true, predicted, empty=float("nan"))
    return ReferenceScore(
        miou=mean_of_pairs(ious),
        counted=True,
        positives=similarities.shape[0],
        matches=matches_until_failure(ious, similarities),
    )


def strict_score(
    predicted: Sequence[Track],
    true: Sequence[Track],
    similarities: Float[np.ndarray, "true_phrases predicted_phrases"],
) -> StrictScore:
    """Score a question by the corrected rules: an absence foretold is right, and what is missed or made up costs."""
    ious = iou_matrix(true, predicted, empty=1.0)
    total = sum(float(ious[pair]) for pair in greedy_pairs(ious, ious > 0))
    rows, columns = (min(sides) for sides in zip(ious.shape, similarities.shape, strict=True))
    alike = np.zeros(ious.shape, dtype=bool)  # a mask without a phrase is like nothing
    alike[:rows, :columns] = similarities[:rows, :columns] >= MIN_SIMILARITY
    nothing = 1.0 if not predicted else 0.0
    return StrictScore(
        miou_over_gt=total / len(true) if true else nothing,
        miou_over_max=total / max(len(true), len(predicted)) if true else nothing,
        num_true=len(true),
        num_predicted=len(predicted),
        matches=greedy_pairs(ious, (ious >= MIN_IOU) & alike),
    )


def mean_of_pairs(ious: Float[np.ndarray, "rows columns"]) -> float:
    """Mean IoU of the pairs that the published scripts make: the largest entry first, until it is 0; 0 for no pairs.

    >>> mean_of_pairs(np.array([[0.9, 0.6], [0.8, 0.5]]))
    0.7
    """
    left = ious.copy()
    found: list[float] = []
    while left.size and left.max() > 0:  # NaN is the largest of all, and not above 0
        row, column = _first_largest(left)
        found.append(float(left[row, column]))
        left[row], left[:, column] = 0, 0
    return float(np.mean(found)) if found else 0.0


def matches_until_failure(
    ious: Float[np.ndarray, "rows columns"], similarities: Float[np.ndarray, "other_rows other_columns"]
) -> Pairs:
    """Pairs that the published recall counts: the largest IoU first, and all is over with the first that fails (Q8).

    The matrices are cut to the shape they share, and looked up at the same place, whatever their axes mean.
    """
    rows, columns = (min(sides) for sides in zip(ious.shape, similarities.shape, strict=True))
    left, alike = ious[:rows, :columns].copy(), similarities[:rows, :columns].copy()
    found: list[tuple[int, int]] = []
    while left.size:
        row, column = _first_largest(left)
        if left[row, column] < MIN_IOU or alike[row, column] < MIN_SIMILARITY:
            break
        found.append((row, column))
        for matrix in (left, alike):
            matrix[row], matrix[:, column] = 0, 0
    return tuple(found)


def greedy_pairs(ious: Float[np.ndarray, "rows columns"], allowed: np.ndarray) -> Pairs:
    """Pair rows with columns where `allowed`, by falling IoU, ties by row and then column; each is used once.

    >>> greedy_pairs(np.array([[0.9, 0.6], [0.8, 0.5]]), np.array([[True, True], [True, True]]))
    ((0, 0), (1, 1))
    """
    places = [(int(row), int(column)) for row, column in np.argwhere(allowed)]
    rows: set[int] = set()
    columns: set[int] = set()
    found: list[tuple[int, int]] = []
    for row, column in sorted(places, key=lambda place: -float(ious[place])):  # stable: ties keep their order
        if row not in rows and column not in columns:
            rows.add(row)
            columns.add(column)
            found.append((row, column))
    return tuple(found)


def quotient(part: float | int, whole: float | int) -> float:
    """Share, and 0 of nothing, as the benchmarks count it.

    >>> quotient(1, 2), quotient(0, 0)
    (0.5, 0.0)
    """
    return part / whole if whole else 0.0


def f1(hits: float | int, num_predicted: float | int, num_true: float | int) -> float:
    """Harmonic mean of precision and recall; 0 where both are."""
    precision, recall = quotient(hits, num_predicted), quotient(hits, num_true)
    return quotient(2 * precision * recall, precision + recall)


def _track_areas(a: Track, b: Track) -> tuple[int, int]:
    shared, united = track_overlaps(a, b)
    return int(shared.sum()), int(united.sum())


def _first_largest(matrix: Float[np.ndarray, "rows columns"]) -> tuple[int, int]:
    """Place of the largest entry, the first one by rows; a NaN counts as larger than any number."""
    row, column = divmod(int(matrix.argmax()), matrix.shape[1])
    return row, column
