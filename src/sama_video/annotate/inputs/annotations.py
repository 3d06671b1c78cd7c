"""Annotations of other tools, and folders of clips with boxes or points, as subjects.

{"dog.mp4": [{"frame": 0, "box": [10, 20, 60, 90]},
             {"regions": [{"seconds": 1.5, "points": [[40, 50]]}], "label": "dog", "expressions": ["the brown dog"]}]}
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sama_video.annotate.case import Subject, Thing
from sama_video.annotate.inputs.catalogue import Input, Listed, file_stamp, safe_name
from sama_video.annotate.stages import Json, digest
from sama_video.annotate.subject_json import subject_from_json, subject_to_json
from sama_video.data.building.draft import file_clip
from sama_video.data.clips import VideoClip
from sama_video.data.findings import FaultError, Findings, Place
from sama_video.data.formats import FORMATS, Format, ReadOptions, detect
from sama_video.data.formats.annotated import AnnotatedClip, AnnotatedObject, words_problem
from sama_video.data.formats.options import UNKNOWN_LICENCE
from sama_video.data.record_clips import FileClip
from sama_video.errors import ConfigError, DataError, SamaError, VideoError
from sama_video.regions.shapes import Box, Mask, Region, at_frame, check_region, region_from_json
from sama_video.video.clip import Clip
from sama_video.video.reader import open_video

MAX_PROMPTS = 5
"""Boxes of one object that the tracker starts from; more make no better track and take longer."""

_MOMENTS = frozenset({"frame", "seconds", "box", "points", "mask", "object"})
"""Keys by which an entry is known as a region that stands alone."""


class _Whole(Input):
    """An input whose files give a subject only in passing, so that the list holds each one whole."""

    def load(self, locator: Json) -> Subject:
        """The subject as it was listed."""
        return subject_from_json(locator)


@dataclass(frozen=True)
class AnnotationInput(_Whole):
    """A file or folder in an annotation format; boxes without masks become prompts of the tracker.

    Attributes:
        format: One of `data.formats.FORMATS`, or "auto".
        media, source, licence: As `ReadOptions`.
    """

    path: Path
    format: str = "auto"
    media: Path | None = None
    source: str | None = None
    licence: str | None = None

    def key(self) -> Json:
        """Settings and files."""
        media = None if self.media is None else str(self.media)
        return ["annotations", str(self.path), self.format, media, self.source, self.licence, file_stamp(self.path)]

    def listed(self, findings: Findings) -> Iterator[Listed]:
        """Every clip that has an object."""
        options = ReadOptions(self.media, self.source, self.licence or UNKNOWN_LICENCE)
        for clip in self._format.read(self.path, findings, options):
            try:
                subject = _of_annotated(clip, self.licence)
            except FaultError as error:
                findings.take(error)
                continue
            yield _listed(subject)

    @property
    def _format(self) -> Format:
        if self.format == "auto":
            return detect(self.path)
        if self.format not in FORMATS:
            raise ConfigError(f"format {self.format!r} is unknown; formats are auto, {', '.join(FORMATS)}.")
        return FORMATS[self.format]


@dataclass(frozen=True)
class ClipInput(_Whole):
    """A folder of clips, and a JSON file with what is to be followed in each.

    Attributes:
        prompts: The file; `prompts.json` in the folder if not given.
    """

    folder: Path
    prompts: Path | None = None
    source: str = "clips"
    licence: str = UNKNOWN_LICENCE

    def key(self) -> Json:
        """Settings, the file, and what lies in the folder."""
        if not self.folder.is_dir():
            raise ConfigError(f"input {self.folder} is no folder; give the folder of the clips.")
        if not self._file.is_file():
            raise ConfigError(
                f"input {self._file} is not there; write what is to be followed in each clip into it, or name another "
                "file by prompts."
            )
        # What the file names may lie deeper than the folder's own entries.
        paths = {*self.folder.iterdir(), *(self.folder / name for name in self._entries() if _stays(name))}
        stamps = [_stamp(path, self.folder) for path in sorted(paths) if path.exists()]
        return ["clips", str(self.folder), file_stamp(self._file), self.source, self.licence, stamps]

    def listed(self, findings: Findings) -> Iterator[Listed]:
        """The clips that the file speaks of, in its order."""
        for name, entries in self._entries().items():
            place = Place(str(self._file), name)
            try:
                yield _listed(self._subject(name, entries, place, findings))
            except FaultError as error:
                findings.take(error)

    @property
    def _file(self) -> Path:
        return self.prompts or self.folder / "prompts.json"

    def _entries(self) -> Mapping[str, Json]:
        try:
            document = json.loads(self._file.read_bytes(), object_pairs_hook=_unrepeated)
        except (OSError, ValueError, RecursionError) as error:
            raise DataError(f"{self._file} cannot be read ({error}); give JSON of clips with their boxes.") from error
        if not isinstance(document, Mapping):
            raise DataError(f"{self._file} is a {type(document).__name__}; give an object of clips with their boxes.")
        return document

    def _subject(self, name: str, entries: Json, place: Place, findings: Findings) -> Subject:
        """The clip with its objects; where several are wrong, each is told."""
        clip = self._open(name, place)
        path = Path(name)
        reference = FileClip(path.as_posix(), clip.num_frames, clip.height, clip.width, root=self.folder)
        things: list[Thing] = []
        faults: list[FaultError] = []
        try:
            for number, item in enumerate(_list(entries, "the clip"), start=1):
                try:
                    things.append(_prompted(item, f"obj{number}", clip))
                except SamaError as error:
                    faults.append(place.part(f"object {number}").fault("schema_error", str(error)))
            if faults:
                for fault in faults[:-1]:
                    findings.take(fault)
                raise faults[-1]
            shown = path.stem if (self.folder / path).is_file() else path.name
            return Subject(safe_name(shown), reference, tuple(things), self.source, self.licence, {"file": name})
        except FaultError:
            raise
        except SamaError as error:
            raise place.fault("schema_error", str(error)) from None
        finally:
            clip.close()

    def _open(self, name: str, place: Place) -> Clip:
        if not _stays(name):
            raise place.fault("unsafe_path", f"clip {name!r} leaves the folder")
        if not (self.folder / name).exists():
            raise place.fault("missing_video", f"{name} is not in {self.folder}")
        try:
            path = self.folder / name
            # A file that ends early is refused: its boxes speak of all of its frames.
            return VideoClip(path, every=1).open() if path.is_file() else open_video(path)
        except VideoError as error:
            raise place.fault("unreadable_video", str(error)) from None


def _listed(subject: Subject) -> Listed:
    row = subject_to_json(subject)
    # A folder that is moved holds the same clips.
    placeless = {**row, "clip": subject.clip.to_json()}
    return Listed(subject.subject_id, digest(placeless).hex(), row)


def _of_annotated(clip: AnnotatedClip, licence: str | None) -> Subject:
    """A clip of another tool; groups that nobody took apart are no objects."""
    place = Place(str(clip.clip.path), clip.name)
    objects = [one for one in clip.objects if not one.is_crowd and one.masklet.visible_frames]
    things = tuple(_thing(one, f"obj{number}") for number, one in enumerate(objects, start=1))
    if not things:
        raise place.fault("missing_annotation", "the clip has no object that is visible")
    reference = file_clip(clip.clip, clip.clip.path.parent, clip.size, place)
    return Subject(safe_name(clip.name), reference, things, clip.source, licence or clip.licence, {"clip": clip.name})


def _thing(one: AnnotatedObject, object_id: str) -> Thing:
    texts = () if one.text is None else (one.text,)
    if not one.box_frames:
        return Thing(object_id, replace(one.masklet, object_id=object_id), (), one.label, texts)
    if one.is_box_only:
        prompts: tuple[Region, ...] = tuple(_box(one, frame) for frame in _spread(one.box_frames))
    else:
        masked = [frame for frame in one.masklet.visible_frames if frame not in one.box_frames]
        prompts = tuple(_mask(one, frame) for frame in _spread(masked))
    return Thing(object_id, None, prompts, one.label, texts)


def _box(one: AnnotatedObject, frame: int) -> Box:
    corners = one.masklet.box(frame)
    assert corners is not None, "a box frame shows the object"
    return Box(frame, xyxy=corners)


def _mask(one: AnnotatedObject, frame: int) -> Mask:
    rle = one.masklet.rles[frame]
    assert rle is not None, "a visible frame has a mask"
    return Mask(frame, mask=rle)


def _spread(frames: Sequence[int]) -> list[int]:
    """Some of the frames, evenly, the first among them."""
    count = min(len(frames), MAX_PROMPTS)
    return [frames[place * len(frames) // count] for place in range(count)]


def _prompted(item: Json, object_id: str, clip: Clip) -> Thing:
    """One object of the JSON file: a region alone, or several with words."""
    row: Mapping[str, Json] = item if isinstance(item, Mapping) and not _MOMENTS & item.keys() else {"regions": [item]}
    unknown = [key for key in row if key not in ("regions", "label", "expressions")]
    if unknown:
        raise DataError(f"unknown key {unknown[0]!r}; the keys of an object are regions, label, expressions.")
    if "regions" not in row:
        raise DataError("the object has no regions; give at least one box, mask or points on a frame.")
    prompts = tuple(_prompt(region, clip) for region in _list(row["regions"], "regions"))
    label = row.get("label")
    expressions = tuple(_list(row["expressions"], "expressions")) if row.get("expressions") else ()
    for text in (*expressions, *(() if label is None else (label,))):
        problem = words_problem(text) if isinstance(text, str) else "is no text"
        if problem is not None:
            raise DataError(f"{text!r} {problem}; write plain words.")
    return Thing(object_id, None, prompts, label, expressions)


def _prompt(value: Json, clip: Clip) -> Region:
    """A region on a frame of the clip."""
    region = region_from_json(value)
    prompt = at_frame(region, _frame_of(region, clip))
    check_region(prompt, num_frames=clip.num_frames, height=clip.height, width=clip.width)
    return prompt


def _frame_of(region: Region, clip: Clip) -> int:
    seconds = getattr(region, "seconds", None)
    if seconds is not None:
        return clip.index_at(seconds)
    frame = getattr(region, "frame", None)
    if frame is None:
        raise DataError("a region names an object; give points, a box or a mask on a frame.")
    return int(frame)


def _list(value: Json, name: str) -> list[Json]:
    if not isinstance(value, list) or not value:
        raise DataError(f"{name} holds {value!r}; give a list of at least one.")
    return value


def _unrepeated(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    """A JSON object, whose reader would quietly keep the last of two equal keys."""
    found: dict[str, Json] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"it names {key!r} twice")
        found[key] = value
    return found


def _stays(name: str) -> bool:
    """Whether a clip's name means something below the folder."""
    path = Path(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and "\0" not in name


def _stamp(path: Path, folder: Path) -> list[Json]:
    found = path.stat()
    return [path.relative_to(folder).as_posix(), found.st_size, found.st_mtime_ns]
