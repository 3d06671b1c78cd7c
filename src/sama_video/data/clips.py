"""Where a record's pixels are: a folder of frame files, or every fourth frame of a video; opened only when asked."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TypeAlias

import numpy as np
from jaxtyping import UInt8

from sama_video.data.findings import FaultError, Place
from sama_video.errors import TruncatedVideoWarning, VideoError
from sama_video.video.clip import Clip, FrameSource
from sama_video.video.reader import open_frame_files, open_video

_PICTURE_SUFFIXES = ("jpg", "jpeg", "png")


def safe_path(root: Path, relative: str, file: str, record: str | None = None) -> Path:
    """Join a path that stands in a data file to the data set's root.

    Links below the root are followed: the official layouts are made of links to other data sets' folders, and a data
    file cannot make one. What a data file can do is write a path, so that is what is judged.

    Args:
        root: Folder that the path may not leave.
        relative: As the data file has it, with slashes.
        file: The data file, for the message.
        record: Where in it.

    Raises:
        FaultError: `unsafe_path`, for a path that is empty, absolute, or has `..`, a backslash, a drive or a NUL.
    """
    parts = PurePosixPath(relative).parts
    if not parts or relative[0] == "/" or not all(_stays(part) for part in parts):
        raise FaultError("unsafe_path", file, record, f"path {relative!r} leaves the data set's folder")
    return root.joinpath(*parts)


def _stays(part: str) -> bool:
    """Whether a folder or file name can only mean something in the folder at hand, on Windows as well."""
    return part != ".." and "\\" not in part and "\0" not in part and not PureWindowsPath(part).drive


def frame_file_name(name: object, place: Place) -> str:
    """The file of a frame from its name in a record: a stem, a file name, or an object with `raw_filename`.

    Raises:
        FaultError: `schema_error`, or `unsafe_path` for a name that is no plain file name.
    """
    if isinstance(name, Mapping):
        name = name.get("raw_filename")
    if not isinstance(name, str) or not name:
        raise place.fault("schema_error", f"a frame is {name!r}; it should be a file name")
    if "/" in name or name == "." or not _stays(name):
        raise place.fault("unsafe_path", f"frame {name!r} is no plain file name")
    stem, dot, suffix = name.rpartition(".")
    return f"{stem if dot and suffix.lower() in _PICTURE_SUFFIXES else name}.jpg"


@dataclass(frozen=True)
class FrameClip:
    """Frames that lie in a folder as one picture file each.

    Attributes:
        root: The data set's root.
        folder: Relative to it, as it is on disk.
        names: File names, suffix included, in time order; never sorted here, for masks come in the record's order.
        fps: Frames per second, where the data set tells; else the reader's value for pictures.
    """

    root: Path
    folder: str
    names: tuple[str, ...]
    fps: float | int = 24

    @property
    def num_frames(self) -> int:
        """Frames of the clip."""
        return len(self.names)

    @property
    def stems(self) -> tuple[str, ...]:
        """The names without suffix, as official predictions are named."""
        return tuple(name.rpartition(".")[0] for name in self.names)

    @property
    def path(self) -> Path:
        """The folder."""
        return self.root / self.folder

    @property
    def paths(self) -> tuple[Path, ...]:
        """The picture files in time order."""
        return tuple(self.path / name for name in self.names)

    @cached_property
    def size(self) -> tuple[int, int]:
        """Height and width of the first frame, as shown."""
        clip = open_frame_files(self.paths[:1], self.folder)
        return clip.height, clip.width

    def open(self) -> Clip:
        """Open the frames without decoding more than the first.

        Raises:
            VideoError: The first file is missing or is no picture.
        """
        return open_frame_files(self.paths, self.folder, fps=self.fps)


@dataclass(frozen=True)
class VideoClip:
    """Every fourth frame of a video file, as SA-V annotates it: the clip's frame t is the file's frame `every * t`."""

    path: Path
    every: int = 4

    @cached_property
    def num_frames(self) -> int:
        """Frames of the clip; reads the file's packets, decodes next to nothing."""
        return self.open().num_frames

    @cached_property
    def size(self) -> tuple[int, int]:
        """Height and width of the frames, as shown."""
        clip = self.open()
        return clip.height, clip.width

    def open(self) -> Clip:
        """Open the video without decoding it.

        Raises:
            VideoError: The file is missing, is no video, or ends before it says it does: its masks count all frames.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("error", TruncatedVideoWarning)
            try:
                whole = open_video(self.path)
            except TruncatedVideoWarning as warning:
                raise VideoError(f"{warning} Fetch the file again: the masks belong to all of its frames.") from None
        return every_nth_frame(whole, self.every)


ClipOnDisk: TypeAlias = FrameClip | VideoClip


def every_nth_frame(clip: Clip, every: int) -> Clip:
    """The frames 0, n, 2n, ... of a clip, `ceil(frames / n)` of them, at their own times; only these are decoded."""
    times = clip.times[::every]
    end = clip.duration
    return replace(
        clip,
        times=times,
        average_fps=len(times) / (end - float(times[0])),
        last_frame_seconds=end - float(times[-1]),
        frame_source=StridedFrames(clip.frame_source, every),
    )


class StridedFrames:
    """Every n-th frame of another source."""

    def __init__(self, source: FrameSource, every: int) -> None:
        self._source = source
        self._every = every

    def read(self, frame_indices: Sequence[int]) -> Iterator[tuple[int, UInt8[np.ndarray, "height width 3"]]]:
        """Decode the frames asked for."""
        inner = [idx * self._every for idx in frame_indices]
        return ((idx // self._every, pixels) for idx, pixels in self._source.read(inner))

    def sha256(self) -> str:
        """Hash of the whole file."""
        return self._source.sha256()

    def close(self) -> None:
        """Let go of open files."""
        self._source.close()
