"""Points, Box, Mask and ObjectRef: what a user can point at, checked on the way in.

Coordinates are pixels of the clip's frames as a player shows them, origin top left. A box is half open,
`(x0, y0, x1, y1)`. Building a shape checks what can be checked without a clip; `check_region` does the rest.
"""

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import SupportsFloat, SupportsIndex, TypeAlias

import numpy as np
from jaxtyping import Bool

from sama_video.errors import RegionError
from sama_video.regions.rle import Rle, area, as_rle, decode, encode
from sama_video.regions.wire import MOMENT_KEYS, checked_items, checked_labels, checked_moment, checked_numbers

_OBJECT_ID = re.compile(r"obj[1-9][0-9]*")
_SHAPE_KEYS = ("points", "box", "mask", "object")


@dataclass(frozen=True, init=False)
class Points:
    """Clicks on one frame; label 1 is on the object, 0 is off it."""

    frame: int | None
    seconds: float | None
    xy: tuple[tuple[float, float], ...]
    labels: tuple[int, ...]

    def __init__(
        self,
        frame: SupportsIndex | None = None,
        *,
        seconds: SupportsFloat | None = None,
        xy: Iterable[Iterable[SupportsFloat]],
        labels: Iterable[SupportsIndex] | None = None,
    ) -> None:
        _set_moment(self, "points", frame, seconds)
        pairs = tuple(
            checked_numbers(pair, 2, "point", "[x, y]") for pair in checked_items(xy, "points", "[[x, y], ...]")
        )
        if not pairs:
            raise RegionError("points hold no point; give at least one [x, y].")
        object.__setattr__(self, "xy", pairs)
        object.__setattr__(self, "labels", (1,) * len(pairs) if labels is None else checked_labels(labels, len(pairs)))


@dataclass(frozen=True, init=False)
class Box:
    """A half-open rectangle on one frame."""

    frame: int | None
    seconds: float | None
    xyxy: tuple[float, float, float, float]

    def __init__(
        self,
        frame: SupportsIndex | None = None,
        *,
        seconds: SupportsFloat | None = None,
        xyxy: Iterable[SupportsFloat],
    ) -> None:
        _set_moment(self, "box", frame, seconds)
        x0, y0, x1, y1 = checked_numbers(xyxy, 4, "box", "[x0, y0, x1, y1]")
        if x0 >= x1 or y0 >= y1:
            raise RegionError(
                f"box {_shown((x0, y0, x1, y1))} has no area; give [x0, y0, x1, y1] with x0 < x1 and y0 < y1."
            )
        object.__setattr__(self, "xyxy", (x0, y0, x1, y1))


@dataclass(frozen=True, init=False)
class Mask:
    """An outline on one frame, kept as run lengths."""

    frame: int | None
    seconds: float | None
    mask: Rle

    def __init__(
        self,
        frame: SupportsIndex | None = None,
        *,
        seconds: SupportsFloat | None = None,
        mask: np.ndarray | Mapping[str, object],
    ) -> None:
        _set_moment(self, "mask", frame, seconds)
        rle = encode(_boolean(mask)) if isinstance(mask, np.ndarray) else as_rle(mask)
        if area(rle) == 0:
            raise RegionError("mask has no set pixel; mark at least one pixel of the object.")
        object.__setattr__(self, "mask", rle)

    def __hash__(self) -> int:
        return hash((self.frame, self.seconds, tuple(self.mask["size"]), self.mask["counts"]))

    def dense(self) -> Bool[np.ndarray, "height width"]:
        """The mask as an array."""
        return decode(self.mask)


@dataclass(frozen=True)
class ObjectRef:
    """An object that the session already knows, by its name."""

    object: str

    def __post_init__(self) -> None:
        _object_id(self.object)


Region: TypeAlias = Points | Box | Mask | ObjectRef


def at_frame(region: Region, frame_idx: SupportsIndex) -> Region:
    """The same region with its moment given as a frame; an object reference has no moment and comes back as it is."""
    if isinstance(region, ObjectRef):
        return region
    return replace(region, frame=operator.index(frame_idx), seconds=None)


def check_region(region: Region, *, num_frames: int, height: int, width: int, refining: bool = False) -> None:
    """Check a region against the clip it points into; RegionError if it breaks a rule.

    A moment in seconds is left to the clip, which knows its frame times. An object reference is left to the session.

    Args:
        region: What the user pointed at.
        num_frames: Frames in the clip.
        height: Of a frame, in pixels.
        width: Of a frame, in pixels.
        refining: The object has a mask already, so points may all be off it.
    """
    if isinstance(region, ObjectRef):
        return
    name = _name(region)
    if region.frame is not None and not 0 <= region.frame < num_frames:
        raise RegionError(
            f"{name} on frame {region.frame}, but the clip has {num_frames} frames (0-{num_frames - 1}). "
            "Frames count within the clip, not the source file; use clip.index_at(seconds=...)."
        )
    if isinstance(region, Points):
        _check_points(region, height, width, refining)
    elif isinstance(region, Box):
        _check_box(region, height, width)
    elif region.mask["size"] != [height, width]:
        given_height, given_width = region.mask["size"]
        raise RegionError(
            f"mask is {given_width}x{given_height}, but the clip's frames are {width}x{height} (width x height). "
            "A mask has its frame's size; resize it."
        )


def region_from_json(value: object) -> Region:
    """Read a region in its wire form: a moment plus points, box or mask; or an object alone."""
    if not isinstance(value, Mapping):
        raise RegionError(f"region is {value!r}; give an object like " + '{"frame": 0, "box": [10, 20, 60, 90]}.')
    known = (*MOMENT_KEYS, *_SHAPE_KEYS, "labels")
    unknown = [str(key) for key in value if key not in known]
    if unknown:
        raise RegionError(f"region has the unknown key {unknown[0]!r}; the keys are {', '.join(known)}.")
    shapes = [key for key in _SHAPE_KEYS if key in value]
    if len(shapes) != 1:
        given = " and ".join(shapes) or "none of them"
        raise RegionError(f"region gives {given}; give exactly one of {', '.join(_SHAPE_KEYS)}.")
    if "labels" in value and shapes[0] != "points":
        raise RegionError(f"region gives labels with {shapes[0]}; only points have labels.")
    return _READERS[shapes[0]](value)


def region_to_json(region: Region) -> dict[str, object]:
    """Write a region in its wire form; `region_from_json` reads it back.

    >>> region_to_json(Box(frame=0, xyxy=(10, 20, 60, 90)))
    {'frame': 0, 'box': [10, 20, 60, 90]}
    """
    if isinstance(region, ObjectRef):
        return {"object": region.object}
    moment: dict[str, object] = {"frame": region.frame} if region.frame is not None else {"seconds": region.seconds}
    if isinstance(region, Points):
        return moment | {"points": [_plain(pair) for pair in region.xy], "labels": list(region.labels)}
    if isinstance(region, Box):
        return moment | {"box": _plain(region.xyxy)}
    return moment | {"mask": {"size": list(region.mask["size"]), "counts": region.mask["counts"]}}


def _points_from_json(value: Mapping[str, object]) -> Region:
    frame, seconds = checked_moment(value, "points")
    xy = [
        checked_numbers(pair, 2, "point", "[x, y]")
        for pair in checked_items(value["points"], "points", "[[x, y], ...]")
    ]
    labels = checked_labels(value["labels"], len(xy)) if "labels" in value else None
    return Points(frame, seconds=seconds, xy=xy, labels=labels)


def _box_from_json(value: Mapping[str, object]) -> Region:
    frame, seconds = checked_moment(value, "box")
    return Box(frame, seconds=seconds, xyxy=checked_numbers(value["box"], 4, "box", "[x0, y0, x1, y1]"))


def _mask_from_json(value: Mapping[str, object]) -> Region:
    frame, seconds = checked_moment(value, "mask")
    return Mask(frame, seconds=seconds, mask={**as_rle(value["mask"])})


def _object_from_json(value: Mapping[str, object]) -> Region:
    moments = [key for key in MOMENT_KEYS if key in value]
    if moments:
        raise RegionError(f"region names an object and gives {moments[0]}; a known object needs no moment.")
    return ObjectRef(_object_id(value["object"]))


_READERS: dict[str, Callable[[Mapping[str, object]], Region]] = {
    "points": _points_from_json,
    "box": _box_from_json,
    "mask": _mask_from_json,
    "object": _object_from_json,
}


def _check_points(points: Points, height: int, width: int, refining: bool) -> None:
    for x, y in points.xy:
        if not (0 <= x < width and 0 <= y < height):
            raise RegionError(
                f"point {_shown((x, y))} is outside the frame, which is {width}x{height}; "
                f"give 0 <= x < {width} to the right and 0 <= y < {height} down."
            )
    if not refining and 1 not in points.labels:
        raise RegionError("points are all labelled 0 (off the object); at least one must have label 1 (on the object).")


def _check_box(box: Box, height: int, width: int) -> None:
    x0, y0, x1, y1 = box.xyxy
    if x0 < 0 or y0 < 0 or x1 > width or y1 > height:
        raise RegionError(
            f"box {_shown(box.xyxy)} is not inside the frame, which is {width}x{height}; "
            f"give [x0, y0, x1, y1] in pixels within [0, 0, {width}, {height}]."
        )


def _object_id(value: object) -> str:
    if not isinstance(value, str) or not _OBJECT_ID.fullmatch(value):
        raise RegionError(f"object is {value!r}; objects are named obj1, obj2, ... as the session lists them.")
    return value


def _name(region: Points | Box | Mask) -> str:
    return {Points: "points", Box: "box", Mask: "mask"}[type(region)]


def _set_moment(region: object, name: str, frame: object, seconds: object) -> None:
    """Store the checked moment of a shape that is being built; frozen shapes are filled this way only here."""
    given = {key: value for key, value in zip(MOMENT_KEYS, (frame, seconds), strict=True) if value is not None}
    checked_frame, checked_seconds = checked_moment(given, name)
    object.__setattr__(region, "frame", checked_frame)
    object.__setattr__(region, "seconds", checked_seconds)


def _boolean(mask: np.ndarray) -> Bool[np.ndarray, "height width"]:
    if mask.ndim != 2 or mask.size == 0:
        raise RegionError(f"mask has the shape {mask.shape}; give one (height, width) array.")
    if mask.dtype == np.bool_:
        return mask
    if not np.issubdtype(mask.dtype, np.integer) or not np.isin(mask, (0, 1)).all():
        raise RegionError(f"mask is an array of {mask.dtype} with values other than 0 and 1; give a boolean array.")
    return mask.astype(np.bool_)


def _plain(numbers: Iterable[float]) -> list[float | int]:
    """Whole numbers without their `.0`, as a person writes pixels."""
    return [int(number) if number.is_integer() else number for number in numbers]


def _shown(numbers: Iterable[float]) -> str:
    return "[" + ", ".join(f"{number:g}" for number in numbers) + "]"
