"""Ref-DAVIS17, by two protocols whose figures are not interchangeable.

By expression, every expression is a sample of its own, as in MeViS. By annotator, the expressions that one annotator
gave to a video's objects are merged into one picture of labels, scored by the rules of unsupervised DAVIS with its void
pixels, and the annotators' figures are averaged; the names of these figures end in ` (annotators)`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, UnidentifiedImageError

from sama_video.bench.task import Json, Mode, Prediction, Row, ScoreTools, Summary, Track
from sama_video.bench.tasks.davis_annotators import BY_ANNOTATOR, by_annotator
from sama_video.bench.tasks.expression_task import ExpressionTask, first_track, size_of
from sama_video.data.clips import FrameClip
from sama_video.data.findings import FaultError, Findings, Place
from sama_video.data.sources.expressions import Expression, ExpressionVideo, read_ref_davis17
from sama_video.metrics.tracks import united
from sama_video.regions.rle import Rle, area, encode

VOID: Final = 255
"""Label of the pixels that nobody is judged on."""


class RefDavis17(ExpressionTask):
    """The validation split. A question's second reference track is the video's void pixels."""

    name = "ref-davis17"
    title = "Ref-DAVIS17 valid"
    needs = ("meta_expressions/valid/meta_expressions.json",)
    names = ("davis17", "ref_davis17", "video_datas/davis17")
    headline = ("J&F", "J", "F", "J&F" + BY_ANNOTATOR)
    answering = slice(1)

    def videos(self, root: Path, findings: Findings) -> Iterator[ExpressionVideo]:
        return read_ref_davis17(root, "valid", findings)

    def facts(self, video: ExpressionVideo, expression: Expression) -> dict[str, Json]:
        same = [one.expression_id for one in video.expressions if one.object_ids == expression.object_ids]
        annotator = sorted(same, key=lambda name: (len(name), name)).index(expression.expression_id)
        return super().facts(video, expression) | {"object": expression.object_ids[0], "annotator": annotator}

    def reference_tracks(self, video: ExpressionVideo, expression: Expression) -> tuple[Track, ...]:
        tracks = super().reference_tracks(video, expression)
        return (united(tracks, video.clip.num_frames), void_track(video))

    def count(self, root: Path, findings: Findings) -> dict[str, Json]:
        counts = super().count(root, findings)
        counts["void_pixels"] = 0
        for video in self.videos(root, Findings()):
            try:
                counts["void_pixels"] += sum(area(rle) for rle in void_track(video) if rle is not None)
            except FaultError as error:
                findings.take(error)
        return counts

    def score_question(self, prediction: Prediction, mode: Mode, tools: ScoreTools) -> Row:
        true, void = prediction.gt_tracks
        row = super().score_question(replace(prediction, gt_tracks=(true,)), mode, tools)
        facts = prediction.facts
        texts: dict[str, Json] = {
            "object": facts["object"],
            "annotator": facts["annotator"],
            "size": size_of(prediction),
            "predicted": first_track(prediction),
        }
        if facts["annotator"] == 0:  # the others have the same
            texts |= {"true": true, "void": void}
        return replace(row, texts=texts)

    def summarise(self, rows: Sequence[Row], mode: Mode, tools: ScoreTools) -> Summary:
        whole, parts = super().summarise(rows, mode, tools), by_annotator(rows, mode)
        return Summary((*whole.measures, *parts.measures), {**whole.document, **parts.document})


def void_track(video: ExpressionVideo) -> Track:
    """Pixels of each frame that nobody is judged on, from the pictures of labels.

    Raises:
        FaultError: A picture of labels is missing or is none.
    """
    assert isinstance(video.clip, FrameClip)
    folder = Path(str(video.clip.path).replace("JPEGImages", "Annotations"))
    return tuple(_void(folder / f"{stem}.png", video.size) for stem in video.clip.stems)


def _void(path: Path, size: tuple[int, int]) -> Rle | None:
    place = Place(str(path))
    try:
        with Image.open(path, formats=["PNG"]) as image:
            labels = np.asarray(image)
    except FileNotFoundError:
        raise place.fault("missing_file", "there is no picture of labels for this frame") from None
    except (OSError, SyntaxError, UnidentifiedImageError) as error:
        raise place.fault("unreadable_frame", f"no picture of labels can be read ({error})") from None
    if labels.shape != size:
        raise place.fault("mask_size_mismatch", f"labels are {labels.shape}, the frames {size} (height, width)")
    void = labels == VOID
    return encode(void) if void.any() else None
