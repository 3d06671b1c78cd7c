"""Reference tracks -> what a question points at: on which frame, and with what.

The published evaluation points on one of the first five frames it samples, drawn without a seed (Q3). Here the frame is
chosen by rule and stored with the question.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, Literal, TypeAlias

import numpy as np

from sama_video.bench.task import Json, PromptFrame, TaskOptions, Track
from sama_video.regions.rle import Rle, area, box_of, decode
from sama_video.regions.shapes import Box, Mask, Points, Region
from sama_video.video.sampling import sparse_indices

MAX_FRAMES: Final = 32
"""Frames that the published scripts sample (spec bench, 1.2)."""

NUM_DENSE: Final = 5
"""Of these, the first ones are those on which the published model may be shown a region."""

Kind: TypeAlias = Literal["box", "mask", "point", "mixed"]
"""How an object is pointed at; "mixed" draws a point or a box for each."""


@dataclass(frozen=True)
class Pointed:
    """What a question points at.

    Attributes:
        regions: One for each track that is visible anywhere.
        prompt: As records have it: `frame` of the first region (None without regions), `kind`, `frames` of all regions,
            `rule` by which they were chosen; `absent` lists regions that are not visible where the rule looks for them,
            `never_visible` those that no frame shows, so that the question cannot be asked; their frame is 0.
    """

    regions: tuple[Region, ...]
    prompt: dict[str, Json]


def sampled_frames(num_frames: int) -> tuple[int, ...]:
    """The frames that the published evaluations of video show the model."""
    return tuple(sparse_indices(num_frames, max_frames=MAX_FRAMES))


def point_at(tracks: Sequence[Track], kind: Kind, options: TaskOptions, sample_id: str) -> Pointed:
    """Point at each object on the frame that the options' rule gives.

    `fixed_seed` draws, by the seed and the question's id, among the first five sampled frames that show the object, as
    the published code does without a seed. Where a rule's frames do not show the object, its first visible frame does.
    """
    chosen: list[int | None] = []
    absent: list[int] = []
    for idx, track in enumerate(tracks):
        visible = [frame_idx for frame_idx, rle in enumerate(track) if rle is not None and area(rle)]
        allowed = _allowed(options.prompt_frame, visible, len(track))
        if not allowed:
            absent.append(idx)
        draw = _random(options, sample_id, idx)
        chosen.append(draw.choice(allowed) if allowed else next(iter(visible), None))
    regions = tuple(
        region_on(track[frame_idx], frame_idx, kind, _random(options, sample_id, idx))
        for idx, (track, frame_idx) in enumerate(zip(tracks, chosen, strict=True))
        if frame_idx is not None
    )
    frames = [frame_idx or 0 for frame_idx in chosen]
    prompt: dict[str, Json] = {"frame": frames[0] if frames else None, "kind": kind, "frames": frames}
    prompt["rule"] = options.prompt_frame
    never = [idx for idx, frame_idx in enumerate(chosen) if frame_idx is None]
    return Pointed(regions, prompt | _some("absent", absent) | _some("never_visible", never))


def point_near(
    objects: Sequence[Mapping[int, Rle]], frame_idx: int, kind: Kind, options: TaskOptions, sample_id: str
) -> Pointed:
    """Point at each object on the frame that the benchmark prescribes, or on the nearest that shows it.

    Args:
        objects: Masks with pixels of each object, by frame.
    """
    chosen = [min(masks, key=lambda idx: (abs(idx - frame_idx), idx), default=None) for masks in objects]
    regions = tuple(
        region_on(masks[idx], idx, kind, _random(options, sample_id, place))
        for place, (masks, idx) in enumerate(zip(objects, chosen, strict=True))
        if idx is not None
    )
    frames = [frame_idx if idx is None else idx for idx in chosen]
    prompt: dict[str, Json] = {"frame": frames[0] if frames else None, "kind": kind, "frames": frames}
    absent = [place for place, idx in enumerate(chosen) if idx != frame_idx]
    never = [place for place, idx in enumerate(chosen) if idx is None]
    return Pointed(regions, prompt | _some("absent", absent) | _some("never_visible", never))


def region_on(rle: Rle | None, frame_idx: int, kind: Kind, draw: Random) -> Region:
    """A mask's bounding box, a pixel of it, or itself."""
    assert rle is not None
    return _SHAPES[kind](rle, frame_idx, draw)


def _box(rle: Rle, frame_idx: int, draw: Random) -> Region:
    box = box_of(rle)
    assert box is not None
    return Box(frame_idx, xyxy=box)


def _mask(rle: Rle, frame_idx: int, draw: Random) -> Region:
    return Mask(frame_idx, mask={**rle})


def _point(rle: Rle, frame_idx: int, draw: Random) -> Region:
    rows, columns = np.nonzero(decode(rle))
    place = draw.randrange(len(rows))
    return Points(frame_idx, xy=[(int(columns[place]), int(rows[place]))])


def _mixed(rle: Rle, frame_idx: int, draw: Random) -> Region:
    return draw.choice((_point, _box))(rle, frame_idx, draw)


_SHAPES: Final[dict[Kind, Callable[[Rle, int, Random], Region]]] = {
    "box": _box,
    "mask": _mask,
    "point": _point,
    "mixed": _mixed,
}


def _allowed(rule: PromptFrame, visible: Sequence[int], num_frames: int) -> list[int]:
    if rule == "first_visible":
        return list(visible[:1])
    if rule == "frame_0":
        return [frame_idx for frame_idx in visible if frame_idx == 0]
    dense = sampled_frames(num_frames)[:NUM_DENSE]
    return [frame_idx for frame_idx in dense if frame_idx in visible]


def _random(options: TaskOptions, sample_id: str, region_idx: int) -> Random:
    """A generator that depends on nothing but its arguments, in any process and version."""
    return Random(f"{options.seed}/{sample_id}/{region_idx}")


def _some(name: str, idxs: list[int]) -> dict[str, Json]:
    return {name: idxs} if idxs else {}
