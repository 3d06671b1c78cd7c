"""What COCO's files and YouTube-VIS's have in common: categories, licences, masks and boxes of an entry."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from sama_video.data.findings import Place
from sama_video.data.formats.annotated import AnnotatedClip, AnnotatedObject, one_line, read_words
from sama_video.data.formats.media import write_frames
from sama_video.data.formats.options import UNKNOWN_LICENCE
from sama_video.data.formats.outlines import box_mask, checked_pixels
from sama_video.data.mask_entries import read_mask
from sama_video.data.sources.fields import need, rows_of
from sama_video.regions.rle import Rle

Row: TypeAlias = tuple[Place, Mapping[str, Any]]


def frame_names(clip: AnnotatedClip, folder: Path, pictures: bool) -> tuple[str, ...]:
    """Files of a clip's frames below a folder, written there if pictures are wanted."""
    if pictures:
        names = write_frames(clip.clip, folder / clip.name)
    else:
        names = tuple(f"{frame:05d}.jpg" for frame in range(clip.num_frames))
    return tuple(f"{clip.name}/{name}" for name in names)


def box_of_frame(one: AnnotatedObject, frame: int) -> list[int] | None:
    """`[x, y, width, height]` of a frame's mask."""
    edges = one.masklet.box(frame)
    return None if edges is None else [edges[0], edges[1], edges[2] - edges[0], edges[3] - edges[1]]


def category_names(document: object, place: Place) -> dict[int, str]:
    """Names of the categories by their ids.

    Raises:
        FaultError: There is no list of them, or one has no id or name.
    """
    rows = rows_of(document, "categories", place)
    return {need(row, "id", int, at): read_words(need(row, "name", str, at), at, "category") for at, row in rows}


def licence_names(document: object) -> dict[int | str | None, str]:
    """Names of the licences by their ids; entries that are none are left out, for nothing is drawn from them."""
    found = document.get("licenses") if isinstance(document, Mapping) else None
    rows = [row for row in found if isinstance(row, Mapping)] if isinstance(found, list) else []
    return {id_of(row): one_line(row.get("name"), UNKNOWN_LICENCE) for row in rows}


def id_of(row: Mapping[str, Any], key: str = "id") -> int | str | None:
    """The id in an entry, where it has a usable one."""
    value = row.get(key)
    return value if isinstance(value, int | str) else None


def category_of(row: Mapping[str, Any], names: Mapping[int, str], place: Place) -> str:
    """The category of an annotation.

    Raises:
        FaultError: `unknown_category`, or the annotation has none.
    """
    category_id = need(row, "category_id", int, place)
    if category_id not in names:
        raise place.fault("unknown_category", f"category {category_id} is not among the categories")
    return names[category_id]


def entry_mask(
    mask: object, box: object, size: tuple[int, int], place: Place, forms: set[str]
) -> tuple[Rle | None, bool]:
    """The mask of one frame, and whether it is only a filled box: where there is no mask, the box stands for it.

    Raises:
        FaultError: `bad_rle`, `mask_size_mismatch`, `bad_box` or `schema_error`.
    """
    rle = read_mask(mask, place, size=size, forms=forms)
    if rle is not None or box is None:
        return rle, False
    if not isinstance(box, list) or len(box) != 4:
        raise place.fault("bad_box", "a box is no list of four numbers: x, y, width, height")
    x, y, width, height = (checked_pixels(one, place) for one in box)
    if width == height == 0:  # how some tools write that there is nothing
        return None, False
    return box_mask((x, y, x + width, y + height), size, place), True


def is_crowd(row: Mapping[str, Any]) -> bool:
    """Whether an annotation is of a group."""
    return row.get("iscrowd") in (1, True)
