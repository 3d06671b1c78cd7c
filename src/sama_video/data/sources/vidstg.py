"""VidSTG's own annotation: sentences about objects of VidOR's videos, each with a span of time and boxes in it.

    annotations/{train,val,test}_annotations.json     [{"vid", "frame_count", "fps", "width", "height",
        "subject/objects": [{"tid", "category"}], "used_segment", "temporal_gt": {"begin_fid", "end_fid"},
        "captions", "questions": [{"description", "type", "target_id"}]}, ...]
    VidOR: VIDEO.json, one list a frame
        {"trajectories": [[{"tid", "bbox": {"xmin", "ymin", "xmax", "ymax"}}, ...], ...]}

Boxes are all there is: the masks that go with SAMA-239K are its own. Spans follow VidOR: the first frame, and the one
after the last.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeAlias

from sama_video.data.clips import VideoClip
from sama_video.data.findings import FaultError, Findings, Place
from sama_video.data.json_items import read_document
from sama_video.data.sources.fields import need, need_id, need_size, rows_of
from sama_video.data.sources.talks import read_rows

SPLITS: Final = ("train", "val", "test")

Tube: TypeAlias = tuple[tuple[int, int, int, int] | None, ...]
"""An object's box on each frame of a video; None where it has none."""


@dataclass(frozen=True)
class TimedSentence:
    """A sentence that singles out an object.

    Attributes:
        is_question: It asks for the object instead of naming it.
        target_id: The object's `tid`, which `VidstgVideo.tube` takes.
        category: What the object is.
    """

    text: str
    is_question: bool
    target_id: str
    category: str


@dataclass(frozen=True)
class VidstgVideo:
    """A part of a video, and sentences about what happens in some of it.

    Attributes:
        clip: All frames of the video.
        num_frames: As the file has it; `segment` and `span` are within.
        segment: Frames that were shown to the people who wrote: first, and after the last.
        span: Frames of which the sentences speak: first, and after the last.
        boxes: VidOR's annotation file.
    """

    video: str
    clip: VideoClip
    num_frames: int
    fps: float
    size: tuple[int, int]
    segment: tuple[int, int]
    span: tuple[int, int]
    sentences: tuple[TimedSentence, ...]
    boxes: Path
    place: Place

    def seconds(self) -> tuple[float, float]:
        """The span in seconds from the video's start."""
        return self.span[0] / self.fps, self.span[1] / self.fps

    def tube(self, target_id: str) -> Tube:
        """An object's boxes, `x0, y0, x1, y1` in pixels, on the frames of the span; None elsewhere.

        Raises:
            FaultError: The boxes' file is damaged or of another video, or the object has no box in the span.
        """
        frames, place = _trajectories(self.boxes), Place(str(self.boxes), f"object {target_id}")
        if len(frames) != self.num_frames:
            detail = f"trajectories of {len(frames)} frames, the sentences count {self.num_frames}"
            raise place.fault("track_length_mismatch", detail)
        boxes: list[tuple[int, int, int, int] | None] = [None] * self.num_frames
        for frame, entries in islice(enumerate(frames), *self.span):
            boxes[frame] = _box(entries, target_id, self.size, place.part(f"frame {frame}"))
        if not any(boxes):
            raise place.fault("missing_annotation", "the object has no box in the sentence's span")
        return tuple(boxes)


def read_vidstg(root: Path, split: str, vidor: Path, findings: Findings) -> Iterator[VidstgVideo]:
    """Entries of a split in file order; no video is opened, and boxes only when they are asked for.

    Args:
        root: Holds `annotations/SPLIT_annotations.json`.
        split: One of `SPLITS`.
        vidor: Holds VidOR's `VIDEO.mp4` and `VIDEO.json`, anywhere up to three folders down, as VidOR has them.
        findings: Takes what is dropped.
    """
    places = _VidorFiles(vidor)

    def build(row: Mapping[str, Any], place: Place, findings: Findings) -> VidstgVideo:
        return _read_video(row, place, places, findings)

    return read_rows(root / "annotations" / f"{split}_annotations.json", build, findings)


class _VidorFiles:
    """VidOR's files by name; the folder is listed once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._files: dict[str, Path] | None = None

    def find(self, name: str, reason: str, place: Place) -> Path:
        if self._files is None:
            patterns = [f"{folders}*.{kind}" for folders in ("", "*/", "*/*/", "*/*/*/") for kind in ("mp4", "json")]
            found = [path for pattern in patterns for path in sorted(self._root.glob(pattern))]
            self._files = {path.name: path for path in reversed(found)}
        if name not in self._files:
            raise place.fault(reason, f"there is no {name} in {self._root}")
        return self._files[name]


def _read_video(row: Mapping[str, Any], place: Place, places: _VidorFiles, findings: Findings) -> VidstgVideo:
    video = need_id(row, "vid", place)
    place = place.part(video)
    fps, num_frames = need(row, "fps", int | float, place), need(row, "frame_count", int, place)
    if not 0 < fps < 1000:
        raise place.fault("schema_error", f"the video has {fps} frames a second")
    categories = {need_id(one, "tid", at): need(one, "category", str, at) for at, one in _objects(row, place)}
    sentences = tuple(_sentences(row, categories, place, findings))
    if not sentences:
        raise place.fault("schema_error", "no sentence can be used")
    return VidstgVideo(
        video=video,
        clip=VideoClip(places.find(f"{video}.mp4", "missing_video", place), every=1),
        num_frames=num_frames,
        fps=float(fps),
        size=need_size(row, place),
        segment=_frames(row, "used_segment", num_frames, place),
        span=_frames(row, "temporal_gt", num_frames, place),
        sentences=sentences,
        boxes=places.find(f"{video}.json", "missing_file", place),
        place=place,
    )


def _objects(row: Mapping[str, Any], place: Place) -> Iterator[tuple[Place, Mapping[str, Any]]]:
    return rows_of(row, "subject/objects", place)


def _sentences(
    row: Mapping[str, Any], categories: Mapping[str, str], place: Place, findings: Findings
) -> Iterator[TimedSentence]:
    for key in ("captions", "questions"):
        for at, one in rows_of(row, key, place):
            try:
                target, text = need_id(one, "target_id", at), need(one, "description", str, at).strip()
                if target not in categories:
                    raise at.fault("missing_annotation", f"object {target} is none of the video's")
                if not text:
                    raise at.fault("schema_error", "the sentence is empty")
            except FaultError as error:
                findings.take(error)
            else:
                yield TimedSentence(text, key == "questions", target, categories[target])


def _frames(row: Mapping[str, Any], key: str, num_frames: int, place: Place) -> tuple[int, int]:
    entry = need(row, key, dict, place)
    begin, end = need(entry, "begin_fid", int, place.part(key)), need(entry, "end_fid", int, place.part(key))
    if not 0 <= begin < end <= num_frames:
        raise place.fault("schema_error", f"{key} is {begin} to {end}, and the video has {num_frames} frames")
    return begin, end


def _box(entries: object, target_id: str, size: tuple[int, int], place: Place) -> tuple[int, int, int, int] | None:
    if not isinstance(entries, list):
        raise place.fault("schema_error", f"a {type(entries).__name__} stands where a list of boxes should")
    for entry in entries:
        if need_id(entry, "tid", place) == target_id:
            sides = need(entry, "bbox", dict, place)
            x0, y0, x1, y1 = (need(sides, key, int, place) for key in ("xmin", "ymin", "xmax", "ymax"))
            if not (0 <= x0 < x1 <= size[1] and 0 <= y0 < y1 <= size[0]):
                raise place.fault("bad_box", f"the box {x0}, {y0}, {x1}, {y1} is empty or leaves the picture")
            return x0, y0, x1, y1
    return None


@lru_cache(maxsize=2)
def _trajectories(path: Path) -> list[object]:
    """The boxes of each frame, kept while a video's objects are asked for one after another."""
    frames: list[object] = need(read_document(path, Findings()), "trajectories", list, Place(str(path)))
    return frames
