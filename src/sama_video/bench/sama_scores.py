"""Scores of SAMA-Bench: an answer's row, and rows to the tables of `scores.json` (spec bench, 1.4 and 1.8).

Both means stand side by side everywhere: over videos, which the published scripts take, and over questions. In a mean
over videos each video's recall is its own hits over its own targets; in one over questions all of them are pooled.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from sama_video.bench.measures import BY_QUESTION, missing, plain
from sama_video.bench.parsing import clean_text
from sama_video.bench.task import Json, Measure, Mode, Prediction, Row, Similarity, Track
from sama_video.errors import DataError
from sama_video.metrics.caption import cut_text
from sama_video.metrics.detection import ClipTracks, TrackOverlaps, overlaps_of, precision_of_overlaps
from sama_video.metrics.intervals import (
    Statistic,
    by_key,
    mean_of_ratios,
    mean_over_clusters,
    mean_over_questions,
    ratio,
)
from sama_video.metrics.matching import f1, quotient, reference_score, strict_score

QUESTION_MEANS: Final[dict[Mode, tuple[str, ...]]] = {
    "reference": ("miou",),
    "strict": ("miou_over_gt", "miou_over_max"),
}
"""Metrics that every question has a value of."""

RATES: Final[dict[Mode, dict[str, tuple[str, tuple[str, ...]]]]] = {
    "reference": {"recall": ("tp", ("positives",))},
    "strict": {"recall": ("tp", ("n_gt",)), "precision": ("tp", ("n_pred",)), "f1": ("tp", ("n_gt", "n_pred"))},
}
"""Metrics that are sums over sums: what is above, and what is below; F1 is twice the hits over both sides together."""

EXTENSION: Final = ("AP50 (extension)", "mAP (extension)")
NO_CONFIDENCE: Final = "answers are stored without the model's confidence in each mask, by which precision ranks them"
DETECTIONS: Final = "detections"
"""Where a row's texts hold what average precision needs of it."""


def grounded_row(prediction: Prediction, mode: Mode, similarity: Similarity) -> Row:
    """Score one answer of part G; it must be an answer, not a failure."""
    pairs = similarity(list(prediction.gt_phrases), list(prediction.pred_phrases))
    alike = np.array(pairs, dtype=np.float64).reshape(len(prediction.gt_phrases), len(prediction.pred_phrases))
    masks = {"n_gt": float(len(prediction.gt_tracks)), "n_pred": float(len(prediction.pred_tracks))}
    if mode == "reference":
        one = reference_score(prediction.pred_tracks, prediction.gt_tracks, alike)
        sums = {"counted": float(one.counted), "tp": float(len(one.matches)), "positives": float(one.positives)}
        return _row(prediction, mode, {"miou": one.miou}, masks | sums)
    strict = strict_score(prediction.pred_tracks, prediction.gt_tracks, alike)
    values = {"miou_over_gt": strict.miou_over_gt, "miou_over_max": strict.miou_over_max}
    row = _row(prediction, mode, values, masks | {"tp": float(len(strict.matches))})
    if len(prediction.pred_scores) < len(prediction.pred_tracks):
        return row
    overlaps = overlaps_of(ClipTracks(prediction.gt_tracks, prediction.pred_tracks, prediction.pred_scores))
    detections = {"scores": overlaps.scores.tolist(), "ious": overlaps.ious.tolist(), "num_true": overlaps.num_true}
    return replace(row, texts={**row.texts, DETECTIONS: detections})


def precision_measures(rows: Sequence[Row], mode: Mode) -> tuple[Measure, ...]:
    """Average precision of all masks as tracks, ranked by the model's belief in each; no published table has it."""
    if not all(DETECTIONS in row.texts for row in rows):
        return missing(EXTENSION, mode, NO_CONFIDENCE)
    found = precision_of_overlaps([_overlaps(row.texts[DETECTIONS]) for row in rows])
    if math.isnan(found.ap):
        return missing(EXTENSION, mode, "no question has a true mask")
    return tuple(plain(name, value, mode) for name, value in zip(EXTENSION, (found.ap50, found.ap), strict=True))


def described_row(prediction: Prediction, mode: Mode) -> Row:
    """Take up one description of part C; its metrics need the whole part."""
    said = (prediction.pred_text or "").strip()
    same = bool(said) and said == prediction.gt_text.strip()
    return _row(prediction, mode, {}, {"answered": float(bool(said)), "equal_text": float(same)})


def grounded_document(rows: Sequence[Row], mode: Mode) -> dict[str, Json]:
    """The part `"G"` of scores.json, as far as one mode fills it; see `merge_documents`."""
    return {
        "total": _grounded_table(rows, mode),
        "per_subset": {
            name: _grounded_table(group, mode) | {"per_video": _grounded_videos(group, mode)}
            for name, group in _groups(rows, _subset).items()
        },
        "per_question": [_grounded_question(row) for row in rows],
    }


def described_document(rows: Sequence[Row], mode: Mode) -> dict[str, Json]:
    """The part `"C"` of scores.json but for its caption metrics, which `caption_scores` adds."""
    return {
        "total": _described_table(rows),
        "per_subset": {name: _described_table(group) for name, group in _groups(rows, _subset).items()},
        "per_question": [_question(row) | {key: bool(row.sums[key]) for key in row.sums} for row in rows],
    }


def grounded_measures(rows: Sequence[Row], mode: Mode, subset: str = "") -> tuple[Measure, ...]:
    """Every figure of part G over some rows, with what its interval follows from.

    A plain name is a mean over videos; one that ends in ` (questions)` pools all questions. The answer rates are shares
    of questions; a model that answers less gets a higher `reference` recall, so read them together (Q6).
    """
    videos = [row.video for row in rows]
    figures: dict[str, Statistic] = {}
    for name in QUESTION_MEANS[mode]:
        values = [row.values[name] for row in rows]
        figures[name] = mean_over_clusters(videos, values)
        figures[name + BY_QUESTION] = mean_over_questions(videos, values)
    for name, (above, below) in RATES[mode].items():
        tops = [len(below) * row.sums[above] for row in rows]
        bottoms = [sum(row.sums[key] for key in below) for row in rows]
        figures[name] = mean_of_ratios(videos, tops, bottoms, empty=0.0)
        figures[name + BY_QUESTION] = ratio(videos, tops, bottoms, empty=0.0)
    answered = [float(row.sums["n_pred"] > 0) for row in rows]
    asked = [value if row.sums["n_gt"] else None for row, value in zip(rows, answered, strict=True)]
    figures["answer_rate"] = mean_over_questions(videos, answered)
    figures["answer_rate_where_gt_has_masks"] = mean_over_questions(videos, asked)
    return tuple(Measure(name, mode, subset, statistic) for name, statistic in figures.items())


def merge_documents(first: Mapping[str, Json], second: Mapping[str, Json]) -> dict[str, Json]:
    """Both modes' documents as one: tables are joined key by key, lists of equal length entry by entry.

    >>> merge_documents({"total": {"reference": 1, "n": 2}}, {"total": {"strict": 3, "n": 2}})
    {'total': {'reference': 1, 'n': 2, 'strict': 3}}

    Raises:
        DataError: The two disagree about something that both tell, so they are not of one run.
    """
    return {key: _merged(key, first, second) for key in dict.fromkeys([*first, *second])}


def repeat_stale_slots(slots: Sequence[Track | None]) -> tuple[Track, ...]:
    """Ground truth as the published loader reads it: an empty slot gives the mask of the slot before it again (Q19).

    Args:
        slots: One for each slot of the round, None where it is empty.

    Raises:
        DataError: The first slot is empty; the published loader crashes on it.
    """
    if slots and slots[0] is None:
        raise DataError("the first slot of a round is empty, so there is no mask to repeat; leave empty slots out.")
    tracks: list[Track] = []
    for slot in slots:
        tracks.append(tracks[-1] if slot is None else slot)
    return tuple(tracks)


def _overlaps(detections: Mapping[str, Json]) -> TrackOverlaps:
    scores = np.array(detections["scores"], dtype=np.float64)
    ious = np.array(detections["ious"], dtype=np.float64).reshape(len(scores), detections["num_true"])
    return TrackOverlaps(scores, ious, detections["num_true"])


def _row(prediction: Prediction, mode: Mode, values: Mapping[str, float], sums: Mapping[str, float]) -> Row:
    return Row(
        sample_id=prediction.sample_id,
        video=prediction.video,
        subset=prediction.subset,
        mode=mode,
        turn_idx=prediction.turn_idx,
        values=dict(values),
        sums=dict(sums),
        texts={
            "question_id": _number_or_name(prediction.question_id),
            "candidate": cut_text(clean_text(prediction.pred_text or "")),
            "references": [cut_text(clean_text(prediction.gt_text))],
        },
    )


def _grounded_table(rows: Sequence[Row], mode: Mode) -> dict[str, Json]:
    by_video = [_rates(group, mode) for group in _groups(rows, _video).values()]
    asked = [row for row in rows if row.sums["n_gt"]]
    counted = ("tp", "positives") if mode == "reference" else ("tp",)
    return {
        "videos": len(by_video),
        "questions": len(rows),
        "questions_with_gt_masks": len(asked),
        "gt_masks": _whole(rows, "n_gt"),
        "pred_masks": _whole(rows, "n_pred"),
        "answer_rate": _answer_rate(rows),
        "answer_rate_where_gt_has_masks": _answer_rate(asked),
        "mean_over_videos": {mode: {name: _mean([video[name] for video in by_video]) for name in _names(mode)}},
        "mean_over_questions": {mode: _rates(rows, mode) | {key: _whole(rows, key) for key in counted}},
    }


def _grounded_videos(rows: Sequence[Row], mode: Mode) -> dict[str, Json]:
    return {
        video: {"questions": len(group), mode: _rates(group, mode), "answer_rate": _answer_rate(group)}
        for video, group in _groups(rows, _video).items()
    }


def _grounded_question(row: Row) -> dict[str, Json]:
    found: dict[str, Any] = dict(row.values)
    if row.mode == "reference":
        found |= {"counted": bool(row.sums["counted"])}
    keys = ("tp", "positives") if row.mode == "reference" else ("tp", "n_gt", "n_pred")
    return _question(row) | {row.mode: found | {key: int(row.sums[key]) for key in keys}}


def _described_table(rows: Sequence[Row]) -> dict[str, Json]:
    return {
        "videos": len(_groups(rows, _video)),
        "questions": len(rows),
        "answered": _whole(rows, "answered"),
        "equal_text": _whole(rows, "equal_text"),
    }


def _question(row: Row) -> dict[str, Json]:
    return {"question_id": row.texts["question_id"], "subset": row.subset, "video": row.video}


def _rates(rows: Sequence[Row], mode: Mode) -> dict[str, float]:
    """Means and rates over the questions of some rows, pooled."""
    means = {name: _mean([row.values[name] or 0.0 for row in rows]) for name in QUESTION_MEANS[mode]}
    sums = {key: _whole(rows, key) for key in ("tp", "positives", "n_gt", "n_pred") if rows and key in rows[0].sums}
    if mode == "reference":
        return means | {"recall": quotient(sums.get("tp", 0), sums.get("positives", 0))}
    hits, true, predicted = (sums.get(key, 0) for key in ("tp", "n_gt", "n_pred"))
    return means | {
        "recall": quotient(hits, true),
        "precision": quotient(hits, predicted),
        "f1": f1(hits, predicted, true),
    }


def _names(mode: Mode) -> tuple[str, ...]:
    return (*QUESTION_MEANS[mode], *RATES[mode])


def _answer_rate(rows: Sequence[Row]) -> float:
    return quotient(sum(row.sums["n_pred"] > 0 for row in rows), len(rows))


def _whole(rows: Sequence[Row], key: str) -> int:
    return int(sum(row.sums[key] for row in rows))


def _mean(values: Sequence[float]) -> float:
    return quotient(float(sum(values)), len(values))


def _groups(rows: Sequence[Row], key: Callable[[Row], str]) -> dict[str, list[Row]]:
    return {name: [rows[place] for place in places] for name, places in by_key(map(key, rows)).items()}


def _subset(row: Row) -> str:
    return row.subset


def _video(row: Row) -> str:
    return row.video


def _number_or_name(question_id: str) -> int | str:
    """The benchmark numbers its questions; records of other programs may name them."""
    return int(question_id) if question_id.isascii() and question_id.isdigit() else question_id


def _merged(key: str, first: Mapping[str, Json], second: Mapping[str, Json]) -> Json:
    if key not in first or key not in second:
        return first[key] if key in first else second[key]
    a, b = first[key], second[key]
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return merge_documents(a, b)
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        return [_merged(key, {key: one}, {key: other}) for one, other in zip(a, b, strict=True)]
    if a != b:
        raise DataError(f"two modes disagree about {key!r}: {a!r} and {b!r}; score both from the same predictions.")
    return a
