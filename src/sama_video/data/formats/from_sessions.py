"""Saved sessions as annotated clips: their objects, called what the answers call them.

A session is a folder with `answers.json` (schema `sama-session/1`) and `masklets/OBJ.json`, as `ChatSession.save` and
`--out` of `sama chat` and `sama track` write it.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from zipfile import BadZipFile

import numpy as np

from sama_video.data.clips import ClipOnDisk, VideoClip, safe_path
from sama_video.data.findings import FaultError, Findings, Place
from sama_video.data.formats.annotated import AnnotatedClip, AnnotatedObject, ClipNames, clip_name
from sama_video.data.formats.from_records import check_clip, fitted_clip, paint_frames
from sama_video.data.formats.labels import called_object
from sama_video.data.formats.options import UNKNOWN_LICENCE
from sama_video.data.json_items import read_document
from sama_video.data.sources.fields import need, need_size, rows_of
from sama_video.errors import SamaError
from sama_video.regions.masklet import Masklet
from sama_video.video.clip import Clip

ANSWERS: Final = "answers.json"
STATE: Final = "session.json"
FRAMES: Final = "frames.npz"
SCHEMA: Final = "sama-session/1"
SOURCE: Final = "sama-session"


def session_folders(folder: Path) -> list[Path]:
    """The session that a folder is, or those directly below it, sorted; empty if there is none."""
    if (folder / ANSWERS).is_file():
        return [folder]
    return sorted(path.parent for path in folder.glob(f"*/{ANSWERS}"))


def read_session_clips(folder: Path, findings: Findings, media: Path | None = None) -> Iterator[AnnotatedClip]:
    """Clips of the sessions in a folder, in the order of their names.

    A clip that the session holds itself, because it came from no file, is put into a folder that is gone when the next
    one is asked for.

    Args:
        folder: A session, or a folder of sessions.
        findings: Takes sessions that cannot be used.
        media: The video, or the folder that it lies in, if it is no longer where the session names it.
    """
    names = ClipNames()
    for session in session_folders(folder):
        with ExitStack() as stack:
            try:
                yield _read_session(session, media, names, stack)
            except FaultError as error:
                findings.take(error)


def _read_session(folder: Path, media: Path | None, names: ClipNames, stack: ExitStack) -> AnnotatedClip:
    place = Place(str(folder / ANSWERS))
    document = read_document(folder / ANSWERS, Findings())
    schema = need(document, "schema", str, place)
    if schema != SCHEMA:
        raise place.fault("schema_error", f"the schema is {schema!r}, not {SCHEMA!r}")
    video = need(document, "video", dict, place)
    source, size = need(video, "source", str, place), need_size(video, place)
    clip = _clip(folder, source, media, place, stack)
    check_clip(clip, need(video, "frames", int, place), size, place)
    _check_hash(clip, video, place)
    phrases = _phrases(document, place)
    objects = tuple(_object(folder, row, phrases, at) for at, row in rows_of(document, "objects", place))
    try:
        return AnnotatedClip(
            names.unique(clip_name(Path(source).stem or folder.name)), clip, *size, objects, SOURCE, UNKNOWN_LICENCE
        )
    except SamaError as error:
        raise place.fault("schema_error", str(error)) from None


def _clip(folder: Path, source: str, media: Path | None, place: Place, stack: ExitStack) -> ClipOnDisk:
    """Where the session's pixels are: with it, where somebody says, or where it says."""
    if (folder / FRAMES).is_file():
        scratch = Path(stack.enter_context(TemporaryDirectory(prefix="sama-session-")))
        return paint_frames(_stored_clip(folder / FRAMES, place), scratch / "frames")
    name = Path(source).name
    given = [] if media is None else [media / name, media] if media.is_dir() else [media]
    places = given or [Path(source), folder / name, *_last_path(folder)]
    path = next((path for path in places if path.is_file()), None)
    path = path or next((path for path in places if path.is_dir()), None)
    if path is None:
        raise place.fault("missing_video", f"{source} is not where the session was held; say where it is with --media")
    return fitted_clip(path, (), 1, place)


def _last_path(folder: Path) -> list[Path]:
    """Where the video lay when the session was saved, which `session.json` keeps."""
    try:
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []  # a session that somebody sent need not have it
    path = state.get("path") if isinstance(state, Mapping) else None
    return [Path(path)] if isinstance(path, str) and path and "\0" not in path else []


def _stored_clip(path: Path, place: Place) -> Clip:
    try:
        with np.load(path, allow_pickle=False) as stored:
            frames, times = stored["frames"], stored["times"]
            return Clip.from_frames(frames, times=times, source=path.name)
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, SamaError) as error:
        raise Place(str(path)).fault("unreadable_video", f"the stored frames cannot be read ({error})") from None


def _check_hash(clip: ClipOnDisk, video: Mapping[str, Any], place: Place) -> None:
    """Refuse a video file whose content is not that of the session; pictures were checked by number and size."""
    if isinstance(clip, VideoClip) and clip.open().sha256 != need(video, "sha256", str, place):
        raise place.fault("unreadable_video", f"{clip.path} is not the video of the session: its content differs")


def _object(folder: Path, row: Mapping[str, Any], phrases: Mapping[str, list[str]], place: Place) -> AnnotatedObject:
    name = need(row, "id", str, place)
    path = safe_path(folder, need(row, "masklet", str, place), place.file, place.record)
    try:
        masklet = Masklet.from_json(read_document(path, Findings()))
        if masklet.object_id != name:
            raise place.fault("schema_error", f"{path.name} is of {masklet.object_id}, not of {name}")
        return called_object(masklet, phrases.get(name, []))
    except FaultError:
        raise
    except SamaError as error:
        raise Place(str(path)).fault("bad_rle", str(error)) from None


def _phrases(document: object, place: Place) -> dict[str, list[str]]:
    """What the answers call each object."""
    found: dict[str, list[str]] = {}
    for at, turn in rows_of(document, "turns", place):
        for here, phrase in rows_of(turn, "phrases", at):
            if isinstance(phrase.get("object"), str):
                found.setdefault(phrase["object"], []).append(need(phrase, "text", str, here))
    return found
