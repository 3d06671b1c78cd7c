"""Ref-SAV: expressions for SA-V's videos, whose masks are read from SA-V's own annotation files."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

from sama_video.data.clips import VideoClip, safe_path
from sama_video.data.findings import FaultError, Findings, Place
from sama_video.data.json_items import iterate_object, read_document
from sama_video.data.mask_entries import read_mask
from sama_video.data.mask_files import Track
from sama_video.data.sources.expression_videos import Expression, ExpressionVideo
from sama_video.data.sources.fields import need


@dataclass(frozen=True)
class SavTracks:
    """The masks of one SA-V video: `masklet[t][k]` is object k on frame 4t; the annotation id is k."""

    path: Path

    def __contains__(self, annotation_id: object) -> bool:
        return isinstance(annotation_id, str) and annotation_id.isdecimal()

    def place(self, annotation_id: str) -> Place:
        """Names an object in a finding."""
        return Place(str(self.path), f"object {annotation_id}")

    def fitted(self, annotation_id: str, num_frames: int, size: tuple[int, int]) -> Track:
        """One object's masks.

        Raises:
            FaultError: The file is damaged, has no such object, or counts other frames than the video.
        """
        rows, place = _masklet(self.path), self.place(annotation_id)
        if len(rows) != num_frames:
            detail = f"masklet has {len(rows)} entries, every fourth frame of the video makes {num_frames}"
            raise place.fault("track_length_mismatch", detail)
        column = int(annotation_id)
        if any(column >= len(row) for row in rows):
            raise place.fault("missing_annotation", "masklet has no such column")
        return tuple(
            read_mask(row[column], place.part(f"frame {frame_idx}"), size=size) for frame_idx, row in enumerate(rows)
        )


def read_ref_sav(file: Path, sav_root: Path, findings: Findings) -> Iterator[ExpressionVideo]:
    """Videos of Ref-SAV, in file order; expression and annotation id are the object's column.

    Args:
        file: `Ref-SAV.json`.
        sav_root: What stands for the first part of the paths in it.
        findings: Takes what is dropped.
    """
    members = iterate_object(file, findings)
    while True:
        try:
            name, entry = next(members)
        except StopIteration:
            return
        except FaultError as error:
            findings.take(error)
            return
        try:
            yield _video(name, entry, file, sav_root, findings)
        except FaultError as error:
            findings.take(error)


def _video(name: str, entry: object, file: Path, sav_root: Path, findings: Findings) -> ExpressionVideo:
    place = Place(str(file), name)
    video = below_first_part(need(entry, "video_path", str, place), sav_root, place)
    annotations = below_first_part(need(entry, "anno_path", str, place), sav_root, place)
    if not video.is_file():
        raise place.fault("missing_video", f"there is no file {video}")
    if not annotations.is_file():
        raise FaultError("missing_file", str(annotations), name, "the annotation file is not there")
    expressions = []
    for index, words in need(entry, "objects", dict, place).items():
        try:
            expressions.append(_expression(index, words, place.part(f"object {index}")))
        except FaultError as error:
            findings.take(error)
    return ExpressionVideo(file, name, VideoClip(video), tuple(expressions), None, SavTracks(annotations))


def _expression(index: str, words: object, place: Place) -> Expression:
    if not index.isdecimal():
        raise place.fault("bad_object_key", "the key is no column number")
    text = need(words, "formated", str, place)
    assert isinstance(words, Mapping)
    short = words.get("short_caps", [])
    if not isinstance(short, list) or not all(isinstance(one, str) for one in short):
        raise place.fault("schema_error", "short_caps is no list of texts")
    return Expression(index, text, (index,), (index,), short_texts=tuple(short))


def below_first_part(path: str, root: Path, place: Place) -> Path:
    """A path of the file with its first part replaced by a folder here.

    Raises:
        FaultError: `unsafe_path`.
    """
    safe_path(root, path, place.file, place.record)
    rest = PurePosixPath(*PurePosixPath(path).parts[1:])
    return safe_path(root, str(rest) if rest.parts else "", place.file, place.record)


@lru_cache(maxsize=2)
def _masklet(path: Path) -> list[list[object]]:
    """The masklet of an annotation file, kept while a video's objects are asked for one after another."""
    place = Place(str(path))
    rows: list[list[object]] = need(read_document(path, Findings()), "masklet", list, place)
    if not all(isinstance(row, list) for row in rows):
        raise place.fault("schema_error", "masklet is no list of lists")
    return rows
