"""Values of a record file, checked as they are taken; each mistake is one line that names the place in the record."""

import math
from collections.abc import Mapping
from pathlib import Path, PureWindowsPath
from typing import TypeAlias

from sama_video.errors import DataError

Scalar: TypeAlias = str | int | float
"""What a small mapping of a record holds."""


def checked_keys(
    value: object, name: str, required: tuple[str, ...], optional: tuple[str, ...] = ()
) -> Mapping[str, object]:
    """A JSON object with all of the required keys and none that is unknown."""
    keys = (*required, *optional)
    if not isinstance(value, Mapping):
        raise DataError(f"{name} is a {type(value).__name__}; give a JSON object with {', '.join(required)}.")
    for key in required:
        if key not in value:
            raise DataError(f"{name} has no {key!r}; give {', '.join(required)}.")
    for key in value:
        if key not in keys:
            raise DataError(f"{name} has the unknown key {key!r}; the keys are {', '.join(keys)}.")
    return value


def checked_list(value: object, name: str) -> list[object]:
    """A list."""
    if not isinstance(value, list):
        raise DataError(f"{name} is a {type(value).__name__}; give a list.")
    return value


def checked_text(value: object, name: str) -> str:
    """Text that is not empty and that a file can hold: no half of a surrogate pair."""
    if not isinstance(value, str) or not value:
        raise DataError(f"{name} is {value!r}; give text.")
    if any("\ud800" <= char <= "\udfff" for char in value):
        raise DataError(f"{name} holds half of a surrogate pair, which is no text; write the whole character.")
    return value


def checked_whole(value: object, name: str) -> int:
    """A whole number from 0."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise DataError(f"{name} is {value!r}; give a whole number from 0.")
    return value


def checked_number(value: object, name: str) -> float:
    """A finite number from 0."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise DataError(f"{name} is {value!r}; give a finite number from 0.")
    return float(value)


def checked_span(value: object, name: str) -> tuple[float, float]:
    """A stretch of time, `[start, end]` in seconds."""
    ends = checked_list(value, name)
    if len(ends) != 2:
        raise DataError(f"{name} has {len(ends)} numbers; give [start, end] in seconds.")
    return checked_number(ends[0], f"{name}: start"), checked_number(ends[1], f"{name}: end")


def checked_scalars(value: object, name: str) -> dict[str, Scalar]:
    """A small mapping of names to text and finite numbers."""
    if not isinstance(value, Mapping):
        raise DataError(f"{name} is a {type(value).__name__}; give a JSON object of texts and numbers.")
    for key, item in value.items():
        checked_text(key, f"{name}: a key")
        is_number = isinstance(item, int | float) and not isinstance(item, bool) and math.isfinite(item)
        if isinstance(item, str):
            if item:
                checked_text(item, f"{name}: {key}")
        elif not is_number:
            raise DataError(f"{name}: {key} is {item!r}; give text or a finite number.")
    return dict(value)


def checked_path(value: object) -> str:
    """A path that stays in the data set's folder, on Windows as well."""
    path = checked_text(value, "clip: path")
    parts = Path(path).parts
    odd = "\\" in path or "\0" in path or PureWindowsPath(path).drive
    if Path(path).is_absolute() or ".." in parts or not parts or odd:
        raise DataError(f"clip: path {path!r} leaves the data set; give a path relative to its root, with slashes.")
    return path
