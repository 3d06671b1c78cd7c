"""Label Studio JSON: tasks with the regions that people drew: brush masks, polygons, boxes, and boxes through videos.

A task is one picture, or one video with boxes alone, for Label Studio has no masks in videos. What came from one clip
is written as a task for each frame, tied together by `clip` and `frame` in the task's data and by the regions' ids,
which are the objects' names; reading takes them back, and any other picture is a clip of one frame.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from sama_video.data.clips import FrameClip, VideoClip
from sama_video.data.findings import FaultError, Findings, Place
from sama_video.data.formats.annotated import (
    AnnotatedClip,
    AnnotatedObject,
    clip_name,
    default_clip_name,
    one_line,
)
from sama_video.data.formats.drafts import Draft, note_object
from sama_video.data.formats.label_studio_regions import Region, draft_of, region_masks, regions_of
from sama_video.data.formats.label_studio_write import LOCAL_FILES, PICTURES, write
from sama_video.data.formats.media import check_size, count_frames, find_file, is_picture, video_or_frames
from sama_video.data.formats.options import ReadOptions
from sama_video.data.json_items import iterate_list
from sama_video.data.sources.fields import need

__all__ = ["read", "write"]


def read(path: Path, findings: Findings, options: ReadOptions) -> Iterator[AnnotatedClip]:
    """Clips of a file of tasks; those of several tasks come last, when all of their frames are known."""
    reader = _Reader(path, findings, options)
    for number, task in iterate_list(path, findings):
        place = Place(str(path), f"task {number}")
        try:
            clip = reader.take(task, place)
        except FaultError as error:
            findings.take(error)
        else:
            if clip is not None:
                yield clip
    yield from reader.rest()


@dataclass
class _Parts:
    """Frames of one clip, as their tasks come."""

    frames: dict[int, FrameClip] = field(default_factory=dict)
    size: tuple[int, int] | None = None
    drafts: dict[int, Draft] = field(default_factory=dict)
    broken: set[int] = field(default_factory=set)
    source: str = ""
    licence: str = ""


class _Reader:
    """Turns tasks into clips."""

    def __init__(self, path: Path, findings: Findings, options: ReadOptions) -> None:
        self._path = path
        self._findings = findings
        self._options = options
        self._roots = options.roots((path.parent, path.parent / PICTURES))
        self._parts: dict[str, _Parts] = defaultdict(_Parts)

    def take(self, task: object, place: Place) -> AnnotatedClip | None:
        """The clip of a task; None for a frame of a clip of several.

        Raises:
            FaultError: The task cannot be used.
        """
        data = need(task, "data", dict, place)
        clip = self._find_clip(data, place)
        size = check_size(clip, None, place)
        regions = regions_of(task, place, self._findings)
        name, frame = data.get("clip"), data.get("frame")
        if isinstance(name, str) and type(frame) is int and isinstance(clip, FrameClip):
            self._add_frame(clip_name(name), frame, clip, size, data, regions, place)
            return None
        parts = _Parts(size=size)
        for number, region in enumerate(regions, start=1):
            self._add_region(parts, number, region, count_frames(clip, place), None)
        return AnnotatedClip(
            default_clip_name(clip),
            clip,
            *size,
            self._objects(parts, clip.num_frames, place),
            one_line(data.get("source"), self._options.source or "label-studio"),
            one_line(data.get("licence"), self._options.licence),
        )

    def rest(self) -> Iterator[AnnotatedClip]:
        """Clips of several tasks."""
        for name, parts in self._parts.items():
            place = Place(str(self._path), f"clip {name}")
            try:
                yield self._joined(name, parts, place)
            except FaultError as error:
                self._findings.take(error)

    def _find_clip(self, data: Mapping[str, Any], place: Place) -> FrameClip | VideoClip:
        address = _address_of(data)
        if address is None:
            raise place.fault("missing_key", "the task's data names no picture and no video")
        names = _paths_of(address)
        reason = "missing_frame" if is_picture(names[0]) else "missing_video"
        path = find_file(self._roots, names, place, reason)
        return video_or_frames(path)

    def _add_frame(
        self,
        name: str,
        frame: int,
        clip: FrameClip,
        size: tuple[int, int],
        data: Mapping[str, Any],
        regions: Iterable[Region],
        place: Place,
    ) -> None:
        parts = self._parts[name]
        if frame in parts.frames:
            raise place.fault("repeated_id", f"frame {frame} of clip {name} has two tasks")
        if parts.size not in (None, size):
            raise place.fault("mask_size_mismatch", f"frame {frame} of clip {name} has another size than others")
        parts.frames[frame], parts.size = clip, size
        parts.source = parts.source or one_line(data.get("source"), self._options.source or "label-studio")
        parts.licence = parts.licence or one_line(data.get("licence"), self._options.licence)
        for region in regions:
            number = region.number
            if number is None:
                # Drawn anew in Label Studio: nothing ties it to another frame.
                number = 1 + max((*parts.drafts, *parts.broken, 10**6))
            self._add_region(parts, number, region, 1, frame)

    def _add_region(self, parts: _Parts, number: int, region: Region, num_frames: int, frame: int | None) -> None:
        """Add what a region says: of the frame of its task, or of all frames of a video."""
        assert parts.size is not None
        try:
            draft = parts.drafts.setdefault(number, draft_of(region))
            if draft.label != region.label:
                raise region.place.fault("schema_error", f"the object is {draft.label} on another frame")
            masks = region_masks(region, parts.size, num_frames)
            for at, rle in masks.rles.items():
                draft.put(at if frame is None else frame, rle, region.place, is_box=masks.are_boxes)
            if masks.added:
                detail = f"{masks.added} frames between or after key frames got the box Label Studio gives them"
                self._findings.note("interpolated_shapes", region.place.file, region.place.record, detail)
        except FaultError as error:
            self._findings.take(error)
            parts.broken.add(number)

    def _objects(self, parts: _Parts, num_frames: int, place: Place) -> tuple[AnnotatedObject, ...]:
        assert parts.size is not None
        objects = []
        for number in sorted(parts.drafts.keys() - parts.broken):
            objects.append(parts.drafts[number].finish(number, num_frames, parts.size))
            note_object(objects[-1], self._findings, place)
        return tuple(objects)

    def _joined(self, name: str, parts: _Parts, place: Place) -> AnnotatedClip:
        """The clip of several tasks; its frames are those that have one, in order."""
        assert parts.size is not None
        frames = [parts.frames[frame] for frame in sorted(parts.frames)]
        if len({one.path for one in frames}) > 1:
            raise place.fault("schema_error", "the clip's pictures lie in several folders")
        order = {frame: position for position, frame in enumerate(sorted(parts.frames))}
        for draft in parts.drafts.values():
            draft.masks = {order[frame]: rle for frame, rle in draft.masks.items()}
            draft.box_frames = {order[frame] for frame in draft.box_frames}
        clip = FrameClip(frames[0].root, frames[0].folder, tuple(one.names[0] for one in frames))
        objects = self._objects(parts, len(frames), place)
        return AnnotatedClip(name, clip, *parts.size, objects, parts.source, parts.licence)


def _address_of(data: Mapping[str, Any]) -> str | None:
    """What a task is about: its `image` or `video`, else its first value that ends as a file of one does."""
    for key in ("image", "video"):
        if isinstance(data.get(key), str) and data[key]:
            return str(data[key])
    texts = (value for value in data.values() if isinstance(value, str))
    return next((text for text in texts if PurePosixPath(urlsplit(text).path).suffix or "?d=" in text), None)


def _paths_of(address: str) -> tuple[str, ...]:
    """Paths below the media folder that an address may stand for; only the file name of one on another machine."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return (address,)
    path = unquote(parts.path)
    if path == LOCAL_FILES and parts.query:
        return tuple(parse_qs(parts.query).get("d", [""]))
    if parts.scheme or parts.netloc or path.startswith("/data/upload/"):
        return (PurePosixPath(path).name,)
    return (path,)
