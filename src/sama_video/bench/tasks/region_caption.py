"""Captions of regions of pictures (RefCOCOg val): one question for each region, several right answers."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from sama_video.bench.parsing import region_caption_reference, region_caption_strict
from sama_video.bench.task import Json, Mode, Prediction, Row, Sample, ScoreTools, Summary, TaskOptions
from sama_video.bench.tasks.captioning import corpus_measures
from sama_video.bench.tasks.files import FileTask, check_picture
from sama_video.bench.wording import DESCRIBE_PICTURE_REGION
from sama_video.data.findings import FaultError, Findings
from sama_video.data.mask_entries import FORM_NOTES
from sama_video.data.sources.region_caption import REGIONS, CaptionedRegion, read_region_captions
from sama_video.regions.shapes import Mask


class RegionCaption(FileTask):
    """The region is shown by its mask.

    `reference` cleans answers as the published script does, which spoils words such as "dish" (Q28); `strict` takes out
    marks and the lead-in alone.
    """

    name = "region-caption"
    title = "RefCOCOg region captions"
    needs = (REGIONS,)
    names = ("region_caption",)
    headline = ("METEOR", "CIDEr")

    def count(self, root: Path, findings: Findings) -> dict[str, Json]:
        pictures: set[Path] = set()
        counts = {"regions": 0, "references": 0, "masks": 0}
        for region in read_region_captions(root, findings):
            if region.picture.path not in pictures:
                check_picture(region.picture, findings)
                pictures.add(region.picture.path)
            counts["regions"] += 1
            counts["references"] += len(region.captions)
            counts["masks"] += _checked_mask(region, findings)
        return {"pictures": len(pictures), "questions": counts["regions"], **counts}

    def read(self, root: Path, findings: Findings, options: TaskOptions) -> Iterator[Sample]:
        for region in read_region_captions(root, findings):
            yield Sample(
                sample_id=region.region_id,
                video=region.picture.path.name,
                subset="",
                question_id=region.region_id,
                open_clip=region.picture.open,
                question=DESCRIBE_PICTURE_REGION,
                regions=(Mask(0, mask={**region.mask()}),),
                prompt={"frame": 0, "kind": "mask", "frames": [0]},
                ground=False,
                reference_text=region.captions[0],
                frames=(0,),
                facts={"captions": list(region.captions)},
            )

    def score_question(self, prediction: Prediction, mode: Mode, tools: ScoreTools) -> Row:
        clean = region_caption_reference if mode == "reference" else region_caption_strict
        texts = {"candidate": clean(prediction.pred_text or ""), "references": prediction.facts["captions"]}
        return Row(prediction.sample_id, prediction.video, prediction.subset, mode, texts=texts)

    def summarise(self, rows: Sequence[Row], mode: Mode, tools: ScoreTools) -> Summary:
        return Summary(corpus_measures(rows, mode, tools))


def _checked_mask(region: CaptionedRegion, findings: Findings) -> int:
    forms: set[str] = set()
    try:
        region.mask(forms)
    except FaultError as error:
        findings.take(error)
        return 0
    for form in sorted(forms):
        findings.note(form, region.place.file, region.place.record, FORM_NOTES[form])
    return 1
