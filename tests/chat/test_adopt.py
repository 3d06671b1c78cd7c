"""Turns that were held elsewhere, other conversations about one clip, and the object of each `[SEG]`."""

from collections.abc import Callable

import pytest
import torch
from tiny_model import moving_squares

import sama_video as sama
from sama_video.chat.batch import answer_sessions
from sama_video.chat.loading import LoadedModel
from sama_video.chat.session import ChatSession
from sama_video.errors import DialogueError, RegionError

Say = Callable[..., None]
CLICK = sama.Points(frame=0, xy=[(10, 12)])
BOX = sama.Box(frame=5, xyxy=(44, 10, 62, 34))
RAW = "<p> the red square </p> [SEG] moves to the right."


@pytest.fixture
def chat(model: LoadedModel, clip: sama.Clip) -> ChatSession:
    return model.chat(clip, max_new_tokens=30)


def told(answer: sama.Answer) -> tuple[object, ...]:
    return answer.raw, answer.segs, {name: answer.masklets[name].rles for name in answer.masklets}


def test_an_adopted_turn_reads_as_the_same_turn_asked(chat: ChatSession, say: Say) -> None:
    say(RAW)
    asked = chat.another()
    asked.ask("What is <region>?", [CLICK])
    turn = chat.adopt("What is <region>?", [CLICK], answer=RAW)
    assert chat.history._closed_ids() == asked.history._closed_ids()
    assert chat.dialogue[0] == turn
    assert (turn.text, turn.raw) == (asked.dialogue[0].text, RAW)
    assert turn.regions == asked.dialogue[0].regions


def test_the_next_answer_follows_from_the_adopted_turn(chat: ChatSession, say: Say, monkeypatch) -> None:
    say(RAW)
    asked = chat.another()
    asked.ask("What is <region>?", [CLICK], ground=False)
    monkeypatch.undo()
    chat.adopt("What is <region>?", [CLICK], answer=RAW)
    first, second = (session.ask("And what does it pass?", ground=True) for session in (asked, chat))
    assert first.raw == second.raw
    alone = chat.another().ask("And what does it pass?", ground=True)
    assert chat.history.num_read > alone.timing.prefill_tokens + len(alone.raw.split())


def test_an_adopted_turn_may_follow_turns_that_were_asked(model: LoadedModel, clip: sama.Clip) -> None:
    reading, late = (model.chat(clip, max_new_tokens=12) for _ in range(2))
    for session in (reading, late):
        session.ask("What is here?", ground=False)
    late.history.drop_cache()
    for session in (reading, late):
        session.adopt("Where is <region>?", [BOX], answer=RAW)
    assert told(reading.ask("And now?", ground=True)) == told(late.ask("And now?", ground=True))


def test_an_adopted_answer_brings_no_masks(chat: ChatSession) -> None:
    turn = chat.adopt("What is here?", answer=RAW)
    assert [(phrase.text, phrase.object_id) for phrase in turn.phrases] == [("the red square", None)]
    assert turn.phrases[0].reason == "the answer was adopted without masks"
    assert chat.objects == {}
    chat.adopt("What is <region>?", [CLICK], answer="A square.")
    assert list(chat.objects) == ["obj1"]


def test_a_turn_that_cannot_be_adopted_leaves_the_session_as_it_was(chat: ChatSession) -> None:
    chat.adopt("What is here?", answer=RAW)
    before = chat.history._closed_ids()
    with pytest.raises(RegionError, match="frame 99"):
        chat.adopt("What is <region>?", [sama.Points(frame=99, xy=[(1, 1)])], answer="A square.")
    with pytest.raises(DialogueError, match="token for pictures"):
        chat.adopt("What is here?", answer="A <IMG_CONTEXT> square.")
    assert len(chat.dialogue) == 1
    assert chat.history._closed_ids() == before


def test_what_stands_after_the_end_of_an_adopted_answer_is_left_out(chat: ChatSession) -> None:
    turn = chat.adopt("What is here?", answer=" A square.<|im_end|>\nMore. ")
    assert turn.raw == "A square."


def test_another_conversation_shares_what_was_encoded_and_nothing_that_was_said(chat: ChatSession) -> None:
    first = chat.ask("What is <region>?", [CLICK], ground=True)
    other = chat.another()
    assert (len(other.dialogue), dict(other.objects)) == (0, {})
    again = other.ask("What is <region>?", [CLICK], ground=True)
    assert told(again) == told(first)
    assert (again.timing.vision_frames_encoded, again.timing.segmenter_frames_encoded) == (0, 0)
    assert first.timing.vision_frames_encoded > 0
    assert again.timing.prefill_tokens == first.timing.prefill_tokens
    chat.close()
    assert other.ask("And now?", ground=False).timing.total_seconds > 0


def test_each_seg_has_its_object_in_order(chat: ChatSession, say: Say, see: Callable[..., None]) -> None:
    say("[SEG] and <p> a thing </p> [SEG] by <p> another </p> [SEG] there [SEG]")
    see((10, 10, 20, 20), None, (40, 5, 50, 15), (10, 10, 21, 20))
    answer = chat.ask("What is here?")
    assert answer.segs == ("obj1", None, "obj2", "obj1")
    assert [phrase.object_id for phrase in answer.phrases] == [None, "obj2"]


def test_segs_that_were_not_asked_for_have_none(chat: ChatSession, say: Say) -> None:
    say("<p> a thing </p> [SEG]")
    assert chat.ask("What is here?", ground=False).segs == ()


def test_sessions_with_different_pasts_answer_together_as_alone(model: LoadedModel) -> None:
    base = model.chat(moving_squares(8), max_new_tokens=12)

    def pasts() -> list[ChatSession]:
        sessions = [base.another() for _ in range(3)]
        sessions[1].adopt("What is here?", answer=RAW)
        sessions[2].adopt("What is <region>?", [CLICK], answer="A square.")
        return sessions

    asked = [("Where is it?",), ("And what is <region>?", (CLICK,)), ("Where does it go?",)]
    together = answer_sessions(pasts(), asked, ground=True)
    alone = [session.ask(*words, ground=True) for session, words in zip(pasts(), asked, strict=True)]
    assert [told(answer) for answer in together] == [told(answer) for answer in alone]


def test_regions_are_tracked_in_a_batch_only_when_asked_for(model: LoadedModel, monkeypatch) -> None:
    base = model.chat(moving_squares(6), max_new_tokens=4)
    for wanted in (False, True):
        session = base.another()
        with torch.inference_mode():
            answer_sessions([session], [("What is <region>?", (CLICK,))], ground=False, track_regions=wanted)
        assert (session.objects["obj1"].masklet is not None) == wanted
