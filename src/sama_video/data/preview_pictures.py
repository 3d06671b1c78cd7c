"""Pictures of a record: a few frames with the masks drawn and labelled, and with what its questions point at."""

import io
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Int, UInt8
from PIL import Image

from sama_video.data.preview_subjects import Pointer, Subject, cut
from sama_video.errors import SamaError, SamaWarning
from sama_video.regions.draw import draw_frame
from sama_video.regions.rle import Rle, area, box_of, decode
from sama_video.regions.shapes import Box, Mask, ObjectRef, Points
from sama_video.video.clip import Clip

FEWEST: Final = 3
MOST: Final = 6
"""Frames of a record: the fewest where its clip is that long, and the most however much it points at."""

_WIDEST, _TALLEST = 420, 300
_PLAIN = 222
_MOST_PIXELS = 2**25  # of a plain ground; a damaged record may claim any size
_QUALITY = 80
_LABEL_CHARACTERS = 18


@dataclass(frozen=True)
class Picture:
    """A frame as a JPEG, with what is to be read beneath it and in place of it."""

    height: int
    width: int
    jpeg: bytes
    caption: str
    instead: str


@dataclass(frozen=True)
class Strip:
    """The pictures of a record.

    Attributes:
        facts: Length and size of its clip; empty where it cannot be opened.
        problem: Why there are no frames beneath the masks, or no pictures at all.
    """

    pictures: tuple[Picture, ...] = ()
    facts: str = ""
    problem: str = ""


def object_name(place: int) -> str:
    """The name by which the palette knows an object: its colour-blind-safe colours go to the first ones.

    >>> object_name(0)
    'obj1'
    """
    return f"obj{place + 1}"


def draw_strip(subject: Subject) -> Strip:
    """Draw a record's masks on a few of its frames, or on a plain ground where those cannot be had."""
    if subject.open_clip is None:
        return Strip()
    clip, problem = _opened(subject)
    areas = _areas(subject, None if clip is None else clip.num_frames)
    if not areas.shape[1]:
        return Strip((), "", problem)
    at = {pointer: told for pointer in subject.pointers if (told := _told_frame(pointer, clip)) is not None}
    shown = frames_to_show(areas, [told for told in at.values() if told < areas.shape[1]])
    # Records of SAMA say which object is meant, not where: it is pointed at where most of it is seen.
    for pointer in subject.pointers:
        if pointer.region is None and areas[pointer.object_place, list(shown)].any():
            at[pointer] = max(shown, key=lambda idx: int(areas[pointer.object_place, idx]))
    pictures = []
    for idx in shown:
        frame, why = _frame(clip, idx, subject)
        problem = problem or why
        if frame is not None:
            here = [pointer for pointer, told in at.items() if told == idx]
            pictures.append(_picture(subject, clip, idx, frame, here))
    facts = "" if clip is None else _facts(clip)
    if clip is not None:
        clip.close()
    return Strip(tuple(pictures), facts, problem)


def frames_to_show(areas: Int[np.ndarray, "objects frames"], pointed: Sequence[int]) -> tuple[int, ...]:
    """Frames that show what is pointed at, then each object, then the course of the clip.

    Args:
        areas: Pixels of each object on each frame; at least one frame.
        pointed: Frames that questions point into.
    """
    chosen = list(dict.fromkeys(pointed))[:MOST]
    for row in areas:
        if row.any() and not row[chosen].any() and len(chosen) < MOST:
            chosen.append(int(row.argmax()))
    seen = np.flatnonzero(areas.any(axis=0)) if areas.any() else np.arange(areas.shape[1])
    while len(chosen) < min(FEWEST, len(seen)):
        apart = np.abs(seen[:, None] - np.array(chosen or [areas.shape[1]])).min(axis=1)  # frames
        chosen.append(int(seen[apart.argmax()]))
    return tuple(sorted(set(chosen)))


def _opened(subject: Subject) -> tuple[Clip | None, str]:
    """The clip, None where it cannot be opened; and what was wrong with it."""
    assert subject.open_clip is not None
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", SamaWarning)
        try:
            clip = subject.open_clip()
        except SamaError as error:
            return None, f"no frames: {error}"
    return clip, "; ".join(str(one.message) for one in told if issubclass(one.category, SamaWarning))


def _areas(subject: Subject, num_frames: int | None) -> Int[np.ndarray, "objects frames"]:
    tracks = [one.track or () for one in subject.objects]
    length = max(map(len, tracks), default=0) if num_frames is None else num_frames
    areas = np.zeros((len(tracks), length), dtype=np.int64)
    for place, track in enumerate(tracks):
        for idx, rle in enumerate(track[:length]):
            areas[place, idx] = 0 if rle is None else area(rle)
    return areas


def _told_frame(pointer: Pointer, clip: Clip | None) -> int | None:
    """The frame that a region of a record of ours names; None where it names none that can be known."""
    region = pointer.region
    if region is None or isinstance(region, ObjectRef):
        return None
    if region.frame is not None or region.seconds is None or clip is None:
        return region.frame
    try:
        return clip.index_at(region.seconds)
    except SamaError:  # a moment outside the clip is no frame of it
        return None


def _frame(clip: Clip | None, idx: int, subject: Subject) -> tuple[UInt8[np.ndarray, "height width 3"] | None, str]:
    """One frame, or a plain ground of the masks' size, and why."""
    sizes = {(rle["size"][0], rle["size"][1]) for rle in _masks_on(subject, idx).values()}
    why = ""
    if clip is not None:
        try:
            frame = clip.frame(idx)
        except SamaError as error:
            why = f"plain ground: {error}"
        else:
            if not sizes or sizes == {frame.shape[:2]}:
                return frame, ""
            height, width = min(sizes)
            why = f"plain ground: the masks are {width}x{height}, the frames {frame.shape[1]}x{frame.shape[0]}"
    if len(sizes) != 1 or max(height * width for height, width in sizes) > _MOST_PIXELS:
        return None, why
    return np.full((*sizes.pop(), 3), _PLAIN, dtype=np.uint8), why


def _masks_on(subject: Subject, idx: int) -> dict[int, Rle]:
    """Masks on a frame, by place of their object."""
    tracks = {place: one.track for place, one in enumerate(subject.objects) if one.track is not None}
    return {place: rle for place, track in tracks.items() if idx < len(track) and (rle := track[idx]) and area(rle)}


def _picture(
    subject: Subject,
    clip: Clip | None,
    idx: int,
    frame: UInt8[np.ndarray, "height width 3"],
    pointers: Sequence[Pointer],
) -> Picture:
    rles = _masks_on(subject, idx)
    scale = min(_WIDEST / frame.shape[1], _TALLEST / frame.shape[0])
    shrink = min(scale, 1.0)
    masks = {object_name(place): _shrunk(rle, shrink) for place, rle in rles.items()}
    labels = {object_name(place): cut(one.label, _LABEL_CHARACTERS) for place, one in enumerate(subject.objects)}
    painted = draw_frame(
        _small(frame, shrink),
        masks,
        labels=labels,
        boxes=_boxes(pointers, rles, shrink),
        points=_points(pointers, shrink),
        scale=scale / shrink,
    )
    drawn = Image.fromarray(painted)
    moment = f"frame {idx}" + ("" if clip is None or clip.num_frames == 1 else f", {float(clip.times[idx]):.2f} s")
    seen = ", ".join(cut(subject.objects[place].label, _LABEL_CHARACTERS) for place in rles) or "no mask"
    return Picture(
        drawn.height, drawn.width, _jpeg(drawn), moment + _pointed_at(pointers, subject), f"{moment}: {seen}"
    )


def _small(frame: UInt8[np.ndarray, "height width 3"], scale: float) -> UInt8[np.ndarray, "new_height new_width 3"]:
    if scale == 1:
        return frame
    size = max(1, round(frame.shape[1] * scale)), max(1, round(frame.shape[0] * scale))
    return np.array(Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS))


def _shrunk(rle: Rle, scale: float) -> Bool[np.ndarray, "height width"]:
    """A mask at the size of its picture, so that memory holds one large mask at a time; none shrinks to nothing."""
    mask = decode(rle)
    if scale == 1:
        return mask
    size = max(1, round(mask.shape[1] * scale)), max(1, round(mask.shape[0] * scale))
    small = np.asarray(Image.fromarray(mask).convert("L").resize(size, Image.Resampling.BOX))
    return small > (127 if small.max() > 127 else 0)


def _boxes(pointers: Sequence[Pointer], rles: Mapping[int, Rle], scale: float) -> dict[str, tuple[float, ...]]:
    """Rectangles of what is pointed at, by object; points are drawn themselves."""
    found = {object_name(pointer.object_place): _box(pointer, rles) for pointer in pointers}
    return {name: tuple(float(side) * scale for side in box) for name, box in found.items() if box is not None}


def _points(pointers: Sequence[Pointer], scale: float) -> dict[str, list[tuple[float, float, int]]]:
    marks: dict[str, list[tuple[float, float, int]]] = {}
    for pointer in pointers:
        if isinstance(pointer.region, Points):
            pairs = zip(pointer.region.xy, pointer.region.labels, strict=True)
            known = marks.setdefault(object_name(pointer.object_place), [])
            known += [(x * scale, y * scale, label) for (x, y), label in pairs]
    return marks


def _box(pointer: Pointer, rles: Mapping[int, Rle]) -> tuple[float | int, ...] | None:
    region = pointer.region
    if isinstance(region, Box):
        return region.xyxy
    if isinstance(region, Mask):
        return box_of(region.mask)
    if isinstance(region, Points) or pointer.object_place not in rles:
        return None
    return box_of(rles[pointer.object_place])


def _pointed_at(pointers: Sequence[Pointer], subject: Subject) -> str:
    """Which objects are pointed at here, how, and in which turns."""
    means = {Box: ", box", Mask: ", mask", Points: ", points"}
    turns: dict[str, list[str]] = {}
    for pointer in pointers:
        label = cut(subject.objects[pointer.object_place].label, _LABEL_CHARACTERS)
        turns.setdefault(label + means.get(type(pointer.region), ""), []).append(str(pointer.number))
    told = (f"{what} (turn{'s' if len(of) > 1 else ''} {', '.join(of)})" for what, of in turns.items())
    return f"; pointed at: {', '.join(told)}" if turns else ""


def _facts(clip: Clip) -> str:
    size = f"{clip.width}x{clip.height}"
    return size if clip.num_frames == 1 else f"{clip.num_frames} frames, {clip.duration:.1f} s, {size}"


def _jpeg(image: Image.Image) -> bytes:
    content = io.BytesIO()
    image.save(content, "JPEG", quality=_QUALITY)
    return content.getvalue()
