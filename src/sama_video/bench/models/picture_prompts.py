"""A benchmark's question for models that know neither regions nor masks: pictures, boxes drawn on them, and words.

A model gets some frames of the clip, each under its number. What a question points at is outlined on its frame and told
in words. It is asked to answer with JSON that names what it speaks of by boxes or points on those frames;
`answer_regions` reads that. The sentences are ours; `PROMPT_VERSION` changes with them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from sama_video.bench.task import Sample
from sama_video.dialogue.markup import RegionTag, parse_answer, split_question
from sama_video.errors import ConfigError, RegionError
from sama_video.regions.draw import draw_frame
from sama_video.regions.rle import box_of
from sama_video.regions.shapes import Box, Mask, ObjectRef, Points, Region
from sama_video.video.clip import Clip

PROMPT_VERSION: Final = "sama-point-1"

Picture: TypeAlias = UInt8[np.ndarray, "height width 3"]
Numbers: TypeAlias = tuple[float | int, ...]

COORDINATES: Final = {
    "0-1000": "whole numbers from 0 to 1000, x as a share of the width and y of the height",
    "0-1": "fractions from 0 to 1, x of the width and y of the height",
    "pixels": "pixels of the pictures, which are {width} wide and {height} high",
}
"""How a model counts, by the name that the option has, and how it is told so."""

_SCALES: Final = {"0-1000": 1000.0, "0-1": 1.0}
_SLACK: Final = 0.005
"""How far beyond the picture's edge a number may be taken for a rounded one, as a share of the side."""

_SYSTEM: Final = (
    "You answer questions about a video. You see some of its frames; the number before each picture is the frame's."
)
_FORM: Final = """Reply with one JSON object and nothing else, in this form:
{{"answer": "<the answer as plain text>", "objects": [
  {{"phrase": "<words of the answer>", "frame": <number of a frame shown>, "boxes": [[x0, y0, x1, y1]]}}
]}}
Each entry of "objects" says where on one frame the thing is that its phrase, copied from the answer, speaks of; choose
a frame that shows it well. A phrase about several things has a box for each. Where you cannot give a box, give
"points": [[x, y]] instead. Coordinates are {coordinates}; x grows to the right and y downwards.
{wish}"""
_WISH_ALL: Final = "Give an entry for everything that the question asks for, and an empty list only if none is there."
_WISH_AUTO: Final = "Give entries for the things that the answer speaks of, and an empty list if there are none."


@dataclass(frozen=True)
class Turn:
    """One message: texts and pictures in their order."""

    role: Literal["system", "user", "assistant"]
    parts: tuple[str | Picture, ...]


@dataclass(frozen=True)
class View:
    """What a model is shown of a clip, and how it counts there.

    Attributes:
        frames: Indices of the frames shown, ascending.
        height, width: Of the clip's frames.
        shown_height, shown_width: Of the pictures made of them.
        coordinates: One of `COORDINATES`.
    """

    frames: tuple[int, ...]
    height: int
    width: int
    shown_height: int
    shown_width: int
    coordinates: str

    def told(self, *numbers: float | int) -> str:
        """Coordinates of the clip, x and y in turn, as the model counts."""
        decimals = 3 if self.coordinates == "0-1" else 0
        shares = [number / side for number, side in self._with_sides(numbers)]
        counted = [share * self._scale[place % 2] for place, share in enumerate(shares)]
        return "[" + ", ".join(f"{number:.{decimals}f}" for number in counted) + "]"

    def read(self, numbers: Sequence[float | int]) -> Numbers:
        """A model's coordinates, x and y in turn, as pixels of the clip.

        Raises:
            RegionError: One is further outside the picture than rounding explains.
        """
        scale = self._scale
        shares = [number / scale[place % 2] for place, number in enumerate(numbers)]
        if not all(-_SLACK <= share <= 1 + _SLACK for share in shares):
            raise RegionError(f"{list(numbers)} is outside the picture, counted as {self.coordinates}")
        return tuple(min(max(share, 0.0), 1.0) * side for share, side in self._with_sides(shares))

    @property
    def wording(self) -> str:
        """How the model is told to count."""
        return COORDINATES[self.coordinates].format(width=self.shown_width, height=self.shown_height)

    @property
    def _scale(self) -> tuple[float, float]:
        if self.coordinates == "pixels":
            return float(self.shown_width), float(self.shown_height)
        return (_SCALES[self.coordinates],) * 2

    def _with_sides(self, numbers: Sequence[float | int]) -> list[tuple[float | int, int]]:
        return [(number, (self.width, self.height)[place % 2]) for place, number in enumerate(numbers)]


@dataclass(frozen=True)
class Showing:
    """How much a model is shown.

    Attributes:
        frames: Most frames, those that a question points at aside.
        side: Longest side of a picture in pixels; larger frames are made smaller.
    """

    coordinates: str = "0-1000"
    frames: int = 8
    side: int = 1024

    def __post_init__(self) -> None:
        if self.coordinates not in COORDINATES:
            raise ConfigError(f"coords is {self.coordinates!r}; it is one of {', '.join(COORDINATES)}.")
        if self.frames < 1 or self.side < 1:
            raise ConfigError(f"frames is {self.frames} and side {self.side}; both are 1 or more.")


@dataclass(frozen=True)
class Talk:
    """What a model reads before it answers, and how its coordinates are to be understood."""

    turns: tuple[Turn, ...]
    view: View
    grounded: bool


def make_talk(sample: Sample, earlier: Sequence[tuple[Sample, str]], clip: Clip, showing: Showing) -> Talk:
    """The talk that ends with a sample's question.

    Args:
        earlier: Turns before it with their answers, in order; their regions stay drawn.
    """
    samples = [*(turn for turn, _ in earlier), sample]
    regions = [_on_a_frame(region, clip) for turn in samples for region in turn.regions]
    view = _view(sample, [frame for frame, _ in regions], clip, showing)
    pictures = _pictures(clip, view, regions)
    shown = [
        part for frame, picture in zip(view.frames, pictures, strict=True) for part in (f"Frame {frame}:", picture)
    ]
    turns, num_named = [Turn("system", (_SYSTEM,))], 0
    for place, turn in enumerate(samples):
        words = _question(turn, num_named, regions, view)
        num_named += len(turn.regions)
        if turn is sample and sample.ground is not False:
            wish = _WISH_ALL if sample.ground is True else _WISH_AUTO
            words = f"{words}\n\n{_FORM.format(coordinates=view.wording, wish=wish)}"
        turns.append(Turn("user", (*shown, words) if place == 0 else (words,)))
        if turn is not sample:
            turns.append(Turn("assistant", (parse_answer(earlier[place][1]).text,)))
    return Talk(tuple(turns), view, sample.ground is not False)


def _view(sample: Sample, pointed_at: Sequence[int], clip: Clip, showing: Showing) -> View:
    """The frames that the benchmark prescribes or all of them, thinned evenly, and those that are pointed at."""
    base = np.arange(clip.num_frames) if sample.frames is None else np.array(sample.frames)
    places = np.linspace(0, len(base) - 1, min(showing.frames, len(base))).round().astype(int)
    frames = sorted({*base[places].tolist(), *pointed_at})
    scale = min(1.0, showing.side / max(clip.height, clip.width))
    shown_height, shown_width = (max(1, round(side * scale)) for side in (clip.height, clip.width))
    return View(tuple(frames), clip.height, clip.width, shown_height, shown_width, showing.coordinates)


def _pictures(clip: Clip, view: View, regions: Sequence[tuple[int, Region]]) -> list[Picture]:
    """The frames shown, what is pointed at drawn on them under its number, at the size told."""
    pictures = []
    for frame_idx, pixels in zip(view.frames, clip.frames(view.frames), strict=True):
        named = {f"obj{place}": region for place, (frame, region) in enumerate(regions, 1) if frame == frame_idx}
        boxes = {name: box for name, region in named.items() if (box := _box(region)) is not None}
        points = {
            name: [(*xy, label) for xy, label in zip(region.xy, region.labels, strict=True)]
            for name, region in named.items()
            if isinstance(region, Points)
        }
        labels = {name: f"region {name.removeprefix('obj')}" for name in named}
        drawn = draw_frame(pixels, {}, labels=labels, boxes=boxes, points=points) if named else pixels
        size = (view.shown_width, view.shown_height)
        pictures.append(np.array(Image.fromarray(drawn).resize(size, Image.Resampling.LANCZOS)))
    return pictures


def _question(turn: Sample, num_named: int, regions: Sequence[tuple[int, Region]], view: View) -> str:
    """A question in words, each region by its number, and where the regions are."""
    names = [f"region {num_named + place + 1}" for place in range(len(turn.regions))]
    words = "".join(
        names[piece.region_idx] if isinstance(piece, RegionTag) else str(getattr(piece, "object_id", piece))
        for piece in split_question(turn.question)
    )
    told = [
        f"{name} is {_whereabouts(region, view)} on frame {frame}."
        for name, (frame, region) in zip(names, regions[num_named:], strict=False)
    ]
    return "\n".join([words, *told])


def _whereabouts(region: Region, view: View) -> str:
    if isinstance(region, Points):
        on = [view.told(*xy) for xy, label in zip(region.xy, region.labels, strict=True) if label == 1]
        return f"what lies at {' and '.join(on)}, marked with a plus,"
    box = _box(region)
    assert box is not None, "a box and a mask have a box"
    return f"what is in the outlined box {view.told(*box)}"


def _on_a_frame(region: Region, clip: Clip) -> tuple[int, Region]:
    if isinstance(region, ObjectRef):
        raise RegionError(
            f"{region.object} is known to sessions of ours only; point at it with points, a box or a mask."
        )
    if region.frame is not None:
        return region.frame, region
    assert region.seconds is not None, "a moment is a frame or a time"
    return clip.index_at(region.seconds), region


def _box(region: Region) -> Numbers | None:
    if isinstance(region, Box):
        return region.xyxy
    return box_of(region.mask) if isinstance(region, Mask) else None
