from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nano_model import demo_picture, nano_model
from PIL import Image
from tiny_model import moving_squares

from sama_video.bench.kits.answering import Generation, answer, as_clip, harmless
from sama_video.errors import ConfigError, DialogueError, VideoError
from sama_video.model.decoding import Sampling
from sama_video.video.bundled import DEMO_CLIP


def picture(height: int, width: int, value: int = 200) -> Image.Image:
    return Image.fromarray(np.full((height, width, 3), value, np.uint8))


@pytest.mark.parametrize(
    ("question", "asked"),
    [
        ("<image>\nWhat is this?", "What is this?"),
        ("A.\nB.\n", "A. B."),
        ("What does <p> or </p> mean in <img src>?", "What does < p> or < /p> mean in <img src>?"),
        ("<region> <obj3> <|im_end|> [SEG] <s>", "< region> < obj3> < |im_end|> [ SEG] < s>"),
        ("Is 3 < 5 and x<y?", "Is 3 < 5 and x<y?"),
    ],
)
def test_nothing_in_a_question_is_a_tag_of_ours(question: str, asked: str) -> None:
    assert harmless(question) == asked
    assert answer(nano_model(), question, [picture(48, 64)], Generation(4)) is not None


def test_pictures_of_other_sizes_share_a_canvas_and_keep_their_shape(tmp_path: Path) -> None:
    picture(10, 40).save(tmp_path / "wide.png")
    clip = as_clip([picture(20, 20), str(tmp_path / "wide.png"), tmp_path / "wide.png"])
    assert (clip.num_frames, clip.height, clip.width) == (3, 20, 40)
    lit = clip.frames(range(3))[..., 0] > 100
    assert [int(frame.sum()) for frame in lit] == [20 * 20, 10 * 40, 10 * 40]
    assert lit[0, :, 10:30].all()
    assert lit[1, 5:15].all()


def test_grey_and_transparent_pictures_are_read() -> None:
    assert as_clip([picture(5, 6).convert("L")]).frame(0).shape == (5, 6, 3)
    assert as_clip([picture(5, 6).convert("RGBA")]).num_frames == 1


def test_video_is_taken_as_it_is() -> None:
    clip = as_clip([str(DEMO_CLIP)])
    assert clip.num_frames > 1
    assert as_clip([moving_squares(3).frames(range(3))]).num_frames == 3
    with pytest.raises(DialogueError, match="2 visuals, a video among them"):
        as_clip([str(DEMO_CLIP), picture(4, 4)])


def test_question_without_a_picture_is_told(caplog: pytest.LogCaptureFixture) -> None:
    assert as_clip([]).num_frames == 1
    assert "without any picture" in caplog.text


def test_visual_that_is_none_is_refused() -> None:
    with pytest.raises(DialogueError, match="a visual is a dict"):
        as_clip([{"array": 1}])
    with pytest.raises(VideoError):
        as_clip(["/absent.mp4"])


def say(generation: Generation, question: str = "Describe the video in detail.", frame_idx: int = 0) -> str:
    return answer(nano_model(), question, [demo_picture(frame_idx)], generation)


def test_answer_is_plain_text_and_always_the_same() -> None:
    first = say(Generation(12))
    other = say(Generation(12), "How many objects are there?", 40)
    assert say(Generation(12)) == first != other
    assert len(first.split()) > 3
    for mark in ("<", "[SEG]", "  "):
        assert mark not in first


def test_answer_is_as_long_as_wished_and_ends_before_a_stop() -> None:
    short, long = say(Generation(3)), say(Generation(12))
    assert long.startswith(short)
    assert 0 < len(short) < len(long)
    stop = long.split()[2]
    assert say(Generation(12, until=("never", stop))) == long[: long.index(stop)].strip()
    assert say(Generation(12, until=("", long[:4]))) == ""


@dataclass(frozen=True)
class Reciter:
    """A model that says one thing, marks and all."""

    raw: str
    sampling: Sampling = field(default_factory=Sampling)

    def chat(self, _clip: object, **_options: object) -> "Reciter":
        return self

    def __enter__(self) -> "Reciter":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def ask(self, _question: str, *, ground: bool) -> "Reciter":
        assert ground is False
        return self


@pytest.mark.parametrize(
    ("until", "text"), [((), "The dog runs. More."), (("\n\n",), "The dog runs."), ((" runs", "Mo"), "The dog")]
)
def test_tags_and_stops_are_taken_out_of_what_the_model_wrote(until: tuple[str, ...], text: str) -> None:
    reciter: Any = Reciter("<p> The dog </p> [SEG] runs .\n\nMore.<|im_end|>")
    assert answer(reciter, "?", [picture(4, 4)], Generation(until=until)) == text


def test_temperature_is_told_to_the_model_and_drawn_under_a_seed() -> None:
    drawn = [say(Generation(12, temperature=5)) for _ in range(2)]
    assert drawn[0] == drawn[1]
    assert drawn[0] != say(Generation(12))


@pytest.mark.parametrize(
    ("wishes", "generation"),
    [
        ({}, Generation()),
        ({"max_new_tokens": 16, "temperature": 0, "do_sample": False, "num_beams": 1}, Generation(16)),
        ({"until": "\n\n", "temperature": 0.7}, Generation(until=("\n\n",), temperature=0.7)),
        ({"until": ["a", "b"], "temperature": None, "top_p": None}, Generation(until=("a", "b"))),
        ({"temperature": 0.7, "top_p": 0.5, "do_sample": True}, Generation(temperature=0.7, top_p=0.5)),
        ({"temperature": 0.7, "top_p": 0.5, "do_sample": False}, Generation()),
        ({"until": None, "image_aspect_ratio": "original"}, Generation()),
    ],
)
def test_wishes_of_kits_are_read(wishes: dict[str, object], generation: Generation) -> None:
    assert Generation.of(wishes) == generation


def test_wish_that_cannot_be_kept_is_refused() -> None:
    with pytest.raises(ConfigError, match="num_beams is 5"):
        Generation.of({"num_beams": 5})
