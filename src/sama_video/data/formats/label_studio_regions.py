"""The regions of a Label Studio task, and their masks in pixels of its picture or video."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sama_video.data.findings import FaultError, Findings, Place
from sama_video.data.formats.annotated import read_words
from sama_video.data.formats.cvat_shapes import ShapeMasks
from sama_video.data.formats.drafts import Draft, read_attributes
from sama_video.data.formats.label_studio_rle import read_brush
from sama_video.data.formats.outlines import polygon_mask, turned_box_mask
from sama_video.data.sources.fields import need, numbered
from sama_video.regions.rle import Rle

SHAPES: Final = {
    "brushlabels": "brush",
    "brush": "brush",
    "polygonlabels": "polygon",
    "polygon": "polygon",
    "rectanglelabels": "rectangle",
    "rectangle": "rectangle",
    "videorectangle": "videorectangle",
}
"""What a result's type is drawn as; the types without `labels` have theirs in a result of the same id."""

NO_REGIONS: Final = frozenset({"labels", "choices", "textarea", "rating", "number", "taxonomy", "datetime", "pairwise"})
"""Types that say something about the task or a region, and are none."""

_LABEL_KEYS: Final = ("brushlabels", "polygonlabels", "rectanglelabels", "labels")
_OBJECT: Final = re.compile(r"obj([1-9][0-9]{0,5})")
_PERCENT: Final = 100


@dataclass(frozen=True)
class Region:
    """One region.

    Attributes:
        kind: One of the values of `SHAPES`.
        number: The object's number, where the region's id is an object's name.
        value: As the file has it.
        row: The whole result.
    """

    kind: str
    label: str
    number: int | None
    value: Mapping[str, Any]
    row: Mapping[str, Any]
    text: str | None
    place: Place


def regions_of(task: object, place: Place, findings: Findings) -> list[Region]:
    """The regions of a task's annotation; ones that cannot be used are counted.

    Of several annotations the one marked as ground truth is taken, else the first that was not cancelled.

    Raises:
        FaultError: The task has no annotations, or they are no lists of results.
    """
    drawn = [row for _, row in numbered(need(task, "annotations", list, place), "annotation", place)]
    usable = [row for row in drawn if row.get("was_cancelled") is not True]
    if not usable:
        raise place.fault("missing_annotation", "nobody annotated the task; predictions are not read as labels")
    if len(usable) > 1:
        detail = f"the task has {len(usable)} annotations; one is taken"
        findings.note("several_annotations", place.file, place.record, detail)
    chosen = next((row for row in usable if row.get("ground_truth") is True), usable[0])
    rows = list(numbered(need(chosen, "result", list, place), "region", place))
    words = _Words(rows)
    return [region for at, row in rows if (region := _region(row, words, at, findings)) is not None]


def draft_of(region: Region) -> Draft:
    """An object without masks yet."""
    meta = _mapping(region.row.get("meta"))
    return Draft(region.label, region.text, meta.get("crowd") is True, read_attributes(meta.get("attributes")))


def region_masks(region: Region, size: tuple[int, int], num_frames: int) -> ShapeMasks:
    """The masks of a region by frame; that of a picture is on frame 0.

    Raises:
        FaultError: It is damaged, or drawn on a picture of another size.
    """
    if region.kind == "videorectangle":
        return _video_masks(region, size, num_frames)
    _check_picture(region, size)
    return ShapeMasks({0: _picture_mask(region, size)}, are_boxes=region.kind == "rectangle")


class _Words:
    """Labels and texts that lie in results of their own, by the id of their region."""

    def __init__(self, rows: Sequence[tuple[Place, Mapping[str, Any]]]) -> None:
        self._labels: dict[str, object] = {}
        self._texts: dict[str, object] = {}
        for _, row in rows:
            key, value = str(row.get("id")), _mapping(row.get("value"))
            label = next((_first(value.get(name)) for name in _LABEL_KEYS if _first(value.get(name))), None)
            if label is not None:
                self._labels.setdefault(key, label)
            if row.get("type") == "textarea":
                self._texts.setdefault(key, _first(value.get("text")))

    def label(self, row: Mapping[str, Any]) -> object:
        return self._labels.get(str(row.get("id")))

    def text(self, row: Mapping[str, Any]) -> object:
        found = _first(_mapping(row.get("meta")).get("text"))
        return found if found is not None else self._texts.get(str(row.get("id")))


def _region(row: Mapping[str, Any], words: _Words, place: Place, findings: Findings) -> Region | None:
    try:
        kind = str(need(row, "type", str, place)).lower()
        if kind in NO_REGIONS:
            return None
        if kind not in SHAPES:
            raise place.fault("unsupported_shape", f"{kind}: only brush, polygons, rectangles and video rectangles")
        label = words.label(row)
        if label is None:
            raise place.fault("bad_label", "the region has no label")
        text = words.text(row)
        found = _OBJECT.fullmatch(str(row.get("id")))
        return Region(
            SHAPES[kind],
            read_words(label, place),
            None if found is None else int(found[1]),
            need(row, "value", dict, place),
            row,
            None if text in (None, "") else read_words(text, place, "text"),
            place,
        )
    except FaultError as error:
        findings.take(error)
        return None


def _check_picture(region: Region, size: tuple[int, int]) -> None:
    stated = region.row.get("original_height"), region.row.get("original_width")
    if stated != size:
        told = f"{stated[0]}x{stated[1]}"
        raise region.place.fault("mask_size_mismatch", f"drawn on {told}, the picture is {size[0]}x{size[1]}")
    if region.row.get("image_rotation") not in (None, 0):
        raise region.place.fault("unsupported_shape", "drawn on a picture that was turned in Label Studio")


def _picture_mask(region: Region, size: tuple[int, int]) -> Rle | None:
    value, place = region.value, region.place
    if region.kind == "brush":
        return read_brush(value.get("rle"), size, place)
    if region.kind == "polygon":
        points = need(value, "points", list, place)
        if not all(isinstance(point, list) and len(point) == 2 for point in points):
            raise place.fault("schema_error", "a polygon's points are no pairs")
        scale = size[1] / _PERCENT, size[0] / _PERCENT
        return polygon_mask(
            [_number(one, place) * scale[i] for point in points for i, one in enumerate(point)], size, place
        )
    return _box(value, size, place)


def _box(value: Mapping[str, Any], size: tuple[int, int], place: Place) -> Rle | None:
    """A box in percent of the picture, turned clockwise about its upper left corner."""
    x, y, width, height = (_number(value.get(key), place) for key in ("x", "y", "width", "height"))
    across, down = size[1] / _PERCENT, size[0] / _PERCENT
    x0, y0 = x * across, y * down
    # Percent of whole pixels come back a hair beside them.
    edges = [round(edge, 6) for edge in (x0, y0, x0 + width * across, y0 + height * down)]
    return turned_box_mask(edges, _number(value.get("rotation", 0), place), (x0, y0), size, place)


def _video_masks(region: Region, size: tuple[int, int], num_frames: int) -> ShapeMasks:
    sequence = [row for _, row in numbered(need(region.value, "sequence", list, region.place), "key", region.place)]
    keys = sorted(((need(row, "frame", int, region.place), row) for row in sequence), key=lambda key: key[0])
    frames = [frame for frame, _ in keys]
    if len(set(frames)) < len(frames):
        raise region.place.fault("repeated_id", "a frame has two key frames")
    if frames and not 1 <= frames[0] <= frames[-1] <= num_frames:
        detail = f"key frames {frames[0]} to {frames[-1]}, the video has 1 to {num_frames}"
        raise region.place.fault("track_length_mismatch", detail)
    masks = ShapeMasks(are_boxes=True)
    for frame, is_listed, row in _shown(keys, num_frames, region.place):
        masks.rles[frame - 1] = _box(row, size, region.place)
        masks.added += not is_listed
    return masks


def _shown(
    keys: Sequence[tuple[int, Mapping[str, Any]]], num_frames: int, place: Place
) -> Iterator[tuple[int, bool, Mapping[str, Any]]]:
    """Each frame, from 1, with a box, by Label Studio's rule.

    A key frame shows its box. If it is enabled, the box moves in a straight line to the next, or stays to the end.
    """
    for position, (frame, row) in enumerate(keys):
        yield frame, True, row
        if row.get("enabled") is not True:
            continue
        is_last = position + 1 == len(keys)
        following, goal = (num_frames + 1, row) if is_last else keys[position + 1]
        for inner in range(frame + 1, following):
            share = 0.0 if is_last else (inner - frame) / (following - frame)
            yield inner, False, _between(row, goal, share, place)


def _between(start: Mapping[str, Any], end: Mapping[str, Any], share: float, place: Place) -> dict[str, float]:
    box = {}
    for key in ("x", "y", "width", "height", "rotation"):
        before, after = (_number(row.get(key, 0 if key == "rotation" else None), place) for row in (start, end))
        box[key] = before + (after - before) * share
    return box


def _number(value: object, place: Place) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= 10**6:
        raise place.fault("bad_box", f"{str(value)[:20]!r} stands where percent of the picture should")
    return float(value)


def _first(value: object) -> object:
    """The first of a list that is not empty; text by itself."""
    if isinstance(value, list):
        return value[0] if value else None
    return value if isinstance(value, str) else None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
