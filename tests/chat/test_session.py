"""Turns that happen whole or not at all, and the life of a session."""

import gc
import weakref
from collections.abc import Callable, Iterator

import pytest
import torch
from tiny_model import moving_squares

import sama_video as sama
from sama_video.chat.answer import AnswerReady, MaskletReady, TextDelta
from sama_video.chat.loading import LoadedModel
from sama_video.chat.masks import MaskMaker
from sama_video.chat.session import ChatSession
from sama_video.errors import ConfigError, DialogueError, RegionError, SessionError, VideoError
from sama_video.model.decoding import Decoder
from sama_video.model.tracking import Tracker
from sama_video.video.clip import Clip

CLICK = sama.Points(frame=0, xy=[(10, 12)])
LATER = sama.Points(frame=5, xy=[(30, 40)])


def everything(chat: ChatSession) -> tuple[object, ...]:
    return chat.dialogue, chat.book.snapshot(), tuple(chat.history.turns), list(chat.history._read)


def break_tracker(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def track(*_: object, **__: object) -> Iterator[object]:
        raise error
        yield

    monkeypatch.setattr(Tracker, "track", track)


def break_decoder(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    original, calls = Decoder.read, []

    def read(self: Decoder, *arguments: object) -> None:
        calls.append(1)
        if len(calls) == 3:
            raise error
        original(self, *arguments)

    monkeypatch.setattr(Decoder, "read", read)


def break_prefill(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def step(self: Decoder, embeds: torch.Tensor, positions: object, mask: object, cache: object) -> None:
        layer = self.model.model.language_model.layers[0]  # the first layer has read the turn, the second has not
        layer(
            embeds,
            position_ids=positions,
            past_key_values=cache,
            position_embeddings=self.model.model.language_model.rotary_emb(embeds, positions),
        )
        raise error

    monkeypatch.setattr(Decoder, "_step", step)


@pytest.mark.parametrize("breakage", [break_tracker, break_decoder, break_prefill])
@pytest.mark.parametrize("error", [RuntimeError("broken"), KeyboardInterrupt()])
@pytest.mark.parametrize("turns_before", [0, 1])
def test_a_turn_that_fails_leaves_no_trace(
    model: LoadedModel,
    clip: Clip,
    monkeypatch: pytest.MonkeyPatch,
    breakage: Callable[[pytest.MonkeyPatch, BaseException], None],
    error: BaseException,
    turns_before: int,
) -> None:
    chat, untouched = (model.chat(clip, max_new_tokens=12) for _ in range(2))
    for session in (chat, untouched)[: 2 * turns_before]:
        session.ask("What is here?", ground=False)
    before = everything(chat)
    with monkeypatch.context() as patch:
        breakage(patch, error)
        with pytest.raises(type(error)):
            chat.ask("What is <region>?", [LATER], ground=True)
    assert everything(chat) == before
    expected = untouched.ask("And what is <region>?", [CLICK], ground=True)
    found = chat.ask("And what is <region>?", [CLICK], ground=True)
    assert (found.raw, found.phrases) == (expected.raw, expected.phrases)
    assert {**found.masklets} == {**expected.masklets}


@pytest.mark.parametrize(
    ("question", "regions", "error"),
    [
        ("What is <region>?", [sama.Points(frame=12, xy=[(1, 1)])], RegionError),
        ("What is <region>?", [sama.Points(frame=0, xy=[(64, 1)])], RegionError),
        ("What is <region> and <region>?", [CLICK], DialogueError),
        ("What is here?", [CLICK], DialogueError),
        ("What is <region> and <obj7>?", [CLICK], SessionError),
        ("What is <region>?", [sama.Box(seconds=99, xyxy=(0, 0, 9, 9))], VideoError),
        ("", [], DialogueError),
        ("Say [SEG]", [], DialogueError),
    ],
)
def test_a_question_that_breaks_a_rule_is_refused_whole(
    chat: ChatSession, question: str, regions: list[sama.Region], error: type[Exception]
) -> None:
    before = everything(chat)
    with pytest.raises(error) as told:
        chat.ask(question, regions)
    assert "\n" not in str(told.value)
    assert everything(chat) == before


def test_counts_that_disagree_are_both_named(chat: ChatSession) -> None:
    with pytest.raises(DialogueError, match="2 <region> tags, but 1 region was given"):
        chat.ask("What are <region> and <region>?", [CLICK])


def test_an_unknown_object_is_answered_with_the_known_ones(chat: ChatSession) -> None:
    chat.ask("What is <region>?", [CLICK], ground=False)
    with pytest.raises(SessionError, match="'obj7' is no object of this session; the objects are: obj1"):
        chat.ask("Where is <obj7>?")


@pytest.mark.parametrize("kind", [TextDelta, MaskletReady])
def test_who_stops_reading_undoes_the_turn(chat: ChatSession, model: LoadedModel, clip: Clip, kind: type) -> None:
    chat.ask("What is here?", ground=False)
    before = everything(chat)
    for event in chat.stream("What is <region>?", [CLICK], ground=True):
        if isinstance(event, kind):
            break
    del event
    gc.collect()
    assert everything(chat) == before
    other = model.chat(clip, max_new_tokens=12)
    other.ask("What is here?", ground=False)
    assert chat.ask("And now?", ground=True).raw == other.ask("And now?", ground=True).raw


def test_a_turn_whose_answer_was_given_stays(chat: ChatSession) -> None:
    for event in chat.stream("What is here?", ground=True):
        if isinstance(event, AnswerReady):
            break
    assert len(chat.dialogue) == 1
    assert chat.dialogue[0] == event.answer.turn
    assert len(chat.history.turns) == 1


def test_another_turn_waits_until_the_stream_is_over(chat: ChatSession) -> None:
    stream = chat.stream("What is here?", ground=True)
    next(stream)
    for call in (lambda: chat.ask("And?"), lambda: chat.forget("obj1"), lambda: chat.save("x"), lambda: chat.track([])):
        with pytest.raises(SessionError, match="still goes on"):
            call()
    assert isinstance(list(stream)[-1], AnswerReady)
    chat.ask("And?", ground=False)
    assert len(chat.dialogue) == 2


@pytest.mark.parametrize("ground", ["auto", True, False])
def test_text_deltas_make_the_text_and_come_before_the_masks(chat: ChatSession, ground: bool | str) -> None:
    for question in ("What is here?", "And what does it pass?"):
        events = list(chat.stream(question, ground=ground))
        deltas = [event.text for event in events if isinstance(event, TextDelta)]
        ready = events[-1]
        assert isinstance(ready, AnswerReady)
        assert "".join(deltas) == ready.answer.text
        kinds = [type(event) for event in events]
        assert kinds == sorted(kinds, key=[TextDelta, MaskletReady, AnswerReady].index)
        assert all(deltas)


def test_characters_of_several_tokens_are_sent_whole(model: LoadedModel, clip: Clip, say: Callable[..., None]) -> None:
    chat = model.chat(clip)
    say("Un été 日本 <p> là </p> [SEG].")
    events = list(chat.stream("What is here?"))
    assert events[-1].answer.text == "Un été 日本 là."
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "Un été 日本 là."


def test_a_closed_session_has_let_go_and_refuses(model: LoadedModel) -> None:
    chat = model.chat(moving_squares(12), max_new_tokens=12)
    answer = chat.ask("What is <region>?", [CLICK], ground=True)
    tracked = [name for name in answer.masklets if chat.objects[name].masklet is not None]
    kept = [weakref.ref(layer.keys) for layer in chat.history._cache.cache.layers]
    kept += [weakref.ref(tokens) for tokens in chat.states._tokens.values()]
    kept += [weakref.ref(features.low) for features in chat.masks.tracker.cache._frames.values()]
    assert len(kept) > 12
    chat.close()
    gc.collect()
    assert not any(ref() is not None for ref in kept)
    assert len(chat.masks.tracker.cache) == 0
    assert chat.dialogue[0].text == answer.text
    assert all(answer.masklets[name].num_frames == 12 for name in tracked)
    for call in (
        lambda: chat.ask("And?"),
        lambda: next(iter(chat.stream("And?"))),
        lambda: chat.refine("obj1", CLICK),
        lambda: chat.track([CLICK]),
        lambda: chat.forget("obj1"),
    ):
        with pytest.raises(SessionError, match="closed"):
            call()


def test_closing_in_the_middle_of_a_stream_ends_it(chat: ChatSession) -> None:
    stream = chat.stream("What is here?", ground=True)
    next(stream)
    chat.close()
    with pytest.raises(SessionError, match="closed"):
        list(stream)
    assert len(chat.dialogue) == 0


def test_a_session_is_freed_without_being_closed(model: LoadedModel) -> None:
    chat = model.chat(moving_squares(4), max_new_tokens=12)
    chat.ask("What is here?", ground=True)
    gone = weakref.ref(chat)
    del chat
    gc.collect()
    assert gone() is None


def test_a_conversation_that_outgrows_the_model_is_refused(chat: ChatSession, monkeypatch: pytest.MonkeyPatch) -> None:
    chat.ask("What is here?", ground=False)
    monkeypatch.setattr(chat.model.config.text_config, "max_position_embeddings", chat.history.num_read + 4)
    before = everything(chat)
    with pytest.raises(DialogueError, match="the model reads at most"):
        chat.ask("And what is there?")
    assert everything(chat) == before


@pytest.mark.parametrize(
    "options",
    [
        {"max_new_tokens": 0},
        {"temperature": -1.0},
        {"max_frames": 0},
        {"dense_frames": 0},
        {"protocol": "other"},
        {"frame_choice": "best"},
        {"frame_choice": "question", "protocol": "paper"},
    ],
)
def test_settings_that_cannot_be_are_refused(model: LoadedModel, clip: Clip, options: dict) -> None:
    with pytest.raises(ConfigError):
        model.chat(clip, **options)


def test_an_empty_region_is_no_object(chat: ChatSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MaskMaker, "masks_of", lambda self, logits, score: [None] * len(logits))
    with pytest.raises(RegionError, match="no object was found at the point on frame 0"):
        chat.ask("What is <region>?", [CLICK])
    assert not chat.objects
