"""Videos made to do harm: each is taken or refused in one line, and nothing hangs or falls over."""

import io
import json
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from sama_video.app.server import probe as probing
from sama_video.app.server.probe import ProbeLimits, check, probe
from sama_video.errors import VideoError

LIMITS = ProbeLimits(seconds=60.0, pixels=200 * 200, frames=300, decoded_bytes=1 << 20, check_seconds=20.0)


def encoded(
    path: Path,
    sizes: list[tuple[int, int]],
    *,
    kind: str = "mp4",
    codec: str = "libx264",
    pts: Callable[[int], int] = lambda idx: idx,
    pix_fmt: str = "yuv420p",
) -> Path:
    """A video of grey frames, at any times."""
    with av.open(str(path), "w", format=kind) as output:
        stream: Any = output.add_stream(codec, rate=10)
        height, width = sizes[0]
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        stream.codec_context.time_base = Fraction(1, 10)
        for idx, (height, width) in enumerate(sizes):
            grey = np.full((height, width, 3), idx % 200, np.uint8)
            frame = av.VideoFrame.from_ndarray(grey, format="rgb24").reformat(format=pix_fmt)
            frame.pts, frame.time_base = pts(idx), Fraction(1, 10)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def audio_only(path: Path) -> Path:
    with av.open(str(path), "w", format="mp4") as output:
        stream: Any = output.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def grows_midway(path: Path) -> Path:
    """A transport stream whose frames are small at first and large later, which its head cannot tell."""
    small = encoded(path.with_suffix(".1"), [(64, 64)] * 12, kind="mpegts").read_bytes()
    large = encoded(path.with_suffix(".2"), [(640, 640)] * 12, kind="mpegts").read_bytes()
    path.write_bytes(small + large)
    return path


def patched(path: Path, box: bytes, offset: int, value: bytes) -> Path:
    """An MP4 with some bytes of a box replaced."""
    content = bytearray(encoded(path, [(64, 64)] * 5).read_bytes())
    at = content.rindex(box) + 4 + offset
    content[at : at + len(value)] = value
    path.write_bytes(bytes(content))
    return path


def animated(path: Path, kind: str, frames: int, size: tuple[int, int]) -> Path:
    pictures = [Image.new("RGB", size, (idx % 256, idx // 256, 0)) for idx in range(frames)]
    pictures[0].save(path, kind, save_all=True, append_images=pictures[1:], duration=20)
    return path


def still(path: Path, size: tuple[int, int], kind: str = "PNG") -> Path:
    Image.new("1", size).save(path, kind)
    return path


def claimed(path: Path, size: tuple[int, int]) -> Path:
    """The head of a PNG of some size, and next to nothing behind it."""
    head = struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(b"\0" * 64)), (b"IEND", b"")]
    content = b"\x89PNG\r\n\x1a\n"
    for kind, data in chunks:
        content += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    path.write_bytes(content)
    return path


def text(path: Path, content: str) -> Path:
    path.write_text(content)
    return path


REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "cut": (lambda p: (p.write_bytes(encoded(p, [(64, 64)] * 20).read_bytes()[:900]), p)[1], "index is missing"),
    "cut matroska": (
        lambda p: (p.write_bytes(encoded(p, [(64, 64)] * 40, kind="matroska", codec="ffv1").read_bytes()[:-3000]), p)[
            1
        ],
        "ends early",
    ),
    "audio only": (audio_only, "no video"),
    "large picture": (lambda p: claimed(p, (16_384, 16_384)), "more than the 40000 pixels"),
    "large video": (lambda p: encoded(p, [(256, 256)] * 3), "more than the 40000 pixels"),
    "grows midway": (grows_midway, "12 of 24 frames"),
    "many tiny frames": (lambda p: encoded(p, [(2, 2)] * 400), "more than 300 frames"),
    "many tiny frames, no count": (lambda p: encoded(p, [(2, 2)] * 400, kind="mpegts"), "more than 300 frames"),
    "many pictures": (lambda p: animated(p, "PNG", 301, (1, 1)), "more than 300 frames"),
    "many gif pictures": (lambda p: animated(p, "GIF", 301, (8, 8)), "more than 300 frames"),
    "much when decoded": (lambda p: animated(p, "PNG", 20, (190, 190)), "bytes when decoded"),
    "endless": (lambda p: encoded(p, [(16, 16)] * 3, pts=lambda idx: idx * 10**6), "takes 60 s"),
    "endless, no length": (
        lambda p: encoded(p, [(16, 16)] * 3, kind="mpegts", pts=lambda idx: idx * 500),
        "takes 60 s",
    ),
    "playlist": (lambda p: text(p, "#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n"), "holds text"),
    "concat": (lambda p: text(p, "ffconcat version 1.0\nfile /etc/passwd\n"), "holds text"),
    "drawing": (lambda p: text(p, "<svg xmlns='http://www.w3.org/2000/svg'/>"), "holds text"),
    "icon": (lambda p: still(p, (16, 16), "ICO"), "not taken here"),
    "noise": (lambda p: (p.write_bytes(np.random.default_rng(0).bytes(4000)), p)[1], ""),
    "zeros": (lambda p: (p.write_bytes(b"\0" * 4000), p)[1], ""),
    "zip": (lambda p: (p.write_bytes(b"PK\x03\x04" + b"\0" * 100), p)[1], ""),
}

TAKEN: dict[str, Callable[[Path], Path]] = {
    "video": lambda p: encoded(p, [(64, 64)] * 5),
    "one pixel": lambda p: still(p, (1, 1)),
    "one pixel that moves": lambda p: encoded(p, [(1, 1)] * 3, kind="matroska", codec="ffv1", pix_fmt="bgr0"),
    "small head": lambda p: patched(p, b"avc1", 24, struct.pack(">HH", 2, 2)),
    "large head": lambda p: patched(p, b"avc1", 24, struct.pack(">HH", 16_384, 16_384)),
    "webp": lambda p: animated(p, "WEBP", 3, (20, 20)),
    "gif": lambda p: animated(p, "GIF", 3, (20, 20)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_hostile_videos_are_refused_in_one_line(tmp_path: Path, name: str) -> None:
    make, told = REFUSED[name]
    with pytest.raises(VideoError) as refusal:
        check(make(tmp_path / "file"), LIMITS)
    message = str(refusal.value)
    assert told in message
    assert "\n" not in message
    assert str(tmp_path) not in message


@pytest.mark.parametrize("name", TAKEN)
def test_odd_videos_are_taken(tmp_path: Path, name: str) -> None:
    found = check(TAKEN[name](tmp_path / "file"), LIMITS)
    assert found.frames == len(found.times) > 0
    assert found.seconds > 0
    json.dumps([found.fps, found.seconds, found.times], allow_nan=False)


def assert_judged(path: Path) -> None:
    """A file is taken, with figures that JSON can hold, or refused in one line."""
    try:
        told = json.dumps(check(path, LIMITS).times, allow_nan=False)
    except VideoError as refusal:
        told = str(refusal)
    assert told
    assert "\n" not in told


@pytest.mark.parametrize("timescale", [0, 1, 2**32 - 1])
def test_clock_that_stands_still_is_survived(tmp_path: Path, timescale: int) -> None:
    path = patched(tmp_path / "file", b"mdhd", 12, struct.pack(">I", timescale))
    assert_judged(path)


def test_process_of_its_own_tells_the_same(tmp_path: Path) -> None:
    path = TAKEN["video"](tmp_path / "file")
    assert probe(path, LIMITS) == check(path, LIMITS)
    with pytest.raises(VideoError, match="holds text"):
        probe(REFUSED["playlist"][0](tmp_path / "other"), LIMITS)


def test_decoder_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "START_SECONDS", 0.0)
    with pytest.raises(VideoError, match=r"took more than 0\.001 s"):
        probe(TAKEN["video"](tmp_path / "file"), ProbeLimits(9, 10**6, 99, 10**6, 0.001))


def test_decoder_that_crashes_takes_only_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_args: Any, **_options: Any) -> Any:
        return subprocess.CompletedProcess([], -11, b"", b"Segmentation fault")

    monkeypatch.setattr(subprocess, "run", crash)
    with pytest.raises(VideoError, match="made its decoder fail"):
        probe(tmp_path / "file", LIMITS)


@pytest.mark.skipif(sys.platform != "linux", reason="the system has no lid on a process's memory")
def test_process_has_a_lid_on_its_memory(tmp_path: Path) -> None:
    script = (
        "from sama_video.app.server.probe import ProbeLimits, _confine\n"
        "_confine(ProbeLimits(1, 1, 1, 1, 1))\n"
        "try:\n    bytearray(8 << 30)\nexcept MemoryError:\n    print('stopped')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert done.stdout == b"stopped\n"


def test_random_damage_never_falls_over(tmp_path: Path) -> None:
    whole = encoded(tmp_path / "file", [(64, 64)] * 8).read_bytes()
    draw = np.random.default_rng(3)
    for number in range(60):
        damaged = bytearray(whole)
        for _ in range(int(draw.integers(1, 40))):
            damaged[int(draw.integers(len(damaged)))] = int(draw.integers(256))
        path = tmp_path / f"damaged{number}"
        path.write_bytes(bytes(damaged))
        assert_judged(path)


@pytest.mark.slow
def test_hostile_uploads_over_http(make_server: Any, tmp_path: Path) -> None:
    from sama_video.app.server.settings import Limits

    server = make_server(
        limits=Limits(clip_seconds=60.0, clip_pixels=200 * 200, clip_frames=300, decoded_bytes=1 << 20)
    )
    for number, (make, _) in enumerate(REFUSED.values()):
        content = make(tmp_path / f"file{number}").read_bytes()
        reply = server.client.post("/v1/files", files={"file": io.BytesIO(content)})
        assert (reply.status_code, reply.json()["error"]["type"]) == (400, "invalid_request_error")
    assert list(server.store) == []
