"""CVAT for video 1.1: one XML file a task, with tracks of masks, polygons and boxes.

CVAT has no tracks of masks: it writes each mask as a track of one frame, and reads back the first mask of a track
only. So do we; the attribute `object` ties an object's masks together (define it for the labels and CVAT keeps it),
and CVAT's group does where that is missing. Nothing is carried from one mask to the next.

CVAT's own exports list every frame on which a track is visible. Where a file has key frames only, boxes move in a
straight line between them and the last shape stays to the end, as in CVAT. CVAT's way between two polygons is not
reproduced: a polygon that changes across frames that are not listed drops its track (`keyframe_gap`).
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, TypeAlias

from sama_video.data.clips import ClipOnDisk, FrameClip, VideoClip
from sama_video.data.findings import FaultError, Findings, Place
from sama_video.data.formats.annotated import (
    AnnotatedClip,
    AnnotatedObject,
    ClipNames,
    clip_name,
    default_clip_name,
    read_words,
)
from sama_video.data.formats.cvat_shapes import Scene, shape_masks
from sama_video.data.formats.cvat_write import write_task
from sama_video.data.formats.cvat_xml import Meta, Track, parse_tracks
from sama_video.data.formats.drafts import Draft, note_object
from sama_video.data.formats.media import check_size, count_frames, find_file, write_frames
from sama_video.data.formats.options import ReadOptions
from sama_video.data.formats.output import new_folder
from sama_video.errors import VideoError
from sama_video.regions.rle import union
from sama_video.video.stills import folder_images

FILE_NAME: Final = "annotations.xml"
PICTURES: Final = "images"
OUR_ATTRIBUTES: Final = ("object", "text", "crowd")
"""Names of CVAT attributes that say what CVAT has no place for."""

Key: TypeAlias = tuple[str, ...]

_STEP: Final = re.compile(r"step\s*=\s*([1-9][0-9]{0,5})")
_OBJECT: Final = re.compile(r"obj([1-9][0-9]{0,8})")
_WHOLE: Final = re.compile(r"[0-9]{1,9}")


def read(path: Path, findings: Findings, options: ReadOptions) -> Iterator[AnnotatedClip]:
    """The clip of one task. Frames are in `images` beside the file, or the task's video is beside it."""
    task = _Task(path, findings, options)
    parse_tracks(path, task.begin, task.track)
    yield task.finish()


def write(clips: Iterable[AnnotatedClip], out: Path, *, findings: Findings, pictures: bool = True) -> None:
    """Write a folder for each clip, with `annotations.xml` and `images`: a task of its own for CVAT."""
    names = ClipNames()
    with new_folder(out) as folder:
        for clip in clips:
            names.take(clip.name)
            home = folder / clip.name
            home.mkdir()
            with (home / FILE_NAME).open("w", encoding="utf-8", newline="\n") as file:
                write_task(clip, file)
            if pictures:
                write_frames(clip.clip, home / PICTURES)
            for one in clip.objects:
                if not one.masklet.visible_frames:
                    note_object(one, findings, Place(clip.name))


class _Task:
    """A task while its file is read."""

    def __init__(self, path: Path, findings: Findings, options: ReadOptions) -> None:
        self._path = path
        self._place = Place(str(path))
        self._findings = findings
        self._options = options
        self._drafts: dict[Key, Draft] = {}
        self._broken: set[Key] = set()
        self._tracks = 0

    def begin(self, meta: Meta) -> None:
        """Find the frames that the file speaks of."""
        if any(key.startswith("project/") for key in meta.texts):
            raise self._place.fault("schema_error", "the file is of a project; export its tasks one by one")
        step = _STEP.search(meta.text("task/frame_filter", "job/frame_filter") or "step=1")
        start = self._whole(meta, "start_frame") or 0
        self._clip = self._find_clip(meta, start, 1 if step is None else int(step[1]))
        num_frames, stated = count_frames(self._clip, self._place), self._whole(meta, "size")
        if stated is not None and stated != num_frames:
            detail = f"the task has {stated} frames, {self._clip.path.name} has {num_frames}"
            raise self._place.fault("track_length_mismatch", detail)
        height, width = self._whole(meta, "original_size/height"), self._whole(meta, "original_size/width")
        size = check_size(self._clip, (height, width) if height and width else None, self._place)
        self._scene = Scene(size, num_frames, start, 1 if step is None else int(step[1]))
        self._name = clip_name(meta.text("task/name", "job/name") or default_clip_name(self._clip))

    def track(self, track: Track) -> None:
        """Take a track; one that cannot be used is counted, and its object dropped."""
        place = self._place.part(f"track {track.given.get('id', '?')} in line {track.line}")
        key = self._key(track)
        self._tracks += 1
        try:
            label = read_words(track.given.get("label"), place)
            draft = self._drafts.setdefault(key, self._draft(label, track, place))
            if draft.label != label:
                raise place.fault("schema_error", f"its object is {draft.label} in an earlier track and {label} here")
            masks = shape_masks(track.shapes, self._scene, place)
            for frame, rle in sorted(masks.rles.items()):
                if key[0] == "group" and rle is not None and frame in draft.masks:
                    draft.masks[frame] = union([draft.masks[frame], rle])  # a group is one object in CVAT's exports
                else:
                    draft.put(frame, rle, place, is_box=masks.are_boxes)
            if masks.added:
                detail = f"{masks.added} frames between or after key frames got the shape CVAT gives them"
                self._findings.note("interpolated_shapes", place.file, place.record, detail)
        except FaultError as error:
            self._findings.take(error)
            self._broken.add(key)

    def finish(self) -> AnnotatedClip:
        """The clip with its objects."""
        objects = []
        for key, number in self._numbers().items():
            if key not in self._broken:
                objects.append(self._drafts[key].finish(number, self._scene.num_frames, self._scene.size))
                note_object(objects[-1], self._findings, self._place)
        return AnnotatedClip(
            self._name,
            self._clip,
            *self._scene.size,
            tuple(sorted(objects, key=_number)),
            self._options.source or "cvat",
            self._options.licence,
        )

    def _find_clip(self, meta: Meta, start: int, step: int) -> ClipOnDisk:
        media = self._options.media
        if media is not None and media.is_file():
            return self._video(media, start, step)
        for folder in (self._path.parent / PICTURES,) if media is None else (media / PICTURES, media):
            try:
                files = folder_images(folder, str(folder))
            except (VideoError, OSError):
                continue
            return FrameClip(folder.parent, folder.name, tuple(file.name for file in files))
        root = self._path.parent if media is None else media
        source = meta.text("task/source", "job/source", "source", "task/name")
        if source is None:
            raise self._place.fault("missing_video", f"there is no folder {PICTURES}, and the file names no video")
        return self._video(find_file((root,), (source,), self._place, "missing_video"), start, step)

    def _video(self, path: Path, start: int, step: int) -> VideoClip:
        if start:
            detail = f"the task begins at frame {start} of its video; export it with images"
            raise self._place.fault("track_length_mismatch", detail)
        return VideoClip(path, every=step)

    def _whole(self, meta: Meta, name: str) -> int | None:
        text = meta.text(f"task/{name}", f"job/{name}", name)
        if text is None:
            return None
        if _WHOLE.fullmatch(text) is None:
            raise self._place.fault("schema_error", f"<{name}> is {text[:40]!r}; it should be a whole number")
        return int(text)

    def _key(self, track: Track) -> Key:
        """Which object a track belongs to."""
        named = track.shapes[0].attributes.get("object", "") if track.shapes else ""
        if _OBJECT.fullmatch(named):
            return "object", named
        group = track.given.get("group_id", "0")
        visible = [shape for shape in track.shapes if shape.given.get("outside") != "1"]
        if group != "0" and len(visible) == 1 and visible[0].kind == "mask":
            return "group", group, track.given.get("label", "")
        return "track", str(self._tracks)

    def _draft(self, label: str, track: Track, place: Place) -> Draft:
        attributes: Mapping[str, str] = track.shapes[0].attributes if track.shapes else {}
        text = attributes.get("text", "").strip()
        others = tuple((name, value) for name, value in attributes.items() if name not in OUR_ATTRIBUTES)
        words = read_words(text, place, "text") if text else None
        return Draft(label, words, attributes.get("crowd") == "true", others)

    def _numbers(self) -> dict[Key, int]:
        """Numbers of the objects: their own where the file has them, else the lowest that are free, in order."""
        own = {key: int(key[1].removeprefix("obj")) for key in self._drafts if key[0] == "object"}
        taken = set(own.values())
        free = (number for number in range(1, len(self._drafts) + len(taken) + 1) if number not in taken)
        return {key: own[key] if key in own else next(free) for key in self._drafts}


def _number(one: AnnotatedObject) -> int:
    return one.number
