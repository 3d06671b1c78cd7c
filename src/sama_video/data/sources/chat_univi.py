"""Chat-UniVi's video conversations: `video_chat.json` beside the folder `Activity_Videos`."""

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final

from sama_video.data.clips import VideoClip, safe_path
from sama_video.data.findings import Findings, Place
from sama_video.data.sources.fields import need, need_id
from sama_video.data.sources.talks import Talk, read_exchanges, read_rows, talk_file

FILE: Final = "video_chat.json"
VIDEOS: Final = "Activity_Videos"


def read_chat_univi(path: Path, findings: Findings) -> Iterator[Talk]:
    """Conversations in file order; all frames of a video are its clip's.

    Args:
        path: Holds `video_chat.json` and `Activity_Videos`; or any file of that form, whose videos are named relative
            to its folder, or to `Activity_Videos` in it.
        findings: Takes what is dropped.
    """
    file, videos = talk_file(path, FILE, VIDEOS)

    def build(row: Mapping[str, Any], place: Place, findings: Findings) -> Talk:
        name = need(row, "video", str, place)
        video = _video_file(videos, name, place)
        turns = read_exchanges(row, place, findings)
        return Talk(need_id(row, "id", place), name, VideoClip(video, every=1), turns, place)

    return read_rows(file, build, findings)


def _video_file(folder: Path, name: str, place: Place) -> Path:
    """The file of that name; a Matroska file that is not there may be there as MP4, into which the set was converted.

    Raises:
        FaultError: `missing_video` or `unsafe_path`.
    """
    names = [name]
    if PurePosixPath(name).suffix == ".mkv":
        names.append(str(PurePosixPath(name).with_suffix(".mp4")))
    for one in names:
        path = safe_path(folder, one, place.file, place.record)
        if path.is_file():
            return path
    raise place.fault("missing_video", f"there is no {' and no '.join(names)} in {folder.name}")
