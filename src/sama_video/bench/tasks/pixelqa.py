"""PixelQA: objects are given by a point or a box; follow them, and answer a question about them.

It runs on the files of VideoRefer-Bench-Q, whose masks cover the clip. Each question is asked three times: with points,
with boxes, and with a draw of both; these are the subsets. The published script takes objects and their order from a
stored answer before it asks. Here a model is given the objects themselves, in the question's order, and gives a track
for each of them (`facts["tracks"]` is "regions") and an answer, in whatever order it likes.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from sama_video.bench.measures import mean, rate, with_subsets
from sama_video.bench.parsing import clean_text, option_letter, pixelqa_letter
from sama_video.bench.task import Json, Measure, Mode, Prediction, Row, Sample, ScoreTools, Summary, TaskOptions, Track
from sama_video.bench.tasks.pointing import Kind
from sama_video.bench.tasks.refer_items import check_question, choice_facts, read_letter, shown
from sama_video.bench.tasks.videorefer import VideoReferQ
from sama_video.bench.wording import choice_question
from sama_video.data.findings import Findings
from sama_video.data.sources.videorefer import ReferQuestion, read_questions
from sama_video.metrics.volume import volume_scores
from sama_video.video.sampling import uniform_indices

NUM_FRAMES: Final = 16
PROMPTS: Final[tuple[Kind, ...]] = ("point", "box", "mixed")

FIGURES: Final = {"J&F (region)": "jf", "J": "j", "F (region)": "f"}
"""Names of the figures of masks. This F counts pixels of the region, unlike that of contours elsewhere."""


class PixelQa(VideoReferQ):
    """Accuracy of the letters, with those that cannot be read told apart, and overlap of every object's track."""

    name = "pixelqa"
    title = "PixelQA"
    headline = ("accuracy", *FIGURES)

    def count(self, root: Path, findings: Findings) -> dict[str, Json]:
        counts = super().count(root, findings)
        return counts | {"questions": counts["questions"] * len(PROMPTS)}

    def read(self, root: Path, findings: Findings, options: TaskOptions) -> Iterator[Sample]:
        for item in read_questions(root, findings):
            check_question(item)
            for kind in PROMPTS:
                yield Sample(
                    question=choice_question(item.question, item.options),
                    ground=True,
                    reference_text=item.answer,
                    reference_tracks=partial(_tracks, item),
                    frames=tuple(uniform_indices(item.clip.num_frames, NUM_FRAMES)),
                    facts=choice_facts(item) | _facts(item),
                    **shown(item, kind, options, f"{item.item_id}/{kind}") | {"subset": kind},
                )

    def score_question(self, prediction: Prediction, mode: Mode, tools: ScoreTools) -> Row:
        facts = prediction.facts
        letter = _reference_letter(prediction) if mode == "reference" else read_letter(prediction, mode)
        size = (facts["height"], facts["width"])
        scores = [
            volume_scores(_on(true, facts["annotated"]), _on(predicted, facts["annotated"]), size, mode)
            for true, predicted in zip(prediction.gt_tracks, _one_each(prediction), strict=True)
        ]
        values = {"accuracy": float(letter == facts["answer"]), "unreadable_rate": float(letter is None)}
        sums = {key: sum(getattr(score, key) for score in scores) for key in FIGURES.values()}
        return Row(
            prediction.sample_id,
            prediction.video,
            prediction.subset,
            mode,
            values=values,
            sums={**sums, "objects": float(len(scores))},
        )

    def summarise(self, rows: Sequence[Row], mode: Mode, tools: ScoreTools) -> Summary:
        def build(rows: Sequence[Row], subset: str) -> tuple[Measure, ...]:
            letters = (mean(rows, name, mode, subset=subset) for name in ("accuracy", "unreadable_rate"))
            masks = (rate(rows, key, "objects", mode, name=name, subset=subset) for name, key in FIGURES.items())
            return (*letters, *masks)

        return Summary(with_subsets(rows, build))


def _facts(item: ReferQuestion) -> dict[str, Json]:
    """What a score of the tracks has to know; frames without a mask of every object are not judged."""
    height, width = item.clip.size
    annotated = set(range(item.clip.num_frames)).intersection(*(marked.entries for marked in item.objects))
    return {"tracks": "regions", "height": height, "width": width, "annotated": sorted(annotated)}


def _tracks(item: ReferQuestion) -> tuple[Track, ...]:
    return tuple(marked.track(item.clip.num_frames, item.clip.size) for marked in item.objects)


def _one_each(prediction: Prediction) -> list[Track]:
    """A track for each object, empty where the answer has none."""
    given = list(prediction.pred_tracks[: len(prediction.gt_tracks)])
    return given + [(None,) * len(true) for true in prediction.gt_tracks[len(given) :]]


def _on(track: Track, frames: Sequence[int]) -> Track:
    return tuple(track[frame_idx] for frame_idx in frames)


def _reference_letter(prediction: Prediction) -> str | None:
    letters = "".join(option_letter(option) or "" for option in prediction.facts["options"])
    return pixelqa_letter(clean_text(prediction.pred_text or ""), letters)
