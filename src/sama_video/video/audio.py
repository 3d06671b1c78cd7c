"""The sound of one file, carried into another beside its pictures."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import av
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import OutputContainer

from sama_video.video.container import AnyPacket, VideoFile, video_stream

# What players expect inside an MP4; anything else becomes AAC.
COPIED_CODECS = {"aac", "mp3", "ac3", "eac3", "alac", "opus"}
# Coded sound leans on what came just before it, so a cut keeps this much more; players skip it.
LEAD_IN_SECONDS = 0.05
AAC_FRAME_SAMPLES = 1024

Item = TypeVar("Item")


class AudioTrack:
    """The first audio stream of a file, as packets of a new file, in step with its pictures."""

    def __init__(self, path: Path, output: OutputContainer, *, starts_at: float) -> None:
        """Add a stream to `output` for the sound of `path`, which must have some.

        Args:
            path: The file the sound comes from.
            output: The new file, nothing of which is written yet.
            starts_at: The moment of the source's pictures that is 0 s in the new file.
        """
        self._input = VideoFile(str(path), path=path).open()
        self._source = self._input.streams.audio[0]
        first_picture, length = 0.0, (self._input.duration or 0) / av.time_base
        if self._input.streams.video:
            pictures = video_stream(self._input, str(path))
            base = float(pictures.time_base or 0)
            first_picture = (pictures.start_time or 0) * base
            # Only MP4 and AVI tell how long the pictures alone last; elsewhere the file's length must do.
            length = (pictures.duration or 0) * base or length
        self._shift = first_picture + starts_at
        self._pictures_end = length - starts_at
        if self._source.codec_context.codec.canonical_name in COPIED_CODECS:
            self._target = output.add_stream_from_template(self._source)
            packets = self._copied()
        else:
            self._target = output.add_stream("aac", rate=self._source.codec_context.sample_rate)
            self._target.codec_context.layout = "mono" if self._source.codec_context.channels == 1 else "stereo"
            packets = self._transcoded(self._target)
        self._packets = packets
        self._next = next(packets, None)

    def until(self, seconds: float) -> Iterator[AnyPacket]:
        """Yield the packets that begin before a moment of the new file."""
        while self._next is not None and _start(self._next) < seconds:
            yield self._next
            self._next = next(self._packets, None)

    def rest(self, pictures_end: float) -> Iterator[AnyPacket]:
        """Yield what remains: all of it beside the whole video, else up to where the pictures end."""
        return self.until(math.inf if pictures_end > self._pictures_end - 0.1 else pictures_end)

    def close(self) -> None:
        """Close the file the sound comes from."""
        self._input.close()

    def _copied(self) -> Iterator[AnyPacket]:
        base = self._source.time_base
        assert base is not None
        shift = round(self._shift / base)
        for packet in _readable(self._input.demux(self._source)):
            if packet.size == 0 or packet.pts is None or packet.is_corrupt:
                continue
            packet.pts -= shift
            packet.dts = packet.pts if packet.dts is None else packet.dts - shift
            if _start(packet) >= -LEAD_IN_SECONDS:
                packet.stream = self._target
                yield packet

    def _transcoded(self, target: AudioStream) -> Iterator[AnyPacket]:
        rate = self._source.codec_context.sample_rate
        layout = target.codec_context.layout.name
        resampler = AudioResampler(format="fltp", layout=layout, rate=rate, frame_size=AAC_FRAME_SAMPLES)
        for frame in _readable(self._input.decode(self._source)):
            for part in resampler.resample(frame):
                if part.pts is None or part.time_base is None:
                    continue
                part.pts -= round(self._shift / part.time_base)
                if part.pts >= 0:
                    yield from target.encode(part)
        yield from target.encode(None)


def _readable(items: Iterator[Item]) -> Iterator[Item]:
    """Yield until a damaged source gives no more; opening the clip has told of that."""
    while True:
        try:
            item = next(items, None)
        except av.FFmpegError:
            return
        if item is None:
            return
        yield item


def _start(packet: AnyPacket) -> float:
    assert packet.pts is not None
    return float(packet.pts * packet.time_base)
