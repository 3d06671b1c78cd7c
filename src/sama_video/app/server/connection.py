"""The caller's side of a running job: who asks, whether anybody still listens, and events as a stream of lines."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import StreamingResponse

from sama_video.app.server.problems import GoneError, as_api_error, document

HEARTBEAT_SECONDS = 15.0
"""How long nothing may come before a stream says that it is still there; proxies cut what is silent for a minute."""

STILL_HERE = b": still here\n\n"
DONE = b"data: [DONE]\n\n"
STREAM_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
STREAM_TYPE = "text/event-stream"


@dataclass(frozen=True)
class Caller:
    """Who asks.

    Attributes:
        holder: Whose key was shown; what is remembered for one holder is never used for another.
        client: Whose turn it is in the queue.
    """

    holder: str
    client: str


def caller_of(request: Request) -> Caller:
    """Who sent a request, as the gate found out."""
    caller = request.state.caller
    assert isinstance(caller, Caller)
    return caller


async def while_connected(request: Request, events: AsyncIterator[object]) -> AsyncIterator[object]:
    """The events of a job for as long as the client listens, and `WAITING` whenever none came for a while.

    Raises:
        GoneError: The client hung up; the job was told.
    """
    hung_up = asyncio.ensure_future(_hang_up(request))
    async with aclosing(events):  # type: ignore[type-var]
        coming = asyncio.ensure_future(anext(events, _OVER))
        try:
            while True:
                done, _ = await asyncio.wait(
                    {coming, hung_up}, timeout=HEARTBEAT_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
                if coming in done:
                    event = coming.result()
                    if event is _OVER:
                        return
                    coming = asyncio.ensure_future(anext(events, _OVER))
                    yield event
                elif done:
                    raise GoneError
                else:
                    yield WAITING
        finally:
            await _cancel(coming)
            await _cancel(hung_up)


async def _cancel(task: "asyncio.Future[Any]") -> None:
    """End a task that nobody waits for any more; what it ended with does not matter."""
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()


@asynccontextmanager
async def noticing(request: Request, gone: threading.Event) -> AsyncIterator[None]:
    """Set an event, for a thread to see, should the client hang up meanwhile."""

    async def watch() -> None:
        await _hang_up(request)
        gone.set()

    task = asyncio.ensure_future(watch())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


_OVER, WAITING = object(), object()


async def _hang_up(request: Request) -> None:
    """Return when the connection is closed; the body was read before."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def first_of(events: AsyncIterator[object]) -> tuple[object, AsyncIterator[object]]:
    """Wait a while for the first event, so that what is refused gets its status; give it, and all events from it on."""
    first = await anext(events, _OVER)

    async def all_events() -> AsyncIterator[object]:
        if first is _OVER:
            return
        yield first
        async with aclosing(events):  # type: ignore[type-var]
            async for event in events:
                yield event

    return first, all_events()


def event_stream(events: AsyncIterator[object], lines: Callable[[object], list[object]]) -> StreamingResponse:
    """Server-sent events: each event's JSON documents, then `[DONE]`; an error in mid-stream is one of them.

    Args:
        lines: The documents that tell an event.
    """

    async def body() -> AsyncIterator[bytes]:
        try:
            async with aclosing(events):  # type: ignore[type-var]
                async for event in events:
                    if event is WAITING:
                        yield STILL_HERE
                        continue
                    for row in lines(event):
                        yield _line(row)
        except GoneError:
            return
        except Exception as error:
            yield _line(document(as_api_error(error)), ascii_only=True)
        yield DONE

    return StreamingResponse(body(), media_type=STREAM_TYPE, headers=STREAM_HEADERS)


def _line(row: object, *, ascii_only: bool = False) -> bytes:
    text = json.dumps(row, ensure_ascii=ascii_only, allow_nan=False, separators=(",", ":"))
    return b"data: " + text.encode() + b"\n\n"
