"""VideoRefer-700K and files of its training form: conversations about marked objects of videos.

    [{"id", "video", "conversations": [...], "annotation": [{FRAME: {"segmentation": run lengths or polygons}}, ...]}]

The `<region>` tags of all questions stand for the objects in order, a tag an object. Frames are numbered as in the
video file; nothing public says otherwise, so a number past the video's end is a fault where masks are asked for.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sama_video.data.clips import VideoClip, safe_path
from sama_video.data.findings import Findings, Place
from sama_video.data.sources.fields import need, numbered
from sama_video.data.sources.talks import Exchange, read_exchanges, read_rows
from sama_video.data.sources.videorefer import MarkedObject, marked_object
from sama_video.dialogue.markup import REGION_TAG
from sama_video.regions.rle import Rle


@dataclass(frozen=True)
class ReferTalk:
    """A conversation about marked objects of a video.

    Attributes:
        item_id: The file's own id, or the position of its record.
        objects: One for each `<region>` tag of the questions, in order.
    """

    item_id: str
    video: str
    clip: VideoClip
    turns: tuple[Exchange, ...]
    objects: tuple[MarkedObject, ...]
    place: Place

    def objects_of(self, turn: Exchange) -> tuple[MarkedObject, ...]:
        """The objects that a turn's question points at."""
        before = sum(other.question.count(REGION_TAG) for other in self.turns if other.round_idx < turn.round_idx)
        return self.objects[before : before + turn.question.count(REGION_TAG)]

    def masks(self, marked: MarkedObject) -> dict[int, Rle]:
        """An object's masks by frame of the clip, of the frames that have one.

        Raises:
            FaultError: `track_length_mismatch`, `bad_rle`, `mask_size_mismatch`, or `prompt_never_visible`.
        """
        if marked.entries and max(marked.entries) >= self.clip.num_frames:
            detail = f"frame {max(marked.entries)} has a mask, and the video has {self.clip.num_frames} frames"
            raise marked.place.fault("track_length_mismatch", detail)
        found = {frame: marked.mask(frame, self.clip.size) for frame in marked.entries}
        masks = {frame: rle for frame, rle in found.items() if rle is not None}
        if not masks:
            raise marked.place.fault("prompt_never_visible", "the object has no mask on any frame")
        return masks


def annotation_files(path: Path, findings: Findings) -> tuple[Path, ...]:
    """The published JSON files of a folder, in the order of their names; a file stands for itself."""
    files = (path,) if path.is_file() else tuple(sorted(path.glob("*.json")))
    if not files:
        findings.fault("missing_file", str(path), None, "there is no annotation file (*.json)")
    return files


def read_videorefer_700k(file: Path, videos: Path, findings: Findings) -> Iterator[ReferTalk]:
    """Conversations in file order; no video is opened.

    Args:
        file: One of the published JSON files.
        videos: Folder that the videos' paths are relative to.
        findings: Takes what is dropped. Tags belong to objects by counting, so a record that loses a turn is dropped
            whole, as is one whose tags and objects differ in number.
    """

    def build(row: Mapping[str, Any], place: Place, findings: Findings) -> ReferTalk:
        video = need(row, "video", str, place)
        path = safe_path(videos, video, place.file, place.record)
        if not path.is_file():
            raise place.fault("missing_video", f"there is no {video}")
        turns = _all_turns(row, place, findings)
        marked = numbered(need(row, "annotation", list, place), "object", place)
        objects = tuple(_with_masks(entry, at) for at, entry in marked)
        tags = sum(turn.question.count(REGION_TAG) for turn in turns)
        if tags != len(objects):
            detail = f"the questions have {tags} {REGION_TAG}, the record {len(objects)} objects"
            raise place.fault("region_count_mismatch", detail)
        given = row.get("id")
        item_id = str(given) if isinstance(given, int | str) and not isinstance(given, bool) else str(place.record)
        return ReferTalk(item_id, video, VideoClip(path, every=1), turns, objects, place)

    return read_rows(file, build, findings)


def _all_turns(row: Mapping[str, Any], place: Place, findings: Findings) -> tuple[Exchange, ...]:
    """Every turn; the first that cannot be used is the record's fault."""
    strict = Findings(strict=True)
    turns = read_exchanges(row, place, strict)
    for noted in strict.rows:
        findings.note(noted.reason, noted.file, noted.record, noted.detail)
    return turns


def _with_masks(entry: Mapping[str, Any], place: Place) -> MarkedObject:
    """An object that has a mask somewhere; the published files hold some that have none."""
    marked = marked_object(entry, place)
    if all(mask is None for mask in marked.entries.values()):
        raise place.fault("missing_annotation", "the object has no mask on any frame")
    return marked
