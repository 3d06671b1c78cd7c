"""Grounded captions of pictures (GranD-f): a caption whose phrases have masks.

Published average precision gives every mask the score 1.0, so that the order of the answers decides; there is no other,
because answers are stored without confidences, and it stands under `reference` alone.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from sama_video.bench.measures import mean, plain, rate, with_subsets
from sama_video.bench.parsing import image_caption
from sama_video.bench.task import Json, Measure, Mode, Prediction, Row, Sample, ScoreTools, Summary, TaskOptions, Track
from sama_video.bench.tasks.captioning import corpus_measures
from sama_video.bench.tasks.files import FileTask, check_picture
from sama_video.bench.wording import IMAGE_GCG
from sama_video.data.findings import FaultError, Findings
from sama_video.data.sources.gcg import SPLITS, CaptionedPicture, files_of, read_gcg
from sama_video.metrics.detection import PictureMasks, picture_precision
from sama_video.metrics.matching import image_reference_score, strict_score
from sama_video.regions.rle import Rle, encode

PRECISIONS: Final = ("AP50", "AP")


class ImageGcg(FileTask):
    """Splits `val` and `test`, whichever are there."""

    name = "gcg"
    title = "GranD-f grounded captions"
    needs = tuple(files_of(split)[0] for split in SPLITS)
    names = ("gcg", "GranDf", "glamm_data")
    headline = ("METEOR", "CIDEr", "AP50", "miou", "recall")

    def splits(self, root: Path) -> tuple[str, ...]:
        """The splits that have a file."""
        return tuple(split for split in SPLITS if (root / files_of(split)[0]).is_file())

    def count(self, root: Path, findings: Findings) -> dict[str, Json]:
        subsets: dict[str, dict[str, int]] = {}
        for split in self.splits(root):
            counts = subsets.setdefault(split, {"images": 0, "masks": 0, "captions": 0})
            for found in read_gcg(root, split, findings):
                check_picture(found.picture, findings)
                counts["images"] += 1
                counts["captions"] += 1
                try:
                    counts["masks"] += len(found.masks())
                except FaultError as error:
                    findings.take(error)
        totals = {name: sum(one[name] for one in subsets.values()) for name in ("images", "masks", "captions")}
        return totals | {"questions": totals["images"], "per_subset": subsets}

    def read(self, root: Path, findings: Findings, options: TaskOptions) -> Iterator[Sample]:
        for split in self.splits(root):
            for found in read_gcg(root, split, findings):
                yield Sample(
                    sample_id=f"{split}/{found.image_id}",
                    video=found.image_id,
                    subset=split,
                    question_id=found.image_id,
                    open_clip=found.picture.open,
                    question=IMAGE_GCG,
                    reference_text=found.caption,
                    reference_phrases=found.phrases,
                    reference_tracks=partial(_tracks, found),
                    frames=(0,),
                    facts={"height": found.picture.size[0], "width": found.picture.size[1]},
                )

    def score_question(self, prediction: Prediction, mode: Mode, tools: ScoreTools) -> Row:
        caption, phrases = image_caption(prediction.pred_text or "")
        alike = np.array(tools.similarity(list(prediction.gt_phrases), list(phrases)), dtype=np.float64)
        alike = alike.reshape(len(prediction.gt_phrases), len(phrases))
        masks = {"n_gt": float(len(prediction.gt_tracks)), "n_pred": float(len(prediction.pred_tracks))}
        texts: dict[str, Json] = {"candidate": caption, "references": [prediction.gt_text]}
        values: dict[str, float | None]
        if mode == "reference":
            score = image_reference_score(prediction.pred_tracks, prediction.gt_tracks, alike)
            values = {"miou": score.miou}
            sums = masks | {"tp": float(len(score.matches)), "positives": float(score.positives)}
            texts |= {"true": _masks(prediction, prediction.gt_tracks)}
            texts |= {"detected": _masks(prediction, prediction.pred_tracks)}
        else:
            strict = strict_score(prediction.pred_tracks, prediction.gt_tracks, alike)
            values = {"miou_over_gt": strict.miou_over_gt, "miou_over_max": strict.miou_over_max}
            sums = masks | {"tp": float(len(strict.matches))}
        return Row(
            prediction.sample_id, prediction.video, prediction.subset, mode, values=values, sums=sums, texts=texts
        )

    def summarise(self, rows: Sequence[Row], mode: Mode, tools: ScoreTools) -> Summary:
        measures = with_subsets(rows, _reference if mode == "reference" else _strict)
        return Summary((*measures, *corpus_measures(rows, mode, tools)))


def _reference(rows: Sequence[Row], subset: str) -> tuple[Measure, ...]:
    found = picture_precision([PictureMasks(row.texts["true"], row.texts["detected"]) for row in rows]) if rows else {}
    precisions = (
        plain(name, value, "reference", subset=subset)
        if (value := found.get(name)) is not None
        else Measure(name, "reference", subset, missing="there is no mask to find")
        for name in PRECISIONS
    )
    recall = rate(rows, "tp", "positives", "reference", name="recall", subset=subset)
    return (mean(rows, "miou", "reference", subset=subset), recall, *precisions)


def _strict(rows: Sequence[Row], subset: str) -> tuple[Measure, ...]:
    return (
        mean(rows, "miou_over_gt", "strict", subset=subset),
        mean(rows, "miou_over_max", "strict", subset=subset),
        rate(rows, "tp", "n_gt", "strict", name="recall", subset=subset),
        rate(rows, "tp", "n_pred", "strict", name="precision", subset=subset),
        rate(rows, "tp", ("n_gt", "n_pred"), "strict", name="f1", subset=subset, times=2),
    )


def _tracks(found: CaptionedPicture) -> tuple[Track, ...]:
    return tuple((mask,) for mask in found.masks())


def _masks(prediction: Prediction, tracks: Sequence[Track]) -> list[Rle]:
    """Masks of a picture; one that shows nothing is a mask all the same."""
    empty = encode(np.zeros((prediction.facts["height"], prediction.facts["width"]), dtype=np.bool_))
    return [track[0] or empty for track in tracks]
