"""One frame's mask in any of the forms that data sets write: run lengths packed or plain, polygons, lists of these."""

from collections.abc import Mapping, Sequence
from typing import Final

from pycocotools import mask as coco

from sama_video.data.findings import Place
from sama_video.errors import RegionError
from sama_video.regions.rle import MAX_PIXELS, Rle, as_rle, union

MAX_POLYGON_NUMBERS: Final = 200_000
_MAX_COORDINATE: Final = 2**15

FORM_NOTES: Final = {
    "uncompressed_rle": "run lengths are not compressed; they were converted",
    "polygons": "masks are polygons; they were converted",
}
"""What there is to note about a mask that came in another form than compressed run lengths."""


def read_mask(
    entry: object,
    place: Place,
    *,
    size: tuple[int, int] | None = None,
    any_size: bool = False,
    forms: set[str] | None = None,
) -> Rle | None:
    """Read one frame's mask; None where the entry says that nothing is visible.

    A list stands for the union of its parts: an annotation's polygons may overlap, and adding them up would not be a
    mask.

    Args:
        entry: null, run lengths, or a list of run lengths and polygons.
        place: Names the entry in a fault.
        size: Height and width that the mask must have; polygons need it.
        any_size: Take run lengths of another size as they are.
        forms: If given, gets the names of forms other than compressed run lengths, as `FORM_NOTES` has them.

    Raises:
        FaultError: `bad_rle`, `mask_size_mismatch` or `schema_error`.
    """
    if entry is None:
        return None
    parts = entry if isinstance(entry, list | tuple) else [entry]
    wanted = None if any_size else size
    masks = [_checked_size(_read_part(part, place, size, forms), place, wanted) for part in parts]
    if not masks:
        return None
    if len(masks) == 1:
        return masks[0]
    try:
        return union(masks)
    except RegionError as error:
        raise place.fault("mask_size_mismatch", str(error)) from None


def _read_part(part: object, place: Place, size: tuple[int, int] | None, forms: set[str] | None) -> Rle:
    if isinstance(part, Mapping):
        if forms is not None and isinstance(part.get("counts"), list | tuple):
            forms.add("uncompressed_rle")
        return _read_rle(part, place)
    if isinstance(part, list | tuple):
        if forms is not None:
            forms.add("polygons")
        return _read_polygon(part, place, size)
    raise place.fault("schema_error", f"a mask is a {type(part).__name__}; it should be run lengths or polygons")


def _checked_size(rle: Rle, place: Place, size: tuple[int, int] | None) -> Rle:
    if size is not None and tuple(rle["size"]) != size:
        height, width = rle["size"]
        raise place.fault("mask_size_mismatch", f"a mask is {height}x{width}, the picture {size[0]}x{size[1]}")
    return rle


def _read_rle(part: Mapping[object, object], place: Place) -> Rle:
    if "size" not in part or "counts" not in part:
        raise place.fault("schema_error", "a mask has no size or no counts; run lengths have both")
    try:
        return as_rle({"size": part["size"], "counts": part["counts"]})
    except RegionError as error:
        raise place.fault("bad_rle", str(error)) from None


def _read_polygon(numbers: Sequence[object], place: Place, size: tuple[int, int] | None) -> Rle:
    """Fill one polygon `[x, y, x, y, ...]`; what reaches the C code is checked here, for it trusts its input."""
    if size is None:
        raise place.fault("schema_error", "a mask is a polygon, and the picture's size is not known")
    if len(numbers) < 6 or len(numbers) % 2 or len(numbers) > MAX_POLYGON_NUMBERS:
        raise place.fault("bad_rle", f"a polygon has {len(numbers)} numbers; it needs x and y of three points or more")
    for number in numbers:
        # Not a number compares false with everything.
        if isinstance(number, bool) or not isinstance(number, int | float) or not abs(number) <= _MAX_COORDINATE:
            raise place.fault("bad_rle", f"a polygon has the coordinate {number!r}; coordinates are pixels")
    if size[0] * size[1] > MAX_PIXELS or max(size) > _MAX_COORDINATE:
        raise place.fault("bad_rle", f"the picture of a polygon is {size[0]}x{size[1]}, which is too large")
    packed = coco.frPyObjects([list(numbers)], size[0], size[1])[0]
    return as_rle({"size": list(size), "counts": packed["counts"]})
