"""Checks of values from outside, told in one line: keys, numbers, moments.

Used on entry only. Each check gives the value back in its plain Python type, so what is stored never holds a NumPy
scalar, a boolean in a number's place, or a number that is not finite.
"""

import math
from collections.abc import Iterable, Mapping

import numpy as np

from sama_video.errors import RegionError, SamaError

MOMENT_KEYS = ("frame", "seconds")


def checked_keys(
    value: object,
    name: str,
    *,
    required: tuple[str, ...],
    optional: tuple[str, ...] = (),
    error: type[SamaError] = RegionError,
) -> Mapping[str, object]:
    """A JSON object that has every required key and no unknown one."""
    if not isinstance(value, Mapping):
        raise error(f"{name} is a {type(value).__name__}; give a JSON object with {', '.join(required)}.")
    for key in required:
        if key not in value:
            raise error(f"{name} has no {key!r}; give {', '.join(required)}.")
    for key in value:
        if key not in required and key not in optional:
            raise error(f"{name} has the unknown key {key!r}; the keys are {', '.join((*required, *optional))}.")
    return value


def checked_moment(value: Mapping[str, object], name: str) -> tuple[int | None, float | None]:
    """The frame or the seconds of a region: exactly one of the two, the other None."""
    given = [key for key in MOMENT_KEYS if key in value]
    if len(given) != 1:
        both = "frame and seconds" if given else "no moment"
        raise RegionError(f"{name} gives {both}; give exactly one of frame and seconds.")
    if "seconds" in value:
        seconds = checked_number(value["seconds"], f"{name} at seconds")
        if seconds < 0:
            raise RegionError(f"{name} at {seconds:g} seconds; seconds count from 0 at the start of the clip.")
        return None, seconds
    frame = value["frame"]
    if isinstance(frame, bool | np.bool_) or not isinstance(frame, int | np.integer):
        raise RegionError(f"{name} on frame {frame!r}; a frame is a whole number, counted from 0 in the clip.")
    if frame < 0:
        raise RegionError(f"{name} on frame {frame}; frames count from 0 in the clip.")
    return int(frame), None


def checked_items(value: object, name: str, form: str) -> list[object]:
    """The items of a list, tuple or array; `form` tells what to give instead of anything else."""
    flat_array = isinstance(value, np.ndarray) and value.ndim == 0
    if isinstance(value, str | bytes | Mapping) or flat_array or not isinstance(value, Iterable):
        raise RegionError(f"{name} is {value!r}; give {form}.")
    return list(value)


def checked_numbers(value: object, count: int, name: str, form: str) -> tuple[float, ...]:
    """Exactly `count` finite numbers."""
    items = checked_items(value, name, form)
    if len(items) != count:
        raise RegionError(f"{name} has {len(items)} numbers; give {form}.")
    return tuple(checked_number(item, name) for item in items)


def checked_number(value: object, name: str) -> float:
    """A finite number that is not a boolean."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
        raise RegionError(f"{name} has {value!r}; give numbers.")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise RegionError(f"{name} has {number}; give finite numbers.")
    return number


def checked_labels(value: object, count: int) -> tuple[int, ...]:
    """One 0 or 1 for each of `count` points."""
    labels = checked_items(value, "labels", "a list of 0 and 1")
    for label in labels:
        if isinstance(label, bool | np.bool_) or not isinstance(label, int | np.integer) or label not in (0, 1):
            raise RegionError(f"labels hold {label!r}; a label is 1 (on the object) or 0 (off it).")
    if len(labels) != count:
        raise RegionError(f"{count} points with {len(labels)} labels; give one label for each point.")
    return tuple(1 if label == 1 else 0 for label in labels)
