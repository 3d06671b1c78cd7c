"""Answers made side by side: who gets text when, and that nobody's answer changes for the company."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import torch
from tiny_model import moving_squares, tiny_model

from sama_video.app.server.jobs import Emit, Topic
from sama_video.app.server.metrics import Metrics
from sama_video.app.server.problems import ApiError
from sama_video.app.server.worker import Workers
from sama_video.chat.answer import AnswerReady, TextDelta
from sama_video.chat.session import ChatSession, TextOver
from sama_video.model.decoding import Unread
from sama_video.model.interruption import asking_between_layers

QUESTIONS = ("What is here?", "And where does the large one go?", "Segment it.", "Why?")


@pytest.fixture(scope="module")
def alone() -> dict[str, str]:
    """What each question is answered by itself."""
    torch.set_num_threads(1)
    return {
        question: tiny_model().chat(CLIP, max_new_tokens=8).ask(question, ground=True).raw for question in QUESTIONS
    }


CLIP = moving_squares(3)


def answering(
    question: str,
    log: list[tuple[str, str]],
    gate: threading.Event | None = None,
    masks: threading.Event | None = None,
) -> Any:
    """The steps of a turn of a session of its own; `log` gets what happened, in order.

    Args:
        gate: What its beginning waits for.
        masks: What each mask waits for.
    """

    def steps(desk: str, emit: Emit) -> Any:
        if gate is not None:
            assert gate.wait(20)

        def progress(done: int, total: int) -> None:
            assert masks is None or masks.wait(20)
            log.append((question, "mask"))
            emit("mask")

        session = tiny_model().chat(CLIP, max_new_tokens=8)
        for step in session.steps(question, ground=True, progress=progress):
            if isinstance(step, Unread | TextOver):
                yield step
            elif isinstance(step, TextDelta):
                log.append((question, "text"))
                emit(step)
            elif isinstance(step, AnswerReady):
                log.append((question, "over"))
                emit(step.answer.raw)

    return steps


async def all_of(events: AsyncIterator[object]) -> list[object]:
    return [event async for event in events]


def held(together: int, test: Callable[[Workers[str]], Any]) -> Any:
    workers = Workers(["desk"], waiting=8, job_seconds=60.0, metrics=Metrics(), together=together)
    workers.start()

    async def main() -> Any:
        async with asyncio.timeout(60):
            return await test(workers)

    try:
        with asking_between_layers(tiny_model().model, workers.check):
            return asyncio.run(main())
    finally:
        workers.close()


@pytest.mark.parametrize("together", [1, 4])
def test_answers_are_those_made_alone(alone: dict[str, str], together: int) -> None:
    log: list[tuple[str, str]] = []
    gate = threading.Event()

    async def test(workers: Workers[str]) -> list[list[object]]:
        tasks = []
        for question in QUESTIONS:
            steps = answering(question, log, gate if question == QUESTIONS[0] else None)
            tasks.append(asyncio.create_task(all_of(workers.submit(question, Topic(question, "clip"), steps=steps))))
            await asyncio.sleep(0)
        while workers.busy != (3, 1):
            await asyncio.sleep(0.01)
        gate.set()
        return list(await asyncio.gather(*tasks))

    told = held(together, test)
    assert [events[-1] for events in told] == [alone[question] for question in QUESTIONS]
    firsts = [log.index((question, "text")) for question in QUESTIONS]
    assert firsts == sorted(firsts)
    first_end = log.index((QUESTIONS[0], "over"))
    if together > 1:
        assert max(firsts) < min(place for place, (_, what) in enumerate(log) if what == "over")
    else:
        assert min(firsts[1:]) > first_end


def test_text_of_a_newcomer_comes_between_two_masks(alone: dict[str, str]) -> None:
    log: list[tuple[str, str]] = []
    masks = threading.Event()

    async def test(workers: Workers[str]) -> list[list[object]]:
        first = asyncio.create_task(
            all_of(workers.submit("a", Topic("a", "clip"), steps=answering(QUESTIONS[0], log, None, masks)))
        )
        while (QUESTIONS[0], "text") not in log:
            await asyncio.sleep(0.01)
        newcomer = asyncio.create_task(
            all_of(workers.submit("b", Topic("b", "clip"), steps=answering(QUESTIONS[1], log)))
        )
        await asyncio.sleep(0.05)
        masks.set()
        return list(await asyncio.gather(first, newcomer))

    assert [events[-1] for events in held(4, test)] == [alone[question] for question in QUESTIONS[:2]]
    assert log.index((QUESTIONS[1], "text")) < log.index((QUESTIONS[0], "over")) < log.index((QUESTIONS[1], "mask"))


def test_one_that_goes_away_leaves_the_others_as_they_were(alone: dict[str, str]) -> None:
    log: list[tuple[str, str]] = []
    gate = threading.Event()

    async def test(workers: Workers[str]) -> list[list[object]]:
        kept = [
            asyncio.create_task(all_of(workers.submit(q, Topic(q, "clip"), steps=answering(q, log, gate))))
            for q in QUESTIONS[:2]
        ]
        leaving = workers.submit("x", Topic("x", "clip"), steps=answering(QUESTIONS[2], log))
        waiting = asyncio.create_task(anext(leaving))
        while sum(workers.busy) != 3:
            await asyncio.sleep(0.01)
        gate.set()
        await waiting
        await leaving.aclose()  # type: ignore[attr-defined]
        return list(await asyncio.gather(*kept))

    assert [events[-1] for events in held(4, test)] == [alone[question] for question in QUESTIONS[:2]]


def test_who_goes_away_ends_even_the_reading_of_a_question(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = threading.Event(), threading.Event()
    layer = tiny_model().model.model.language_model.layers[0]
    calls: list[int] = []
    chats: list[ChatSession] = []

    def first_layer(*_: object) -> None:
        calls.append(1)
        begun.set()
        assert go_on.wait(20)

    def steps(desk: str, emit: Emit) -> Any:
        chats.append(tiny_model().chat(CLIP, max_new_tokens=8))
        yield from (step for step in chats[0].steps("What is here?") if isinstance(step, Unread | TextOver))

    async def test(workers: Workers[str]) -> None:
        leaving = workers.submit("a", Topic("a", "clip"), steps=steps)
        waiting = asyncio.create_task(anext(leaving))
        await asyncio.to_thread(begun.wait)
        waiting.cancel()
        await asyncio.wait({waiting})
        go_on.set()
        while workers.busy != (0, 0):
            await asyncio.sleep(0.01)

    with layer.register_forward_pre_hook(first_layer):
        held(4, test)
    assert calls == [1]  # and no token was chosen
    assert (len(chats[0].dialogue), chats[0].history.num_read) == (0, 0)


def test_a_device_that_fails_while_reading_tells_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    gate, log = threading.Event(), []  # type: ignore[var-annotated]

    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("sama_video.model.joint_reading.JointReader.read", fail)

    async def test(workers: Workers[str]) -> list[object]:
        tasks = [
            asyncio.create_task(all_of(workers.submit(q, Topic(q, "clip"), steps=answering(q, log, gate))))
            for q in QUESTIONS
        ]
        await asyncio.sleep(0.05)
        gate.set()
        return list(await asyncio.gather(*tasks, return_exceptions=True))

    for outcome in held(4, test):
        assert isinstance(outcome, ApiError)
        assert outcome.status == 500
