"""Clips of our own record files as annotated clips, to be written in any format.

Records of one clip that follow each other in a file become one clip again: an object that they share is the one of the
same name and masks. The dialogues are left behind; what they call an object becomes its label (`labels`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from sama_video.data.checking import record_lines
from sama_video.data.clips import ClipOnDisk, FrameClip, VideoClip, safe_path
from sama_video.data.findings import FaultError, Findings, Place
from sama_video.data.formats.annotated import AnnotatedClip, ClipNames, clip_name, one_line
from sama_video.data.formats.labels import known_object
from sama_video.data.formats.media import check_size, count_frames, video_or_frames
from sama_video.data.formats.options import UNKNOWN_LICENCE
from sama_video.data.json_items import parse
from sama_video.data.records import DialogueRecord, FileClip, NoClip, SceneClip
from sama_video.data.sources.layouts import record_files
from sama_video.data.stores.json_values import Scalar
from sama_video.dialogue.markup import parse_answer
from sama_video.errors import SamaError, VideoError
from sama_video.regions.masklet import Masklet
from sama_video.video.clip import Clip
from sama_video.video.stills import folder_images


def read_record_clips(folder: Path, findings: Findings) -> Iterator[AnnotatedClip]:
    """Clips of the record files in a folder, or of one record file, in their order.

    A scene that is painted on demand is painted into a folder that is gone when the next clip is asked for.

    Args:
        folder: As `sama data check` reads it.
        findings: Takes records and clips that cannot be used.
    """
    names = ClipNames()
    files = record_files(folder) if folder.is_dir() else [folder]
    for file in files:
        records = _records(file, findings)
        for _, group in groupby(records, key=lambda item: item[1].clip):
            same = list(group)
            place, first = same[0]
            if isinstance(first.clip, NoClip):
                for at, _ in same:
                    findings.note("no_clip", at.file, at.record, "the record is about words alone; it is left out")
                continue
            with TemporaryDirectory(prefix="sama-scene-") as scratch:
                try:
                    clip = _clip_of(first, place, Path(scratch))
                    yield _annotated(names.unique(_name_of(first)), clip, [record for _, record in same], place)
                except FaultError as error:
                    findings.take(error)


def paint_frames(clip: Clip, folder: Path) -> FrameClip:
    """Write a clip that is in no file as pictures without loss."""
    folder.mkdir()
    names = tuple(f"{frame:05d}.png" for frame in range(clip.num_frames))
    for frame, pixels in clip.stream():
        Image.fromarray(pixels).save(folder / names[frame])
    return FrameClip(folder.parent, folder.name, names)


def fitted_clip(path: Path, names: Sequence[str], every: int, place: Place) -> ClipOnDisk:
    """A video, a picture or a folder of pictures as a clip.

    Raises:
        FaultError: `missing_video`, or `missing_frame`.
    """
    if path.is_file():
        return video_or_frames(path) if every == 1 else VideoClip(path, every=every)
    if not path.is_dir():
        raise place.fault("missing_video", f"there is no {path}")
    if not names:
        try:
            names = [file.name for file in folder_images(path, str(path))]
        except (VideoError, OSError) as error:
            raise place.fault("missing_frame", str(error)) from None
    absent = next((name for name in names if not (path / name).is_file()), None)
    if absent is not None:
        raise place.fault("missing_frame", f"frame {absent} is not in {path}")
    return FrameClip(path.parent, path.name, tuple(names))


def check_clip(clip: ClipOnDisk, num_frames: int, size: tuple[int, int], place: Place) -> None:
    """Check that a clip is as long and as large as its masks.

    Raises:
        FaultError: `track_length_mismatch`, `mask_size_mismatch`, or the clip cannot be read.
    """
    found = count_frames(clip, place)
    if found != num_frames:
        raise place.fault("track_length_mismatch", f"the masks are of {num_frames} frames, the clip has {found}")
    check_size(clip, size, place)


def _records(file: Path, findings: Findings) -> Iterator[tuple[Place, DialogueRecord]]:
    for place, line in record_lines(file, findings):
        try:
            value = parse(line, place.file, place.record, 0)
            try:
                yield place, DialogueRecord.from_json(value, file.parent)
            except SamaError as error:
                raise place.fault("schema_error", str(error)) from None
        except FaultError as error:
            findings.take(error)


def _name_of(record: DialogueRecord) -> str:
    if not isinstance(record.clip, FileClip):
        return f"scene-{record.clip.seed}" if isinstance(record.clip, SceneClip) else record.record_id
    path = Path(record.clip.path)
    return clip_name(path.name if "." not in path.name else path.stem)


def _clip_of(record: DialogueRecord, place: Place, scratch: Path) -> ClipOnDisk:
    found = record.clip
    if isinstance(found, SceneClip):
        return paint_frames(found.open(), scratch / "frames")
    assert isinstance(found, FileClip)
    assert found.root is not None, "set when it was read"
    path = safe_path(found.root, found.path, place.file, place.record)
    clip = fitted_clip(path, found.names, found.every, place)
    check_clip(clip, found.num_frames, (found.height, found.width), place)
    return clip


def _annotated(name: str, clip: ClipOnDisk, records: Sequence[DialogueRecord], place: Place) -> AnnotatedClip:
    merged: dict[str, _Merged] = {}
    for record in records:
        for masklet in record.objects:
            name_here = _name_among(masklet, merged)
            one = merged.setdefault(name_here, _Merged(masklet))
            one.facts.update(record.facts.get(masklet.object_id, {}))
            one.phrases += _phrases(record, masklet.object_id)
    objects = tuple(
        known_object(replace(one.masklet, object_id=name), one.facts, one.phrases)
        for name, one in zip(_numbered(merged), merged.values(), strict=True)
    )
    first = records[0]
    try:
        return AnnotatedClip(
            name,
            clip,
            first.clip.height,
            first.clip.width,
            objects,
            one_line(first.source, "records"),
            one_line(first.licence, UNKNOWN_LICENCE),
        )
    except SamaError as error:
        raise place.fault("schema_error", str(error)) from None


@dataclass
class _Merged:
    """An object of several records."""

    masklet: Masklet
    facts: dict[str, Scalar] = field(default_factory=dict)
    phrases: list[str] = field(default_factory=list)


def _name_among(masklet: Masklet, merged: dict[str, _Merged]) -> str:
    """The object's own name, unless other records of the clip mean another object by it."""
    name, number = masklet.object_id, 2
    while name in merged and merged[name].masklet.rles != masklet.rles:
        name, number = f"{masklet.object_id} ({number})", number + 1
    return name


def _numbered(names: dict[str, _Merged]) -> list[str]:
    """Names that formats take: `obj` and a number; the own one where it is such, else the lowest that is free."""
    own = {name for name in names if name.startswith("obj") and name[3:].isdecimal() and name[3:].isascii()}
    own = {name for name in own if name[3] != "0" and len(name) <= 12}
    free = (f"obj{number}" for number in range(1, 2 * len(names) + 1) if f"obj{number}" not in own)
    return [name if name in own else next(free) for name in names]


def _phrases(record: DialogueRecord, object_id: str) -> list[str]:
    """Phrases of a record's answers that stand for one object alone."""
    return [
        phrase.text
        for turn in record.turns
        for phrase in parse_answer(turn.answer).phrases
        if phrase.seg is not None and phrase.seg < len(turn.targets) and turn.targets[phrase.seg] == (object_id,)
    ]
