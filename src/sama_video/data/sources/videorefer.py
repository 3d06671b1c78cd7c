"""VideoRefer-Bench: objects of videos, to be described (D) or asked about (Q), with their masks by frame number."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

from sama_video.data.clips import ClipOnDisk, FrameClip, VideoClip, safe_path
from sama_video.data.findings import FaultError, Findings, Place
from sama_video.data.json_items import read_document
from sama_video.data.mask_entries import read_mask
from sama_video.data.sources.fields import need, need_id, numbered
from sama_video.errors import VideoError
from sama_video.regions.rle import Rle
from sama_video.video.stills import folder_images

DESCRIPTIONS: Final = "VideoRefer-Bench-D.json"
QUESTIONS: Final = "VideoRefer-Bench-Q.json"
VIDEO_FOLDERS: Final = ("Panda-70M-part", ".")

Row: TypeAlias = tuple[Place, Mapping[str, Any]]


@dataclass(frozen=True)
class MarkedObject:
    """An object's masks on the frames where the benchmark has them.

    Attributes:
        entries: Masks as the file has them, by frame of the clip; None where the object is not visible.
    """

    entries: Mapping[int, Any] = field(repr=False)
    place: Place

    def mask(self, frame_idx: int, size: tuple[int, int], forms: set[str] | None = None) -> Rle | None:
        """Its mask on a frame; None where it is not visible, or where the frame is not annotated.

        Raises:
            FaultError: `bad_rle` or `mask_size_mismatch`.
        """
        here = self.place.part(f"frame {frame_idx}")
        return read_mask(self.entries.get(frame_idx), here, size=size, forms=forms)

    def track(self, num_frames: int, size: tuple[int, int]) -> tuple[Rle | None, ...]:
        """Its masks on all frames of the clip.

        Raises:
            FaultError: As `mask`.
        """
        return tuple(self.mask(frame_idx, size) for frame_idx in range(num_frames))


@dataclass(frozen=True)
class ReferItem:
    """What is common to both parts: marked objects of a video.

    Attributes:
        video: As the file has it.
        frame_idx: The frame on which a model of single frames is shown the objects.
    """

    item_id: str
    video: str
    clip: ClipOnDisk
    frame_idx: int
    objects: tuple[MarkedObject, ...]
    place: Place


@dataclass(frozen=True)
class DescribedObject(ReferItem):
    """An object to be described; `caption` is the right description."""

    caption: str


@dataclass(frozen=True)
class ReferQuestion(ReferItem):
    """A question with a choice of answers.

    Attributes:
        question: Text with a `<region>` tag for each object, in order.
        kind: Such as "Basic Questions".
        options: Such as "(A) A hat".
        answer: The right option, written out.
    """

    question: str
    kind: str
    options: tuple[str, ...]
    answer: str


Item = TypeVar("Item", bound=ReferItem)


def read_descriptions(root: Path, findings: Findings) -> Iterator[DescribedObject]:
    """Items of VideoRefer-Bench-D, video by video; `root` holds `VideoRefer-Bench-D.json`.

    Raises:
        FaultError: The file is missing or cannot be read as a whole.
    """

    def build(common: ReferItem, row: Mapping[str, Any]) -> DescribedObject:
        return DescribedObject(**vars(common), caption=need(row, "caption", str, common.place))

    return _read(root, DESCRIPTIONS, _video_file, build, findings)


def read_questions(root: Path, findings: Findings) -> Iterator[ReferQuestion]:
    """Items of VideoRefer-Bench-Q, video by video; `root` holds `VideoRefer-Bench-Q.json`.

    Raises:
        FaultError: The file is missing or cannot be read as a whole.
    """

    def build(common: ReferItem, row: Mapping[str, Any]) -> ReferQuestion:
        question, kind, answer = (need(row, key, str, common.place) for key in ("Question", "type", "Answer"))
        options = tuple(map(str, need(row, "options", list, common.place)))
        return ReferQuestion(**vars(common), question=question, kind=kind, options=options, answer=answer)

    return _read(root, QUESTIONS, _frame_folder, build, findings)


def _read(
    root: Path,
    name: str,
    find_clip: Callable[[Path, str, Place], ClipOnDisk],
    build: Callable[[ReferItem, Mapping[str, Any]], Item],
    findings: Findings,
) -> Iterator[Item]:
    by_video: dict[str, list[Row]] = {}
    for place, row in numbered(read_document(root / name, findings), "record", Place(str(root / name))):
        try:
            by_video.setdefault(need(row, "video", str, place), []).append((place, row))
        except FaultError as error:
            findings.take(error)
    for video, rows in by_video.items():
        try:
            clip = find_clip(root, video, rows[0][0])
        except FaultError as error:
            findings.take(error)
            continue
        for place, row in rows:
            try:
                yield build(_common(row, video, clip, place), row)
            except FaultError as error:
                findings.take(error)


def _common(row: Mapping[str, Any], video: str, clip: ClipOnDisk, place: Place) -> ReferItem:
    return ReferItem(
        item_id=need_id(row, "id", place),
        video=video,
        clip=clip,
        frame_idx=_frame_number(need_id(row, "frame_idx", place), place),
        objects=tuple(
            marked_object(entry, at) for at, entry in numbered(need(row, "annotation", list, place), "object", place)
        ),
        place=place,
    )


def marked_object(entry: Mapping[str, Any], place: Place) -> MarkedObject:
    """An object of an `annotation` list: `{FRAME: {"segmentation": ...} or null}`.

    Raises:
        FaultError: `schema_error`.
    """
    masks: dict[int, Any] = {}
    for key, mask in entry.items():
        if mask is not None and not isinstance(mask, Mapping):
            raise place.fault("schema_error", f"frame {key} is a {type(mask).__name__}, not an object")
        masks[_frame_number(str(key), place)] = None if mask is None else mask.get("segmentation")
    return MarkedObject(dict(sorted(masks.items())), place)


def _frame_number(text: str, place: Place) -> int:
    if not text.isascii() or not text.isdecimal():
        raise place.fault("schema_error", f"a frame is numbered {text!r}")
    return int(text)


def _video_file(root: Path, video: str, place: Place) -> VideoClip:
    for folder in VIDEO_FOLDERS:
        path = safe_path(root / folder, video, place.file, place.record)
        if path.is_file():
            return VideoClip(path, every=1)
    raise place.fault("missing_video", f"{video} is in none of {', '.join(VIDEO_FOLDERS)}")


def _frame_folder(root: Path, video: str, place: Place) -> FrameClip:
    folder = safe_path(root, video, place.file, place.record)
    try:
        names = tuple(path.name for path in folder_images(folder, video))
    except (VideoError, OSError):
        raise place.fault("missing_video", f"{video} is no folder of frames") from None
    return FrameClip(root, video, names)
