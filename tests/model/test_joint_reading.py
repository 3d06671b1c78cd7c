"""Tokens of several conversations read in one pass, against each read alone."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from tiny_model import filled, moving_squares, tiny_model

import sama_video as sama
from sama_video.chat.loading import LoadedModel
from sama_video.chat.session import ChatSession, TextOver
from sama_video.model.decoding import Unread
from sama_video.model.joint_reading import JointReader

QUESTIONS = ("What is here?", "And where does the large one go, after all?", "Segment it.")
CLICK = sama.Mask(frame=1, mask=filled((4, 6, 18, 20)))


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return tiny_model()


def begun(model: LoadedModel, idx: int) -> ChatSession:
    """A conversation of which one turn was held, with caches of different length."""
    chat = model.chat(moving_squares(2 + idx), max_new_tokens=5 + idx)
    chat.ask("What is <region>?" if idx else "Hello?", [CLICK] if idx else [], ground=False)
    return chat


def told(chat: ChatSession) -> list[Any]:
    return [(turn.raw, turn.phrases) for turn in chat.dialogue]


def hold(chats: list[ChatSession], questions: tuple[str, ...], *, ground: bool, undo: int | None = None) -> None:
    """A turn of each, read together; one of them may be given up in the middle."""
    reader = JointReader()
    turns: dict[int, Iterator[Any]] = {
        idx: chat.steps(question, ground=ground)
        for idx, (chat, question) in enumerate(zip(chats, questions, strict=True))
    }
    unread: dict[int, Unread] = {}
    for count in range(200):
        for idx in list(turns):
            step = next(turn for turn in turns[idx] if isinstance(turn, Unread | TextOver))
            if isinstance(step, TextOver):
                reader.leave(step.state)
                list(turns.pop(idx))
                unread.pop(idx)
            else:
                unread[idx] = step
        if count == 3 and undo is not None:
            reader.leave(unread.pop(undo).state, keep=False)
            turns.pop(undo).close()  # type: ignore[attr-defined]
        if not turns:
            return
        reader.read([unread[idx] for idx in turns])


def test_read_together_is_read_alone(model: LoadedModel) -> None:
    together, alone = ([begun(model, idx) for idx in range(3)] for _ in range(2))
    for questions, ground in ((QUESTIONS, True), (QUESTIONS[::-1], False)):
        hold(together, questions, ground=ground)
        for chat, question in zip(alone, questions, strict=True):
            chat.ask(question, ground=ground)
    assert [told(chat) for chat in together] == [told(chat) for chat in alone]
    assert [chat.history.num_read for chat in together] == [chat.history.num_read for chat in alone]
    for one, other in zip(together, alone, strict=True):
        for mine, theirs in zip(one.history._cache.cache.layers, other.history._cache.cache.layers, strict=True):  # type: ignore[union-attr]
            torch.testing.assert_close(mine.keys, theirs.keys, atol=1e-4, rtol=1e-4)  # type: ignore[union-attr]
        assert one.objects.keys() == other.objects.keys()


def test_one_that_is_given_up_leaves_no_trace(model: LoadedModel) -> None:
    together, alone = ([begun(model, idx) for idx in range(3)] for _ in range(2))
    hold(together, QUESTIONS, ground=False, undo=1)
    assert len(together[1].dialogue) == 1
    hold(together, QUESTIONS, ground=False)
    for idx, chat in enumerate(alone):
        for _ in range(1 if idx == 1 else 2):
            chat.ask(QUESTIONS[idx], ground=False)
    assert [told(chat) for chat in together] == [told(chat) for chat in alone]


def test_nothing_is_padded_for_one_alone(model: LoadedModel) -> None:
    chat, other = begun(model, 1), begun(model, 1)
    hold([chat], QUESTIONS[:1], ground=False)
    other.ask(QUESTIONS[0], ground=False)
    assert told(chat) == told(other)
