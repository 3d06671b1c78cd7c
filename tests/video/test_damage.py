"""Videos that are cut off, damaged, or none at all."""

import os
import re
import warnings
from pathlib import Path

import av
import numpy as np
import pytest
from jaxtyping import TypeCheckError

from sama_video.errors import SamaWarning, TruncatedVideoWarning, VideoError
from sama_video.video import open_video


def cut(path: Path, part: float = 0.5) -> Path:
    whole = path.read_bytes()
    shorter = path.with_name(f"cut_{path.name}")
    shorter.write_bytes(whole[: int(len(whole) * part)])
    return shorter


@pytest.mark.parametrize(
    ("name", "sound"),
    [("a.mp4", None), ("a.mp4", "aac"), ("a.mkv", None), ("a.mkv", "aac"), ("a.flv", "aac"), ("a.avi", None)],
)
def test_cut_off_video_gives_what_can_be_read_and_says_how_much(tmp_path, encode, name, sound):
    codec = "mpeg4" if name == "a.avi" else "libx264"
    options = {"movflags": "+faststart"} if name == "a.mp4" else {}
    whole = encode(
        tmp_path / name, codec, options={"g": "10"}, container_options=options, sound=sound, height=96, width=128
    )
    expected = open_video(whole).frames(range(40))
    with pytest.warns(TruncatedVideoWarning, match=r"ends early: \d+ of (40|about 4[01]) frames") as caught:
        clip = open_video(cut(whole, 0.7))
    assert f"early: {clip.num_frames} of" in str(caught[0].message)
    assert 4 < clip.num_frames < 36
    frames = np.stack([pixels for _, pixels in clip.stream()])
    assert len(frames) == clip.num_frames
    whole_times = open_video(whole).times
    shown = [int(np.abs(whole_times - seconds).argmin()) for seconds in clip.times]
    assert (frames == expected[shown]).all()


def test_whole_videos_raise_no_warning(any_video):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        open_video(any_video)


def test_mp4_cut_before_its_index_is_named_as_such(video_of_kind, tmp_path):
    whole = tmp_path / "whole.mp4"
    whole.write_bytes(video_of_kind("h264.mp4").read_bytes())
    with pytest.raises(VideoError, match=r"cut_whole\.mp4 starts like an MP4 but its index is missing"):
        open_video(cut(whole))


@pytest.mark.parametrize("as_bytes", [True, False])
def test_tags_that_are_no_text_do_not_keep_a_video_from_being_read(video_of_kind, tmp_path, as_bytes):
    content = video_of_kind("h264.mp4").read_bytes()
    assert b"VideoHandler" in content
    odd = tmp_path / "odd.mp4"
    odd.write_bytes(content.replace(b"VideoHandler", b"Vid\xe9oHandler"))
    clip = open_video(odd.read_bytes() if as_bytes else odd)
    assert (clip.frame(3) == open_video(video_of_kind("h264.mp4")).frame(3)).all()


def test_random_damage_of_the_index_is_read_or_told_in_one_line(video_of_kind):
    whole = video_of_kind("h264.mp4").read_bytes()
    begin, end = whole.index(b"hdlr"), whole.index(b"hdlr") + 60
    draw = np.random.default_rng(0)
    for _ in range(40):
        content = bytearray(whole)
        for place in draw.integers(begin, end, 6):
            content[place] = draw.integers(128, 256)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SamaWarning)
            try:
                told = str(open_video(bytes(content)).num_frames)
            except VideoError as error:
                told = str(error)
        assert told not in ("", "0")
        assert "\n" not in told


def test_damaged_frames_repeat_the_one_before_with_one_warning(tmp_path, encode):
    whole = encode(tmp_path / "whole.mkv", "libx264", options={"g": "10", "bf": "0"}, height=96, width=128)
    expected = open_video(whole).frames(range(40))
    with av.open(str(whole)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    content = bytearray(whole.read_bytes())
    start = content.index(bytes(packets[15]))
    content[start : start + packets[15].size] = bytes(packets[15].size)
    clip = open_video(bytes(content))
    assert clip.num_frames == 40
    with pytest.warns(SamaWarning, match="damaged at frame 15") as caught:
        frames = np.stack([pixels for _, pixels in clip.stream()])
    assert len(caught) == 1
    assert (frames[15] == expected[14]).all()
    assert (frames[:15] == expected[:15]).all()
    assert (frames[20:] == expected[20:]).all()


def refused(source: object) -> str:
    with pytest.raises(VideoError) as caught:
        open_video(source)
    line = str(caught.value)
    assert "\n" not in line
    assert re.search(r"[;:] .+\.$", line), "says what to do next"
    return line


def test_missing_file_is_refused(tmp_path):
    assert "nowhere.mp4 does not exist" in refused(tmp_path / "nowhere.mp4")


def test_empty_file_is_refused(tmp_path):
    (tmp_path / "empty.mp4").touch()
    assert "empty.mp4 is empty (0 bytes)" in refused(tmp_path / "empty.mp4")
    assert "<bytes> is empty" in refused(b"")


@pytest.mark.parametrize("name", ["notes.txt", "notes.mp4", "list.m3u8"])
def test_text_is_no_video(tmp_path, name):
    (tmp_path / name).write_text("#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n")
    assert f"{name} holds text, not a video" in refused(tmp_path / name)


def test_noise_is_no_video(tmp_path):
    (tmp_path / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(5000))
    assert "not a video that FFmpeg can read" in refused(tmp_path / "noise.mp4")


def test_sound_alone_is_no_video(tmp_path):
    path = tmp_path / "sound.m4a"
    with av.open(str(path), "w") as output:
        track = output.add_stream("aac", rate=48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
        frame.sample_rate = 48000
        output.mux(track.encode(frame))
        output.mux(track.encode(None))
    assert "sound.m4a holds only audio, no video" in refused(path)


def test_video_without_a_readable_frame_is_refused(video_of_kind):
    path = video_of_kind("h264-10bit.mkv")
    content = path.read_bytes()
    with av.open(str(path)) as container:
        for packet in container.demux(video=0):
            if packet.size:
                content = content.replace(bytes(packet), bytes(packet.size))
    assert "none of its frames can be decoded" in refused(content)


def test_folder_without_images_is_refused(tmp_path):
    (tmp_path / "readme.md").write_text("no pictures here")
    assert "is a folder without images" in refused(tmp_path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may read everything")
def test_file_that_may_not_be_read_is_refused(tmp_path, video_of_kind):
    path = tmp_path / "locked.mp4"
    path.write_bytes(video_of_kind("h264.mp4").read_bytes())
    path.chmod(0)
    assert "may not be read by this user" in refused(path)


def test_refusal_to_read_is_told_as_such(tmp_path, monkeypatch):
    def refuse(self, mode="r"):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert "may not be read by this user" in refused(tmp_path / "locked.mp4")


@pytest.mark.parametrize("address", ["https://example.org/a.mp4", "rtsp://camera/1", "file:///a.mp4"])
def test_addresses_are_refused(address):
    assert "is an address; download" in refused(address)


@pytest.mark.parametrize("source", ["", None, 7])
def test_what_is_no_source_is_refused(source):
    # Where the test run checks types, they refuse it first.
    with pytest.raises((VideoError, TypeCheckError)):
        open_video(source)
