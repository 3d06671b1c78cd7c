"""Annotations of other tools as a folder of records that stands by itself: `sama data import`."""

import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from sama_video.data.clips import VideoClip
from sama_video.data.findings import FaultError, Findings, Place
from sama_video.data.formats.annotated import AnnotatedClip, ClipNames
from sama_video.data.formats.dialogues import to_records
from sama_video.data.formats.media import own_frames
from sama_video.data.formats.output import new_folder
from sama_video.data.records import DialogueRecord, write_records
from sama_video.errors import DataError

RECORDS: Final = "records.jsonl"
CLIPS: Final = "clips"


@dataclass
class Counts:
    """What was taken over so far."""

    clips: int = 0
    objects: int = 0
    records: int = 0
    turns: int = 0

    def to_json(self) -> dict[str, Any]:
        """The counts in the documents of `sama data import` and `export`."""
        return {name: count for name, count in vars(self).items() if count}


def import_clips(
    clips: Iterable[AnnotatedClip],
    out: Path,
    findings: Findings,
    advance: Callable[[int], None],
    *,
    seed: int = 0,
    max_turns: int = 8,
) -> Counts:
    """Write `records.jsonl`, and the clips it speaks of to `clips`; the folder appears whole or not at all.

    Args:
        clips: Of any format; taken one at a time.
        out: A folder that is not there yet, or empty.
        findings: Takes clips without an object, and those whose pictures cannot be copied.
        advance: Told of each clip.
        seed, max_turns: As `to_records`.

    Raises:
        DataError: The folder cannot be written, or no clip has an object.
    """
    counts = Counts()
    with new_folder(out) as folder:

        def records() -> Iterator[DialogueRecord]:
            names = ClipNames()
            for clip in clips:
                advance(1)
                yield from _records(clip, folder, names, findings, counts, seed, max_turns)

        write_records(folder / RECORDS, records())
        if not counts.records:
            raise DataError(f"there is nothing to import{told(findings)}; correct the annotations, or give others.")
    return counts


def told(findings: Findings) -> str:
    """The first thing that was found wrong, in brackets; nothing if there is none."""
    first = next((row for row in findings.rows if row.is_fault), None)
    return "" if first is None else f" ({first.file}: {first.detail})"


def _records(
    clip: AnnotatedClip,
    folder: Path,
    names: ClipNames,
    findings: Findings,
    counts: Counts,
    seed: int,
    max_turns: int,
) -> Iterator[DialogueRecord]:
    place = Place(str(clip.clip.path), clip.name)
    try:
        if not any(one.masklet.visible_frames for one in clip.objects):
            raise place.fault("missing_annotation", "the clip has no object that is visible")
        named = replace(clip, name=names.unique(clip.name))
        own = _own_clip(named, folder / CLIPS, place)
    except FaultError as error:
        findings.take(error)
        return
    counts.clips += 1
    counts.objects += len(clip.objects)
    for record in to_records(own, folder, seed=seed, max_turns=max_turns):
        counts.records += 1
        counts.turns += len(record.turns)
        yield record


def _own_clip(clip: AnnotatedClip, folder: Path, place: Place) -> AnnotatedClip:
    """The clip as a copy below a folder: a whole video as it is, anything else as its frames."""
    folder.mkdir(exist_ok=True)
    on_disk = clip.clip
    try:
        if isinstance(on_disk, VideoClip) and on_disk.every == 1:
            copy = folder / f"{clip.name}{on_disk.path.suffix}"
            shutil.copyfile(on_disk.path, copy)
            return replace(clip, clip=VideoClip(copy, every=1))
        return own_frames(clip, folder)
    except (OSError, DataError) as error:
        raise place.fault("unreadable_video", str(error)) from None
