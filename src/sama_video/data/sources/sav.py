"""SA-V's training videos with their own masklets: `sav_XXX/VIDEO.mp4` beside `VIDEO_manual.json` and `VIDEO_auto.json`.

The masklets have no words. Masks come six to the second, one for every fourth frame, and the clip is those frames.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, Literal, TypeAlias

from sama_video.data.clips import VideoClip
from sama_video.data.findings import FaultError, Findings, Place
from sama_video.data.json_items import read_document
from sama_video.data.mask_files import Track
from sama_video.data.sources.fields import need
from sama_video.data.sources.ref_sav import SavTracks

Kind: TypeAlias = Literal["manual", "auto"]
EVERY: Final = 4
MAX_SIDE: Final = 2**15


@dataclass(frozen=True)
class SavVideo:
    """A video and its masklets of one kind.

    Attributes:
        kind: Drawn by people, or found by a model.
        object_ids: The masklets' columns, which `track` takes.
        stated_size: Height and width as the annotation file has them.
    """

    video_id: str
    clip: VideoClip
    kind: Kind
    object_ids: tuple[str, ...]
    stated_size: tuple[int, int]
    tracks: SavTracks

    @cached_property
    def size(self) -> tuple[int, int]:
        """Height and width of the frames."""
        return self.clip.size

    def track(self, object_id: str) -> Track:
        """One object's masks, one entry for each frame of the clip.

        Raises:
            FaultError: The track is damaged, or of another length or size than the video.
        """
        return self.tracks.fitted(object_id, self.clip.num_frames, self.size)


def read_sav(root: Path, findings: Findings, kind: Kind = "manual") -> Iterator[SavVideo]:
    """Videos in the order of their paths; an annotation file is opened when its video's turn comes, no video is.

    Args:
        root: Holds the folders `sav_XXX`, or is one of them.
        findings: Takes what is dropped, and a video without manual masklets. Not every video has automatic ones.
        kind: Which masklets.
    """
    files = sorted([*root.glob("sav_*.mp4"), *root.glob("sav_*/sav_*.mp4")])
    if not files:
        findings.fault("missing_video", str(root), None, "there is no sav_XXX/VIDEO.mp4")
    for path in files:
        annotations = path.with_name(f"{path.stem}_{kind}.json")
        try:
            if not annotations.is_file():
                if kind == "auto":
                    continue
                raise FaultError("missing_file", str(annotations), path.stem, "the annotation file is not there")
            yield _read_video(path, annotations, kind)
        except FaultError as error:
            findings.take(error)


def _read_video(path: Path, annotations: Path, kind: Kind) -> SavVideo:
    place = Place(str(annotations), path.stem)
    document = read_document(annotations, Findings())
    if need(document, "video_id", str, place) != path.stem:
        raise place.fault("schema_error", "the file is of another video")
    rows = need(document, "masklet", list, place)
    counts = {len(row) if isinstance(row, list) else -1 for row in rows}
    if len(counts) != 1 or -1 in counts:
        raise place.fault("schema_error", "masklet is no list of lists of one length")
    num_objects = counts.pop()
    if need(document, "masklet_num", int, place) != num_objects:
        raise place.fault("schema_error", f"masklet_num is not {num_objects}, which masklet has")
    size = _side(document, "video_height", place), _side(document, "video_width", place)
    ids = tuple(str(column) for column in range(num_objects))
    return SavVideo(path.stem, VideoClip(path, every=EVERY), kind, ids, size, SavTracks(annotations))


def _side(document: object, key: str, place: Place) -> int:
    """A side in pixels, which the files write as a number with a point."""
    value = need(document, key, int | float, place)
    if not (1 <= value <= MAX_SIDE and value == int(value)):
        raise place.fault("schema_error", f"{key} is {value}, which is no number of pixels")
    return int(value)
