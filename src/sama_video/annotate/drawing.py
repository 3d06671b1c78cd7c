"""Pictures of a clip for a model that only reads pictures: objects outlined and numbered, times written above."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from jaxtyping import Bool, UInt8
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from sama_video.annotate.case import Subject
from sama_video.annotate.marks import add_numbers, mark_of, paint_marks
from sama_video.errors import ConfigError, DataError
from sama_video.regions.ink import font
from sama_video.regions.masklet import Masklet
from sama_video.regions.rle import area
from sama_video.video.clip import Clip
from sama_video.video.sampling import uniform_indices

_MOST_ENLARGED: Final = 4.0
_SMALLEST_SIDE: Final = 96
_PAPER, _INK = (245, 245, 245), (20, 20, 20)


@dataclass(frozen=True)
class DrawOptions:
    """How a clip is drawn.

    Attributes:
        pictures: Most pictures of a clip.
        longest_side: Of a picture in pixels, without what is written around it; small clips are enlarged up to it, at
            most fourfold.
        outline: Whether objects get a line around them.
        box: Whether their boxes get one.
        fill: Share of an object's colour that tints it; 0, the default, leaves its looks as they are.
        number: Whether numbers are written beside them.
        seconds: Whether each picture's place and time stand above it.
        quality: Of the JPEG files, 1 to 95.
    """

    pictures: int = 16
    longest_side: int = 768
    outline: bool = True
    box: bool = False
    fill: float | int = 0.0
    number: bool = True
    seconds: bool = True
    quality: int = 90

    def __post_init__(self) -> None:
        if self.pictures < 1 or self.longest_side < _SMALLEST_SIDE:
            raise ConfigError(
                f"{self.pictures} pictures of {self.longest_side} pixels; give at least 1 of at least {_SMALLEST_SIDE}."
            )
        if not 0 <= self.fill <= 1 or not 1 <= self.quality <= 95:
            raise ConfigError(f"fill {self.fill} and quality {self.quality}; give 0 to 1, and 1 to 95.")
        if not (self.outline or self.box or self.fill):
            raise ConfigError("no outline, no box and no fill; objects need at least one of them to be seen.")


@dataclass(frozen=True)
class Drawing:
    """The pictures of one subject.

    Attributes:
        pictures: JPEG files in order of time.
        frames, seconds: Which frame of the clip each of them shows, and when that is.
        visible: The objects that each of them shows.
        marks: What each object is marked with, by object id.
        duration: Of the clip in seconds.
    """

    pictures: tuple[bytes, ...] = field(repr=False)
    frames: tuple[int, ...]
    seconds: tuple[float, ...]
    visible: tuple[tuple[str, ...], ...]
    marks: Mapping[str, str]
    duration: float


def draw_subject(subject: Subject, clip: Clip, options: DrawOptions = DrawOptions()) -> Drawing:
    """Draw a clip with its objects.

    Args:
        subject: All of its things have masklets.
        clip: Its opened clip.

    Raises:
        DataError: A thing has no masklet yet, or there is none.
    """
    masklets = subject.masklets
    if not masklets or len(masklets) != len(subject.things):
        raise DataError(f"subject {subject.subject_id} has things without masklets; track them before drawing.")
    frames = choose_frames(masklets, clip.num_frames, options.pictures)
    seconds = tuple(float(clip.times[frame]) for frame in frames)
    pictures = []
    for place, (frame, pixels) in enumerate(zip(frames, clip.frames(frames), strict=True)):
        title = f"picture {place + 1} of {len(frames)}   {seconds[place]:.2f} s" if options.seconds else None
        masks = {one.object_id: one.mask(frame) for one in masklets if one.rles[frame] is not None}
        pictures.append(_as_jpeg(draw_picture(pixels, masks, options, title), options.quality))
    visible = tuple(tuple(one.object_id for one in masklets if one.rles[frame] is not None) for frame in frames)
    marks = {one.object_id: mark_of(one.object_id).name for one in masklets}
    return Drawing(tuple(pictures), tuple(frames), seconds, visible, marks, clip.duration)


def choose_frames(masklets: Sequence[Masklet], num_frames: int, most: int) -> list[int]:
    """Frames spread evenly over a clip, moved where need be so that each object is on one of them.

    Where there are fewer pictures than objects that are never seen together, some stay unseen.
    """
    chosen = uniform_indices(num_frames, min(most, num_frames))
    for masklet in masklets:
        if not masklet.visible_frames or _shows(masklet, chosen):
            continue
        wanted = max(masklet.visible_frames, key=lambda frame: (_area(masklet, frame), -frame))
        free = [frame for frame in chosen if not _is_needed(frame, chosen, masklets)]
        if free:
            given_up = min(free, key=lambda frame: (abs(frame - wanted), frame))
            chosen = sorted({*chosen, wanted} - {given_up})
    return chosen


def draw_picture(
    frame: UInt8[np.ndarray, "height width 3"],
    masks: Mapping[str, Bool[np.ndarray, "height width"]],
    options: DrawOptions = DrawOptions(),
    title: str | None = None,
) -> UInt8[np.ndarray, "new_height new_width 3"]:
    """One frame with its objects marked; numbers and title stand beside what they could cover."""
    scale = min(options.longest_side / max(frame.shape[:2]), _MOST_ENLARGED)
    size = max(1, round(frame.shape[1] * scale)), max(1, round(frame.shape[0] * scale))
    picture = np.array(Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS))
    shown = {object_id: _resized(mask, size) for object_id, mask in masks.items() if mask.any()}
    line = max(2, round(min(size) / 220))
    painted = paint_marks(
        picture, shown, outline=line * options.outline, box=line * options.box, fill=float(options.fill)
    )
    type_size = max(16, round(max(size) / 34))
    canvas = add_numbers(painted, shown, type_size)[0] if options.number else Image.fromarray(painted)
    return np.array(canvas if title is None else _titled(canvas, title, type_size))


def _resized(mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    """A mask at the picture's size; one too small to survive keeps one pixel, so that it gets its mark."""
    grey = Image.fromarray(mask).convert("L").resize(size, Image.Resampling.BILINEAR)
    large = np.asarray(grey) > 127
    if not large.any():
        rows, columns = np.nonzero(mask)
        large = np.zeros((size[1], size[0]), dtype=np.bool_)
        row = min(size[1] - 1, int((rows.mean() + 0.5) * size[1] / mask.shape[0]))
        large[row, min(size[0] - 1, int((columns.mean() + 0.5) * size[0] / mask.shape[1]))] = True
    return large


def _titled(canvas: Image.Image, title: str, size: int) -> Image.Image:
    high = round(size * 1.6)
    titled = Image.new("RGB", (canvas.width, canvas.height + high), _PAPER)
    titled.paste(canvas, (0, high))
    ImageDraw.Draw(titled).text((8, high / 2), title, font=font(size), fill=_INK, anchor="lm")
    return titled


def _as_jpeg(picture: NDArray[np.uint8], quality: int) -> bytes:
    out = io.BytesIO()
    # Thin coloured lines blur where colours are kept at half the size.
    Image.fromarray(picture).save(out, "JPEG", quality=quality, subsampling=0)
    return out.getvalue()


def _shows(masklet: Masklet, frames: Sequence[int]) -> bool:
    return any(masklet.rles[frame] is not None for frame in frames)


def _is_needed(frame: int, chosen: Sequence[int], masklets: Sequence[Masklet]) -> bool:
    """Whether giving up a frame would hide an object that is seen now."""
    rest = [other for other in chosen if other != frame]
    return any(_shows(masklet, [frame]) and not _shows(masklet, rest) for masklet in masklets)


def _area(masklet: Masklet, frame: int) -> int:
    rle = masklet.rles[frame]
    return 0 if rle is None else area(rle)
