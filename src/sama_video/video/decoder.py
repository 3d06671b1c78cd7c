"""Frames of a container by index: one decoder that runs on, or seeks where that is cheaper."""

import itertools
import warnings
from collections.abc import Iterator, Sequence

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from jaxtyping import UInt8

from sama_video.errors import SamaWarning, VideoError
from sama_video.video.container import AnyPacket, VideoFile, video_stream
from sama_video.video.picture import Picture, RgbConverter
from sama_video.video.timeline import Timeline, decode_packets

# A seek empties the decoder's threads; that costs about as much as decoding this many frames.
SEEK_COST_FRAMES = 12
# Going backwards, decoded frames wait in memory; at most this much and this many at once.
REVERSE_BYTES = 128 * 2**20
REVERSE_FRAMES = 128


class EncodedFrames:
    """Frames of a video file. Keeps at most one idle decoder, which closes with the clip."""

    def __init__(self, video: VideoFile, timeline: Timeline, picture: Picture) -> None:
        self._video = video
        self._timeline = timeline
        self._picture = picture
        self._idle: list[Decoder] = []

    def read(self, frame_indices: Sequence[int]) -> Iterator[tuple[int, UInt8[np.ndarray, "height width 3"]]]:
        """Decode the frames asked for, whichever way they run; only they become RGB."""
        # Taking the idle decoder is atomic, so readers in several threads or half-read streams never share one.
        try:
            decoder = self._idle.pop()
        except IndexError:
            decoder = Decoder(self._video, self._timeline)
        try:
            descending = len(frame_indices) > 1 and frame_indices[0] > frame_indices[-1]
            converter = RgbConverter(self._picture)
            frames = self._backwards(decoder, frame_indices) if descending else decoder.read(frame_indices)
            for idx, frame in frames:
                yield idx, converter.convert(frame)
        finally:
            if self._idle:
                decoder.close()
            else:
                self._idle.append(decoder)

    def sha256(self) -> str:
        """Hash the file's content."""
        return self._video.sha256()

    def close(self) -> None:
        """Close the idle decoder."""
        while self._idle:
            self._idle.pop().close()

    def __getstate__(self) -> dict[str, object]:
        """Leave the open decoder behind, so that clips travel to worker processes."""
        return {**self.__dict__, "_idle": []}

    def _backwards(self, decoder: "Decoder", frame_indices: Sequence[int]) -> Iterator[tuple[int, VideoFrame]]:
        """Decode forwards a bounded stretch at a time and hand each out in reverse."""
        frame_bytes = 3 * self._picture.stored_height * self._picture.stored_width // 2
        stretch = max(8, min(REVERSE_FRAMES, REVERSE_BYTES // frame_bytes))
        done = 0
        while done < len(frame_indices):
            part = frame_indices[done : done + stretch]
            done += len(part)
            yield from reversed(list(decoder.read(part[::-1])))


class Decoder:
    """One open container that knows which frame comes out next."""

    def __init__(self, video: VideoFile, timeline: Timeline) -> None:
        self._video = video
        self._timeline = timeline
        self._container: InputContainer | None = None
        self._careful = False
        self._warned = False
        # The newest frame that came out, and the one before it.
        self._latest: tuple[int, VideoFrame] | None = None
        self._before: tuple[int, VideoFrame] | None = None
        self._start_over()

    def read(self, frame_indices: Sequence[int]) -> Iterator[tuple[int, VideoFrame]]:
        """Yield the frames at ascending indices.

        A frame that cannot be decoded is stood in for by the one before it, as in a player, with one warning.
        """
        for idx in frame_indices:
            found = self._find(idx)
            if (found is None or found[0] != idx) and not self._careful:
                # Threads that decode a frame each lose good frames beside a damaged one.
                self._careful = True
                self._start_over()
                found = self._find(idx)
            if found is None:
                raise VideoError(f"frame {idx} of {self._video.name} is damaged, as is all before it; skip it.")
            if found[0] != idx:
                self._warn_of_damage(idx)
            yield idx, found[1]

    def close(self) -> None:
        """Close the container and end its threads."""
        if self._container is not None:
            self._container.close()

    # PyAV's containers and streams hold each other, so an open one would outlive its decoder by a while.
    __del__ = close

    def _find(self, idx: int) -> tuple[int, VideoFrame] | None:
        """Give the frame a player shows at `idx`, with its own index; None when there is none up to there."""
        if self._is_behind(idx) or self._is_far_ahead(idx):
            self._go_to_key(int(self._timeline.keys[idx]))
        found = self._run_to(idx)
        if found is None and self._landed:
            # Nothing between the key packet and this frame can be decoded: look further back.
            self._start_over()
            found = self._run_to(idx)
        return found

    def _is_behind(self, idx: int) -> bool:
        earliest = self._before or self._latest
        return earliest is not None and idx < earliest[0]

    def _is_far_ahead(self, idx: int) -> bool:
        here = self._latest[0] if self._latest else 0
        return self._timeline.seekable and idx - here > int(self._timeline.distance[idx]) + SEEK_COST_FRAMES

    def _run_to(self, idx: int) -> tuple[int, VideoFrame] | None:
        """Decode on until a frame at or after `idx` is out; give it, or the one before it."""
        while self._latest is None or self._latest[0] < idx:
            decoded = next(self._frames, None)
            if decoded is None:
                break
            self._before, self._latest = self._latest, decoded
        for shown in (self._latest, self._before):
            if shown is not None and shown[0] <= idx:
                return shown
        return None

    def _go_to_key(self, key: int) -> None:
        """Put the decoder at a key packet or, where the container does not land there, at an earlier one."""
        assert self._container is not None
        wanted = self._timeline.key_pts[key]
        step = 1
        while key > 0:
            for stamp in (self._timeline.key_pts[key], self._timeline.key_dts[key]):
                first = self._land(stamp) if stamp is not None else None
                if first is not None and first.pts is not None and first.pts <= wanted:
                    self._begin(itertools.chain([first], self._container.demux(self._stream)), landed=True)
                    return
            key, step = key - step, step * 2
        self._start_over()

    def _land(self, stamp: int) -> AnyPacket | None:
        """Seek, and give the first key packet there, if any."""
        assert self._container is not None
        try:
            self._container.seek(stamp, stream=self._stream)
            return next(packet for packet in self._container.demux(self._stream) if packet.is_keyframe)
        except (av.FFmpegError, StopIteration):
            return None

    def _start_over(self) -> None:
        # Opening anew, because seeking to the start is what odd containers get wrong.
        self.close()
        self._container = self._video.open()
        self._stream = video_stream(self._container, self._video.name)
        if self._careful:
            self._stream.thread_type = "SLICE"
        self._begin(self._container.demux(self._stream))

    def _begin(self, packets: Iterator[AnyPacket], *, landed: bool = False) -> None:
        self._landed = landed
        decoded = decode_packets(packets, self._stream)
        self._frames = _by_stamp(decoded, self._timeline.idx_of) if self._timeline.seekable else enumerate(decoded)
        self._latest = self._before = None

    def _warn_of_damage(self, idx: int) -> None:
        if not self._warned:
            warnings.warn(
                f"{self._video.name} is damaged at frame {idx}; frames that cannot be decoded repeat the one before.",
                SamaWarning,
                stacklevel=2,
            )
        self._warned = True


def _by_stamp(frames: Iterator[VideoFrame], idx_of: dict[int, int]) -> Iterator[tuple[int, VideoFrame]]:
    """Number decoded frames by their time stamps; those that are not shown have none in the table."""
    for frame in frames:
        idx = idx_of.get(frame.pts) if frame.pts is not None else None
        if idx is not None:
            yield idx, frame
