"""Clip: a video's frames, decoded on demand, with exact display times."""

import hashlib
import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol, SupportsIndex, runtime_checkable

import numpy as np
from jaxtyping import Float64, UInt8

from sama_video.errors import VideoError

# Times that went through JSON or a person's rounding may fall a hair before the frame they mean.
TIME_SLACK_SECONDS = 1e-6


@runtime_checkable
class FrameSource(Protocol):
    """Where a clip's pixels come from. Frame indices are valid when they get here."""

    def read(self, frame_indices: Sequence[int]) -> Iterator[tuple[int, UInt8[np.ndarray, "height width 3"]]]:
        """Yield the given frames; indices are distinct, and all ascend or all descend."""
        ...

    def sha256(self) -> str:
        """Hash what the pixels were read from."""
        ...

    def close(self) -> None:
        """Let go of open files; a later read opens them again."""
        ...


@dataclass(frozen=True, eq=False)
class Clip:
    """Frames decoded from a video on demand, with exact display times.

    `frames[i]` is the i-th frame a player shows, upright, RGB. Nothing is decoded before it is asked for. Pixels are
    those stored: a sample aspect ratio other than 1 is not applied, so that coordinates stay whole pixels. Transparent
    pixels are shown over black.

    Attributes:
        source: The path as given, `<array>` or `<bytes>`.
        times: When each frame appears, in seconds, ascending. For a video the first shown frame is at 0.
        average_fps: Frames per second over the whole clip; for variable rates only a summary.
        last_frame_seconds: How long the last frame stays.
        has_audio: Whether `source` also has sound.
    """

    source: str
    height: int
    width: int
    times: Float64[np.ndarray, " frames"] = field(repr=False)
    average_fps: float
    last_frame_seconds: float
    has_audio: bool
    frame_source: FrameSource = field(repr=False)

    @classmethod
    def from_frames(
        cls,
        frames: np.ndarray | Sequence[np.ndarray],
        *,
        fps: float | int | None = None,
        times: Sequence[float | int] | np.ndarray | None = None,
        source: str = "<array>",
    ) -> "Clip":
        """Make a clip of frames already in memory; they are not copied when they come as one array.

        Args:
            frames: uint8 RGB frames in time order, shaped (frames, height, width, 3).
            fps: Frames per second; 24 when neither it nor `times` is given.
            times: When each frame appears, in seconds, strictly ascending, kept as given; instead of `fps`.
            source: What the clip is called in messages.
        """
        pixels = _as_frames(frames, source)
        seconds, last_seconds = _as_times(len(pixels), fps, times, source)
        return cls(
            source=source,
            height=pixels.shape[1],
            width=pixels.shape[2],
            times=seconds,
            average_fps=len(pixels) / float(seconds[-1] + last_seconds - seconds[0]),
            last_frame_seconds=last_seconds,
            has_audio=False,
            frame_source=ArrayFrames(pixels),
        )

    @property
    def num_frames(self) -> int:
        """How many frames a player shows."""
        return len(self.times)

    def __len__(self) -> int:
        return self.num_frames

    @property
    def duration(self) -> float:
        """When the last frame ends, in seconds."""
        return float(self.times[-1]) + self.last_frame_seconds

    @cached_property
    def sha256(self) -> str:
        """Hash of the file's content, of an array's bytes, or of a folder's file names and contents."""
        return self.frame_source.sha256()

    def index_at(self, seconds: float | int) -> int:
        """Give the frame shown at a time; the very end counts as the last frame.

        >>> Clip.from_frames(np.zeros((3, 4, 4, 3), np.uint8), fps=10).index_at(0.15)
        1
        """
        if not self.times[0] - TIME_SLACK_SECONDS <= seconds <= self.duration + TIME_SLACK_SECONDS:
            raise VideoError(
                f"{seconds:g} s is outside {self.source}, which runs from {self.times[0]:g} to {self.duration:g} s; "
                "give a time within it."
            )
        return max(0, int(np.searchsorted(self.times, seconds + TIME_SLACK_SECONDS, side="right")) - 1)

    def frame(self, frame_idx: SupportsIndex) -> UInt8[np.ndarray, "height width 3"]:
        """Decode one frame."""
        pixels: np.ndarray = self.frames([frame_idx])[0]
        return pixels

    def frames(self, frame_indices: Sequence[SupportsIndex] | np.ndarray) -> UInt8[np.ndarray, "frames height width 3"]:
        """Decode the given frames, in the order given; repeats are decoded once. No indices give an empty array."""
        wanted = [self._check_index(idx) for idx in frame_indices]
        rows: dict[int, list[int]] = {}
        for row, idx in enumerate(wanted):
            rows.setdefault(idx, []).append(row)
        out = np.empty((len(wanted), self.height, self.width, 3), np.uint8)
        for idx, pixels in self.frame_source.read(sorted(rows)):
            out[rows[idx]] = pixels
        return out

    def stream(
        self, start: int = 0, stop: int | None = None, step: int = 1
    ) -> Iterator[tuple[int, UInt8[np.ndarray, "height width 3"]]]:
        """Yield (frame index, pixels) in bounded memory, however long the clip.

        The arguments are those of `range`, with `stop` None for "to that end of the clip": `stream(step=2)` gives
        every second frame, `stream(95, step=-1)` frames 95 to 0. Each stream has a decoder of its own.
        """
        if step == 0:
            raise VideoError("step 0 would never leave the first frame; use a positive or negative step.")
        if stop is None:
            stop = self.num_frames if step > 0 else -1
        wanted = range(start, stop, step)
        for idx in (*wanted[:1], *wanted[-1:]):
            self._check_index(idx)
        return self.frame_source.read(wanted)

    def close(self) -> None:
        """Let go of open files now rather than when the clip is collected; a later read opens them again."""
        self.frame_source.close()

    def _check_index(self, frame_idx: SupportsIndex) -> int:
        idx = operator.index(frame_idx)
        if not 0 <= idx < self.num_frames:
            raise VideoError(
                f"frame {idx} asked of {self.source}, which has {self.num_frames} frames (0-{self.num_frames - 1}); "
                "frames count within the clip, clip.index_at(seconds) finds one by time."
            )
        return idx


class ArrayFrames:
    """Frames that lie in memory as one array; `content_sha256` hashes the file they came from, if they did."""

    def __init__(
        self, pixels: UInt8[np.ndarray, "frames height width 3"], content_sha256: Callable[[], str] | None = None
    ) -> None:
        self._pixels = pixels
        self._content_sha256 = content_sha256

    def read(self, frame_indices: Sequence[int]) -> Iterator[tuple[int, UInt8[np.ndarray, "height width 3"]]]:
        """Yield views of the array."""
        return ((idx, self._pixels[idx]) for idx in frame_indices)

    def sha256(self) -> str:
        """Hash the file, or else the frames' bytes."""
        if self._content_sha256 is not None:
            return self._content_sha256()
        digest = hashlib.sha256()
        for frame in self._pixels:
            digest.update(np.ascontiguousarray(frame).tobytes())
        return digest.hexdigest()

    def close(self) -> None:
        """Nothing is open."""


def _as_frames(frames: object, source: str) -> UInt8[np.ndarray, "frames height width 3"]:
    if isinstance(frames, (list, tuple)):
        if len({np.shape(frame) for frame in frames}) > 1:
            shapes = sorted({str(np.shape(frame)) for frame in frames})
            raise VideoError(f"{source} has frames of different shapes: {', '.join(shapes)}; make them one size first.")
        frames = np.stack(frames) if frames else np.empty((0, 0, 0, 3), np.uint8)
    if not isinstance(frames, np.ndarray) or frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8:
        given = f"{frames.dtype} {frames.shape}" if isinstance(frames, np.ndarray) else type(frames).__name__
        raise VideoError(f"{source} is {given}; give uint8 RGB frames shaped (frames, height, width, 3).")
    if frames.size == 0:
        raise VideoError(f"{source} has no frames (shape {frames.shape}); give at least one.")
    return frames


def _as_times(
    num_frames: int, fps: float | int | None, times: Sequence[float | int] | np.ndarray | None, source: str
) -> tuple[Float64[np.ndarray, " frames"], float]:
    """Give each frame's time and how long the last frame stays."""
    if fps is not None and not (np.isfinite(fps) and fps > 0):
        raise VideoError(f"{source} was given fps={fps}; frames per second must be above 0.")
    if times is None:
        rate = 24.0 if fps is None else float(fps)
        return np.arange(num_frames, dtype=np.float64) / rate, 1 / rate
    seconds = np.array(times, dtype=np.float64)
    if seconds.shape != (num_frames,):
        raise VideoError(f"{source} has {num_frames} frames but {seconds.size} times; give one time a frame.")
    gaps = np.diff(seconds)
    if not np.isfinite(seconds).all() or (gaps <= 0).any():
        raise VideoError(f"{source} has times that do not ascend; give each frame a later time than the one before.")
    if fps is not None:
        return seconds, 1 / float(fps)
    return seconds, float(np.median(gaps)) if num_frames > 1 else 1 / 24
