"""Pictures with grounded captions, in the layout of the GranD-f evaluation: a mask for each phrase of a caption."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

from sama_video.data.findings import FaultError, Findings, Place
from sama_video.data.json_items import read_document
from sama_video.data.mask_entries import read_mask
from sama_video.data.sources.fields import need, need_id, need_size, rows_of
from sama_video.data.sources.pictures import Picture, find_picture
from sama_video.regions.rle import Rle

SPLITS: Final = ("val", "test")
ANNOTATIONS: Final = "annotations/val_test"
PICTURE_FOLDERS: Final = ("GranDf_HA_images/val_test", "images/val_test", "val_test")

Row: TypeAlias = tuple[Place, Mapping[str, Any]]


@dataclass(frozen=True)
class CaptionedPicture:
    """A picture, its caption, and what the caption speaks of.

    Attributes:
        image_id: Stem of the file, by which predictions are named.
        phrases: Of the caption, one for each mask, in the order of the masks.
        segmentations: As the file has them.
    """

    image_id: str
    split: str
    picture: Picture
    caption: str
    phrases: tuple[str, ...]
    segmentations: tuple[tuple[Place, Any], ...] = field(repr=False)

    def masks(self) -> tuple[Rle, ...]:
        """The mask of each phrase.

        Raises:
            FaultError: `bad_rle`, `mask_size_mismatch` or `missing_annotation`.
        """
        return tuple(_mask(entry, place, self.picture.size) for place, entry in self.segmentations)


def files_of(split: str) -> tuple[str, str]:
    """Paths of a split's file of masks and of captions, below the root."""
    return tuple(f"{ANNOTATIONS}/{split}_gcg_coco_{part}_gt.json" for part in ("mask", "caption"))  # type: ignore[return-value]


def read_gcg(root: Path, split: str, findings: Findings) -> Iterator[CaptionedPicture]:
    """Pictures of a split in the order of the file of masks.

    Raises:
        FaultError: A file is missing or cannot be read as a whole.
    """
    mask_file, caption_file = (root / name for name in files_of(split))
    masks, captions = read_document(mask_file, findings), read_document(caption_file, findings)
    place = Place(str(mask_file))
    segmentations: dict[str, list[tuple[Place, Any]]] = {}
    for at, row in rows_of(masks, "annotations", place):
        segmentations.setdefault(need_id(row, "image_id", at), []).append(
            (at, need(row, "segmentation", list | dict, at))
        )
    texts = {
        need_id(row, "image_id", at): (at, row)
        for at, row in rows_of(captions, "annotations", Place(str(caption_file)))
    }
    for at, row in rows_of(masks, "images", place):
        try:
            yield _read_picture(root, split, (at, row), texts, segmentations)
        except FaultError as error:
            findings.take(error)


def _read_picture(
    root: Path,
    split: str,
    image: Row,
    texts: Mapping[str, Row],
    segmentations: Mapping[str, list[tuple[Place, Any]]],
) -> CaptionedPicture:
    place, row = image
    image_id = need_id(row, "id", place)
    name = need(row, "file_name", str, place) if "file_name" in row else f"{image_id}.jpg"
    if image_id not in texts:
        raise place.fault("missing_annotation", f"image {image_id} has no caption")
    at, text = texts[image_id]
    phrases, masks = need(text, "labels", list, at), segmentations.get(image_id, [])
    if len(phrases) != len(masks):
        raise at.fault("seg_count_mismatch", f"the caption has {len(phrases)} phrases, the picture {len(masks)} masks")
    return CaptionedPicture(
        image_id=image_id,
        split=split,
        picture=find_picture(root, PICTURE_FOLDERS, name, need_size(row, place), place),
        caption=need(text, "caption", str, at),
        phrases=tuple(map(str, phrases)),
        segmentations=tuple(masks),
    )


def _mask(entry: Any, place: Place, size: tuple[int, int]) -> Rle:
    rle = read_mask(entry, place, size=size)
    if rle is None:
        raise place.fault("missing_annotation", "the annotation has no mask")
    return rle
