"""ReVOS: expressions that refer, that need reasoning, and that mean nothing in the video.

Overall is the unweighted mean of referring and reasoning. Every question carries, after the tracks of its instances,
the video's foreground as one more reference track, because R relates false pixels to it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from sama_video.bench.measures import mean
from sama_video.bench.task import Json, Measure, Mode, Prediction, Row, ScoreTools, Summary, Track
from sama_video.bench.tasks.expression_task import ExpressionTask, answer_rate, first_track, scored_row, size_of
from sama_video.data.findings import Findings
from sama_video.data.mask_files import open_mask_file
from sama_video.data.sources.expressions import Expression, ExpressionVideo, read_revos
from sama_video.metrics.expressions import (
    REASONING,
    REFERRING,
    RevosScores,
    foreground_track,
    revos_scores,
    revos_totals,
)
from sama_video.metrics.intervals import mean_of

SUBSETS: Final = {REFERRING: "referring", REASONING: "reasoning"}
NO_TARGET: Final = "no target"

FIGURES: Final[dict[Mode, tuple[str, ...]]] = {
    "reference": ("J&F", "J", "F", "A_reference_255", "R_reference_255"),
    "strict": ("J&F", "J", "F", "A", "R"),
}
"""A and R of the published script depend on the bytes in the prediction files (Q24), so their names tell them."""


class Revos(ExpressionTask):
    """The validation split."""

    name = "revos"
    title = "ReVOS valid"
    needs = ("meta_expressions_valid_.json",)
    names = ("revos", "ReVOS", "video_datas/revos")
    headline = ("J&F", "J", "F", "R")
    answering = slice(-1)  # the last one is the video's whole foreground

    def videos(self, root: Path, findings: Findings) -> Iterator[ExpressionVideo]:
        return read_revos(root, "valid", findings)

    def subset_of(self, expression: Expression) -> str:
        return NO_TARGET if expression.type_id is None else SUBSETS.get(expression.type_id, NO_TARGET)

    def reference_tracks(self, video: ExpressionVideo, expression: Expression) -> tuple[Track, ...]:
        used = dict.fromkeys(name for one in video.expressions for name in one.annotation_ids)
        tracks = {name: video.track(name) for name in used}
        foreground = foreground_track(list(tracks.values()), video.size) if tracks else (None,) * video.clip.num_frames
        return (*(tracks[name] for name in expression.annotation_ids), foreground)

    def count(self, root: Path, findings: Findings) -> dict[str, Json]:
        types = [self.subset_of(one) for video in self.videos(root, Findings()) for one in video.expressions]
        masks = open_mask_file(root / "mask_dict.json", findings)
        kinds = {name: types.count(name) for name in (*SUBSETS.values(), NO_TARGET)}
        return super().count(root, findings) | {"mask_tracks": len(masks), "types": kinds}

    def score_question(self, prediction: Prediction, mode: Mode, tools: ScoreTools) -> Row:
        *instances, foreground = prediction.gt_tracks
        scores = revos_scores(instances, first_track(prediction), foreground, size_of(prediction), mode)
        row = scored_row(prediction, mode, scores)
        a, r = FIGURES[mode][3:]
        return Row(**vars(row) | {"values": {**row.values, a: scores.a, r: scores.r}})

    def summarise(self, rows: Sequence[Row], mode: Mode, tools: ScoreTools) -> Summary:
        parts = {name: [row for row in rows if row.subset == name] for name in (*SUBSETS.values(), NO_TARGET)}
        figures = {
            name: [mean(part, figure, mode, subset=name) for figure in FIGURES[mode]] for name, part in parts.items()
        }
        overall = [_overall(pair) for pair in zip(*(figures[name] for name in SUBSETS.values()), strict=True)]
        measures = (*overall, answer_rate(rows, mode), *(one for found in figures.values() for one in found))
        return Summary(measures, {"totals": {mode: _totals(parts, mode)}})


def _overall(pair: tuple[Measure, Measure]) -> Measure:
    """The mean of referring and reasoning, each counting one half."""
    statistics = [measure.statistic for measure in pair if measure.statistic is not None]
    name, mode = pair[0].name, pair[0].mode
    if len(statistics) < 2:
        return Measure(name, mode, missing="there is no expression of one of the two types")
    return Measure(name, mode, statistic=mean_of(statistics))


def _totals(parts: dict[str, list[Row]], mode: Mode) -> dict[str, Json]:
    """The figures as the published script gives them; in `reference` mode each expression is rounded first."""
    scores: list[RevosScores] = []
    types: list[int] = []
    for kind, name in SUBSETS.items():
        for row in parts[name]:
            scores.append(RevosScores(*(row.values[figure] or 0.0 for figure in FIGURES[mode][1:])))
            types.append(kind)
    if not scores:
        return {}
    totals = asdict(revos_totals(scores, types, mode))
    return {
        part: {name: None if value != value else value for name, value in found.items()}
        for part, found in totals.items()
    }
