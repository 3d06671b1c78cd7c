"""Long clips: painted on demand, so that nothing but our own keeping can fill the memory."""

from collections.abc import Iterator, Sequence

import numpy as np
import psutil
import pytest
from tiny_model import HEIGHT, WIDTH, moving_squares

import sama_video as sama
from sama_video.chat.loading import LoadedModel
from sama_video.video.clip import Clip

FPS, MINUTES = 24, 20


class PaintedFrames:
    """A square going round; counts what was asked for."""

    def __init__(self) -> None:
        self.ground = moving_squares(1).frame(0)
        self.painted = 0

    def read(self, frame_indices: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
        for idx in frame_indices:
            frame = self.ground.copy()
            x, y = 4 + idx % 40, 4 + idx // 40 % 30
            frame[y : y + 12, x : x + 12] = (20, 250, 30)
            self.painted += 1
            yield idx, frame

    def sha256(self) -> str:
        return "painted"

    def close(self) -> None:
        pass


def painted_clip(num_frames: int) -> tuple[Clip, PaintedFrames]:
    source = PaintedFrames()
    times = np.arange(num_frames) / FPS
    return Clip("<painted>", HEIGHT, WIDTH, times, float(FPS), 1 / FPS, False, source), source


def test_a_question_about_twenty_minutes_reads_a_few_frames(model: LoadedModel) -> None:
    clip, source = painted_clip(FPS * 60 * MINUTES)
    chat = model.chat(clip, max_new_tokens=12)
    assert chat.ask("What is here?", ground=False).timing.vision_frames_encoded == 8
    assert source.painted == 8
    chat.ask("And in the tenth minute?", span=(540.0, 600.0), ground=False)
    assert source.painted == 16
    by_question = model.chat(clip, max_new_tokens=12, frame_choice="question")
    by_question.ask("Where is the green square?", ground=False)
    assert source.painted <= 16 + 8 + 4 * 8


@pytest.mark.slow
def test_following_an_object_through_thousands_of_frames_keeps_memory_flat(model: LoadedModel) -> None:
    process, budget = psutil.Process(), 4 << 20
    clip, source = painted_clip(4000)
    chat = model.chat(clip, cache_bytes=budget)
    sizes: list[int] = []
    square = np.zeros((clip.height, clip.width), dtype=bool)
    square[4:40, 4:44] = True

    def progress(done: int, _: int) -> None:
        if done % 500 == 0:
            sizes.append(process.memory_info().rss)

    chat.track([sama.Mask(frame=2000, mask=square)], progress=progress)
    assert chat.masklet("obj1").num_frames == 4000
    assert source.painted >= 4000
    assert chat.masks.tracker.cache.nbytes <= budget
    assert len(sizes) == 8
    # Features of one frame are about 25 kB here: keeping those of 3,000 frames would show.
    assert max(sizes[2:]) - sizes[1] < 20 << 20
