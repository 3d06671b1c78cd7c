"""What the mask metrics are given: tracks of run lengths, checked once on entry."""

from collections.abc import Sequence
from typing import Literal, TypeAlias

from sama_video.errors import DataError
from sama_video.regions.rle import Rle, union

Track: TypeAlias = Sequence[Rle | None]
"""One object's mask on each frame of a clip; None where it is not visible. A picture is a clip of one frame."""

Size: TypeAlias = tuple[int, int]
"""(height, width) in pixels."""

Mode: TypeAlias = Literal["reference", "strict"]
"""`reference` computes what the published scripts do, oddities included; `strict` what one would mean."""


def num_frames(tracks: Sequence[Track], size: Size) -> int:
    """How many frames the tracks of one clip have.

    Raises:
        DataError: There is no track or no frame, the tracks differ in length, or a mask has another size.
    """
    lengths = sorted({len(track) for track in tracks})
    if len(lengths) != 1 or lengths[0] == 0:
        given = " and ".join(map(str, lengths)) or "no"
        raise DataError(f"tracks have {given} frames; give tracks of one clip, each with an entry for every frame.")
    check_size([rle for track in tracks for rle in track], size)
    return lengths[0]


def check_size(masks: Track, size: Size) -> None:
    """DataError where a mask is of another size."""
    for rle in masks:
        if rle is not None and (rle["size"][0], rle["size"][1]) != size:
            height, width = rle["size"]
            raise DataError(
                f"mask of {height}x{width} among masks of {size[0]}x{size[1]} (height x width); "
                "resize it with regions.rle.resize_nearest first."
            )


def united(tracks: Sequence[Track], length: int) -> tuple[Rle | None, ...]:
    """The track that covers whatever any of the tracks covers; empty frames for no tracks."""
    return tuple(_united([track[idx] for track in tracks]) for idx in range(length))


def _united(masks: Track) -> Rle | None:
    known = [rle for rle in masks if rle is not None]
    return union(known) if len(known) > 1 else known[0] if known else None
