import hashlib

import numpy as np
import pytest

from sama_video.errors import VideoError
from sama_video.video import Clip, open_video


@pytest.fixture
def frames() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (10, 6, 8, 3), dtype=np.uint8)


def test_array_becomes_a_clip_with_even_times(frames):
    clip = Clip.from_frames(frames, fps=5)
    assert (clip.num_frames, len(clip), clip.height, clip.width) == (10, 10, 6, 8)
    assert clip.times.tolist() == [i / 5 for i in range(10)]
    assert clip.duration == pytest.approx(2.0)
    assert clip.average_fps == pytest.approx(5)
    assert clip.source == "<array>"
    assert not clip.has_audio


def test_given_times_are_kept(frames):
    clip = Clip.from_frames(list(frames[:3]), times=[100.0, 100.5, 101.5])
    assert clip.times.tolist() == [100.0, 100.5, 101.5]
    assert clip.duration == pytest.approx(102.25)
    assert clip.index_at(100.7) == 1


def test_frames_come_in_the_order_asked_with_repeats(frames):
    clip = open_video(frames)
    assert (clip.frames([7, 0, 7, 3]) == frames[[7, 0, 7, 3]]).all()
    assert (clip.frame(np.int64(4)) == frames[4]).all()
    assert clip.frames([]).shape == (0, 6, 8, 3)


def test_stream_follows_range(frames):
    clip = open_video(frames)
    for arguments in [(), (3,), (2, 9), (0, None, 3), (9, None, -1), (8, 2, -2), (5, 5), (9, 3)]:
        start, stop, step = (*arguments, *(0, None, 1)[len(arguments) :])
        expected = list(range(start, (10 if step > 0 else -1) if stop is None else stop, step))
        got = list(clip.stream(*arguments))
        assert [idx for idx, _ in got] == expected
        assert all((pixels == frames[idx]).all() for idx, pixels in got)


def test_time_finds_the_frame_shown_then(frames):
    clip = Clip.from_frames(frames, fps=30)
    assert [clip.index_at(seconds) for seconds in clip.times] == list(range(10))
    assert [clip.index_at(round(float(seconds), 6)) for seconds in clip.times] == list(range(10))
    assert clip.index_at(0.099) == 2
    assert clip.index_at(clip.duration) == 9


@pytest.mark.parametrize("seconds", [-0.1, 0.5, float("nan"), float("inf")])
def test_time_outside_the_clip_is_refused(frames, seconds):
    with pytest.raises(VideoError, match=r"outside <array>, which runs from 0 to 0\.333333 s"):
        Clip.from_frames(frames, fps=30).index_at(seconds)


@pytest.mark.parametrize("idx", [-1, 10, 1000])
def test_index_outside_the_clip_is_refused(frames, idx):
    clip = open_video(frames)
    for ask in (lambda: clip.frame(idx), lambda: clip.frames([0, idx]), lambda: clip.stream(idx, idx + 5)):
        with pytest.raises(VideoError, match=r"10 frames \(0-9\)"):
            ask()


def test_stream_without_a_step_is_refused(frames):
    with pytest.raises(VideoError, match="step 0"):
        open_video(frames).stream(step=0)


def test_hash_of_an_array_is_that_of_its_bytes(frames):
    assert open_video(frames).sha256 == hashlib.sha256(frames.tobytes()).hexdigest()
    assert open_video(np.ascontiguousarray(frames[:, :, ::-1])).sha256 == open_video(frames[:, :, ::-1]).sha256


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (np.zeros((2, 4, 4, 3), np.float32), r"float32 \(2, 4, 4, 3\)"),
        (np.zeros((2, 4, 4, 4), np.uint8), r"uint8 \(2, 4, 4, 4\)"),
        (np.zeros((4, 4), np.uint8), r"uint8 \(4, 4\)"),
        (np.zeros((0, 4, 4, 3), np.uint8), "no frames"),
        ([], "no frames"),
        ([np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5, 3), np.uint8)], "different shapes"),
    ],
)
def test_arrays_that_are_no_frames_are_refused(given, told):
    with pytest.raises(VideoError, match=told):
        open_video(given)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"fps": 0}, "above 0"),
        ({"fps": float("nan")}, "above 0"),
        ({"times": [0.0, 1.0]}, "10 frames but 2 times"),
        ({"times": [0.0] * 10}, "do not ascend"),
    ],
)
def test_impossible_times_are_refused(frames, settings, told):
    with pytest.raises(VideoError, match=told):
        Clip.from_frames(frames, **settings)


def test_one_frame_is_a_clip():
    clip = open_video(np.zeros((4, 6, 3), np.uint8))
    assert (clip.num_frames, clip.height, clip.width) == (1, 4, 6)
    assert clip.duration > 0


def test_clip_opens_as_itself(frames):
    clip = open_video(frames)
    assert open_video(clip) is clip
