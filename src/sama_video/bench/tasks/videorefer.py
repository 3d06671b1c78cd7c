"""VideoRefer-Bench: descriptions of objects, scored by a judge (D), and multiple choice about objects (Q).

Objects are shown by their masks on the one frame that the benchmark has for models of single frames.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from sama_video.bench.judge_prompts import VIDEOREFER_D
from sama_video.bench.measures import judged, judged_counts, mean, share, with_subsets
from sama_video.bench.parsing import VIDEOREFER_DIMENSIONS
from sama_video.bench.task import Json, Measure, Mode, Prediction, Row, Sample, ScoreTools, Summary, TaskOptions
from sama_video.bench.tasks.files import FileTask
from sama_video.bench.tasks.refer_items import check_question, choice_facts, count_items, read_letter, shown
from sama_video.bench.wording import VIDEOREFER_DESCRIBE, choice_question
from sama_video.data.findings import Findings
from sama_video.data.sources.videorefer import DESCRIPTIONS, QUESTIONS, read_descriptions, read_questions
from sama_video.metrics.intervals import mean_of

JUDGED_UNIT: Final = "0-5"
TOTAL: Final = "total"


class VideoReferD(FileTask):
    """Only a judge scores this part; without one its figures are missing.

    The published judge's prompt is not repeated word for word, so there is no `reference` mode.
    """

    name = "videorefer-d"
    title = "VideoRefer-Bench-D"
    needs = (DESCRIPTIONS,)
    names = ("VideoRefer-Bench-D", "videorefer_bench/VideoRefer-Bench-D")
    headline = (TOTAL, *VIDEOREFER_DIMENSIONS)
    modes = ("strict",)

    def count(self, root: Path, findings: Findings) -> dict[str, Json]:
        return count_items(read_descriptions(root, findings), findings)

    def read(self, root: Path, findings: Findings, options: TaskOptions) -> Iterator[Sample]:
        for item in read_descriptions(root, findings):
            if len(item.objects) != 1:
                raise item.place.fault("region_count_mismatch", f"{len(item.objects)} objects to describe, not one")
            yield Sample(
                question=VIDEOREFER_DESCRIBE, reference_text=item.caption, ground=False, **shown(item, "mask", options)
            )

    def score_question(self, prediction: Prediction, mode: Mode, tools: ScoreTools) -> Row:
        answered = {"answered": float(bool((prediction.pred_text or "").strip()))}
        return Row(prediction.sample_id, prediction.video, prediction.subset, mode, sums=answered)

    def summarise(self, rows: Sequence[Row], mode: Mode, tools: ScoreTools) -> Summary:
        measures = [judged(rows, name, mode, tools, unit=JUDGED_UNIT) for name in VIDEOREFER_DIMENSIONS]
        found = [measure.statistic for measure in measures if measure.statistic is not None]
        whole = len(found) == len(measures)
        total = Measure(
            TOTAL,
            mode,
            statistic=mean_of(found) if whole else None,
            unit=JUDGED_UNIT,
            missing=None if whole else measures[0].missing or "a dimension has no score",
        )
        answered = share(rows, lambda row: row.sums["answered"] > 0, mode, name="answer_rate")
        document = {"judged": judged_counts(rows, tools), "scale": VIDEOREFER_D} if tools.judge is not None else {}
        return Summary((total, *measures, answered), document)


class VideoReferQ(FileTask):
    """Types of questions are the subsets.

    `reference` reads letters as the published script does and counts what it cannot read as wrong; so does `strict`,
    which reads with more sense, and tells how many answers named no option or several.
    """

    name = "videorefer-q"
    title = "VideoRefer-Bench-Q"
    needs = (QUESTIONS,)
    names = ("VideoRefer-Bench-Q", "videorefer_bench/VideoRefer-Bench-Q")
    headline: tuple[str, ...] = ("accuracy",)

    def count(self, root: Path, findings: Findings) -> dict[str, Json]:
        types: dict[str, int] = {}
        for item in read_questions(root, Findings()):
            types[item.kind] = types.get(item.kind, 0) + 1
        counts = count_items(read_questions(root, findings), findings)
        return counts | {"types": types, "frames": counts.pop("video_frames")}

    def read(self, root: Path, findings: Findings, options: TaskOptions) -> Iterator[Sample]:
        for item in read_questions(root, findings):
            check_question(item)
            yield Sample(
                question=choice_question(item.question, item.options),
                reference_text=item.answer,
                ground=False,
                facts=choice_facts(item),
                **shown(item, "mask", options) | {"subset": item.kind},
            )

    def score_question(self, prediction: Prediction, mode: Mode, tools: ScoreTools) -> Row:
        letter = read_letter(prediction, mode)
        right = letter is not None and letter.upper() == prediction.facts["answer"].upper()
        values = {"accuracy": float(right), "unreadable_rate": float(letter is None)}
        return Row(prediction.sample_id, prediction.video, prediction.subset, mode, values=values)

    def summarise(self, rows: Sequence[Row], mode: Mode, tools: ScoreTools) -> Summary:
        def build(rows: Sequence[Row], subset: str) -> tuple[Measure, ...]:
            return tuple(mean(rows, name, mode, subset=subset) for name in ("accuracy", "unreadable_rate"))

        return Summary(with_subsets(rows, build))
