"""Regions in: moments, known objects, tracking on first need, corrections."""

from collections.abc import Callable

import numpy as np
import pytest
from tiny_model import filled, moving_squares

import sama_video as sama
from sama_video.chat.loading import LoadedModel
from sama_video.chat.session import ChatSession
from sama_video.errors import RegionError, SessionError, VideoError
from sama_video.regions.rle import encode, iou

Say = Callable[..., None]
CLICK = sama.Points(frame=0, xy=[(10, 12)])


def test_a_moment_in_seconds_is_the_frame_shown_then(chat: ChatSession, model: LoadedModel) -> None:
    by_time = chat.ask("What is <region>?", [sama.Box(seconds=0.55, xyxy=(4, 4, 30, 30))], ground=False)
    assert by_time.turn.regions[0].region == sama.Box(frame=5, xyxy=(4, 4, 30, 30))
    other = model.chat(chat.clip, max_new_tokens=12)
    by_frame = other.ask("What is <region>?", [sama.Box(frame=5, xyxy=(4, 4, 30, 30))], ground=False)
    assert by_time.raw == by_frame.raw


def test_an_object_pointed_at_is_followed_when_its_masklet_is_first_read(chat: ChatSession) -> None:
    answer = chat.ask("What is <region>?", [CLICK], ground=False)
    assert chat.objects["obj1"].masklet is None
    encoded = chat.masks.tracker.frames_encoded
    assert answer.masklets["obj1"].num_frames == 12
    assert chat.masks.tracker.frames_encoded == encoded + 11
    assert answer.masklets["obj1"] == chat.objects["obj1"].masklet
    assert answer.masklets["obj1"].rles[0] == chat.objects["obj1"].sightings[0].mask


def test_pointing_at_a_known_object_again_keeps_its_name(chat: ChatSession) -> None:
    mask = filled((4, 6, 20, 22))
    chat.ask("What is <region>?", [sama.Mask(frame=0, mask=mask)], ground=False)
    nearly = filled((5, 6, 20, 22))
    answer = chat.ask("And <region>?", [sama.Mask(frame=0, mask=nearly)], ground=False)
    assert answer.turn.regions[0].object_id == "obj1"
    other = chat.ask("And <region>?", [sama.Mask(frame=0, mask=filled((40, 30, 60, 46)))], ground=False)
    assert other.turn.regions[0].object_id == "obj2"


def test_a_known_object_is_named_by_its_tag(chat: ChatSession) -> None:
    left, right = (sama.Mask(frame=0, mask=filled(box)) for box in ((4, 6, 20, 22), (40, 30, 60, 46)))
    chat.ask("What is <region>?", [left], ground=False)
    answer = chat.ask("Is <obj1> moving away from <region>?", [right], ground=False)
    assert [prompt.object_id for prompt in answer.turn.regions] == ["obj1", "obj2"]
    asked = chat.history.turns[1]
    assert asked.question == "Is <region> moving away from <region>?"
    assert asked.regions[0] == (0, chat.objects["obj1"].sightings[0].mask)
    assert answer.turn.question.startswith("Is <obj1>")


def test_a_long_question_keeps_every_region_slot(chat: ChatSession) -> None:
    question = "What is <region>" + " and where is the red square" * 30 + "?"
    assert chat.ask(question, [CLICK], ground=False).turn.regions
    slots = chat.processor.question_ids(question).tolist()
    assert len(slots) == 64
    assert slots.count(chat.model.config.aggregator_config.mask_slot_id) == 1
    with pytest.raises(sama.SamaError, match="the question has 20 regions"):
        chat.ask("<region> " * 20, [CLICK] * 20, ground=False)


def test_a_negative_point_changes_the_mask_and_keeps_the_name(chat: ChatSession) -> None:
    name = chat.ask("What is here?", ground=True).phrases[0].object_id
    assert name is not None
    before = chat.masklet(name)
    frame = before.visible_frames[0]
    y, x = np.argwhere(before.mask(frame))[0].tolist()
    after = chat.refine(name, sama.Points(frame=frame, xy=[(x, y)], labels=[0]))
    assert after.object_id == name
    assert after.rles[frame] != before.rles[frame]
    assert after == chat.masklet(name)
    assert list(chat.objects) == [name]


def test_a_mask_given_as_correction_stands_as_it_is(chat: ChatSession) -> None:
    chat.track([CLICK])
    mask = filled((30, 20, 50, 40))
    after = chat.refine("obj1", sama.Mask(seconds=0.6, mask=mask))
    rle = after.rles[6]
    assert rle is not None
    assert iou(rle, encode(mask)) > 0.9
    boxed = chat.refine("obj1", sama.Box(frame=3, xyxy=(4, 4, 30, 30)))
    assert {0, 3, 6} <= set(chat.objects["obj1"].sightings)
    assert boxed.rles[6] == rle


def test_corrections_that_make_no_sense_are_refused(chat: ChatSession, say: Say) -> None:
    chat.track([CLICK])
    before = chat.book.snapshot()
    with pytest.raises(RegionError, match="cannot be refined by naming obj1"):
        chat.refine("obj1", sama.ObjectRef("obj1"))
    with pytest.raises(SessionError, match="no object of this session"):
        chat.refine("obj2", CLICK)
    with pytest.raises(RegionError, match="on frame 40"):
        chat.refine("obj1", sama.Points(frame=40, xy=[(1, 1)], labels=[0]))
    assert chat.book.snapshot() == before


def test_there_is_nothing_to_take_away_where_an_object_is_not(chat: ChatSession) -> None:
    chat.track([CLICK])
    known = chat.objects["obj1"]
    rles = (*known.masklet.rles[:5], None, *known.masklet.rles[6:])
    hidden = sama.Masklet("obj1", 48, 64, rles, known.masklet.scores)
    chat.book.update("obj1", masklet=hidden)
    with pytest.raises(RegionError, match="not visible on frame 5"):
        chat.refine("obj1", sama.Points(frame=5, xy=[(3, 3)], labels=[0]))
    assert chat.masklet("obj1") == hidden
    chat.refine("obj1", sama.Points(frame=5, xy=[(12, 12)], labels=[1]))


def test_an_object_seen_nowhere_has_an_empty_masklet(chat: ChatSession) -> None:
    known = chat.book.meet([])
    assert chat.masklet(known.object_id).visible_frames == ()
    with pytest.raises(RegionError, match="obj1 is on none of the frames"):
        chat.ask("Where is <obj1>?")


def test_a_span_brings_its_own_frames(chat: ChatSession) -> None:
    chat.ask("What is here?", ground=False)
    shown = set(chat.history.shown)
    chat.ask("And in the end?", span=(0.8, 1.2), ground=False)
    frames = chat.history.turns[1].frames
    assert set(frames.context) == {8, 9, 10, 11}
    assert set(frames.dense) == {8, 9, 10, 11} - shown
    chat.ask("And in the first moment?", span=(0.0, 0.1), ground=False)
    assert chat.history.turns[2].frames.context == (0,)
    for span in ((0.5, 0.5), (0.7, 0.2), (5.0, 6.0), (float("nan"), 1.0)):
        with pytest.raises(VideoError):
            chat.ask("And?", span=span)


@pytest.mark.parametrize(("options", "context", "dense"), [({"max_frames": 3}, 3, 3), ({"dense_frames": 2}, 8, 2)])
def test_the_number_of_frames_is_the_callers_choice(
    model: LoadedModel, options: dict[str, int], context: int, dense: int
) -> None:
    chat = model.chat(moving_squares(24), max_new_tokens=12, **options)
    answer = chat.ask("What is here?", ground=False)
    frames = chat.history.turns[0].frames
    assert (len(frames.context), len(frames.dense)) == (context, dense)
    assert answer.timing.vision_frames_encoded == len({*frames.context, *frames.dense})


def test_frames_can_be_chosen_by_the_question(model: LoadedModel) -> None:
    clip = moving_squares(40)
    chat = model.chat(clip, max_new_tokens=12, frame_choice="question", dense_frames=3, max_frames=4)
    answer = chat.ask("Where is the red square?", ground=False)
    dense = chat.history.turns[0].frames.dense
    assert len(dense) == 3
    assert answer.timing.vision_frames_encoded <= 16 + 4
    candidates = sorted(chat.states._tokens)
    scores = chat.states.likeness(candidates, chat._words("Where is the red square?"))
    assert candidates[int(np.argmax(scores))] in dense
    chat.ask("And the blue one?", ground=False)
    assert len(set(chat.history.shown)) == len(chat.history.shown)


def test_every_object_is_followed_in_one_pass(chat: ChatSession) -> None:
    told: list[tuple[int, int]] = []
    boxes = [sama.Box(frame=frame, xyxy=(4, 4, 24, 24)) for frame in (2, 7)]
    masks = [sama.Mask(frame=4, mask=filled((40, 30, 60, 46))), *boxes]
    names = chat.track(masks, progress=lambda done, total: told.append((done, total)))
    assert len(names) == 3
    assert told[-1] == (12, 12)
    assert all(chat.objects[name].masklet is not None for name in names)
