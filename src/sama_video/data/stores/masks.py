"""A record's masks in its files: for each object the counts of its run lengths, frame by frame, without repeating more.

    {"object": "obj1", "size": [height, width], "masks": ["counts", null, ...], "scores": [0.9, null, ...]}

`null` is a frame that does not show the object; scores are left out where there are none. All masks of a track are
checked in one pass, which costs a thirtieth of checking them one by one.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from sama_video.data.stores.json_values import checked_keys, checked_list, checked_text, checked_whole
from sama_video.errors import DataError, RegionError
from sama_video.regions.masklet import Masklet
from sama_video.regions.rle import Rle, as_rle, unpack


def masklet_to_json(masklet: Masklet) -> dict[str, object]:
    """The form of one entry of a record's `objects`."""
    row: dict[str, object] = {
        "object": masklet.object_id,
        "size": [masklet.height, masklet.width],
        "masks": [None if rle is None else rle["counts"] for rle in masklet.rles],
    }
    has_scores = any(score is not None for score in masklet.scores)
    return row | {"scores": list(masklet.scores)} if has_scores else row


def masklet_from_json(value: object) -> Masklet:
    """Read the form of one entry of a record's `objects`.

    Raises:
        DataError: It is of no such form.
        RegionError: A mask is damaged.
    """
    row = checked_keys(value, "object", ("object", "size", "masks"), ("scores",))
    object_id = checked_text(row["object"], "object: name")
    name = f"object {object_id}"
    size = checked_list(row["size"], f"{name}: size")
    if len(size) != 2:
        raise DataError(f"{name}: size is {size!r}; give [height, width].")
    height, width = (checked_whole(side, f"{name}: size") for side in size)
    counts = checked_list(row["masks"], f"{name}: masks")
    if not counts:
        raise RegionError(f"masklet {object_id} has no frames; give one mask for each frame of the clip.")
    scores = checked_list(row.get("scores", [None] * len(counts)), f"{name}: scores")
    return Masklet(object_id, height, width, canonical_track(counts, height, width, name), tuple(map(_score, scores)))


def canonical_track(counts: Sequence[object], height: int, width: int, name: str) -> tuple[Rle | None, ...]:
    """The masks of a track from the counts of its run lengths, checked, equal masks as equal values.

    Raises:
        RegionError: A mask is damaged; the message names the frame.
    """
    shown = [idx for idx, item in enumerate(counts) if item is not None]
    for idx in shown:
        if not isinstance(counts[idx], str):
            raise RegionError(f"{name}: frame {idx} has a {type(counts[idx]).__name__} for counts; give text or null.")
    rles: list[Rle] = [{"size": [height, width], "counts": str(counts[idx])} for idx in shown]
    track: list[Rle | None] = [None] * len(counts)
    for idx, rle in zip(shown, _canonical(rles, shown, name), strict=True):
        track[idx] = rle
    return tuple(track)


def _canonical(rles: list[Rle], frames: Sequence[int], name: str) -> list[Rle]:
    if not rles:
        return rles
    try:
        runs, lengths = unpack(rles)
    except RegionError:
        # Once more, one by one, to tell which mask it is.
        return [_one(rle, f"{name}: frame {frame}") for rle, frame in zip(rles, frames, strict=True)]
    ends = np.cumsum(lengths)
    odd = np.flatnonzero(runs == 0)
    # A mask that begins with foreground has an empty first run; any other empty run could be left out.
    first = ends - lengths
    spare = set(np.searchsorted(ends, np.setdiff1d(odd, first), side="right").tolist())
    return [as_rle(rle) if number in spare else rle for number, rle in enumerate(rles)]


def _one(rle: Mapping[str, object], name: str) -> Rle:
    try:
        return as_rle(rle)
    except RegionError as error:
        raise RegionError(f"{name}: {error}") from None


def _score(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        raise DataError(f"a score is {value!r}; give a finite number or null.")
    return float(value)
