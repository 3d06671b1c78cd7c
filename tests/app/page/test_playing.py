"""Whatever frame is seen is the frame that is told, so that masks lie where they belong."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from page_driver import Page
from page_server import PageServer

pytestmark = pytest.mark.slow

GREY, STEP = 20, 5
TICK = Fraction(1, 1000)


def write_clip(path: Path, codec: str, times: list[int], tick: Fraction = TICK) -> Path:
    """A clip whose frame i is grey of the shade 20 + 5 i; times are in ticks."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.bit_rate = 8_000_000
        stream.codec_context.time_base = stream.time_base = tick
        for place, time in enumerate(times):
            pixels = np.full((48, 64, 3), GREY + STEP * place, dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = time, tick
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


WATCH = """() => {
    window.seen = [];
    const canvas = document.getElementById("picture");
    const stage = document.getElementById("stage");
    const look = () => {
        const pixel = canvas.getContext("2d").getImageData(canvas.width / 2, canvas.height / 2, 1, 1).data;
        window.seen.push([Number(stage.dataset.frame), pixel[0]]);
        // After the frame is painted, not before.
        requestAnimationFrame(() => setTimeout(look));
    };
    look();
}"""


def played(page: Page, path: Path, count: int) -> list[tuple[int, int]]:
    """Frames told and shades seen while a clip plays to its end."""
    page.upload(path)
    page.wait_frame(0)
    page.page.wait_for_timeout(300)
    page.page.evaluate(WATCH)
    page.page.keyboard.press("Space")
    page.wait_frame(count - 1)
    return [(frame, shade) for frame, shade in page.page.evaluate("() => window.seen")]


def wrong(seen: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Pictures of another frame than was told. Coding changes shades a little."""
    return [(frame, shade) for frame, shade in seen if abs(shade - GREY - STEP * frame) > STEP / 2]


def test_frames_fit_while_a_steady_video_plays(page: Page, tmp_path: Path) -> None:
    seen = played(page, write_clip(tmp_path / "steady.mp4", "libx264", [40 * i for i in range(40)]), 40)
    assert len({frame for frame, _ in seen}) > 8
    assert wrong(seen) == []


def test_frames_fit_while_a_video_of_uneven_times_plays(page: Page, tmp_path: Path) -> None:
    times = [0, 40, 60, 80, 300, 320, 340, 700, 720, 740, 760, 900, 1100, 1110, 1150, 1200, 1500, 1540, 1580, 1620]
    seen = played(page, write_clip(tmp_path / "uneven.mp4", "libx264", times), 20)
    assert len({frame for frame, _ in seen}) > 5
    assert wrong(seen) == []


def test_video_that_the_browser_cannot_play_runs_as_pictures(
    open_page: Callable[..., Page], server: PageServer, tmp_path: Path
) -> None:
    page = open_page()
    path = write_clip(tmp_path / "old.avi", "mpeg4", list(range(40)), Fraction(1, 25))
    seen = played(page, path, 40)
    assert page.page.evaluate("() => document.getElementById('video').videoWidth") == 0
    assert len({frame for frame, _ in seen}) > 8
    assert wrong(seen) == []


def test_stepping_shows_each_frame(page: Page, tmp_path: Path) -> None:
    page.upload(write_clip(tmp_path / "steps.mp4", "libx264", [40 * i for i in range(12)]))
    page.wait_frame(0)
    page.page.evaluate(WATCH)
    for frame in range(1, 12):
        page.page.keyboard.press(".")
        page.wait_frame(frame)
        page.page.wait_for_timeout(60)
    seen = [(frame, shade) for frame, shade in page.page.evaluate("() => window.seen")]
    assert {frame for frame, _ in seen} == set(range(12))
    assert wrong(seen) == []
