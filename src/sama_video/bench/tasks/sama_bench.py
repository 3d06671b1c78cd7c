"""SAMA-Bench: questions about objects whose answers have masks (G), and descriptions of one object (C).

Samples come in the order of the question files, by source and then by number, and of the records in them. The published
scripts shuffle the records with a fixed seed before they are dealt out, which no score depends on. A fault other than
the rounds that the benchmark's own rules drop stops a run.
"""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Final

from sama_video.bench.caption_scores import caption_summary
from sama_video.bench.judge_prompts import CLAIR
from sama_video.bench.measures import by_turn, judged, judged_counts, share, with_subsets
from sama_video.bench.parsing import phrases
from sama_video.bench.sama_scores import (
    described_document,
    described_row,
    grounded_document,
    grounded_measures,
    grounded_row,
    precision_measures,
)
from sama_video.bench.task import Json, Measure, Mode, Prediction, Row, Sample, ScoreTools, Summary, TaskOptions, Track
from sama_video.bench.tasks.files import FileTask
from sama_video.bench.tasks.pointing import point_at, sampled_frames
from sama_video.bench.tasks.sama_counts import bench_counts, check_sources
from sama_video.bench.wording import DESCRIBE_REGION, grounded_question
from sama_video.data.findings import Findings
from sama_video.data.sources.sama import SamaVideo, read_sama_bench
from sama_video.data.sources.sama_turns import SamaTurn
from sama_video.dialogue.markup import SEG
from sama_video.metrics.tracks import united

DROPPED_ROUNDS: Final = ("role_order", "region_count_mismatch", "seg_count_mismatch")
"""Why the benchmark itself leaves out a round (spec bench, 1.2); a last message without answer is a note."""


class _SamaBench(FileTask):
    needs = ("mevis.json", "lvvis_0.json", "ref_youtube_vos_0.json", "VidSTG_0.json")
    names = ("sama_bench", "SAMA-Bench")
    by_rule = DROPPED_ROUNDS

    @abstractmethod
    def ask(self, video: "_Tracks", options: TaskOptions) -> Iterator[Sample]:
        """The questions about one record."""

    def count(self, root: Path, findings: Findings) -> dict[str, Json]:
        return bench_counts(root, DROPPED_ROUNDS, findings)

    def read(self, root: Path, findings: Findings, options: TaskOptions) -> Iterator[Sample]:
        check_sources(root, findings)
        for video in read_sama_bench(root, findings):
            yield from self.ask(_Tracks(video), options)


class SamaBenchG(_SamaBench):
    """Grounded chat.

    A region is the filled bounding box of its mask, as the published evaluation shows it. Whether masks are wanted is
    told by the question's own words alone (Q1): no model is made to give any.
    """

    name = "sama-bench-g"
    title = "SAMA-Bench G"
    headline = ("miou", "recall", "miou_over_gt", "f1", "answer_rate", "METEOR", "CIDEr")

    def ask(self, video: "_Tracks", options: TaskOptions) -> Iterator[Sample]:
        for turn_idx, turn in enumerate(video.record.turns):
            question_id = video.named(turn.question_id, f"turn {turn.round_idx}")
            sample_id = f"G/{question_id}"
            pointed = point_at([video.track(name) for name in turn.region_ids], "box", options, sample_id)
            asks = SEG in turn.answer
            yield Sample(
                sample_id=sample_id,
                question_id=question_id,
                question=grounded_question(turn.question, reference_has_masks=asks, give_away=options.give_away),
                regions=pointed.regions,
                prompt=pointed.prompt,
                reference_text=turn.answer,
                reference_phrases=phrases(turn.answer),
                reference_tracks=partial(_targets, video, turn),
                dialogue=video.record.video,
                turn_idx=turn_idx,
                **video.common,
            )

    def score_question(self, prediction: Prediction, mode: Mode, tools: ScoreTools) -> Row:
        return grounded_row(prediction, mode, tools.similarity)

    def summarise(self, rows: Sequence[Row], mode: Mode, tools: ScoreTools) -> Summary:
        def build(rows: Sequence[Row], subset: str) -> tuple[Measure, ...]:
            verbal = share(rows, _only_text, mode, name="text_only_rate", subset=subset)
            return (*grounded_measures(rows, mode, subset), verbal, _clair(rows, mode, tools, subset))

        captions = caption_summary(rows, mode, tools.captions)
        extension = precision_measures(rows, mode) if mode == "strict" else ()
        measures = (*with_subsets(rows, build), *by_turn(rows, build), *captions.measures, *extension)
        return Summary(measures, {"G": grounded_document(rows, mode), **_texts(rows, captions.tables, tools)})


class SamaBenchC(_SamaBench):
    """Descriptions of one object, which is shown by its exact mask; no answer has masks."""

    name = "sama-bench-c"
    title = "SAMA-Bench C"
    headline = ("METEOR", "CIDEr", "ROUGE_L", "Bleu_4", "clair")

    def ask(self, video: "_Tracks", options: TaskOptions) -> Iterator[Sample]:
        for description in video.record.descriptions:
            question_id = video.named(description.description_id, f"object {description.object_number}")
            sample_id = f"C/{question_id}"
            pointed = point_at([video.track(description.annotation_id)], "mask", options, sample_id)
            yield Sample(
                sample_id=sample_id,
                question_id=question_id,
                question=DESCRIBE_REGION,
                regions=pointed.regions,
                prompt=pointed.prompt,
                ground=False,
                reference_text=description.text,
                **video.common,
            )

    def score_question(self, prediction: Prediction, mode: Mode, tools: ScoreTools) -> Row:
        return described_row(prediction, mode)

    def summarise(self, rows: Sequence[Row], mode: Mode, tools: ScoreTools) -> Summary:
        def build(rows: Sequence[Row], subset: str) -> tuple[Measure, ...]:
            answered = share(rows, lambda row: row.sums["answered"] > 0, mode, name="answer_rate", subset=subset)
            return (_clair(rows, mode, tools, subset), answered)

        captions = caption_summary(rows, mode, tools.captions)
        measures = (*captions.measures, *with_subsets(rows, build))
        return Summary(measures, {"C": described_document(rows, mode), **_texts(rows, captions.tables, tools)})


class _Tracks:
    """A record whose tracks are read once each, however many questions are about them."""

    def __init__(self, record: SamaVideo) -> None:
        self.record = record
        self.track = lru_cache(maxsize=None)(record.track)
        num_frames = record.clip.num_frames
        self.common: dict[str, Any] = {
            "video": record.video,
            "subset": record.source,
            "open_clip": record.clip.open,
            "frames": sampled_frames(num_frames),
        }

    def named(self, number: int | str | None, part: str) -> str:
        """The benchmark's number of a question, by which answers are told apart."""
        if number is None:
            raise self.record.place.part(part).fault("missing_key", "the question has no number")
        return str(number)


def _targets(video: _Tracks, turn: SamaTurn) -> tuple[Track, ...]:
    length = video.record.clip.num_frames
    return tuple(united([video.track(name) for name in names], length) for names in turn.target_ids)


def _only_text(row: Row) -> bool:
    return not row.sums["n_pred"] and bool(row.texts["candidate"])


def _clair(rows: Sequence[Row], mode: Mode, tools: ScoreTools, subset: str) -> Measure:
    return judged(rows, CLAIR, mode, tools, subset=subset, over_videos=True)


def _texts(rows: Sequence[Row], tables: Json, tools: ScoreTools) -> dict[str, Json]:
    return {"captions": dict(tables)} | ({"judged": judged_counts(rows, tools)} if tools.judge is not None else {})
