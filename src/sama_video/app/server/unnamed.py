"""Clips whose messages do not tell where they lie: no path of ours ever reaches a caller."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from sama_video.errors import VideoError
from sama_video.video.clip import Clip, FrameSource
from sama_video.video.reader import open_video

CALLED = "the clip"


def unnamed(path: Path) -> Clip:
    """A clip of the store whose messages do not tell where it lies."""
    try:
        clip = open_video(path)
    except VideoError as error:
        raise _without_path(error, path) from None
    return replace(clip, source=CALLED, frame_source=_UnnamedFrames(clip.frame_source, path))


@dataclass(frozen=True)
class _UnnamedFrames:
    """Frames of a clip whose messages do not tell where it lies."""

    source: FrameSource
    path: Path

    def read(self, frame_indices: Sequence[int]) -> Iterator[tuple[int, UInt8[np.ndarray, "height width 3"]]]:
        """Decode the frames asked for."""
        try:
            yield from self.source.read(frame_indices)
        except VideoError as error:
            raise _without_path(error, self.path) from None

    def sha256(self) -> str:
        """The name of the file."""
        return self.path.name

    def close(self) -> None:
        """Let go of open files."""
        self.source.close()


def _without_path(error: VideoError, path: Path) -> VideoError:
    return VideoError(str(error).replace(str(path), CALLED))
