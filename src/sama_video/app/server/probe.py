"""Checks a stranger's video in a process of its own: `python -m sama_video.app.server.probe PATH`.

A decoder that crashes, hangs or eats memory on a hostile file takes this process with it, and not the server. The
limits come as JSON on standard input; what was found goes out as JSON on standard output.
"""

import json
import subprocess
import sys
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.video.stream import VideoStream
from PIL import Image

from sama_video.errors import SamaError, SamaWarning, TruncatedVideoWarning, VideoError
from sama_video.video.container import VideoFile, check_content, video_stream
from sama_video.video.reader import open_video
from sama_video.video.stills import IMAGE_FORMATS, is_image

MEMORY_BYTES = 6 << 30
"""Address space of the process: decoders with many threads claim far more than they use."""
START_SECONDS = 30.0
"""What the process may take beside decoding, on a machine that is busy."""

NAME = "the upload"
MEDIA_TYPES = {
    "mov": "video/mp4",
    "matroska": "video/x-matroska",
    "avi": "video/x-msvideo",
    "mpegts": "video/mp2t",
    "mpeg": "video/mpeg",
    "gif": "image/gif",
    "flv": "video/x-flv",
    "asf": "video/x-ms-wmv",
    "ogg": "video/ogg",
}
"""By FFmpeg's name of the container; these alone are taken, beside pictures."""


@dataclass(frozen=True)
class ProbeLimits:
    """What a clip may be; as in `settings.Limits`."""

    seconds: float | int
    pixels: int
    frames: int
    decoded_bytes: int
    check_seconds: float | int


@dataclass(frozen=True)
class Found:
    """What a video holds, as `POST /v1/files` tells it, and the type to serve it as."""

    frames: int
    height: int
    width: int
    seconds: float
    fps: float
    times: list[float]
    has_audio: bool
    media_type: str


def probe(path: Path, limits: ProbeLimits) -> Found:
    """Check a file in another process.

    Raises:
        VideoError: It is no video, breaks a limit, does not decode, or made its decoder fail.
    """
    command = [sys.executable, "-m", __name__, str(path)]
    try:
        done = subprocess.run(
            command,
            input=json.dumps(asdict(limits)).encode(),
            capture_output=True,
            timeout=START_SECONDS + float(limits.check_seconds),
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise VideoError(_too_slow(limits)) from None
    try:
        document = json.loads(done.stdout)
    except ValueError:
        raise VideoError(f"{NAME} made its decoder fail; convert it to an H.264 MP4 and send that.") from None
    if "refused" in document:
        raise VideoError(document["refused"])
    return Found(**document)


def check(path: Path, limits: ProbeLimits) -> Found:
    """Check a file in this process; raises as `probe` does."""
    try:
        return _check(path, limits)
    except (MemoryError, Image.DecompressionBombError, OSError, ValueError, SyntaxError, OverflowError) as error:
        # Headers that lie make libraries fail in ways that they do not name.
        raise VideoError(f"{NAME} cannot be read ({type(error).__name__}); send it as an H.264 MP4.") from None


def _check(path: Path, limits: ProbeLimits) -> Found:
    video = VideoFile(NAME, path=path)
    check_content(video)
    media_type = _check_picture(path, limits) if _is_picture(path, limits) else _check_video(video, limits)
    with warnings.catch_warnings():
        warnings.simplefilter("error", SamaWarning)
        try:
            clip = open_video(path)
        except TruncatedVideoWarning as warning:
            told = str(warning).replace(str(path), NAME).partition(";")[0]
            raise VideoError(f"{told}; send the whole file.") from None
        except VideoError as error:
            raise VideoError(str(error).replace(str(path), NAME)) from None
    _check_size(clip.height, clip.width, limits)
    _check_length(clip.num_frames, clip.duration, limits)
    return Found(
        clip.num_frames,
        clip.height,
        clip.width,
        round(clip.duration, 6),
        round(clip.average_fps, 6),
        [round(float(seconds), 6) for seconds in clip.times],
        clip.has_audio,
        media_type,
    )


def _is_picture(path: Path, limits: ProbeLimits) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            with Image.open(path, formats=IMAGE_FORMATS):
                return True
        except Image.DecompressionBombError:
            raise VideoError(
                f"{NAME} is a picture of more than the {limits.pixels} pixels this server takes; scale it down."
            ) from None
        except (OSError, SyntaxError, ValueError):
            return is_image(path)


def _check_picture(path: Path, limits: ProbeLimits) -> str:
    """Judge a picture by its header: opening it as a clip decodes every frame into memory at once."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(path, formats=IMAGE_FORMATS) as image:
            width, height = image.size
            frames = int(getattr(image, "n_frames", 1))
            _check_size(height, width, limits)
            _check_length(frames, 0.0, limits)
            if frames * height * width * 3 > limits.decoded_bytes:
                raise VideoError(
                    f"{NAME} is a picture of {frames} frames of {width}x{height}, which take more than "
                    f"{limits.decoded_bytes} bytes when decoded; send it as a video."
                )
            return Image.MIME.get(image.format or "", "application/octet-stream")


def _check_video(video: VideoFile, limits: ProbeLimits) -> str:
    """Judge a video by its header, then by decoding it all with a lid on the size of its frames."""
    with video.open() as container:
        media_type = _media_type(container)
        stream = video_stream(container, NAME)
        _check_size(stream.height, stream.width, limits)
        _check_length(stream.frames, float(stream.duration or 0) * float(stream.time_base or 0), limits)
        _decode_all(container, stream, limits)
    return media_type


def _media_type(container: InputContainer) -> str:
    name = container.format.name.partition(",")[0]
    if name not in MEDIA_TYPES:
        known = "MP4, MOV, WebM, MKV, AVI, MPEG, GIF"
        raise VideoError(f"{NAME} is of the kind {name!r}, which is not taken here; send one of {known} or a picture.")
    if name == "matroska" and all(
        stream.codec_context.name in ("vp8", "vp9", "av1") for stream in container.streams.video
    ):
        return "video/webm"
    return MEDIA_TYPES[name]


def _decode_all(container: InputContainer, stream: VideoStream, limits: ProbeLimits) -> None:
    stream.codec_context.options = {"max_pixels": str(limits.pixels + 1)}
    stream.codec_context.thread_count = 2
    packets = frames = damaged = 0
    try:
        for packet in container.demux(stream):
            packets += packet.size > 0
            _check_length(packets, 0.0, limits)
            try:
                decoded = stream.codec_context.decode(packet)
            except av.InvalidDataError:
                damaged += 1  # or beyond the lid
                continue
            for frame in decoded:
                frames += 1
                _check_size(frame.height, frame.width, limits)
    except av.FFmpegError as error:
        if frames == 0:
            raise VideoError(f"{NAME} cannot be decoded ({error.strerror}); send it as an H.264 MP4.") from None
    if frames == 0:
        raise VideoError(f"{NAME} has a video stream, but none of its frames can be decoded; send it as an H.264 MP4.")
    if damaged:
        raise VideoError(
            f"{damaged} of {packets} frames of {NAME} cannot be decoded: they are damaged, or larger than this server "
            "takes; send it as an H.264 MP4."
        )


def _check_size(height: int, width: int, limits: ProbeLimits) -> None:
    if height * width > limits.pixels:
        raise VideoError(
            f"{NAME} has frames of {width}x{height}, more than the {limits.pixels} pixels this server takes; scale it "
            "down."
        )


def _check_length(frames: int, seconds: float, limits: ProbeLimits) -> None:
    if frames > limits.frames:
        raise VideoError(f"{NAME} has more than {limits.frames} frames, which is this server's limit; cut it.")
    if seconds > limits.seconds:
        raise VideoError(f"{NAME} runs for {seconds:g} s, and this server takes {limits.seconds:g} s; cut it.")


def _too_slow(limits: ProbeLimits) -> str:
    return (
        f"{NAME} took more than {limits.check_seconds:g} s to decode, which is this server's limit; "
        "send it shorter, smaller or as H.264."
    )


def _confine(limits: ProbeLimits) -> None:
    """Give this process a lid on memory and time, where the system has such lids."""
    if sys.platform == "win32":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    seconds = int(START_SECONDS + 2 * limits.check_seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> None:
    """Check the file named on the command line."""
    limits = ProbeLimits(**json.load(sys.stdin))
    _confine(limits)
    document: dict[str, Any]
    try:
        document = asdict(check(Path(sys.argv[1]), limits))
    except SamaError as error:
        document = {"refused": str(error)}
    json.dump(document, sys.stdout)


if __name__ == "__main__":
    main()
