"""Average precision: of masks in pictures by the COCO toolkit, and of tracks in clips by the same rules.

Published scores of grounded captions give every detection the score 1.0, so that only their order in the file decides
which comes first. Tracks with the model's confidence in each are our extension.
"""

import contextlib
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from jaxtyping import Bool, Float
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from sama_video.errors import DataError
from sama_video.metrics.matching import iou_matrix
from sama_video.metrics.tracks import Size, Track, check_size
from sama_video.regions.rle import Rle, area

THRESHOLDS: Final = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))

_RECALLS: Final = np.linspace(0, 1, 101)
_NAMES: Final = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")


@dataclass(frozen=True)
class PictureMasks:
    """True and detected masks of one picture, all of its size; detections in the order of the file.

    Attributes:
        scores: The model's confidence in each detection; None gives all 1.0, as published scores do.
    """

    true: Sequence[Rle]
    detected: Sequence[Rle]
    scores: Sequence[float] | None = None


@dataclass(frozen=True)
class ClipTracks:
    """True and detected tracks of one question, with the model's confidence in each detected one."""

    true: Sequence[Track]
    detected: Sequence[Track]
    scores: Sequence[float]


@dataclass(frozen=True, eq=False)
class TrackOverlaps:
    """One question's detected tracks, the most confident first.

    Attributes:
        ious: Of each detected track with each true one, as volumes.
    """

    scores: Float[np.ndarray, " detected"]
    ious: Float[np.ndarray, "detected true"]
    num_true: int


@dataclass(frozen=True)
class TrackPrecision:
    """Average precision over all questions; NaN where there is no true track.

    Attributes:
        ap: Mean over IoU thresholds 0.5 to 0.95.
        by_threshold: At each of them.
    """

    ap: float
    ap50: float
    ap75: float
    by_threshold: Mapping[float, float]


def picture_precision(pictures: Sequence[PictureMasks]) -> dict[str, float | None]:
    """COCO's twelve figures for masks of one category: `AP`, `AP50`, `AP75`, by area, and recalls; -1 becomes None.

    Pictures in the order of their ids: detections of equal score count in that order.
    """
    if not pictures:
        raise DataError("no pictures to score; give the masks of at least one.")
    sizes = _sizes(pictures)
    masks, detections = _coco([one.true for one in pictures], sizes), _coco([one.detected for one in pictures], sizes)
    for annotation, score in zip(detections.dataset["annotations"], _scores(pictures), strict=True):
        annotation["score"] = score
    with contextlib.redirect_stdout(io.StringIO()):
        masks.createIndex()
        detections.createIndex()
        evaluation = COCOeval(masks, detections, "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    found = (float(value) for value in evaluation.stats)
    return {name: None if value < 0 else value for name, value in zip(_NAMES, found, strict=True)}


def track_precision(clips: Sequence[ClipTracks]) -> TrackPrecision:
    """Average precision of tracks as volumes, one class, questions pooled; an extension, not a published score.

    Matching and interpolation are COCO's: in each question the most confident track takes the best true track left, and
    precision is read at 101 recalls.
    """
    return precision_of_overlaps([overlaps_of(clip) for clip in clips])


def overlaps_of(clip: ClipTracks) -> TrackOverlaps:
    """What average precision needs to know of one question; small, where its tracks are not."""
    if len(clip.detected) != len(clip.scores):
        raise DataError(f"{len(clip.scores)} confidences for {len(clip.detected)} tracks; give one for each.")
    scores = np.asarray(clip.scores, dtype=np.float64)
    order = np.argsort(-scores, kind="stable")
    ious = iou_matrix([clip.detected[idx] for idx in order], clip.true, empty=0.0)
    return TrackOverlaps(scores[order], ious, len(clip.true))


def precision_of_overlaps(questions: Sequence[TrackOverlaps]) -> TrackPrecision:
    """As `track_precision`, of overlaps that are known."""
    confidences = np.concatenate([np.zeros(0), *(one.scores for one in questions)])
    pooled = np.argsort(-confidences, kind="stable")
    num_true = sum(one.num_true for one in questions)
    precisions = {}
    for threshold in THRESHOLDS:
        hits = np.concatenate([np.zeros(0, dtype=bool), *(_hits(one.ious, threshold) for one in questions)])
        precisions[threshold] = _average_precision(hits[pooled], num_true)
    mean = float(np.mean(list(precisions.values())))
    return TrackPrecision(mean, precisions[0.5], precisions[0.75], precisions)


def _hits(ious: Float[np.ndarray, "detected true"], threshold: float) -> Bool[np.ndarray, " detected"]:
    """Which detections find a true track; each takes the best one left, the later of two that are alike."""
    hits: Bool[np.ndarray, " detected"] = np.zeros(len(ious), dtype=bool)
    left = ious.copy()
    for row in range(len(ious)) if ious.shape[1] else ():
        best = ious.shape[1] - 1 - int(left[row, ::-1].argmax())
        if left[row, best] >= threshold:
            hits[row] = True
            left[:, best] = -1
    return hits


def _average_precision(hits: Bool[np.ndarray, " detected"], num_true: int) -> float:
    """Mean precision at 101 recalls, each the best at that recall or above."""
    if num_true == 0:
        return math.nan
    found = np.cumsum(hits)
    precision = found / np.arange(1, found.size + 1)
    best = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0.0)
    return float(best[np.searchsorted(found / num_true, _RECALLS)].mean())


def _scores(pictures: Sequence[PictureMasks]) -> list[float]:
    scores: list[float] = []
    for idx, picture in enumerate(pictures):
        given = [1.0] * len(picture.detected) if picture.scores is None else list(picture.scores)
        if len(given) != len(picture.detected):
            raise DataError(f"{len(given)} scores for {len(picture.detected)} detections in picture {idx}; give all.")
        scores += given
    return scores


def _coco(pictures: Sequence[Sequence[Rle]], sizes: Sequence[Size]) -> Any:
    """The toolkit's own kind of data set, one category; its numbers begin at 1, for it takes 0 for nothing."""
    masks = [(idx, rle) for idx, picture in enumerate(pictures, start=1) for rle in picture]
    data_set = COCO()
    data_set.dataset = {
        "images": [{"id": idx, "height": height, "width": width} for idx, (height, width) in enumerate(sizes, start=1)],
        "categories": [{"id": 1}],
        "annotations": [
            {
                "id": number,
                "image_id": idx,
                "category_id": 1,
                "segmentation": {"size": list(rle["size"]), "counts": rle["counts"].encode("ascii")},
                "area": area(rle),  # which checks the run lengths too
                "iscrowd": 0,
            }
            for number, (idx, rle) in enumerate(masks, start=1)
        ],
    }
    return data_set


def _sizes(pictures: Sequence[PictureMasks]) -> list[Size]:
    """Each picture's size; the toolkit would compare masks of unlike sizes in silence."""
    sizes: list[Size] = []
    for picture in pictures:
        masks = [*picture.true, *picture.detected]
        height, width = masks[0]["size"] if masks else (1, 1)  # of no masks, no size is asked for
        check_size(masks, (height, width))
        sizes.append((height, width))
    return sizes
