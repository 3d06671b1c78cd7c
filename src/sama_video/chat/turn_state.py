"""The exact state of turns and objects as JSON, both ways: what the public forms leave out and the next answer needs.

A session's folder and a reply's `grounding` both carry it. Read strictly: it comes from a disk or from a caller.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from sama_video.chat.frames import TurnFrames
from sama_video.chat.history import AskedTurn
from sama_video.chat.objects import KnownObject, Sighting, object_number
from sama_video.errors import SessionError
from sama_video.regions.rle import Rle, as_rle
from sama_video.regions.shapes import Box, Mask, ObjectRef, Points, region_from_json, region_to_json
from sama_video.regions.wire import checked_keys, checked_number

Row = Mapping[str, Any]


def turn_to_json(turn: AskedTurn) -> dict[str, Any]:
    """A turn as the language model read it."""
    return {
        "question": turn.question,
        "regions": [{"frame": frame, "mask": mask} for frame, mask in turn.regions],
        "context": list(turn.frames.context),
        "dense": list(turn.frames.dense),
        "answer_ids": list(turn.answer_ids or ()),
    }


def turn_from_json(value: object, name: str = "turn") -> AskedTurn:
    """Read the form of `turn_to_json`."""
    row = _row(value, name, ("question", "regions", "context", "dense", "answer_ids"))
    if not isinstance(row["question"], str):
        raise SessionError(f"{name}: question is {row['question']!r}; give text.")
    regions = [_row(region, f"{name}: region", ("frame", "mask")) for region in _items(row["regions"], name)]
    return AskedTurn(
        row["question"],
        tuple((whole(region["frame"], f"{name}: frame"), as_rle(region["mask"])) for region in regions),
        TurnFrames(_numbers(row["context"], f"{name}: context"), _numbers(row["dense"], f"{name}: dense")),
        _numbers(row["answer_ids"], f"{name}: answer_ids"),
    )


def object_to_json(known: KnownObject) -> dict[str, Any]:
    """An object without its masklet, which has a form of its own."""
    sightings = []
    for sighting in known.sightings.values():
        shown = sighting.shown_as
        sightings.append(
            {
                "frame": sighting.frame_idx,
                "mask": sighting.mask,
                "shown_as": region_to_json(shown) if isinstance(shown, Points | Box | Mask) else None,
                "embedding": shown.tolist() if isinstance(shown, Tensor) else None,
            }
        )
    return {"id": known.object_id, "name": known.name, "sightings": sightings}


def object_from_json(value: object, name: str = "object", *, device: torch.device | str | None = None) -> KnownObject:
    """Read the form of `object_to_json`; what the tracker starts from lies on `device`."""
    row = _row(value, name, ("id", "name", "sightings"))
    if not isinstance(row["id"], str) or not (row["name"] is None or isinstance(row["name"], str)):
        raise SessionError(f"{name}: id is {row['id']!r} and name {row['name']!r}; give text.")
    object_number(row["id"])
    sightings = [_sighting(item, f"{row['id']}: sighting", device) for item in _items(row["sightings"], name)]
    return KnownObject(row["id"], {sighting.frame_idx: sighting for sighting in sightings}, None, row["name"])


def whole(value: object, name: str) -> int:
    """A whole number from 0."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise SessionError(f"{name} has {value!r}; give whole numbers from 0.")
    return value


def _sighting(value: object, name: str, device: torch.device | str | None) -> Sighting:
    row = _row(value, name, ("frame", "mask", "shown_as", "embedding"))
    frame_idx = whole(row["frame"], f"{name}: frame")
    mask: Rle | None = None if row["mask"] is None else as_rle(row["mask"])
    if row["embedding"] is not None:
        numbers = [checked_number(number, f"{name}: embedding") for number in _items(row["embedding"], name)]
        return Sighting(frame_idx, mask, torch.tensor(numbers, device=device))
    return Sighting(frame_idx, mask, _shown_as(row, name))


def _shown_as(row: Row, name: str) -> Points | Box | Mask | None:
    shown = None if row["shown_as"] is None else region_from_json(row["shown_as"])
    if isinstance(shown, ObjectRef):
        raise SessionError(f"{name} shows {shown.object} by its name; give points, a box or a mask.")
    return shown


def _row(value: object, name: str, keys: tuple[str, ...]) -> Row:
    return checked_keys(value, name, required=keys, error=SessionError)


def _items(value: object, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise SessionError(f"{name} holds a {type(value).__name__} in the place of a list; give it unchanged.")
    return value


def _numbers(value: object, name: str) -> tuple[int, ...]:
    return tuple(whole(number, name) for number in _items(value, name))
