"""RefCOCO, RefCOCO+ and RefCOCOg: one question for each sentence about an object of a picture.

The splits of the validation and of the tests are the subsets. An answer's first mask is its mask.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from sama_video.bench.measures import by_video, mean, rate, share, with_subsets
from sama_video.bench.task import Json, Measure, Mode, Prediction, Row, Sample, ScoreTools, Summary, TaskOptions, Track
from sama_video.bench.tasks.files import FileTask, check_picture
from sama_video.bench.wording import refcoco_question
from sama_video.data.findings import Findings
from sama_video.data.sources.refcoco import INSTANCES, RefObject, check_masks, count_entries, read_refcoco
from sama_video.metrics.referring import THRESHOLDS, Overlap, polygon_mask, referring_scores
from sama_video.regions.rle import overlap_areas

PRECISIONS: Final = {threshold: f"P@{threshold}" for threshold in THRESHOLDS}


class RefCoco(FileTask):
    """RefCOCO by the UNC splits."""

    name = "refcoco"
    title = "RefCOCO"
    needs = (INSTANCES,)
    names = ("refcoco", "ref_seg/refcoco")
    splits: tuple[str, ...] = ("val", "testA", "testB")
    headline = ("cIoU", "gIoU", "P@0.5")
    answering = slice(1)  # a second one has the holes of the published reader

    def count(self, root: Path, findings: Findings) -> dict[str, Json]:
        subsets: dict[str, dict[str, int]] = {
            split: dict.fromkeys(("images", "refs", "sentences", "masks"), 0) for split in self.splits
        }
        for found in read_refcoco(root, findings, self.splits):
            check_picture(found.picture, findings)
            subsets[found.objects[0].split]["images"] += 1
            subsets[found.objects[0].split]["masks"] += check_masks(found, findings)
            for one in found.objects:
                subsets[one.split]["refs"] += 1
                subsets[one.split]["sentences"] += len(one.sentences)
        asked = sum(counts["sentences"] for counts in subsets.values())
        return {**count_entries(root, Findings()), "questions": asked, "per_subset": subsets}

    def read(self, root: Path, findings: Findings, options: TaskOptions) -> Iterator[Sample]:
        for found in read_refcoco(root, findings, self.splits):
            for one in found.objects:
                for sentence in one.sentences:
                    yield Sample(
                        sample_id=f"{found.image_id}/{sentence.sentence_id}",
                        video=found.image_id,
                        subset=one.split,
                        question_id=sentence.sentence_id,
                        open_clip=found.picture.open,
                        question=refcoco_question(sentence.text),
                        reference_tracks=partial(reference_masks, one),
                        frames=(0,),
                    )

    def score_question(self, prediction: Prediction, mode: Mode, tools: ScoreTools) -> Row:
        true = prediction.gt_tracks[0 if mode == "strict" else -1][0]
        answered = bool(prediction.pred_tracks)
        shared, united = overlap_areas(true, prediction.pred_tracks[0][0] if answered else None)
        scores = referring_scores([[Overlap(shared, united, answered)]], mode)
        values: dict[str, float | None] = {"gIoU": scores.giou}
        if mode == "strict":
            values |= {PRECISIONS[threshold]: value for threshold, value in scores.precision.items()}
        sums = {"intersection": float(shared), "union": float(united), "answered": float(answered)}
        if mode == "reference":  # an answer without a mask is left out of both (Q26)
            sums |= {"counted_intersection": float(shared * answered), "counted_union": float(united * answered)}
        return Row(prediction.sample_id, prediction.video, prediction.subset, mode, values=values, sums=sums)

    def summarise(self, rows: Sequence[Row], mode: Mode, tools: ScoreTools) -> Summary:
        prefix = "counted_" if mode == "reference" else ""
        precisions = tuple(PRECISIONS.values()) if mode == "strict" else ()

        def build(rows: Sequence[Row], subset: str) -> tuple[Measure, ...]:
            ciou = rate(rows, prefix + "intersection", prefix + "union", mode, name="cIoU", subset=subset)
            means = (mean(rows, name, mode, subset=subset) for name in ("gIoU", *precisions))
            answered = share(rows, lambda row: row.sums["answered"] > 0, mode, name="answer_rate", subset=subset)
            return (ciou, *means, answered)

        return Summary(with_subsets(rows, build), {"totals": {mode: _totals(rows, mode)}})


class RefCocoPlus(RefCoco):
    """RefCOCO+, whose sentences do without places."""

    name = "refcoco+"
    title = "RefCOCO+"
    names = ("refcoco+", "ref_seg/refcoco+")


class RefCocoG(RefCoco):
    """RefCOCOg by the UMD splits."""

    name = "refcocog"
    title = "RefCOCOg"
    names = ("refcocog", "ref_seg/refcocog")
    splits = ("val", "test")


def reference_masks(one: RefObject) -> tuple[Track, ...]:
    """An object's mask; where its polygons overlap, also the one with holes that the published reader makes (Q27)."""
    true, parts = one.mask(), one.polygon_masks()
    holed = polygon_mask(parts, reference=True) if len(parts) > 1 else true
    return ((true,),) if holed == true else ((true,), (holed,))


def _totals(rows: Sequence[Row], mode: Mode) -> dict[str, Json]:
    """The cIoU and gIoU of each split with the published script's sums in single precision."""
    found: dict[str, Json] = {}
    for split in dict.fromkeys(row.subset for row in rows):
        pictures = by_video([row for row in rows if row.subset == split]).values()
        overlaps = [
            [Overlap(int(r.sums["intersection"]), int(r.sums["union"]), bool(r.sums["answered"])) for r in picture]
            for picture in pictures
        ]
        scores = referring_scores(overlaps, mode)
        found[split] = {"cIoU": scores.ciou, "gIoU": scores.giou, "unanswered": scores.unanswered}
    return found
