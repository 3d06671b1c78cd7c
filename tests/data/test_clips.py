"""Paths that stay in their folder, frames in the order given, every fourth frame of a video."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_sama import FRAMES, HEIGHT, WIDTH, write_frames

from sama_video.data.clips import FrameClip, VideoClip, every_nth_frame, frame_file_name, safe_path
from sama_video.data.findings import FaultError, Place
from sama_video.errors import VideoError
from sama_video.video import Clip, open_video, write_video
from sama_video.video.reader import open_frame_files

PLACE = Place("records.json", "record 1")
ELSEWHERE = [
    "..",
    "../a",
    "a/../b",
    "a/..",
    "/etc/passwd",
    "//host/share",
    "",
    "a\\..\\b",
    "C:/a",
    "C:a",
    "a/C:b",
    "a\0b",
]


@pytest.mark.parametrize("path", ELSEWHERE)
def test_path_that_leaves_its_folder_is_refused(path: str, tmp_path: Path) -> None:
    with pytest.raises(FaultError) as caught:
        safe_path(tmp_path, path, "records.json", "record 1")
    assert caught.value.reason == "unsafe_path"
    assert "records.json, record 1" in str(caught.value)


@pytest.mark.parametrize("path", ["a", "a/b.jpg", "./a", "a//b", "a..b/..c", "x_0:00:01.000_0:00:02.600.mp4"])
def test_path_that_stays_is_joined(path: str, tmp_path: Path) -> None:
    assert safe_path(tmp_path, path, "records.json") == tmp_path / path


def test_links_below_the_folder_are_followed(tmp_path: Path) -> None:
    write_frames(tmp_path / "elsewhere" / "aa")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "mevis").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert safe_path(tmp_path / "root", "mevis/aa", "records.json").is_dir()


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("00005", "00005.jpg"),
        ("frame_8.jpg", "frame_8.jpg"),
        ("frame_8.JPEG", "frame_8.jpg"),
        ({"raw_filename": "frame_8.jpg", "id": 3}, "frame_8.jpg"),
        ("a.b", "a.b.jpg"),
    ],
)
def test_frame_names_become_files(name: object, file: str) -> None:
    assert frame_file_name(name, PLACE) == file


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (3, "schema_error"),
        (None, "schema_error"),
        ("", "schema_error"),
        ({}, "schema_error"),
        ({"raw_filename": 3}, "schema_error"),
        ("../a", "unsafe_path"),
        ("a/b", "unsafe_path"),
        ("..", "unsafe_path"),
        ("a\\b", "unsafe_path"),
    ],
)
def test_frame_names_that_are_none(name: object, reason: str) -> None:
    with pytest.raises(FaultError) as caught:
        frame_file_name(name, PLACE)
    assert caught.value.reason == reason


def test_frames_keep_the_order_given(tmp_path: Path) -> None:
    write_frames(tmp_path / "v", FRAMES)
    names = ("00003.jpg", "00000.jpg", "00002.jpg")
    clip = FrameClip(tmp_path, "v", names, fps=5)
    assert (clip.num_frames, clip.size, clip.stems) == (3, (HEIGHT, WIDTH), ("00003", "00000", "00002"))
    opened = clip.open()
    assert [int(frame[0, 0, 0]) // 10 for frame in opened.frames(range(3))] == [3, 0, 2]
    assert opened.times.tolist() == [0, 0.2, 0.4]


def test_no_frames_make_no_clip(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="has no frames"):
        open_frame_files([], "nothing")
    write_frames(tmp_path, 1)
    with pytest.raises(VideoError, match="must be above 0"):
        open_frame_files([tmp_path / "00000.jpg"], "x", fps=0)


def numbered(frames: int) -> Clip:
    pixels = np.zeros((frames, 16, 16, 3), np.uint8)
    pixels[:] = np.arange(frames, dtype=np.uint8)[:, None, None, None]
    return Clip.from_frames(pixels, fps=24)


@pytest.mark.parametrize("frames", range(1, 10))
def test_every_fourth_frame(frames: int) -> None:
    clip = every_nth_frame(numbered(frames), 4)
    assert clip.num_frames == -(-frames // 4)
    assert clip.frames(range(clip.num_frames))[:, 0, 0, 0].tolist() == list(range(0, frames, 4))
    assert [idx for idx, _ in clip.stream(clip.num_frames - 1, step=-1)] == list(range(clip.num_frames))[::-1]
    assert clip.duration == pytest.approx(frames / 24)
    np.testing.assert_allclose(clip.times, np.arange(0, frames, 4) / 24)


def test_video_cut_off_is_no_clip(tmp_path: Path) -> None:
    whole = tmp_path / "whole.mp4"
    rng = np.random.default_rng(0)
    write_video(whole, rng.integers(0, 256, (40, 32, 32, 3), np.uint8), fps=24)
    assert VideoClip(whole).num_frames == 10
    assert VideoClip(whole).size == (32, 32)
    np.testing.assert_array_equal(VideoClip(whole).open().frame(9), open_video(whole).frame(36))
    cut = tmp_path / "cut.mp4"
    content: Any = whole.read_bytes()
    cut.write_bytes(content[: len(content) * 3 // 4])
    with pytest.raises(VideoError):
        VideoClip(cut).open()
