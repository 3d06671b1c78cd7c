"""When each frame is shown and where decoding may begin, read from a container without decoding it."""

import itertools
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from jaxtyping import Float64, Int64

from sama_video.errors import TruncatedVideoWarning, VideoError
from sama_video.video.container import AnyPacket, VideoFile, video_stream
from sama_video.video.picture import Picture

# The packets' story is checked against what this many decoded frames say.
CHECKED_FRAMES = 8
# Frames at the very start of a cut recording may lack what they refer to; players begin after them.
MAX_LEADING_FRAMES = 64
# How much before the container's stated end its streams may stop: sound and pictures rarely end together.
END_SLACK_SECONDS = 0.25
# Packets of these do not say when their frame is shown, whatever FFmpeg guesses.
UNTIMED = {("avi", "h264"), ("avi", "hevc")}
# Only these write down when they end, as a length or as a time stamp; for others FFmpeg estimates it.
STATES_LENGTH = {"mov", "avi", "asf"}
STATES_END = {"matroska", "flv"}
FALLBACK_FPS = Fraction(24)


@dataclass(frozen=True, eq=False)
class Timeline:
    """When each shown frame appears and where decoding may begin.

    Attributes:
        pts: Each shown frame's time stamp, strictly ascending.
        keys: For each frame, the row of `key_pts` to decode from; row 0 stands for the start of the file.
        distance: Packets to decode from that key packet up to the frame.
        key_pts: Time stamps of the key packets, in file order.
        key_dts: Their decoding time stamps, where the container has them.
        seekable: Whether decoded frames carry `pts`; if not, frames are found by counting from the start.
        times: `pts` in seconds, the first frame at 0.
        last_frame_seconds: How long the last frame stays.
        average_fps: The container's rate where the frames bear it out, else the measured one.
    """

    pts: Int64[np.ndarray, " frames"]
    keys: Int64[np.ndarray, " frames"]
    distance: Int64[np.ndarray, " frames"]
    key_pts: tuple[int, ...]
    key_dts: tuple[int | None, ...]
    seekable: bool
    times: Float64[np.ndarray, " frames"]
    last_frame_seconds: float
    average_fps: float

    @cached_property
    def idx_of(self) -> dict[int, int]:
        """Frame index of each time stamp."""
        return {int(pts): idx for idx, pts in enumerate(self.pts)}


@dataclass
class _Scan:
    """What demuxing found: a row for each packet of a shown frame and for each key packet, in file order."""

    pts: list[int | None] = field(default_factory=list)
    durations: list[int] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    key_pts: list[int] = field(default_factory=list)
    key_dts: list[int | None] = field(default_factory=list)
    key_numbers: list[int] = field(default_factory=list)
    num_packets: int = 0
    end_seconds: float = 0.0
    broken: bool = False


def read_timeline(video: VideoFile) -> tuple[Timeline, Picture, bool]:
    """Index a video by its packets; give its timeline, its picture geometry and whether it has sound.

    The packets are checked against a few decoded frames; only if they disagree is the whole video decoded once, to
    count. A video that ends before its container says so is indexed as far as it goes, with a
    `TruncatedVideoWarning`.
    """
    with video.open() as container:
        stream = video_stream(container, video.name)
        scan = _scan(container, stream)
        head = _first_frames(video)
        start = _start_of_shown(scan, head)
        format_name = container.format.name.partition(",")[0]
        if start is None or (format_name, stream.codec_context.name) in UNTIMED:
            timeline = _timeline_by_decoding(video, stream)
        else:
            timeline = _timeline_from_packets(scan, start, stream)
        _warn_if_cut_short(video, timeline, scan, container, stream)
        return timeline, Picture.of(head[0]), bool(container.streams.audio)


def decode_packets(packets: Iterator[AnyPacket], stream: VideoStream) -> Iterator[VideoFrame]:
    """Decode packets to the end; damaged ones give no frame, and what cannot be read ends the video."""
    # Elsewhere a packet marked corrupt is the half one at a cut; a transport stream's may well decode.
    skips_corrupt = stream.container.format.name != "mpegts"
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError:
            packet = None
        ended = packet is None or packet.size == 0
        if packet is not None and packet.is_corrupt and skips_corrupt:
            continue
        try:
            frames = stream.codec_context.decode(None if ended else packet)
        except EOFError:
            return
        except av.FFmpegError:
            frames = []
        yield from frames
        if ended:
            return


def _scan(container: InputContainer, stream: VideoStream) -> _Scan:
    scan = _Scan()
    is_vp8 = stream.codec_context.name == "vp8"
    last: AnyPacket | None = None
    try:
        for packet in container.demux():
            if packet.size == 0:
                continue
            if packet.pts is not None and packet.time_base is not None:
                end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                scan.end_seconds = max(scan.end_seconds, end)
            if packet.stream_index == stream.index:
                last = packet
                # VP8 keeps reference pictures that are never shown in packets of their own.
                _note(scan, packet, shown=not packet.is_discard and not (is_vp8 and not bytes(packet)[0] & 0x10))
    except av.FFmpegError:
        scan.broken = True
    if last is not None and last.is_corrupt and scan.numbers and scan.numbers[-1] == scan.num_packets - 1:
        # The file was cut inside its last packet.
        scan.broken = True
        for column in (scan.pts, scan.durations, scan.numbers):
            column.pop()
    return scan


def _note(scan: _Scan, packet: AnyPacket, *, shown: bool) -> None:
    if packet.is_keyframe and packet.pts is not None:
        scan.key_pts.append(packet.pts)
        scan.key_dts.append(packet.dts)
        scan.key_numbers.append(scan.num_packets)
    if shown:
        scan.pts.append(packet.pts)
        scan.durations.append(packet.duration or 0)
        scan.numbers.append(scan.num_packets)
    scan.num_packets += 1


def _first_frames(video: VideoFile) -> list[VideoFrame]:
    with video.open() as container:
        stream = video_stream(container, video.name)
        head = list(itertools.islice(decode_packets(container.demux(stream), stream), CHECKED_FRAMES))
    if not head:
        raise VideoError(f"{video.name} has a video stream, but none of its frames can be decoded; fetch it again.")
    return head


def _start_of_shown(scan: _Scan, head: list[VideoFrame]) -> int | None:
    """Give the first shown frame's place among the packets in time order; None when the two do not agree."""
    pts = [value for value in scan.pts if value is not None]
    if len(pts) < len(scan.pts) or len(set(pts)) < len(pts) or not scan.key_pts:
        return None
    pts.sort()
    if head[0].pts not in pts[:MAX_LEADING_FRAMES]:
        return None
    start = pts.index(head[0].pts)
    shown = pts[start : start + CHECKED_FRAMES]
    return start if [frame.pts for frame in head[: len(shown)]] == shown else None


def _timeline_from_packets(scan: _Scan, start: int, stream: VideoStream) -> Timeline:
    pts = np.array(scan.pts, dtype=np.int64)
    order = np.argsort(pts)[start:]
    pts, numbers = pts[order], np.array(scan.numbers, dtype=np.int64)[order]
    key_pts, key_numbers = np.array(scan.key_pts), np.array(scan.key_numbers)
    keys = np.searchsorted(key_numbers, numbers, side="right").astype(np.int64) - 1
    # Frames shown before the key packet they follow in the file refer to what came before it as well.
    while (early := (keys > 0) & (key_pts[keys] > pts)).any():
        keys[early] -= 1
    keys = np.maximum(keys, 0)
    times, last_seconds, fps = _clock(pts, scan.durations[int(order[-1])], stream)
    return Timeline(
        pts=pts,
        keys=keys,
        distance=numbers - np.where(keys > 0, key_numbers[keys], 0),
        key_pts=tuple(scan.key_pts),
        key_dts=tuple(scan.key_dts),
        seekable=True,
        times=times,
        last_frame_seconds=last_seconds,
        average_fps=fps,
    )


def _timeline_by_decoding(video: VideoFile, stream: VideoStream) -> Timeline:
    """Count the frames by decoding them all; where they carry no usable times, space them evenly."""
    with video.open() as container:
        counted = video_stream(container, video.name)
        stamps = [frame.pts for frame in decode_packets(container.demux(counted), counted)]
    known = sorted({stamp for stamp in stamps if stamp is not None})
    frame_numbers = np.arange(len(stamps), dtype=np.int64)
    if len(known) == len(stamps):
        # Frames come out in the order they are shown, so out-of-order stamps are the wrong ones.
        pts = np.array(known, dtype=np.int64)
        times, last_seconds, fps = _clock(pts, 0, stream)
    else:
        pts = frame_numbers
        rate = stream.average_rate or stream.guessed_rate or FALLBACK_FPS
        times, last_seconds, fps = frame_numbers / float(rate), float(1 / rate), float(rate)
    return Timeline(
        pts=pts,
        keys=np.zeros_like(frame_numbers),
        distance=frame_numbers,
        key_pts=(int(pts[0]),),
        key_dts=(None,),
        seekable=False,
        times=times,
        last_frame_seconds=last_seconds,
        average_fps=fps,
    )


def _clock(
    pts: Int64[np.ndarray, " frames"], last_duration: int, stream: VideoStream
) -> tuple[Float64[np.ndarray, " frames"], float, float]:
    """Turn time stamps into seconds; give also the last frame's length and the average rate."""
    base = stream.time_base or 1 / FALLBACK_FPS
    # One rounding: the product is exact, the division correctly rounded.
    times = (pts - pts[0]) * base.numerator / base.denominator
    declared = float(stream.average_rate or stream.guessed_rate or 0)
    if last_duration > 0:
        last_seconds = float(last_duration * base)
    elif len(times) > 1:
        last_seconds = float(np.median(np.diff(times)))
    else:
        last_seconds = 1 / (declared or float(FALLBACK_FPS))
    measured = len(times) / (float(times[-1]) + last_seconds)
    usual = 1 / float(np.median(np.diff(times))) if len(times) > 1 else measured
    borne_out = any(abs(declared - rate) < 0.01 * rate for rate in (measured, usual))
    return times, last_seconds, declared if borne_out else measured


def _warn_if_cut_short(
    video: VideoFile, timeline: Timeline, scan: _Scan, container: InputContainer, stream: VideoStream
) -> None:
    format_name = container.format.name.partition(",")[0]
    stated_end = 0.0
    if container.duration and format_name in STATES_LENGTH | STATES_END:
        start = 0 if format_name in STATES_END else container.start_time or 0
        stated_end = (start + container.duration) / av.time_base
    missing = stated_end - scan.end_seconds
    frame_seconds = 1 / timeline.average_fps
    packets_missing = stream.frames > scan.num_packets and missing > frame_seconds / 2
    if not (scan.broken or packets_missing or missing > END_SLACK_SECONDS + frame_seconds):
        return
    readable = len(timeline.pts)
    first_seconds = float(timeline.pts[0] * (stream.time_base or 0)) if timeline.seekable else 0.0
    if stream.frames > readable:
        promised = str(stream.frames)
    else:
        promised = f"about {max(round((stated_end - first_seconds) / frame_seconds), readable + 1)}"
    warnings.warn(
        f"{video.name} ends early: {readable} of {promised} frames can be read; the clip holds those.",
        TruncatedVideoWarning,
        stacklevel=5,
    )
