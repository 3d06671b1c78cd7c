"""Frames that are still coming: a bounded window, objects that stay known."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny_model import filled, moving_squares

import sama_video as sama
from sama_video.chat.live import PROMPT_WINDOW, LiveSession
from sama_video.chat.loading import LoadedModel
from sama_video.errors import ConfigError, SessionError, VideoError

Say = Callable[..., None]
LEFT = (2, 4, 20, 24)


def pushed(model: LoadedModel, count: int, **options: object) -> LiveSession:
    live = model.live(max_new_tokens=30, **options)
    for frame in moving_squares(count).frames(range(count)):
        live.push(frame)
    return live


def test_an_object_of_an_answer_is_followed_from_then_on(model: LoadedModel, say: Say, see: Say) -> None:
    live = pushed(model, 10)
    say("<p> The square </p> [SEG].")
    see(LEFT)
    answer = live.ask("Who is here?")
    assert answer.phrases[0].object_id == "obj1"
    assert answer.masklets["obj1"].num_frames == 10
    masks = [live.push(frame) for frame in moving_squares(14).frames(range(10, 14))]
    assert all(list(mask) == ["obj1"] for mask in masks)
    assert any(mask["obj1"] is not None for mask in masks)
    assert len(live.objects["obj1"]) == 14
    say("<p> It </p> [SEG].")
    see(None)
    again = live.ask("Where is <obj1>?")
    assert again.turn.regions[0].object_id == "obj1"
    assert len(live.dialogue) == 2


@pytest.mark.slow
def test_memory_stays_the_same_over_many_frames(model: LoadedModel) -> None:
    live = model.live(window_seconds=1.0, max_new_tokens=8)
    frames = moving_squares(30).frames(range(30))
    sizes = []
    for idx in range(300):
        live.push(frames[idx % 30])
        if idx in (30, 200):
            assert live.ask("Who is here?", ground=True).phrases[0].object_id
        if idx >= 60 and idx % 60 == 0:
            sizes.append((live.num_frames, live._tracker.nbytes, sum(len(frame.masks) for frame in live._frames)))
    counts, bytes_kept, _ = zip(*sizes, strict=True)
    assert set(counts) <= {24, 25}
    assert bytes_kept[0] == bytes_kept[1] == bytes_kept[2]
    assert max(bytes_kept) <= bytes_kept[0] * len(live.objects)


def test_an_object_gone_from_the_newest_frames_stays_known(model: LoadedModel, say: Say) -> None:
    live = pushed(model, 20)
    say("Yes.")
    mask = sama.Mask(frame=2, mask=filled(LEFT))
    live.ask("Is <region> a square?", [mask])
    assert list(live.objects) == ["obj1"]
    masks = live._frames[2].masks
    assert masks["obj1"] is not None
    for index, frame in enumerate(list(live._frames)):
        if index > 2:
            live._frames[index] = type(frame)(frame.pixels, frame.seconds, {"obj1": None}, frame.position)
    live._tracker = None
    live._follow(["obj1"])
    assert len(live._frames) - 3 > PROMPT_WINDOW
    assert list(live.push(moving_squares(21).frame(20))) == ["obj1"]
    assert live._tracker.object_ids == ("obj1",)


def test_the_caller_may_use_one_array_for_all_frames(model: LoadedModel) -> None:
    live, buffer = model.live(), np.zeros((48, 64, 3), np.uint8)
    for value in (10, 200):
        buffer[:] = value
        live.push(buffer)
    assert [int(frame.pixels[0, 0, 0]) for frame in live._frames] == [10, 200]


def test_a_turn_that_fails_leaves_a_live_session_as_it_was(model: LoadedModel) -> None:
    live = pushed(model, 6)
    with pytest.raises(sama.SamaError):
        live.ask("What is <region>?", [sama.Box(frame=9, xyxy=(0, 0, 9, 9))])
    assert (len(live.dialogue), dict(live.objects), live._tracker) == (0, {}, None)


@pytest.mark.parametrize(
    ("frame", "seconds", "told"),
    [
        (np.zeros((48, 64), np.uint8), None, "give uint8 pixels"),
        (np.zeros((48, 64, 3), np.float32), None, "give uint8 pixels"),
        (np.zeros((0, 64, 3), np.uint8), None, "has no pixels"),
        (np.zeros((24, 64, 3), np.uint8), None, "resize it"),
        (np.zeros((48, 64, 3), np.uint8), 0.0, "in their order"),
        (np.zeros((48, 64, 3), np.uint8), float("nan"), "in their order"),
    ],
)
def test_frames_that_do_not_fit_are_refused(
    model: LoadedModel, frame: np.ndarray, seconds: float | None, told: str
) -> None:
    live = pushed(model, 2)
    with pytest.raises(VideoError, match=told):
        live.push(frame, seconds=seconds)
    assert live.num_frames == 2


def test_a_live_session_has_a_beginning_and_an_end(model: LoadedModel) -> None:
    with pytest.raises(ConfigError, match="must look back some time"):
        model.live(window_seconds=0.0)
    live = model.live()
    with pytest.raises(SessionError, match="no frame was pushed"):
        live.ask("Who is here?")
    with pytest.raises(SessionError, match="the objects are: none yet"):
        live.forget("obj1")
    live.close()
    for call in (lambda: live.push(np.zeros((4, 4, 3), np.uint8)), lambda: live.ask("Who?")):
        with pytest.raises(SessionError, match="closed"):
            call()


def test_a_forgotten_object_is_followed_no_longer(model: LoadedModel, say: Say, see: Say) -> None:
    live = pushed(model, 6)
    say("<p> One </p> [SEG].", "<p> One </p> [SEG].")
    see(LEFT, LEFT)
    live.ask("Who?")
    live.forget("obj1")
    assert dict(live.push(moving_squares(7).frame(6))) == {}
    assert live.ask("Who?").phrases[0].object_id == "obj2"


def test_a_saved_live_session_goes_on_with_its_window(model: LoadedModel, tmp_path: Path) -> None:
    live = pushed(model, 30, window_seconds=0.5)
    live.ask("What is <region>?", [sama.Mask(frame=3, mask=filled(LEFT))], ground=True)
    live.save(tmp_path)
    restored = model.restore(tmp_path)
    assert isinstance(restored, LiveSession)
    assert (restored.num_frames, restored.window_seconds) == (live.num_frames, 0.5)
    assert restored.objects == live.objects
    assert restored.dialogue == live.dialogue
    expected, found = (one.ask("Where is <obj1>?", ground=True) for one in (live, restored))
    assert (found.raw, found.phrases, dict(found.masklets)) == (expected.raw, expected.phrases, dict(expected.masklets))
    assert list(restored.push(moving_squares(31).frame(30))) == list(live.push(moving_squares(31).frame(30)))
