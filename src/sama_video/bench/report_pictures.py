"""Pictures of single questions for a report: the masks of the reference and of the prediction on a few frames."""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from sama_video.bench.task import Prediction, Track
from sama_video.errors import RegionError, SamaError
from sama_video.metrics.matching import greedy_pairs, iou_matrix
from sama_video.regions.draw import draw_frame
from sama_video.regions.rle import area, decode
from sama_video.video.clip import Clip

FRAMES: Final = 3
_WIDEST, _TALLEST = 420, 300  # of one side, so that a page full of pictures stays a few megabytes
_PLAIN = 222
_QUALITY = 80

OpenClip: TypeAlias = Callable[[], Clip]


@dataclass(frozen=True)
class Picture:
    """One frame twice, with the masks of the reference and with those of the prediction; both are JPEGs of one size."""

    frame_idx: int
    height: int
    width: int
    reference: bytes
    prediction: bytes


@dataclass(frozen=True)
class Illustration:
    """What is shown of one question.

    Attributes:
        reference_objects, predicted_objects: For each track the object whose colour it has; a prediction shares that of
            the reference it overlaps most.
        note: Why there are no frames beneath the masks, or no pictures at all.
    """

    pictures: tuple[Picture, ...] = ()
    reference_objects: tuple[str, ...] = ()
    predicted_objects: tuple[str, ...] = ()
    note: str = ""


def illustrate(prediction: Prediction, open_clip: OpenClip | None, answering: slice = slice(None)) -> Illustration:
    """Draw a question's masks on up to three of its frames; nothing where neither side has any.

    Args:
        prediction: Holds the masks of both sides, and phrases that label them.
        open_clip: Gives the frames; None draws on a plain ground.
        answering: Which reference masks are shown; see `Task.answering`.
    """
    wanted = prediction.gt_tracks[answering]
    given = prediction.pred_tracks
    try:
        reference, predicted = pair_colours(wanted, given)
        indices = frames_to_show(wanted, given)
        if not indices:
            return Illustration((), reference, predicted, "neither side has a mask")
        frames, note = _frames(open_clip, indices, _size((*wanted, *given)))
        left = _Side(wanted, reference, prediction.gt_phrases)
        right = _Side(given, predicted, prediction.pred_phrases)
        pictures = tuple(
            _picture(idx, left.on(frame, idx), right.on(frame, idx)) for idx, frame in zip(indices, frames, strict=True)
        )
    except SamaError as error:
        return Illustration(note=f"no picture: {error}")
    return Illustration(pictures, reference, predicted, note)


def frames_to_show(wanted: Sequence[Track], given: Sequence[Track]) -> tuple[int, ...]:
    """The first, the middle and the last of the frames on which either side has a mask."""
    tracks = (*wanted, *given)
    seen = sorted({idx for track in tracks for idx, mask in enumerate(track) if mask is not None and area(mask)})
    if not seen:
        return ()
    places = np.linspace(0, len(seen) - 1, FRAMES).round().astype(int)
    return tuple(dict.fromkeys(seen[place] for place in places))


def pair_colours(wanted: Sequence[Track], given: Sequence[Track]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Object names for both sides: what overlaps most shares one, and so a colour; the rest get names of their own."""
    reference = [f"obj{place + 1}" for place in range(len(wanted))]
    ious = iou_matrix(wanted, given, empty=0.0)
    partner = {column: row for row, column in greedy_pairs(ious, ious > 0)}
    fresh = (f"obj{place + 1}" for place in range(len(wanted), len(wanted) + len(given)))
    predicted = [reference[partner[place]] if place in partner else next(fresh) for place in range(len(given))]
    return tuple(reference), tuple(predicted)


@dataclass(frozen=True)
class _Side:
    """The reference's masks, or the prediction's."""

    tracks: Sequence[Track]
    objects: Sequence[str]
    phrases: Sequence[str]

    def on(self, frame: UInt8[np.ndarray, "height width 3"], frame_idx: int) -> Image.Image:
        """The frame with this side's masks, at the size of a report's pictures."""
        masks = {
            name: decode(mask)
            for name, track in zip(self.objects, self.tracks, strict=True)
            if (mask := track[frame_idx]) is not None
        }
        scale = min(_WIDEST / frame.shape[1], _TALLEST / frame.shape[0])
        return Image.fromarray(draw_frame(frame, masks, labels=self._labels(), scale=scale))

    def _labels(self) -> Mapping[str, str]:
        words = [*self.phrases, *(f"mask {place + 1}" for place in range(len(self.phrases), len(self.objects)))]
        return {name: text or "mask" for name, text in zip(self.objects, words, strict=False)}


def _frames(
    open_clip: OpenClip | None, indices: Sequence[int], size: tuple[int, int]
) -> tuple[list[UInt8[np.ndarray, "height width 3"]], str]:
    """The frames asked for, or a plain ground and why."""
    plain = [np.full((*size, 3), _PLAIN, dtype=np.uint8) for _ in indices]
    if open_clip is None:
        return plain, "plain ground: no --data was given"
    try:
        clip = open_clip()
        frames = clip.frames(indices)
        clip.close()
    except SamaError as error:
        return plain, f"plain ground: {error}"
    if frames.shape[1:3] != size:
        found = f"{frames.shape[2]}x{frames.shape[1]}"
        return plain, f"plain ground: the masks are {size[1]}x{size[0]}, the frames {found}"
    return list(frames), ""


def _size(tracks: Sequence[Track]) -> tuple[int, int]:
    sizes = {(mask["size"][0], mask["size"][1]) for track in tracks for mask in track if mask is not None}
    if len(sizes) > 1:
        raise RegionError(f"its masks have {len(sizes)} sizes; a clip's masks have that of its frames.")
    return sizes.pop()


def _picture(frame_idx: int, reference: Image.Image, prediction: Image.Image) -> Picture:
    return Picture(frame_idx, reference.height, reference.width, _jpeg(reference), _jpeg(prediction))


def _jpeg(image: Image.Image) -> bytes:
    content = io.BytesIO()
    image.save(content, "JPEG", quality=_QUALITY, subsampling=0)
    return content.getvalue()
