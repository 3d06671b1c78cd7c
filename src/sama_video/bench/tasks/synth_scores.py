"""How one answer of the synthetic benchmark is scored, family by family; see docs/synth.md for the formulas."""

from collections.abc import Mapping
from typing import Final

from sama_video.bench.task import Json, Prediction, Track
from sama_video.data.synthetic.answers import caption_facts, denies, judge, word_overlap
from sama_video.metrics.boundary import jf_series
from sama_video.regions.rle import area, overlap_areas

SCORE: Final = "score"
"""The one figure of a question that its family is compared by."""

ANSWERED: Final = "readable"
"""Whether an answer in words says anything that can be judged; one that does not scores 0."""

PARTS: Final[Mapping[str, tuple[str, ...]]] = {
    "click": ("IoU", "J"),
    "box": ("IoU", "J"),
    "track": ("J&F", "J", "F"),
    "attribute": ("accuracy",),
    "motion": ("accuracy",),
    "grounding": ("mIoU", "J&F", "J", "F"),
    "dialogue": ("J", "accuracy", "tIoU"),
    "temporal": ("tIoU", "R@0.5"),
    "not-there": ("accuracy",),
    "ambiguous": ("accuracy",),
    "counting": ("accuracy",),
    "comparison": ("accuracy",),
    "events": ("accuracy",),
    "caption": ("object F1", "object precision", "object recall", "word overlap"),
}
"""Figures of each family besides its score."""


def score_answer(prediction: Prediction) -> dict[str, float | None]:
    """All figures of one answer."""
    expect, text = prediction.facts["expect"], prediction.pred_text or ""
    rule = expect["rule"]
    if rule == "mask":
        return _mask_values(prediction)
    if rule == "caption":
        return _caption_values(text, expect, prediction.gt_text)
    if rule == "absent":
        found = _absent(text, expect, any(_is_seen(track) for track in prediction.pred_tracks))
    else:
        found = judge(text, expect)
    value = 0.0 if found is None else found
    readable = {ANSWERED: float(found is not None)}
    if rule == "interval":
        return {SCORE: value, "tIoU": value, "R@0.5": float(value >= 0.5), **readable}
    return {SCORE: value, "accuracy": value, **readable}


def _absent(text: str, expect: Mapping[str, Json], has_mask: bool) -> float | None:
    """Whether an answer rightly says that something is there, or that it is not.

    Absence must be said, and nothing may be shown; only where a mask was asked for, an answer without words or masks
    says it too. Presence is said by a mask or by any words that deny nothing.
    """
    denied, says = denies(text), bool(text.strip())
    if not says and not has_mask and not expect["asks_mask"]:
        return None
    claims_absence = (denied or not says) and not has_mask
    claims_presence = not denied and (has_mask or says)
    return float(claims_absence if expect["want"] else claims_presence)


def _mask_values(prediction: Prediction) -> dict[str, float | None]:
    """Overlap of the first mask of the answer with the object; none is an empty one."""
    (true,) = prediction.gt_tracks
    found: Track = prediction.pred_tracks[0] if prediction.pred_tracks else (None,) * len(true)
    size = next((rle["size"][0], rle["size"][1]) for rle in true if rle is not None)
    scores = jf_series(true, found, size)
    j, f = float(scores.j.mean()), float(scores.f.mean())
    if prediction.subset in ("click", "box"):
        frame = prediction.prompt["frame"]
        iou = _ratio(*overlap_areas(true[frame], found[frame]))
        return {SCORE: iou, "IoU": iou, "J": j}
    if prediction.subset == "track":
        kept = [idx for idx in range(len(true)) if idx != prediction.prompt["frame"]]
        j, f = float(scores.j[kept].mean()), float(scores.f[kept].mean())
        return {SCORE: (j + f) / 2, "J&F": (j + f) / 2, "J": j, "F": f}
    if prediction.subset == "dialogue":
        return {SCORE: j, "J": j}
    areas = [overlap_areas(a, b) for a, b in zip(true, found, strict=True)]
    volume = _ratio(sum(shared for shared, _ in areas), sum(united for _, united in areas))
    return {SCORE: (j + f) / 2, "mIoU": volume, "J&F": (j + f) / 2, "J": j, "F": f}


def _caption_values(text: str, expect: Mapping[str, Json], reference: str) -> dict[str, float | None]:
    precision, recall, f1 = caption_facts(text, expect["want"])
    return {
        SCORE: f1,
        "object F1": f1,
        "object precision": precision,
        "object recall": recall,
        "word overlap": word_overlap(text, reference),
        ANSWERED: float(bool(text.strip())),
    }


def _is_seen(track: Track) -> bool:
    return any(rle is not None and area(rle) > 0 for rle in track)


def _ratio(shared: int, united: int) -> float:
    return shared / united if united else 0.0
