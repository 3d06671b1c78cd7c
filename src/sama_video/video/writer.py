"""Frames -> an MP4 that plays everywhere, with the source's timing and sound."""

import os
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace, VideoReformatter
from av.video.stream import VideoStream
from jaxtyping import UInt8

from sama_video.errors import VideoError
from sama_video.video.audio import AudioTrack
from sama_video.video.container import AnyPacket, VideoFile, check_content

SUFFIXES = {".mp4", ".m4v", ".mov"}
# Time stamps of frames that come at times of their own.
FINE_TIME_BASE = Fraction(1, 1_000_000)
# Times this close to an even grid are put on it.
GRID_SLACK_SECONDS = 1e-4
BT709 = 1
LIMITED_RANGE = 1


class VideoWriter:
    """Writes frames to an H.264 file as they come; use it as a context manager.

    The file appears under its name only when the `with` block ends well: until then it is written beside it under a
    hidden name, and an error or interruption removes that. Pixels are yuv420p with the BT.709 matrix, tagged so;
    odd sizes are padded to even ones by repeating the last row and column.

    Attributes:
        last_frame_seconds: How long the last frame stays; as long as the one before it when None. Of no effect with
            `fps`. May be set until the file is closed.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        fps: float | int | None = None,
        audio_from: str | os.PathLike[str] | None = None,
        crf: int = 18,
        preset: str = "veryfast",
    ) -> None:
        """Prepare to write; nothing is created before the first frame.

        Args:
            path: An .mp4, .m4v or .mov file, in a folder that exists; a file of that name is replaced at the end.
            fps: Frames per second. Without it, every frame is written with its own time.
            audio_from: A video file whose sound goes along, if it has any: copied where MP4 can hold it, else as AAC.
            crf: H.264 quality, 0 (lossless) to 51.
            preset: x264's trade of speed for size.
        """
        self._path = Path(path)
        if self._path.suffix.lower() not in SUFFIXES:
            raise VideoError(f"{path} is not an MP4 name; end it in {', '.join(sorted(SUFFIXES))}.")
        if not self._path.parent.is_dir():
            raise VideoError(f"{path} cannot be written: there is no folder {self._path.parent}; make it first.")
        if fps is not None and not (np.isfinite(fps) and fps > 0):
            raise VideoError(f"{path} was given fps={fps}; frames per second must be above 0.")
        self.last_frame_seconds: float | int | None = None
        self._rate = None if fps is None else _simple_rate(fps)
        self._time_base = FINE_TIME_BASE if self._rate is None else 1 / self._rate
        self._audio_path = None if audio_from is None else Path(audio_from)
        self._options = {"crf": str(crf), "preset": preset}
        if self._rate is None:
            # With B-frames FFmpeg's MP4 holds frame lengths in decoding order, and the last one's is lost.
            self._options["bf"] = "0"
        self._temporary = self._path.with_name(f".{self._path.name}.{uuid.uuid4().hex[:8]}.part")
        self._reformatter = VideoReformatter()
        self._output: OutputContainer | None = None
        self._audio: AudioTrack | None = None
        self._num_frames = 0
        self._first_seconds = 0.0
        self._last_pts = -1
        self._last_gap = 0

    def __enter__(self) -> "VideoWriter":
        return self

    def write(self, frame: UInt8[np.ndarray, "height width 3"], seconds: float | int | None = None) -> None:
        """Append a frame.

        Args:
            frame: RGB, of the same size as those before.
            seconds: When it appears; required without `fps`, and then later than the frame before. The first
                frame's time becomes 0 in the file, and the sound is cut to match.
        """
        if self._rate is None and seconds is None:
            raise VideoError(f"frame {self._num_frames} for {self._path} has no time; give seconds, or fps for all.")
        with self._told():
            if frame.dtype != np.uint8 or frame.shape[2:] != (3,):
                raise VideoError(
                    f"frame {self._num_frames} for {self._path} is no uint8 RGB picture; convert it first."
                )
            if self._output is None:
                self._begin(frame, seconds or 0.0)
            if frame.shape != self._shape:
                raise VideoError(
                    f"frame {self._num_frames} for {self._path} is {frame.shape[1]}x{frame.shape[0]}, but the first "
                    f"was {self._shape[1]}x{self._shape[0]}; write frames of one size."
                )
            self._encode(frame, self._next_pts(seconds))

    def close(self) -> None:
        """Finish the file and give it its name."""
        if self._output is None:
            raise VideoError(f"{self._path} was given no frames; write at least one.")
        shown = self._last_frame_duration()
        try:
            with self._told():
                for packet in self._stream.encode(None):
                    if packet.pts == self._last_pts:
                        packet.duration = shown
                    self._mux(packet)
                if self._audio is not None:
                    self._output.mux(list(self._audio.rest(float((self._last_pts + shown) * self._time_base))))
                self._shut()
                os.replace(self._temporary, self._path)
        finally:
            self.discard()

    def discard(self) -> None:
        """Give up: remove what was written so far. After `close` this does nothing."""
        try:
            self._shut()
        finally:
            self._temporary.unlink(missing_ok=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    def _begin(self, frame: UInt8[np.ndarray, "height width 3"], seconds: float | int) -> None:
        self._shape = frame.shape
        self._first_seconds = float(seconds)
        height, width = frame.shape[:2]
        self._output = av.open(str(self._temporary), "w", format="mp4", options={"movflags": "+faststart"})
        codec = "libx264" if "libx264" in av.codecs_available else "h264"
        stream = self._output.add_stream(codec, rate=self._rate or 30, options=self._options)
        assert isinstance(stream, VideoStream)
        self._stream = stream
        self._stream.width, self._stream.height = width + width % 2, height + height % 2
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = self._time_base
        context = self._stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = LIMITED_RANGE
        if self._audio_path is not None and _has_audio(self._audio_path):
            self._audio = AudioTrack(self._audio_path, self._output, starts_at=seconds)

    def _next_pts(self, seconds: float | int | None) -> int:
        if self._rate is not None:
            return self._num_frames
        assert seconds is not None
        pts = round((seconds - self._first_seconds) / self._time_base)
        if pts <= self._last_pts:
            raise VideoError(
                f"frame {self._num_frames} for {self._path} comes at {seconds:g} s, not after the one before; "
                "write frames in time order."
            )
        return pts

    def _last_frame_duration(self) -> int:
        if self._rate is not None:
            return 1
        if self.last_frame_seconds is not None:
            return max(1, round(self.last_frame_seconds / self._time_base))
        return self._last_gap or round(Fraction(1, 24) / self._time_base)

    def _encode(self, pixels: UInt8[np.ndarray, "height width 3"], pts: int) -> None:
        height, width = pixels.shape[:2]
        if height % 2 or width % 2:
            pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        rgb = VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
        frame = self._reformatter.reformat(rgb, format="yuv420p", dst_colorspace=Colorspace.ITU709)
        frame.pts, frame.time_base = pts, self._time_base
        if self._num_frames:
            self._last_gap = pts - self._last_pts
        self._num_frames, self._last_pts = self._num_frames + 1, pts
        for packet in self._stream.encode(frame):
            self._mux(packet)

    def _mux(self, packet: AnyPacket) -> None:
        """Write a packet after the sound that comes before it, so that FFmpeg has nothing to hold back."""
        assert self._output is not None
        if self._audio is not None and packet.pts is not None:
            for sound in self._audio.until(float(packet.pts * packet.time_base)):
                self._output.mux(sound)
        self._output.mux(packet)

    def _shut(self) -> None:
        output, audio = self._output, self._audio
        self._output = self._audio = None
        if audio is not None:
            audio.close()
        if output is not None:
            output.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn FFmpeg's and the disk's refusals into one line."""
        try:
            yield
        except (av.FFmpegError, OSError) as error:
            raise VideoError(f"{self._path} cannot be written ({error.strerror}); check the folder and disk.") from None


def write_video(
    path: str | os.PathLike[str],
    frames: Iterable[UInt8[np.ndarray, "height width 3"]],
    *,
    times: Sequence[float | int] | np.ndarray | None = None,
    fps: float | int | None = None,
    last_frame_seconds: float | int | None = None,
    audio_from: str | os.PathLike[str] | None = None,
    crf: int = 18,
    preset: str = "veryfast",
) -> None:
    """Write frames to an H.264 MP4, one at a time, in bounded memory; see `VideoWriter`.

    Args:
        path: The file to make.
        frames: RGB frames of one size.
        times: When each appears, in seconds, as `clip.times`; an even spacing is recognised.
        fps: Frames per second; needed without `times`, and with them the nominal rate.
        last_frame_seconds: How long the last frame stays when `times` are uneven.
        audio_from: A video file whose sound goes along, if it has any.
        crf: H.264 quality, 0 (lossless) to 51.
        preset: x264's trade of speed for size.
    """
    if times is None and fps is None:
        raise VideoError(f"{path} was given neither times nor fps; give one of them.")
    seconds = None if times is None else np.asarray(times, dtype=np.float64)
    rate = fps if seconds is None else _even_rate(seconds, fps)
    with VideoWriter(path, fps=rate, audio_from=audio_from, crf=crf, preset=preset) as writer:
        count = 0
        for count, frame in enumerate(frames, start=1):
            if seconds is not None and count > len(seconds):
                raise VideoError(f"{path} was given more frames than its {len(seconds)} times; give one time a frame.")
            writer.write(frame, None if seconds is None else float(seconds[count - 1]))
        if seconds is not None and count < len(seconds):
            raise VideoError(f"{path} was given {count} frames but {len(seconds)} times; give one time a frame.")
        writer.last_frame_seconds = last_frame_seconds


def _even_rate(seconds: np.ndarray, fps: float | int | None) -> float | None:
    """Give the frame rate that times keep to, or None when they are uneven."""
    if len(seconds) < 2:
        return None if fps is None else float(fps)
    for rate in ([] if fps is None else [fps]) + [(len(seconds) - 1) / abs(float(seconds[-1] - seconds[0]) or 1)]:
        even = float(_simple_rate(rate))
        grid = seconds[0] + np.arange(len(seconds)) / even
        if np.abs(seconds - grid).max() < GRID_SLACK_SECONDS:
            return even
    return None


def _simple_rate(fps: float | int) -> Fraction:
    """Give the plain fraction meant by a rounded rate: 30000/1001 for 29.97003."""
    if fps >= 1:
        return Fraction(fps).limit_denominator(1001)
    return 1 / Fraction(1 / fps).limit_denominator(1001)


def _has_audio(path: Path) -> bool:
    if path.is_dir():
        return False
    video = VideoFile(str(path), path=path)
    check_content(video)
    with video.open() as container:
        return bool(container.streams.audio)
