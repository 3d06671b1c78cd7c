import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from sama_video.app.server.jobs import Topic
from sama_video.app.server.metrics import Metrics
from sama_video.app.server.problems import ApiError
from sama_video.app.server.worker import Workers

Emit = Callable[[object], None]
ABOUT = Topic("a", "clip")


def workers_of(desks: int = 1, **options: Any) -> Workers[str]:
    workers = Workers(
        [f"desk{idx}" for idx in range(desks)], **{"waiting": 8, "job_seconds": 20.0, "metrics": Metrics(), **options}
    )
    workers.start()
    return workers


async def all_of(events: AsyncIterator[object]) -> list[object]:
    return [event async for event in events]


def running(workers: Workers[str], test: Callable[[Workers[str]], Any]) -> Any:
    async def main() -> Any:
        async with asyncio.timeout(20):
            return await test(workers)

    try:
        return asyncio.run(main())
    finally:
        workers.close()


def test_quick_job_is_done_in_the_middle_of_a_long_one() -> None:
    done: list[str] = []
    begun, go_on = threading.Event(), threading.Event()

    def long(desk: str, emit: Emit) -> None:
        begun.set()
        assert go_on.wait(20)
        emit(1)
        emit(2)
        done.append("long")

    def quick(desk: str, emit: Emit) -> None:
        done.append("quick")
        emit(desk)

    async def test(workers: Workers[str]) -> None:
        first = asyncio.create_task(all_of(workers.submit("a", ABOUT, long)))
        await asyncio.to_thread(begun.wait)
        others = [asyncio.create_task(all_of(workers.submit("b", ABOUT, quick, quick=True))) for _ in range(3)]
        while workers.busy != (3, 1):
            await asyncio.sleep(0.01)
        go_on.set()
        assert await first == [1, 2]
        assert [await other for other in others] == [["desk0"]] * 3

    running(workers_of(), test)
    assert done == ["quick", "quick", "long", "quick"]  # one between two events


def test_quick_jobs_do_not_keep_others_waiting_for_ever() -> None:
    done: list[str] = []
    gate = threading.Event()

    def job(name: str) -> Callable[[str, Emit], None]:
        def run(desk: str, emit: Emit) -> None:
            assert gate.wait(20)
            done.append(name)

        return run

    async def test(workers: Workers[str]) -> None:
        tasks = [asyncio.create_task(all_of(workers.submit("a", ABOUT, job("first"))))]
        while workers.busy != (0, 1):
            await asyncio.sleep(0.01)
        for name, quick in (("q1", True), ("q2", True), ("n1", False), ("n2", False)):
            tasks.append(asyncio.create_task(all_of(workers.submit("b", ABOUT, job(name), quick=quick))))
            await asyncio.sleep(0.01)
        gate.set()
        await asyncio.gather(*tasks)

    running(workers_of(), test)
    assert done == ["first", "q1", "n1", "q2", "n2"]


def serving(served: list[tuple[str, str]], name: str) -> Callable[[str, Emit], None]:
    return lambda desk, emit: served.append((name, desk))


def test_a_topic_keeps_to_its_device_although_another_is_idle() -> None:
    served: list[tuple[str, str]] = []

    async def test(workers: Workers[str]) -> None:
        for name in "xyxyx" * 20:
            await all_of(workers.submit("a", Topic("a", name), serving(served, name)))

    running(workers_of(2), test)
    homes = dict(served)
    assert served == [(name, homes[name]) for name in "xyxyx" * 20]
    assert set(homes.values()) == {"desk0", "desk1"}


def test_a_conversation_begins_where_its_clip_is_known_and_moves_alone() -> None:
    served: list[tuple[str, str]] = []
    begun, go_on = threading.Event(), threading.Event()
    old, new = Topic("a", "clip", "old"), Topic("a", "clip", "new")

    def long(desk: str, emit: Emit) -> None:
        served.append(("long", desk))
        begun.set()
        assert go_on.wait(20)

    async def test(workers: Workers[str]) -> None:
        await all_of(workers.submit("a", old.about_clip, serving(served, "click")))
        await all_of(workers.submit("a", old, serving(served, "old")))
        busy = asyncio.create_task(all_of(workers.submit("a", old, long)))
        await asyncio.to_thread(begun.wait)
        for _ in range(2):  # its device is busy, so the other takes it, and keeps it
            await all_of(workers.submit("a", new, serving(served, "new")))
        go_on.set()
        await busy
        for topic in (old, new, old.about_clip):
            await all_of(workers.submit("a", topic, serving(served, topic.opening or "click")))

    running(workers_of(2), test)
    here, there = "desk0", "desk1"
    assert served == [
        *(("click", here), ("old", here), ("long", here), ("new", there), ("new", there)),
        *(("old", here), ("new", there), ("click", here)),
    ]


def test_error_of_a_job_reaches_who_waits_and_nobody_else() -> None:
    def fail(desk: str, emit: Emit) -> None:
        emit("before")
        raise ZeroDivisionError

    async def test(workers: Workers[str]) -> None:
        events = workers.submit("a", ABOUT, fail)
        assert await anext(events) == "before"
        with pytest.raises(ApiError) as error:
            await anext(events)
        assert error.value.status == 500
        assert await all_of(workers.submit("a", ABOUT, lambda desk, emit: emit(desk))) == ["desk0"]

    running(workers_of(), test)


def test_closing_tells_everybody() -> None:
    begun = threading.Event()

    def endless(desk: str, emit: Emit) -> None:
        while True:
            begun.set()
            emit(None)
            threading.Event().wait(0.005)

    async def test(workers: Workers[str]) -> None:
        tasks = [asyncio.create_task(all_of(workers.submit("a", ABOUT, endless))) for _ in range(2)]
        await asyncio.to_thread(begun.wait)
        await asyncio.to_thread(workers.close)
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(outcome, ApiError)
            assert (outcome.status, outcome.code) == (503, "stopping")
        with pytest.raises(ApiError, match="about to stop"):
            await all_of(workers.submit("a", ABOUT, endless))

    running(workers_of(), test)
