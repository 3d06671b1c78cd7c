"""The four training sets of grounded captions (GCG): pictures whose captions have a mask for each phrase.

    RefCOCOg       [{ID: {"img_file_name", "caption", "refs": [{"sentence", "bbox", "segmentation"}]}}, ...]
    GranD-f,       [{"file_name", "height", "width", "caption",
    OpenPSG          "groundings": {PHRASE: {"token_positives": [start, end], "rle_masks": [...]} or null}}, ...]
    Flickr30k      COCO-like: images with a "caption"; annotations with "tokens_positive", "sam_mask", "bbox"

Spans count characters, whatever their names say. A phrase that is not where its span says is looked for in the caption;
one that is nowhere, or overlaps another, is dropped: the published loader puts its marks somewhere else.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final, TypeAlias

from sama_video.data.clips import FrameClip, safe_path
from sama_video.data.findings import FaultError, Findings, Place
from sama_video.data.json_items import read_document
from sama_video.data.mask_entries import read_mask
from sama_video.data.sources.fields import need, need_id, need_size, rows_of
from sama_video.data.sources.llava import picture_clip
from sama_video.data.sources.talks import read_rows
from sama_video.errors import VideoError
from sama_video.regions.rle import Rle

Row: TypeAlias = tuple[Place, Mapping[str, Any]]

MIN_WORDS: Final = 3
MIN_SIDE: Final = 32

FILES: Final = {
    "refcocog": "annotations/RefCOCOg_GCG_train.json",
    "grandf": "annotations/GranDf_HA_GCG_train.json",
    "openpsg": "annotations/OpenPsgGCG_train.json",
    "flickr30k": "annotations/flickr_mergedGT_GCG_train.json",
}
PICTURES: Final = {
    "refcocog": ("images/coco2014/train2014", "coco_2014/train2014"),
    "grandf": ("images/grandf/train", "GranDf_HA_images/train"),
    "openpsg": ("images/coco2017", "images/coco2017/train2017", "coco_2017/train2017", "coco_2017"),
    "flickr30k": ("images/flickr30k/Flickr30K", "flikcr_30k/train"),
}
"""Where each set's pictures are below the root: as the training bundle has them, then as their makers do."""


@dataclass(frozen=True)
class GroundedPhrase:
    """Characters `start` to `end` of a caption, and the masks that together are what they name."""

    start: int
    end: int
    segmentation: Any = field(repr=False)
    place: Place = field(repr=False)


@dataclass(frozen=True)
class GroundedCaption:
    """A picture and its caption.

    Attributes:
        picture: As a clip of one frame.
        phrases: In the order of the caption, none within another.
        stated_size: Height and width as the file has them, else None.
    """

    picture: FrameClip
    caption: str
    phrases: tuple[GroundedPhrase, ...]
    stated_size: tuple[int, int] | None
    place: Place

    @cached_property
    def size(self) -> tuple[int, int]:
        """Height and width of the picture, which must be those of the file.

        Raises:
            FaultError: `unreadable_frame` or `mask_size_mismatch`.
        """
        try:
            size = self.picture.size
        except VideoError as error:
            raise self.place.fault("unreadable_frame", str(error)) from None
        if self.stated_size not in (None, size):
            raise self.place.fault("mask_size_mismatch", f"the picture is {size}, the file says {self.stated_size}")
        return size

    def mask(self, phrase: GroundedPhrase, forms: set[str] | None = None) -> Rle:
        """What any of a phrase's masks covers.

        Raises:
            FaultError: As `size`, or `bad_rle`, or `missing_annotation`.
        """
        rle = read_mask(phrase.segmentation, phrase.place, size=self.size, forms=forms)
        if rle is None:
            raise phrase.place.fault("missing_annotation", "the phrase has no mask")
        return rle


def read_grounded_captions(root: Path, name: str, findings: Findings) -> Iterator[GroundedCaption]:
    """Pictures of one training set, in file order; those without any usable phrase are dropped.

    Args:
        root: Holds `annotations` and the folders of pictures.
        name: A key of `FILES`.
        findings: Takes what is dropped: a phrase, or the picture.
    """
    file = root / FILES[name]
    if name == "flickr30k":
        return _read_flickr(root, file, findings)
    build = _refcocog if name == "refcocog" else _by_phrase

    def from_row(row: Mapping[str, Any], place: Place, findings: Findings) -> GroundedCaption:
        return build(root, name, row, place, findings)

    return read_rows(file, from_row, findings)


def _refcocog(root: Path, name: str, row: Mapping[str, Any], place: Place, findings: Findings) -> GroundedCaption:
    if len(row) != 1:
        raise place.fault("schema_error", f"the record has {len(row)} ids; it should have one")
    ((image_id, entry),) = row.items()
    place = place.part(str(image_id))
    picture = _picture(root, name, need(entry, "img_file_name", str, place), place)
    caption = need(entry, "caption", str, place).lower()
    spans = _Spans(caption)
    for at, ref in rows_of(entry, "refs", place):
        try:
            spans.add(need(ref, "sentence", str, at).lower(), None, need(ref, "segmentation", list | dict, at), at)
        except FaultError as error:
            findings.take(error)
    stated = need_size(entry, place) if "height" in entry and "width" in entry else None
    return GroundedCaption(picture, caption, spans.finish(place), stated, place)


def _by_phrase(root: Path, name: str, row: Mapping[str, Any], place: Place, findings: Findings) -> GroundedCaption:
    picture = _picture(root, name, need(row, "file_name", str, place), place)
    caption = need(row, "caption", str, place)
    spans = _Spans(caption)
    for phrase, grounding in need(row, "groundings", dict, place).items():
        at = place.part(f"phrase {phrase}")
        if grounding is None:  # the file's way to say that nothing was found for it
            continue
        try:
            masks = need(grounding, "rle_masks", list, at)
            spans.add(phrase, _span(need(grounding, "token_positives", list, at), at), masks, at)
        except FaultError as error:
            findings.take(error)
    return GroundedCaption(picture, caption, spans.finish(place), need_size(row, place), place)


def _read_flickr(root: Path, file: Path, findings: Findings) -> Iterator[GroundedCaption]:
    place = Place(str(file))
    try:
        document = read_document(file, findings)
        images = list(rows_of(document, "images", place))
        annotations = _by_image(rows_of(document, "annotations", place), findings)
    except FaultError as error:
        findings.take(error)
        return
    for at, image in images:
        try:
            yield _flickr(root, image, annotations.get(need_id(image, "id", at), []), at, findings)
        except FaultError as error:
            findings.take(error)


def _by_image(rows: Iterator[Row], findings: Findings) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for at, row in rows:
        try:
            found.setdefault(need_id(row, "image_id", at), []).append((at, row))
        except FaultError as error:
            findings.take(error)
    return found


def _flickr(
    root: Path,
    image: Mapping[str, Any],
    annotations: list[Row],
    place: Place,
    findings: Findings,
) -> GroundedCaption:
    caption, size = need(image, "caption", str, place), need_size(image, place)
    if len(caption.split()) < MIN_WORDS:
        raise place.fault("schema_error", f"the caption has fewer than {MIN_WORDS} words")
    if min(size) < MIN_SIDE:
        raise place.fault(
            "schema_error", f"the picture is {size[0]}x{size[1]}; a side has fewer than {MIN_SIDE} pixels"
        )
    picture = _picture(root, "flickr30k", need(image, "file_name", str, place), place)
    spans = _Spans(caption)
    for at, row in annotations:
        try:
            _check_box(need(row, "bbox", list, at), size, at)
            given = need(row, "tokens_positive", list, at)
            span = _span(given[0] if given and isinstance(given[0], list) else given, at)
            spans.add(caption[slice(*span)], span, need(row, "sam_mask", dict | list, at), at)
        except FaultError as error:
            findings.take(error)
    return GroundedCaption(picture, caption, spans.finish(place), size, place)


def _picture(root: Path, name: str, file_name: str, place: Place) -> FrameClip:
    for folder in PICTURES[name]:
        if safe_path(root / folder, file_name, place.file, place.record).is_file():
            return picture_clip(root / folder, file_name, place)
    raise place.fault("missing_frame", f"{file_name} is in none of {', '.join(PICTURES[name])}")


def _span(value: object, place: Place) -> tuple[int, int]:
    if isinstance(value, list) and len(value) == 2 and all(type(one) is int for one in value):
        return value[0], value[1]
    raise place.fault("schema_error", f"{value!r} is no span; a span is [start, end]")


def _check_box(box: list[Any], size: tuple[int, int], place: Place) -> None:
    """Refuse a box that covers nothing of the picture: its mask was made from it."""
    if len(box) != 4 or not all(isinstance(side, int | float) and not isinstance(side, bool) for side in box):
        raise place.fault("bad_box", f"{box!r} is no box; a box is [x, y, width, height]")
    x, y, width, height = box
    seen = min(x + width, size[1]) - max(x, 0), min(y + height, size[0]) - max(y, 0)
    if not (width >= 1 and height >= 1 and min(seen) > 0):
        raise place.fault("bad_box", f"the box {box} covers nothing of the picture")


class _Spans:
    """Phrases of one caption while they come in."""

    def __init__(self, caption: str) -> None:
        self._caption = caption
        self._phrases: list[GroundedPhrase] = []

    def add(self, words: str, span: tuple[int, int] | None, segmentation: object, place: Place) -> None:
        """Take a phrase.

        Raises:
            FaultError: `malformed_phrase`: it is not in the caption, or only where another phrase is.
        """
        found = self._located(words.strip(), span)
        if found is None:
            raise place.fault(
                "malformed_phrase", f"{words[:60]!r} is not in the caption, or only within another phrase"
            )
        self._phrases.append(GroundedPhrase(*found, segmentation, place))

    def finish(self, place: Place) -> tuple[GroundedPhrase, ...]:
        """All phrases, in the order of the caption.

        Raises:
            FaultError: `missing_annotation`: there is none.
        """
        if not self._phrases:
            raise place.fault("missing_annotation", "no phrase of the caption has a mask")
        return tuple(sorted(self._phrases, key=lambda phrase: phrase.start))

    def _located(self, words: str, span: tuple[int, int] | None) -> tuple[int, int] | None:
        """Where the words are: in the span if they are there, else the first free place where they are whole words."""
        if not words:
            return None
        if span is not None:
            start = max(span[0], 0)
            there = re.compile(rf"\s*({re.escape(words)})\s*", re.IGNORECASE).fullmatch(self._caption, start, span[1])
            if there is not None and self._free(*there.span(1)):
                return there.span(1)
        whole = re.compile(rf"(?<!\w){re.escape(words)}(?!\w)", re.IGNORECASE)
        places = (found.span() for found in whole.finditer(self._caption))
        return next((place for place in places if self._free(*place)), None)

    def _free(self, start: int, end: int) -> bool:
        return all(end <= other.start or other.end <= start for other in self._phrases)
