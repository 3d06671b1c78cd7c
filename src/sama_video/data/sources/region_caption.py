"""Captions of regions of pictures, in the layout of the RefCOCOg evaluation: one "image" entry for each region."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sama_video.data.findings import FaultError, Findings, Place
from sama_video.data.json_items import read_document
from sama_video.data.mask_entries import read_mask
from sama_video.data.sources.fields import need, need_id, need_size, rows_of
from sama_video.data.sources.pictures import Picture, find_picture
from sama_video.regions.rle import Rle

REGIONS: Final = "refcocog/finetune_refcocog_val_with_mask.json"
CAPTIONS: Final = "mdetr_annotations/finetune_refcocog_val_captions.json"
PICTURE_FOLDERS: Final = ("images/coco2014/train2014", "coco2014/train2014", "images/coco_2014/train2014", "train2014")


@dataclass(frozen=True)
class CaptionedRegion:
    """A region of a picture and what people call it.

    Attributes:
        region_id: Number of the region's own image entry.
        captions: One or more.
        segmentation: As the file has it.
    """

    region_id: str
    picture: Picture
    captions: tuple[str, ...]
    segmentation: Any = field(repr=False)
    place: Place

    def mask(self, forms: set[str] | None = None) -> Rle:
        """The region's outline; `forms` gets the names of forms that had to be converted.

        Raises:
            FaultError: `bad_rle`, `mask_size_mismatch` or `missing_annotation`.
        """
        rle = read_mask(self.segmentation, self.place, size=self.picture.size, forms=forms)
        if rle is None:
            raise self.place.fault("missing_annotation", "the annotation has no mask")
        return rle


def read_region_captions(root: Path, findings: Findings) -> Iterator[CaptionedRegion]:
    """Regions picture by picture, pictures in the order in which they first come up.

    Raises:
        FaultError: A file is missing or cannot be read as a whole.
    """
    document = read_document(root / REGIONS, findings)
    place = Place(str(root / REGIONS))
    annotations = {
        need_id(row, "image_id", at): need(row, "segmentation", list | dict, at)
        for at, row in rows_of(document, "annotations", place)
    }
    captions = _captions(root, findings)
    regions: dict[Path, list[CaptionedRegion]] = {}
    for at, row in rows_of(document, "images", place):
        try:
            region_id = need_id(row, "id", at)
            if region_id not in annotations or region_id not in captions:
                raise at.fault("missing_annotation", f"region {region_id} has no mask or no caption")
            picture = find_picture(root, PICTURE_FOLDERS, need(row, "file_name", str, at), need_size(row, at), at)
            region = CaptionedRegion(region_id, picture, tuple(captions[region_id]), annotations[region_id], at)
        except FaultError as error:
            findings.take(error)
        else:
            regions.setdefault(picture.path, []).append(region)
    for group in regions.values():
        yield from group


def _captions(root: Path, findings: Findings) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for at, row in rows_of(read_document(root / CAPTIONS, findings), "annotations", Place(str(root / CAPTIONS))):
        found.setdefault(need_id(row, "image_id", at), []).append(need(row, "caption", str, at))
    return found
