"""What benchmarks of referring expressions in videos share: a question for each expression, and J and F of its answer.

As in the published inference an answer's first mask is its mask, and an answer without any is an empty one; in both
modes, for no other rule was ever published. A model is asked and not made to give a mask.
"""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from sama_video.bench.measures import mean, share, with_subsets
from sama_video.bench.task import Json, Measure, Mode, Prediction, Row, Sample, ScoreTools, Summary, TaskOptions, Track
from sama_video.bench.tasks.files import FileTask
from sama_video.bench.tasks.pointing import sampled_frames
from sama_video.bench.wording import expression_question
from sama_video.data.clips import FrameClip
from sama_video.data.findings import Findings
from sama_video.data.sources.expressions import Expression, ExpressionVideo
from sama_video.data.sources.verified import verified_expressions
from sama_video.metrics.expressions import ExpressionScores, expression_scores, expression_totals

JF: Final = ("J&F", "J", "F")
ANSWER_RATE: Final = "answer_rate"


class ExpressionTask(FileTask):
    """Videos with expressions, each a question of its own."""

    headline: tuple[str, ...] = ("J&F", "J", "F")

    @abstractmethod
    def videos(self, root: Path, findings: Findings) -> Iterator[ExpressionVideo]:
        """The videos in order."""

    def question_of(self, expression: Expression) -> str:
        """How an expression is asked for."""
        return expression_question(expression.text)

    def subset_of(self, expression: Expression) -> str:
        """Part of the benchmark that an expression is reported under."""
        return ""

    def facts(self, video: ExpressionVideo, expression: Expression) -> dict[str, Json]:
        """What a score or a submission has to know of the video."""
        names = video.clip.stems if isinstance(video.clip, FrameClip) else range(video.clip.num_frames)
        return {
            "expression_id": expression.expression_id,
            "frames": [str(name) for name in names],
            "height": video.height,
            "width": video.width,
        }

    def reference_tracks(self, video: ExpressionVideo, expression: Expression) -> tuple[Track, ...]:
        """One track for each instance that is meant."""
        return tuple(video.track(annotation_id) for annotation_id in expression.annotation_ids)

    def read(self, root: Path, findings: Findings, options: TaskOptions) -> Iterator[Sample]:
        for video in self.videos(root, findings):
            frames = sampled_frames(video.clip.num_frames)
            for expression in in_text_order(video.expressions):
                yield Sample(
                    sample_id=f"{video.video}/{expression.expression_id}",
                    video=video.video,
                    subset=self.subset_of(expression),
                    question_id=expression.expression_id,
                    open_clip=video.clip.open,
                    question=self.question_of(expression),
                    reference_tracks=partial(self.reference_tracks, video, expression),
                    frames=frames,
                    facts=self.facts(video, expression),
                )

    def count(self, root: Path, findings: Findings) -> dict[str, Json]:
        counts = {"videos": 0, "frames": 0, "expressions": 0}
        for video in self.videos(root, findings):
            usable = verified_expressions(video, findings)
            if usable is not None:
                counts["videos"] += 1
                counts["frames"] += usable.clip.num_frames
                counts["expressions"] += len(usable.expressions)
        return counts | {"questions": counts["expressions"]}

    def score_question(self, prediction: Prediction, mode: Mode, tools: ScoreTools) -> Row:
        predicted = first_track(prediction)
        return scored_row(prediction, mode, expression_scores(prediction.gt_tracks, predicted, size_of(prediction)))

    def summarise(self, rows: Sequence[Row], mode: Mode, tools: ScoreTools) -> Summary:
        def build(rows: Sequence[Row], subset: str) -> tuple[Measure, ...]:
            return (*(mean(rows, name, mode, subset=subset) for name in JF), answer_rate(rows, mode, subset))

        return Summary(with_subsets(rows, build), {"totals": {mode: totals_of(rows, mode)}})


def in_text_order(expressions: Sequence[Expression]) -> list[Expression]:
    """Expressions as the published scripts go through them: by id, compared as text."""
    return sorted(expressions, key=lambda expression: expression.expression_id)


def size_of(prediction: Prediction) -> tuple[int, int]:
    """Height and width of the clip's frames."""
    return prediction.facts["height"], prediction.facts["width"]


def first_track(prediction: Prediction) -> Track:
    """The mask of an answer, empty if it has none."""
    return prediction.pred_tracks[0] if prediction.pred_tracks else (None,) * len(prediction.facts["frames"])


def scored_row(prediction: Prediction, mode: Mode, scores: ExpressionScores) -> Row:
    """A question's J and F as a row."""
    return Row(
        sample_id=prediction.sample_id,
        video=prediction.video,
        subset=prediction.subset,
        mode=mode,
        turn_idx=prediction.turn_idx,
        values={"J&F": (scores.j + scores.f) / 2, "J": scores.j, "F": scores.f},
        sums={"answered": float(bool(prediction.pred_tracks))},
    )


def answer_rate(rows: Sequence[Row], mode: Mode, subset: str = "") -> Measure:
    """Share of the questions that were answered with a mask."""
    return share(rows, lambda row: row.sums["answered"] > 0, mode, name=ANSWER_RATE, subset=subset)


def totals_of(rows: Sequence[Row], mode: Mode) -> dict[str, Json]:
    """The figures as the published script prints them; in `reference` mode rounded to 0.01 %."""
    if not rows:
        return {}
    totals = expression_totals([ExpressionScores(row.values["J"] or 0.0, row.values["F"] or 0.0) for row in rows], mode)
    return {"J&F": totals.jf, "J": totals.j, "F": totals.f}
