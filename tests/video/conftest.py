"""Small videos of every kind, made by PyAV as they are needed."""

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from sama_video.video import Clip, open_video


def picture(number: int, height: int = 48, width: int = 64) -> np.ndarray:
    """A picture unlike its neighbours, with a red top left corner to show which way is up."""
    rows, columns = np.mgrid[0:height, 0:width]
    grey = (rows * 3 + columns * 2 + number * 23) % 256
    pixels = np.stack([grey // 2, grey, 255 - grey], axis=-1).astype(np.uint8)
    pixels[: height // 3, : width // 3] = (255, 0, 0)
    return pixels


def encode_video(
    path: Path,
    codec: str,
    *,
    num_frames: int = 40,
    height: int = 48,
    width: int = 64,
    pixel_format: str = "yuv420p",
    options: dict[str, str] | None = None,
    container: str | None = None,
    container_options: dict[str, str] | None = None,
    ticks: Sequence[int] | None = None,
    time_base: Fraction = Fraction(1, 25),
    rotation: float | None = None,
    matrix: Sequence[int] | None = None,
    aspect: Fraction | None = None,
    sound: str | None = None,
) -> Path:
    """Write numbered pictures; `ticks` are their time stamps in `time_base`."""
    ticks = range(num_frames) if ticks is None else ticks
    with av.open(str(path), "w", format=container, options=container_options or {}) as output:
        stream = output.add_stream(codec, rate=25, options=options or {})
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        stream.codec_context.time_base = time_base
        if rotation is not None:
            stream.set_display_rotation(rotation)
        if matrix is not None:
            stream.set_display_matrix(matrix)
        if aspect is not None:
            stream.sample_aspect_ratio = aspect
        track = None if sound is None else output.add_stream(sound, rate=48000)
        for number, tick in enumerate(ticks):
            pixels = picture(number, height, width)
            if pixel_format in ("yuva420p", "yuva444p10le", "argb"):
                alpha = np.full((height, width, 1), 255, np.uint8)
                alpha[height // 2 :] = 0
                frame = av.VideoFrame.from_ndarray(np.concatenate([pixels, alpha], axis=-1), format="rgba")
            else:
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = tick, time_base
            output.mux(stream.encode(frame))
        if track is not None:
            for frame in tone(len(ticks) / 25, track, start=float(ticks[0] * time_base)):
                output.mux(track.encode(frame))
            output.mux(track.encode(None))
        output.mux(stream.encode(None))
    return path


def tone(seconds: float, track: av.AudioStream, start: float = 0.0) -> Iterator[av.AudioFrame]:
    wave = 0.3 * np.sin(2 * np.pi * 440 * np.arange(int(seconds * 48000)) / 48000)
    resampler = av.AudioResampler(format=track.codec_context.format.name, layout="stereo", rate=48000, frame_size=1024)
    for first in range(0, len(wave), 1024):
        part = np.repeat(wave[None, first : first + 1024].astype(np.float32), 2, axis=0)
        frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = 48000, first + int(start * 48000), Fraction(1, 48000)
        yield from resampler.resample(frame)


def remux_video(source: Path, target: Path, *, shift: int = 0, skip: int = 0, **options: str) -> Path:
    """Copy the streams into another container, each `shift` ticks earlier, without the first `skip` packets."""
    with av.open(str(source)) as old, av.open(str(target), "w", options=options) as new:
        streams = {stream.index: new.add_stream_from_template(stream) for stream in old.streams}
        for number, packet in enumerate(packet for packet in old.demux() if packet.size):
            if number >= skip:
                packet.pts -= shift
                packet.dts = packet.pts if packet.dts is None else packet.dts - shift
                packet.stream = streams[packet.stream_index]
                new.mux(packet)
    return target


B_FRAMES = {"g": "10", "bf": "3"}
# Name -> how to make it. Together: B-frames, open groups of pictures, key frames only, one
# key frame, decoding order unlike display order without time stamps, 10 bit, palettes, odd sizes, late starts.
KINDS: dict[str, Callable[[Path], Path]] = {
    "h264.mp4": lambda path: encode_video(path, "libx264", options=B_FRAMES),
    "h264-one-key.mp4": lambda path: encode_video(path, "libx264", options={"g": "1000", "bf": "3"}),
    "h264-open.mkv": lambda path: encode_video(path, "libx264", options={**B_FRAMES, "x264-params": "open-gop=1"}),
    "h264-late.ts": lambda path: encode_video(path, "libx264", options=B_FRAMES, ticks=range(50, 90)),
    "h264-late.mp4": lambda path: encode_video(path, "libx264", options=B_FRAMES, ticks=range(50, 90)),
    "h264-10bit.mkv": lambda path: encode_video(path, "libx264", options=B_FRAMES, pixel_format="yuv420p10le"),
    "h264-odd.mp4": lambda path: encode_video(
        path, "libx264", options=B_FRAMES, pixel_format="yuv444p", height=47, width=63
    ),
    "h264.avi": lambda path: encode_video(path, "libx264", options=B_FRAMES),
    "raw.h264": lambda path: encode_video(path, "libx264", options=B_FRAMES),
    "hevc.mp4": lambda path: encode_video(
        path, "libx265", options={"x265-params": "keyint=10:bframes=3:log-level=none"}
    ),
    "mpeg4.avi": lambda path: encode_video(path, "mpeg4", options={"g": "10", "bf": "2"}),
    "mpeg2.mpg": lambda path: encode_video(path, "mpeg2video", options={"g": "10", "bf": "2"}),
    "vp8.webm": lambda path: encode_video(path, "libvpx", options={"g": "20", "cpu-used": "8", "deadline": "realtime"}),
    "vp9.webm": lambda path: encode_video(path, "libvpx-vp9", options={"g": "10", "row-mt": "1", "cpu-used": "8"}),
    "mjpeg.mov": lambda path: encode_video(path, "mjpeg", pixel_format="yuvj420p"),
    "ffv1.mkv": lambda path: encode_video(path, "ffv1", options={"g": "1"}),
    "gif.gif": lambda path: encode_video(path, "gif", pixel_format="rgb8"),
    "vfr.mp4": lambda path: encode_video(
        path, "libx264", options=B_FRAMES, ticks=np.cumsum(np.arange(40) % 7 + 1).tolist(), time_base=Fraction(1, 90)
    ),
}


@pytest.fixture(scope="session")
def video_of_kind(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Gives the video of a kind, made once."""
    folder = tmp_path_factory.mktemp("kinds")

    def give(kind: str) -> Path:
        path = folder / kind
        return path if path.exists() else KINDS[kind](path)

    return give


@pytest.fixture(params=sorted(KINDS))
def any_video(request: pytest.FixtureRequest, video_of_kind: Callable[[str], Path]) -> Path:
    return video_of_kind(request.param)


@pytest.fixture(scope="session")
def frames_of() -> Callable[[Path], np.ndarray]:
    """Gives every frame FFmpeg gives, in the order it gives them."""
    known: dict[Path, np.ndarray] = {}

    def give(path: Path) -> np.ndarray:
        if path not in known:
            with av.open(str(path)) as container:
                known[path] = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
        return known[path]

    return give


@pytest.fixture(scope="session")
def clip_of() -> Callable[[Path], Clip]:
    """Gives the clip of a video, opened once."""
    known: dict[Path, Clip] = {}
    return lambda path: known.setdefault(path, known.get(path) or open_video(path))


@pytest.fixture(scope="session")
def encode() -> Callable[..., Path]:
    return encode_video


@pytest.fixture(scope="session")
def remux() -> Callable[..., Path]:
    return remux_video
