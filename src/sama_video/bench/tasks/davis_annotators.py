"""Ref-DAVIS17 by annotator: one annotator's expressions of a video make one picture of labels, scored as in DAVIS.

Rows carry the tracks: `predicted`, `object`, `annotator` and `size`; those of the first annotator also `true`
and `void`.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Final

from sama_video.bench.measures import by_video, missing
from sama_video.bench.task import Measure, Mode, Row, Summary, Track
from sama_video.bench.tasks.expression_task import JF
from sama_video.errors import MissingExtraError
from sama_video.metrics.davis import ObjectScores, davis_totals, object_scores, unsupervised
from sama_video.metrics.intervals import mean_of, mean_over_questions
from sama_video.metrics.tracks import united
from sama_video.regions.rle import Rle, difference

BY_ANNOTATOR: Final = " (annotators)"

FIGURES: Final[dict[str, Callable[[ObjectScores], float]]] = {
    "J&F": lambda one: (one.j.mean + one.f.mean) / 2,
    "J": lambda one: one.j.mean,
    "F": lambda one: one.f.mean,
}


def by_annotator(rows: Sequence[Row], mode: Mode) -> Summary:
    """The mean over annotators of each one's mean over objects, those of all videos pooled."""
    try:
        scores = annotator_scores(rows, mode)
    except MissingExtraError as error:
        return Summary(missing([name + BY_ANNOTATOR for name in JF], mode, str(error)))
    if not scores:
        return Summary(missing([name + BY_ANNOTATOR for name in JF], mode, "there is no answer"))
    measures = []
    for name, figure in FIGURES.items():
        means = [
            mean_over_questions([video for video, _ in objects], [figure(one) for _, one in objects])
            for objects in scores.values()
        ]
        measures.append(Measure(name + BY_ANNOTATOR, mode, statistic=mean_of(means)))
    tables = {name: asdict(davis_totals([one for _, one in objects])) for name, objects in scores.items()}
    return Summary(tuple(measures), {"annotators": {mode: tables}})


def annotator_scores(rows: Sequence[Row], mode: Mode) -> dict[str, list[tuple[str, ObjectScores]]]:
    """Scores of each object of each video, by annotator, with the video's name.

    An object whose first expression failed brings no true track along, and is left out; such a run is incomplete.
    """
    scores: dict[str, list[tuple[str, ObjectScores]]] = {}
    for video, group in by_video(rows).items():
        true = {row.texts["object"]: row.texts["true"] for row in group if "true" in row.texts}
        void = next((row.texts["void"] for row in group if "void" in row.texts), None)
        for annotator in sorted({row.texts["annotator"] for row in group}) if true else ():
            said = {row.texts["object"]: row.texts["predicted"] for row in group if row.texts["annotator"] == annotator}
            proposals = labelled([said[name] for name in true if name in said])
            size = group[0].texts["size"]
            matched = unsupervised(list(true.values()), proposals, (size[0], size[1]), void=void)
            found = object_scores(matched.frames, mode)
            scores.setdefault(str(annotator + 1), []).extend((video, one) for one in found)
    return scores


def labelled(tracks: Sequence[Track]) -> list[Track]:
    """Tracks as a picture of labels holds them: a pixel has one label, and the first object that claims it keeps it."""
    kept: list[Track] = []
    for track in tracks:
        taken = united(kept, len(track))
        kept.append(tuple(_less(rle, other) for rle, other in zip(track, taken, strict=True)))
    return kept


def _less(rle: Rle | None, other: Rle | None) -> Rle | None:
    return rle if rle is None or other is None else difference(rle, other)
