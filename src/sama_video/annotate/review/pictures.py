"""What a reviewer sees of a clip: a few frames with outlines and numbers, the masks apart, and the clip in motion."""

import io
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image, ImageDraw

from sama_video.annotate.case import Subject
from sama_video.annotate.drawing import choose_frames
from sama_video.annotate.marks import add_numbers, bounds, mark_of, paint_marks
from sama_video.annotate.review.reviewing import ReviewSettings
from sama_video.errors import SamaError, VideoError
from sama_video.regions.ink import font, text_on
from sama_video.regions.masklet import Masklet
from sama_video.regions.rle import encode
from sama_video.video.clip import Clip
from sama_video.video.writer import VideoWriter

_MOST_ENLARGED: Final = 4.0
_QUALITY: Final = 80
_CLIP_SIDE: Final = 400
_CLIP_FRAMES: Final = 120
_CLIP_FILL: Final = 0.25
_CLIP_TYPE: Final = 13
_CLIP_CRF: Final = 28

Masks = dict[str, Bool[np.ndarray, "height width"]]


@dataclass(frozen=True)
class ReviewPicture:
    """One frame.

    Attributes:
        jpeg: With outlines and numbers.
        height, width: Of that picture, with its margins.
        left, inner_width: Where the frame itself stands in it.
        masks: Run lengths at the frame's size, by object.
    """

    jpeg: bytes = field(repr=False)
    height: int
    width: int
    left: int
    inner_width: int
    frame: int
    seconds: float
    masks: Mapping[str, str]


@dataclass(frozen=True)
class Footage:
    """All that is shown of a clip.

    Attributes:
        moving: An MP4 with the masks painted on; None where there is none, for the reason `note`.
        facts: Length and size.
        problem: Why there are no pictures.
    """

    pictures: tuple[ReviewPicture, ...] = ()
    moving: bytes | None = field(default=None, repr=False)
    note: str = ""
    facts: str = ""
    problem: str = ""


def film(subject: Subject, settings: ReviewSettings) -> Footage:
    """Draw a subject for a reviewer; a clip that cannot be opened leaves a page with its texts and the reason."""
    try:
        clip = subject.clip.open()
    except SamaError as error:
        return Footage(problem=str(error))
    try:
        pictures = tuple(_pictures(clip, subject.masklets, settings))
        moving, note = _moving(clip, subject.masklets, settings)
        facts = f"{clip.num_frames} frames, {clip.duration:.1f} s, {clip.width}x{clip.height}"
        return Footage(pictures, moving, note, facts)
    except SamaError as error:
        return Footage(problem=str(error))
    finally:
        clip.close()


def _pictures(clip: Clip, masklets: Sequence[Masklet], settings: ReviewSettings) -> Iterator[ReviewPicture]:
    frames = choose_frames(masklets, clip.num_frames, settings.pictures)
    scale = min(settings.longest_side / max(clip.height, clip.width), _MOST_ENLARGED)
    for frame_idx in frames:
        pixels, masks = _scaled(clip.frame(frame_idx), _masks_on(masklets, frame_idx), scale)
        painted = paint_marks(pixels, masks, outline=max(2, min(pixels.shape[:2]) // 220), box=0, fill=0)
        canvas, _, (left, _) = add_numbers(painted, masks, max(13, max(pixels.shape[:2]) // 40))
        content = io.BytesIO()
        canvas.save(content, "JPEG", quality=_QUALITY)
        yield ReviewPicture(
            jpeg=content.getvalue(),
            height=canvas.height,
            width=canvas.width,
            left=left,
            inner_width=pixels.shape[1],
            frame=frame_idx,
            seconds=float(clip.times[frame_idx]),
            masks={name: encode(mask)["counts"] for name, mask in masks.items()},
        )


def _moving(clip: Clip, masklets: Sequence[Masklet], settings: ReviewSettings) -> tuple[bytes | None, str]:
    """The clip as a small MP4, or None and why not."""
    if clip.num_frames < 2 or not settings.clip_seconds or not settings.clip_bytes:
        return None, ""
    if clip.duration > settings.clip_seconds:
        return (
            None,
            f"No moving clip: it lasts {clip.duration:.0f} s, and {settings.clip_seconds:g} s are shown at most.",
        )
    try:
        content = _as_mp4(clip, masklets)
    except VideoError as error:
        return None, f"No moving clip: {error}"
    if len(content) > settings.clip_bytes:
        return (
            None,
            f"No moving clip: its {len(content)} bytes are more than the {settings.clip_bytes} of the settings.",
        )
    return content, ""


def _as_mp4(clip: Clip, masklets: Sequence[Masklet]) -> bytes:
    step = -(-clip.num_frames // _CLIP_FRAMES)
    scale = min(_CLIP_SIDE / max(clip.height, clip.width), _MOST_ENLARGED)
    with tempfile.TemporaryDirectory(prefix="sama-review-") as folder:
        path = Path(folder) / "clip.mp4"
        with VideoWriter(path, crf=_CLIP_CRF) as writer:
            for frame_idx, frame in clip.stream(step=step):
                pixels, masks = _scaled(frame, _masks_on(masklets, frame_idx), scale)
                painted = paint_marks(pixels, masks, outline=2, box=0, fill=_CLIP_FILL)
                writer.write(_numbered(painted, masks), seconds=float(clip.times[frame_idx]))
        return path.read_bytes()


def _numbered(painted: UInt8[np.ndarray, "height width 3"], masks: Masks) -> UInt8[np.ndarray, "height width 3"]:
    """Numbers above their objects, inside the picture: frames have one size, and are too many to seek better places."""
    canvas = Image.fromarray(painted)
    pen, face = ImageDraw.Draw(canvas), font(_CLIP_TYPE)
    for object_id, mask in masks.items():
        mark = mark_of(object_id)
        wide, high = round(face.getlength(str(mark.number))) + 6, _CLIP_TYPE + 5
        x, y, _, _ = bounds(mask)
        x, y = min(x, canvas.width - wide), max(0, y - high - 2)
        pen.rectangle((x, y, x + wide - 1, y + high - 1), fill=mark.colour, outline=text_on(mark.colour))
        pen.text((x + wide / 2, y + high / 2), str(mark.number), font=face, fill=text_on(mark.colour), anchor="mm")
    return np.array(canvas)


def _masks_on(masklets: Sequence[Masklet], frame_idx: int) -> Masks:
    return {one.object_id: one.mask(frame_idx) for one in masklets if one.rles[frame_idx] is not None}


def _scaled(
    frame: UInt8[np.ndarray, "height width 3"], masks: Masks, scale: float
) -> tuple[UInt8[np.ndarray, "new_height new_width 3"], dict[str, Bool[np.ndarray, "new_height new_width"]]]:
    """A frame and its masks at another size; a mask of few pixels may be gone then."""
    size = max(1, round(frame.shape[1] * scale)), max(1, round(frame.shape[0] * scale))
    picture = np.array(Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS))
    grey = {
        name: np.asarray(Image.fromarray(mask).convert("L").resize(size, Image.Resampling.BILINEAR))
        for name, mask in masks.items()
    }
    large = {name: image > min(127, int(image.max()) // 2) for name, image in grey.items()}
    return picture, {name: mask for name, mask in large.items() if mask.any()}
