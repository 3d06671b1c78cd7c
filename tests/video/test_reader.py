import gc
import hashlib
import io
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sama_video.video import open_video, timeline


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_every_frame_a_player_shows_is_there_once_in_order(any_video, frames_of):
    clip = open_video(any_video)
    expected = frames_of(any_video)
    assert clip.num_frames == len(expected) == 40
    streamed = list(clip.stream())
    assert [idx for idx, _ in streamed] == list(range(40))
    assert (np.stack([pixels for _, pixels in streamed]) == expected).all()


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(indices=st.lists(st.integers(0, 39), max_size=12))
def test_any_frames_asked_for_equal_a_full_decode(any_video, frames_of, clip_of, indices):
    assert (clip_of(any_video).frames(indices) == frames_of(any_video)[indices]).all()


@pytest.mark.parametrize("arguments", [(39, None, -1), (35, 4, -3), (2, 39, 5)], ids=str)
def test_streams_in_either_direction_equal_a_full_decode(any_video, frames_of, arguments):
    start, stop, step = arguments
    wanted = list(range(start, -1 if stop is None else stop, step))
    streamed = list(open_video(any_video).stream(start, stop, step))
    assert [idx for idx, _ in streamed] == wanted
    assert (np.stack([pixels for _, pixels in streamed]) == frames_of(any_video)[wanted]).all()


def test_times_start_at_zero_and_are_exact(any_video):
    clip = open_video(any_video)
    if any_video.name == "vfr.mp4":
        ticks = np.cumsum(np.arange(40) % 7 + 1)
        assert clip.times.tolist() == [int(tick - ticks[0]) / 90 for tick in ticks]
        assert clip.average_fps == pytest.approx(40 / clip.duration)
    else:
        assert clip.times == pytest.approx(np.arange(40) / 25, abs=1e-9)
        assert clip.average_fps == pytest.approx(25)
        assert clip.duration == pytest.approx(1.6)


def test_long_groups_of_pictures_run_backwards_in_bounded_stretches(video_of_kind, frames_of, monkeypatch):
    monkeypatch.setattr("sama_video.video.decoder.REVERSE_FRAMES", 8)
    path = video_of_kind("h264-one-key.mp4")
    streamed = [pixels for _, pixels in open_video(path).stream(39, step=-1)]
    assert (np.stack(streamed) == frames_of(path)[::-1]).all()


def test_sparse_access_seeks_instead_of_decoding_everything(tmp_path, encode, monkeypatch):
    clip = open_video(encode(tmp_path / "long.mp4", "libx264", num_frames=300, options={"g": "10"}))
    decoded = 0

    def counting(packets, stream):
        nonlocal decoded
        for frame in timeline.decode_packets(packets, stream):
            decoded += 1
            yield frame

    monkeypatch.setattr("sama_video.video.decoder.decode_packets", counting)
    clip.frames([290, 10, 150])
    assert decoded < 100


def test_frames_in_the_file_that_are_never_shown_are_not_counted(video_of_kind):
    path = video_of_kind("vp8.webm")
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    content = path.read_bytes()
    for hidden in (packets[7], packets[30]):
        assert hidden[0] & 0x10  # the bit that says "show"
        content = content.replace(hidden, bytes([hidden[0] & ~0x10]) + hidden[1:])
    clip = open_video(content)
    with av.open(io.BytesIO(content)) as container:
        expected = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    assert clip.num_frames == len(expected) == 38
    assert (clip.frames(range(38)) == expected).all()


def test_bytes_open_like_the_file(video_of_kind, frames_of):
    path = video_of_kind("h264.mp4")
    clip = open_video(path.read_bytes())
    assert clip.source == "<bytes>"
    assert clip.sha256 == open_video(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (clip.frames([33, 2]) == frames_of(path)[[33, 2]]).all()


def test_streams_side_by_side_do_not_disturb_each_other(video_of_kind, frames_of):
    path = video_of_kind("h264.mp4")
    clip, expected = open_video(path), frames_of(path)
    for (i, one), (j, other) in zip(clip.stream(), clip.stream(39, step=-1), strict=True):
        assert (one == expected[i]).all()
        assert (other == expected[j]).all()
        assert (clip.frame((i * 7) % 40) == expected[(i * 7) % 40]).all()


def test_threads_may_share_a_clip(video_of_kind, frames_of):
    path = video_of_kind("h264.mp4")
    clip, expected = open_video(path), frames_of(path)
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(lambda idx: clip.frame(idx), list(range(0, 40, 3)) * 3))
    assert (np.stack(got) == expected[list(range(0, 40, 3)) * 3]).all()


def test_frames_kept_by_the_caller_never_change(video_of_kind, frames_of):
    path = video_of_kind("h264.mp4")
    kept = [pixels[4:, 2:] for idx, pixels in open_video(path).stream() if idx % 3 == 0]
    assert (np.stack(kept) == frames_of(path)[::3, 4:, 2:]).all()


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files through /proc")
def test_no_file_stays_open_behind_a_clip(video_of_kind):
    path = video_of_kind("h264.mp4")
    gc.disable()
    try:
        before = open_files()
        clip = open_video(path)
        assert open_files() == before
        stream = clip.stream()
        next(stream)
        clip.frame(30)
        del stream
        clip.close()
        assert open_files() == before
        clip.frame(3)
        del clip
        assert open_files() == before
    finally:
        gc.enable()


def test_clip_travels_to_another_process(video_of_kind, frames_of):
    path = video_of_kind("h264.mp4")
    clip = open_video(path)
    clip.frame(20)
    assert (pickle.loads(pickle.dumps(clip)).frame(31) == frames_of(path)[31]).all()


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_rotated_video_stands_upright(tmp_path, encode, frames_of, rotation):
    path = encode(tmp_path / "turned.mp4", "libx264", rotation=rotation)
    clip = open_video(path)
    upright = np.rot90(frames_of(path), rotation // 90, axes=(1, 2))
    assert (clip.height, clip.width) == upright.shape[1:3]
    assert (clip.frames(range(40)) == upright).all()


def test_mirrored_video_is_mirrored_back(tmp_path, encode, frames_of):
    mirror = [-(1 << 16), 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30]
    path = encode(tmp_path / "mirrored.mp4", "libx264", matrix=mirror)
    assert (open_video(path).frames([5]) == frames_of(path)[[5], :, ::-1]).all()


def test_frames_cut_off_by_an_edit_list_are_not_counted(tmp_path, video_of_kind, frames_of, remux):
    whole = video_of_kind("h264.mp4")
    with av.open(str(whole)) as container:
        frame_ticks = int(Fraction(1, 25) / container.streams.video[0].time_base)
    cut = remux(whole, tmp_path / "cut.mp4", shift=13 * frame_ticks)
    clip = open_video(cut)
    assert clip.num_frames == 27
    assert clip.times == pytest.approx(np.arange(27) / 25)
    assert (clip.frames([26, 0, 9]) == frames_of(whole)[[39, 13, 22]]).all()


def test_frames_that_lack_their_reference_at_the_start_are_not_counted(tmp_path, video_of_kind, frames_of, remux):
    whole = video_of_kind("h264-late.ts")
    clip = open_video(remux(whole, tmp_path / "joined_late.ts", skip=5))
    shown = frames_of(tmp_path / "joined_late.ts")
    assert clip.num_frames == len(shown) < 40
    assert (clip.frames(range(clip.num_frames)) == shown).all()


def test_pixels_are_those_stored_whatever_their_aspect(tmp_path, encode):
    clip = open_video(encode(tmp_path / "wide.mp4", "libx264", aspect=Fraction(4, 3)))
    assert (clip.height, clip.width) == (48, 64)


def test_transparent_pixels_show_black(tmp_path, encode):
    clip = open_video(encode(tmp_path / "alpha.mov", "prores_ks", pixel_format="yuva444p10le", num_frames=3))
    pixels = clip.frame(1)
    assert (pixels[26:] == 0).all()
    assert pixels[:20].mean() > 60


def test_size_that_changes_midway_is_scaled_to_the_first(tmp_path, encode):
    small = encode(tmp_path / "small.h264", "libx264", num_frames=5)
    large = encode(tmp_path / "large.h264", "libx264", num_frames=5, height=96, width=128)
    clip = open_video(small.read_bytes() + large.read_bytes())
    frames = clip.frames(range(10))
    assert frames.shape == (10, 48, 64, 3)
    assert (frames[7, :10, :10, 0] > 200).all()


def test_sound_is_noticed(tmp_path, encode):
    assert open_video(encode(tmp_path / "sound.mp4", "libx264", sound="aac")).has_audio
    assert not open_video(encode(tmp_path / "silent.mp4", "libx264")).has_audio


def test_real_clips_read_like_ffmpeg(videos_dir, frames_of):
    for path in sorted(videos_dir.glob("*.mp4"))[:1]:
        clip = open_video(path)
        with av.open(str(path)) as container:
            frames = [frame for frame, _ in zip(container.decode(video=0), range(20), strict=False)]
            assert clip.num_frames == container.streams.video[0].frames
        assert clip.times[:20].tolist() == [float(frame.pts * frame.time_base) for frame in frames]
        wanted = [19, 3, 11]
        assert (clip.frames(wanted) == [frames[idx].to_ndarray(format="rgb24") for idx in wanted]).all()
