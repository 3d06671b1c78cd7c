"""Osprey-724K: regions of pictures, talked about or described; all five files have one form.

    {"file_name", "height", "width", "annotation": [{"segmentation": polygons or run lengths}, ...],
     "conversations": [...] or "description": [a text for each region]}

A text names the n-th region, counted from 1, as `<regionN>` or `regionN`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sama_video.data.findings import Findings, Place
from sama_video.data.mask_entries import read_mask
from sama_video.data.sources.fields import need, need_size, rows_of
from sama_video.data.sources.pictures import Picture, find_picture
from sama_video.data.sources.talks import Exchange, read_exchanges, read_rows
from sama_video.regions.rle import Rle, area

FOLDER: Final = "Osprey-724K"
FILES: Final = (
    "osprey_conversation.json",
    "osprey_detail_description.json",
    "osprey_part_level.json",
    "osprey_short_form.json",
    "osprey_lvis_positive_negative.json",
)
PICTURE_FOLDERS: Final = ("coco/train2014", "coco/val2014", "coco/train2017", "coco/val2017")

_REGION = re.compile(r"<?\bregion([1-9][0-9]{0,3})\b>?")


@dataclass(frozen=True)
class TalkedRegions:
    """A picture, some of its regions, and what is said of them.

    Attributes:
        segmentations: As the file has them, one a region.
        turns: Of a conversation; none where regions are described.
        descriptions: One a region; none where there is a conversation.
    """

    picture: Picture
    segmentations: tuple[tuple[Place, Any], ...] = field(repr=False)
    turns: tuple[Exchange, ...]
    descriptions: tuple[str, ...]
    place: Place

    def masks(self, forms: set[str] | None = None) -> tuple[Rle, ...]:
        """The outline of each region; `forms` gets the names of forms that had to be converted.

        Raises:
            FaultError: `bad_rle`, `mask_size_mismatch`, or `prompt_never_visible` for one without pixels.
        """
        return tuple(self.mask(idx, forms) for idx in range(len(self.segmentations)))

    def mask(self, region_idx: int, forms: set[str] | None = None) -> Rle:
        """The outline of one region, from 0; as `masks`."""
        place, entry = self.segmentations[region_idx]
        return _mask(entry, place, self.picture.size, forms)


def read_osprey(root: Path, file: str, findings: Findings) -> Iterator[TalkedRegions]:
    """Pictures of one of the files, in its order.

    Args:
        root: Holds `Osprey-724K` with the files, and `coco` with the four folders of pictures.
        file: One of `FILES`.
        findings: Takes what is dropped: a turn that names a region which is not there, or the record.
    """

    def build(row: Mapping[str, Any], place: Place, findings: Findings) -> TalkedRegions:
        regions = tuple((at, one.get("segmentation")) for at, one in rows_of(row, "annotation", place))
        if not regions:
            raise place.fault("missing_annotation", "the record has no region")
        turns, descriptions = _said(row, len(regions), place, findings)
        name = need(row, "file_name", str, place)
        picture = find_picture(root, PICTURE_FOLDERS, name, need_size(row, place), place)
        return TalkedRegions(picture, regions, turns, descriptions, place)

    return read_rows(root / FOLDER / file, build, findings)


def region_numbers(text: str) -> tuple[int, ...]:
    """Regions that a text names, from 0, each time it does.

    >>> region_numbers("Is <region2> left of region1?")
    (1, 0)
    """
    return tuple(int(number) - 1 for number in _REGION.findall(text))


def _said(
    row: Mapping[str, Any], num_regions: int, place: Place, findings: Findings
) -> tuple[tuple[Exchange, ...], tuple[str, ...]]:
    if "conversations" in row:
        turns = read_exchanges(row, place, findings)
        kept = tuple(turn for turn in turns if _names_known_regions(turn, num_regions, place, findings))
        if not kept:
            raise place.fault("schema_error", "no turn of the conversation can be used")
        return kept, ()
    texts = need(row, "description", list | str, place)
    texts = [texts] if isinstance(texts, str) else texts
    if not all(isinstance(text, str) and text.strip() for text in texts):
        raise place.fault("schema_error", "the description is no list of texts")
    if len(texts) != num_regions:
        raise place.fault("region_count_mismatch", f"{num_regions} regions have {len(texts)} descriptions")
    return (), tuple(text.strip() for text in texts)


def _names_known_regions(turn: Exchange, num_regions: int, place: Place, findings: Findings) -> bool:
    unknown = [one for one in region_numbers(f"{turn.question} {turn.answer}") if one >= num_regions]
    if unknown:
        detail = f"it names region {unknown[0] + 1}, and the record has {num_regions}"
        findings.take(place.part(f"turn {turn.round_idx}").fault("region_count_mismatch", detail))
    return not unknown


def _mask(entry: Any, place: Place, size: tuple[int, int], forms: set[str] | None) -> Rle:
    rle = read_mask(entry, place, size=size, forms=forms)
    if rle is None or not area(rle):
        raise place.fault("prompt_never_visible", "the region covers no pixel")
    return rle
