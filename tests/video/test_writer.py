import os

import av
import numpy as np
import pytest

from sama_video.errors import VideoError
from sama_video.video import VideoWriter, open_video, write_video


def smooth(num_frames: int, height: int = 48, width: int = 64) -> np.ndarray:
    frames, rows, columns = np.mgrid[0:num_frames, 0:height, 0:width]
    return np.stack([rows * 4 + frames, columns * 3, 200 - rows - columns], axis=-1).clip(0, 255).astype(np.uint8)


def streams(path) -> dict[str, tuple[str, int]]:
    with av.open(str(path)) as container:
        sizes = dict.fromkeys(range(len(container.streams)), 0)
        for packet in container.demux():
            sizes[packet.stream_index] += packet.size > 0
        return {s.type: (s.codec_context.codec.canonical_name, sizes[s.index]) for s in container.streams}


def sound_bytes(path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


def loud_from(path) -> float:
    """When the sound begins, in seconds of the file's pictures."""
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            if np.abs(frame.to_ndarray().astype(np.float32)).max() > 0.05 * (
                1 if "flt" in frame.format.name else 32768
            ):
                return frame.time
    raise AssertionError("silence")


def test_frames_come_back_in_h264_that_plays_everywhere(tmp_path):
    frames = smooth(20)
    write_video(tmp_path / "out.mp4", frames, fps=12.5)
    clip = open_video(tmp_path / "out.mp4")
    assert (clip.num_frames, clip.average_fps, clip.duration) == (20, 12.5, 1.6)
    assert np.abs(clip.frames(range(20)).astype(int) - frames).mean() < 3
    with av.open(str(tmp_path / "out.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.codec.name, context.pix_fmt, context.colorspace) == ("h264", "yuv420p", 1)


@pytest.mark.parametrize("fps", [24, 25, 30000 / 1001, 24000 / 1001, 60, 6, 0.2])
def test_frame_rate_survives(tmp_path, fps):
    write_video(tmp_path / "out.mp4", smooth(12), times=np.arange(12) / fps)
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.video[0].average_rate == pytest.approx(fps, rel=1e-9)
    assert open_video(tmp_path / "out.mp4").times == pytest.approx(np.arange(12) / fps, abs=1e-9)


def test_uneven_times_survive(tmp_path):
    times = np.cumsum([0, 0.04, 0.051, 0.01, 0.3, 0.0333, 1.0])
    write_video(tmp_path / "out.mp4", smooth(7), times=times, last_frame_seconds=0.7)
    clip = open_video(tmp_path / "out.mp4")
    assert clip.times == pytest.approx(times, abs=1e-6)
    assert clip.duration == pytest.approx(times[-1] + 0.7, abs=1e-6)


@pytest.mark.parametrize("kind", ["vfr.mp4", "h264-late.ts", "vp9.webm"])
def test_copy_of_a_clip_keeps_its_times(tmp_path, video_of_kind, kind):
    clip = open_video(video_of_kind(kind))
    write_video(tmp_path / "out.mp4", (pixels for _, pixels in clip.stream()), times=clip.times)
    assert open_video(tmp_path / "out.mp4").times == pytest.approx(clip.times, abs=1e-6)


def test_odd_sizes_are_padded_to_even(tmp_path):
    frames = smooth(3, 47, 63)
    write_video(tmp_path / "out.mp4", frames, fps=10)
    clip = open_video(tmp_path / "out.mp4")
    assert (clip.height, clip.width) == (48, 64)
    assert np.abs(clip.frame(0)[:47, :63].astype(int) - frames[0]).mean() < 3


@pytest.mark.parametrize(("name", "codec", "sound"), [("a.mp4", "libx264", "aac"), ("a.ts", "libx264", "aac")])
def test_sound_is_copied_unchanged(tmp_path, encode, name, codec, sound):
    source = encode(tmp_path / name, codec, sound=sound)
    clip = open_video(source)
    write_video(tmp_path / "out.mp4", (p for _, p in clip.stream()), times=clip.times, audio_from=source)
    # A transport stream wraps each packet in a header of its own; MP4 does not.
    assert [len(part) for part in sound_bytes(tmp_path / "out.mp4")] == [
        len(part) - (7 if name == "a.ts" else 0) for part in sound_bytes(source)
    ]
    assert streams(tmp_path / "out.mp4")["video"] == ("h264", 40)
    assert open_video(tmp_path / "out.mp4").duration == pytest.approx(1.6)


def test_sound_that_mp4_cannot_hold_becomes_aac(tmp_path, encode):
    source = encode(tmp_path / "a.avi", "mpeg4", sound="pcm_s16le")
    clip = open_video(source)
    write_video(tmp_path / "out.mp4", (p for _, p in clip.stream()), times=clip.times, audio_from=source)
    codec, num_packets = streams(tmp_path / "out.mp4")["audio"]
    assert codec == "aac"
    assert num_packets * 1024 / 48000 == pytest.approx(1.6, abs=0.1)


@pytest.mark.parametrize("late", [0, 50])
def test_sound_stays_in_step_with_the_pictures(tmp_path, encode, late):
    source = encode(tmp_path / "a.mp4", "libx264", sound="aac", ticks=range(late, late + 40))
    clip = open_video(source)
    with av.open(str(source)) as container:
        lead = loud_from(source) - float(container.streams.video[0].start_time * container.streams.video[0].time_base)
    write_video(tmp_path / "out.mp4", (p for _, p in clip.stream()), times=clip.times, audio_from=source)
    assert loud_from(tmp_path / "out.mp4") == pytest.approx(lead, abs=0.03)


def test_part_of_a_clip_gets_its_part_of_the_sound(tmp_path, encode):
    source = encode(tmp_path / "a.mp4", "libx264", sound="aac")
    clip = open_video(source)
    write_video(tmp_path / "out.mp4", (p for _, p in clip.stream(10, 20)), times=clip.times[10:20], audio_from=source)
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.duration / av.time_base == pytest.approx(0.4, abs=0.03)


def test_source_without_sound_gives_a_silent_file(tmp_path, encode):
    source = encode(tmp_path / "a.mp4", "libx264")
    write_video(tmp_path / "out.mp4", smooth(4), fps=10, audio_from=source)
    assert set(streams(tmp_path / "out.mp4")) == {"video"}


def test_sound_may_come_from_a_file_without_pictures(tmp_path):
    with av.open(str(tmp_path / "a.wav"), "w") as output:
        track = output.add_stream("pcm_s16le", rate=48000, layout="mono")
        for first in range(0, 96000, 4800):
            frame = av.AudioFrame.from_ndarray(np.full((1, 4800), 9000, np.int16), format="s16", layout="mono")
            frame.sample_rate, frame.pts = 48000, first
            output.mux(track.encode(frame))
    write_video(tmp_path / "out.mp4", smooth(10), fps=10, audio_from=tmp_path / "a.wav")
    assert streams(tmp_path / "out.mp4")["audio"][0] == "aac"
    assert open_video(tmp_path / "out.mp4").duration == pytest.approx(1)


def test_folder_of_images_has_no_sound_to_give(tmp_path):
    write_video(tmp_path / "out.mp4", smooth(2), fps=10, audio_from=tmp_path)
    assert not open_video(tmp_path / "out.mp4").has_audio


def test_interrupted_writing_leaves_no_file(tmp_path):
    def stop_midway():
        yield from smooth(5)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_video(tmp_path / "out.mp4", stop_midway(), fps=10)
    assert os.listdir(tmp_path) == []


def test_interrupted_writing_leaves_the_old_file(tmp_path):
    (tmp_path / "out.mp4").write_bytes(b"old")
    sizes_that_change = [smooth(1)[0], smooth(1, 50, 64)[0]]
    with pytest.raises(VideoError, match="write frames of one size"):
        write_video(tmp_path / "out.mp4", sizes_that_change, fps=9)
    assert (tmp_path / "out.mp4").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["out.mp4"]


def test_finished_file_replaces_the_old_one(tmp_path):
    (tmp_path / "out.mp4").write_bytes(b"old")
    with VideoWriter(tmp_path / "out.mp4") as writer:
        for seconds, frame in zip([3.0, 3.5, 3.6], smooth(3), strict=True):
            writer.write(frame, seconds)
    assert open_video(tmp_path / "out.mp4").times == pytest.approx([0, 0.5, 0.6])
    assert os.listdir(tmp_path) == ["out.mp4"]


@pytest.mark.parametrize(
    ("name", "settings", "told"),
    [
        ("out.txt", {"fps": 5}, "not an MP4 name"),
        ("nowhere/out.mp4", {"fps": 5}, "there is no folder"),
        ("out.mp4", {}, "neither times nor fps"),
        ("out.mp4", {"fps": 0}, "above 0"),
        ("out.mp4", {"times": [0.0, 0.1]}, "more frames than its 2 times"),
        ("out.mp4", {"times": [0.0, 0.1, 0.2, 0.4]}, "3 frames but 4 times"),
        ("out.mp4", {"times": [0.0, 0.2, 0.1]}, "not after the one before"),
    ],
)
def test_impossible_requests_are_refused(tmp_path, name, settings, told):
    with pytest.raises(VideoError, match=told):
        write_video(tmp_path / name, smooth(3), **settings)
    assert os.listdir(tmp_path) == []


def test_no_frames_are_refused(tmp_path):
    with pytest.raises(VideoError, match="no frames"):
        write_video(tmp_path / "out.mp4", iter([]), fps=5)
