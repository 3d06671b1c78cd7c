"""How far masks and boxes agree: intersection over union, per mask, per track and per box.

Every function that may meet two empty masks asks what they are worth, because benchmarks differ: in video object
segmentation an absence foretold is right (1), in grounded dialogue it scores nothing (0).
"""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray


def overlap_areas(
    a: Bool[np.ndarray, "*frames height width"], b: Bool[np.ndarray, "*frames height width"]
) -> tuple[Int[np.ndarray, "*frames"], Int[np.ndarray, "*frames"]]:
    """Pixels in the intersection and in the union, frame by frame.

    Add them over frames before dividing for the overlap of whole tracks. Run lengths give the same two numbers without
    unpacking, see `regions.rle.overlap_areas`.
    """
    shared = np.count_nonzero(np.logical_and(a, b), axis=(-2, -1))
    united = np.count_nonzero(np.logical_or(a, b), axis=(-2, -1))
    return np.asarray(shared), np.asarray(united)


def iou_of_areas(
    intersections: Int[np.ndarray, "*frames"], unions: Int[np.ndarray, "*frames"], *, empty: float
) -> Float[np.ndarray, "*frames"]:
    """Intersection over union from the two areas; `empty` where the union is.

    >>> iou_of_areas(np.array([2, 0]), np.array([4, 0]), empty=1.0)
    array([0.5, 1. ])
    """
    ious: NDArray[np.float64] = np.full(intersections.shape, empty, dtype=np.float64)
    np.divide(intersections, unions, out=ious, where=unions > 0)
    return ious


def mask_iou(
    a: Bool[np.ndarray, "*frames height width"], b: Bool[np.ndarray, "*frames height width"], *, empty: float = 0.0
) -> float:
    """Intersection over union of two masks, or of two tracks taken as volumes over all their frames."""
    intersections, unions = overlap_areas(a, b)
    return float(iou_of_areas(np.array(intersections.sum()), np.array(unions.sum()), empty=empty))


def frame_ious(
    predicted: Bool[np.ndarray, "frames height width"],
    true: Bool[np.ndarray, "frames height width"],
    *,
    empty: float,
) -> Float[np.ndarray, " frames"]:
    """Intersection over union of each frame."""
    return iou_of_areas(*overlap_areas(predicted, true), empty=empty)


def region_similarity(
    predicted: Bool[np.ndarray, "frames height width"], true: Bool[np.ndarray, "frames height width"]
) -> float:
    """J of video object segmentation: mean over frames, 1 where both masks are empty; NaN for no frames."""
    ious = frame_ious(predicted, true, empty=1.0)
    return float(ious.mean()) if ious.size else float("nan")


def mean_iou(
    pairs: Iterable[tuple[Bool[np.ndarray, "*frames height width"], Bool[np.ndarray, "*frames height width"]]],
    *,
    empty: float = 0.0,
) -> float:
    """Mean over pairs of masks or tracks, each counted once whatever its size; NaN for no pairs."""
    ious = [mask_iou(predicted, true, empty=empty) for predicted, true in pairs]
    return sum(ious) / len(ious) if ious else float("nan")


def box_iou(a: Float[np.ndarray, "boxes 4"], b: Float[np.ndarray, "others 4"]) -> Float[np.ndarray, "boxes others"]:
    """Intersection over union of every box with every other, 0 where neither has area. Boxes are half-open `xyxy`."""
    first: NDArray[np.float64] = np.asarray(a, dtype=np.float64)[:, None]
    second: NDArray[np.float64] = np.asarray(b, dtype=np.float64)[None]
    sides = np.minimum(first[..., 2:], second[..., 2:]) - np.maximum(first[..., :2], second[..., :2])
    shared: NDArray[np.float64] = np.clip(sides, 0, None).prod(axis=-1)
    united = _box_areas(first) + _box_areas(second) - shared
    return np.divide(shared, united, out=np.zeros_like(shared), where=united > 0)


def _box_areas(boxes: Float[np.ndarray, "*shape 4"]) -> NDArray[np.float64]:
    sides: NDArray[np.float64] = np.clip(boxes[..., 2:] - boxes[..., :2], 0, None)
    return np.asarray(sides.prod(axis=-1))
