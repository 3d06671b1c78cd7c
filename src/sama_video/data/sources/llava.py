"""The LLaVA-1.5 mixture: conversations about pictures, and some about none."""

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final

from sama_video.data.clips import FrameClip, safe_path
from sama_video.data.findings import Findings, Place
from sama_video.data.sources.fields import need
from sama_video.data.sources.talks import Talk, read_exchanges, read_rows, talk_file

FILE: Final = "LLaVA-Instruct-150K/llava_v1_5_mix665k.json"
PICTURES: Final = "llava_images"


def read_llava(path: Path, findings: Findings) -> Iterator[Talk]:
    """Conversations in file order. One without a picture has no clip; nothing is put in its place.

    Args:
        path: Holds `LLaVA-Instruct-150K/llava_v1_5_mix665k.json` and `llava_images`; or any file of that form, whose
            pictures are named relative to its folder, or to `llava_images` in it.
        findings: Takes what is dropped.
    """
    file, pictures = talk_file(path, FILE, PICTURES)

    def build(row: Mapping[str, Any], place: Place, findings: Findings) -> Talk:
        name = need(row, "image", str, place) if row.get("image") is not None else None
        clip = None if name is None else picture_clip(pictures, name, place)
        given = row.get("id")
        item_id = str(given) if isinstance(given, int | str) and not isinstance(given, bool) else str(place.record)
        return Talk(item_id, name, clip, read_exchanges(row, place, findings), place)

    return read_rows(file, build, findings)


def picture_clip(root: Path, name: str, place: Place) -> FrameClip:
    """A picture file as a clip of one frame.

    Raises:
        FaultError: `missing_frame` or `unsafe_path`.
    """
    if not safe_path(root, name, place.file, place.record).is_file():
        raise place.fault("missing_frame", f"there is no picture {name} in {root.name}")
    path = PurePosixPath(name)
    return FrameClip(root, str(path.parent), (path.name,))
