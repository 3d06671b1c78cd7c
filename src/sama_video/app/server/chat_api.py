"""`POST /v1/chat/completions`: OpenAI's endpoint, whose answers are grounded."""

import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sama_video.app.server.answering import AnswerJob, Finished, Progress, Sighted
from sama_video.app.server.chat_reading import read_request
from sama_video.app.server.chat_wire import ChatCompletion, ChatRequest
from sama_video.app.server.connection import STREAM_TYPE, caller_of, event_stream, first_of, while_connected
from sama_video.app.server.jobs import Topic
from sama_video.app.server.metrics import Metrics
from sama_video.app.server.problems import ApiError
from sama_video.app.server.state import ServerState, State
from sama_video.chat.answer import TextDelta

router = APIRouter(tags=["chat"])
ANY_MODEL = "default"
"""A name that every server knows its model by."""


@router.post(
    "/v1/chat/completions",
    response_model=ChatCompletion,
    responses={200: {"content": {STREAM_TYPE: {"schema": {"type": "string"}}}, "description": "The answer."}},
)
async def complete(body: ChatRequest, request: Request, state: State) -> Response:
    """Answer the last message of a conversation about one video.

    With `"stream": true` server-sent events: text deltas, the first masks of new objects as `sightings`, progress of
    their tracking, one delta with `grounding`, the end.
    """
    since = time.monotonic()
    check_model(body.model, state)
    asked = await run_in_threadpool(read_request, body, state)
    caller = caller_of(request)
    job = AnswerJob(asked, caller.holder)
    topic = Topic(caller.holder, asked.clip_id, asked.opening)
    events = state.workers.submit(caller.client, topic, steps=job.steps)
    _, stream = await first_of(noted(while_connected(request, events), since, state.metrics))
    head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": state.model_name}
    if body.stream:
        return event_stream(stream, Chunks(head, body).lines)
    finished = [event async for event in stream if isinstance(event, Finished)][-1]
    return JSONResponse(whole_document(head, finished))


def check_model(name: str | None, state: ServerState) -> None:
    """Refuse a model that is not served here."""
    if name not in (None, ANY_MODEL, state.model_name):
        raise ApiError(
            404,
            f"the model {name!r} is not served here; use {state.model_name!r}, or leave it out.",
            code="model_not_found",
            param="model",
        )


async def noted(events: AsyncIterator[object], since: float, metrics: Metrics) -> AsyncIterator[object]:
    """The same events; the time to the first text is noted, and what the whole took."""
    told = False
    async with aclosing(events):  # type: ignore[type-var]
        async for event in events:
            if not told and isinstance(event, TextDelta):
                metrics.first_token_seconds.observe(time.monotonic() - since)
                told = True
            elif isinstance(event, Finished):
                event.count(metrics)
            yield event


def whole_document(head: Mapping[str, object], finished: Finished) -> dict[str, Any]:
    """The answer as one document."""
    message = {
        "role": "assistant",
        "content": finished.content,
        "grounding": finished.grounding,
        "refusal": None,
    }
    choice = {"index": 0, "message": message, "finish_reason": finished.finish_reason, "logprobs": None}
    return {**head, "object": "chat.completion", "choices": [choice], "usage": finished.usage}


@dataclass
class Chunks:
    """The documents of a streamed answer."""

    head: Mapping[str, object]
    request: ChatRequest
    _begun: bool = field(default=False)

    def lines(self, event: object) -> list[object]:
        """What tells one event."""
        begin: list[object] = [] if self._begun else [self._chunk({"role": "assistant", "content": ""})]
        self._begun = True
        match event:
            case TextDelta(text=text):
                return [*begin, self._chunk({"content": text})]
            case Progress(done=done, total=total):
                return [*begin, self._chunk({}) | {"progress": {"done": done, "total": total}}]
            case Sighted(sightings=sightings):
                return [*begin, self._chunk({}) | {"sightings": sightings}]
            case Finished():
                return [*begin, *self._end(event)]
        return begin

    def _end(self, finished: Finished) -> list[object]:
        rows: list[object] = [
            self._chunk({"grounding": finished.grounding}),
            self._chunk({}, finished.finish_reason),
        ]
        options = self.request.stream_options
        if options is not None and options.include_usage:
            rows.append(self._chunk({}) | {"choices": [], "usage": finished.usage})
        return rows

    def _chunk(self, delta: dict[str, object], finish_reason: str | None = None) -> dict[str, object]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": None}
        return {**self.head, "object": "chat.completion.chunk", "choices": [choice]}
