"""`POST /v1/chat/completions`: OpenAI's endpoint, whose answers are grounded."""

import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, closing
from dataclasses import dataclass, field, replace
from typing import Any

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sama_video.app.server.chat_wire import (
    AssistantMessage,
    ChatCompletion,
    ChatRequest,
    FilePart,
    ImagePart,
    RegionPart,
    TextPart,
    UserMessage,
    VideoPart,
)
from sama_video.app.server.clip_urls import clip_of
from sama_video.app.server.connection import STREAM_TYPE, caller_of, event_stream, first_of, while_connected
from sama_video.app.server.metrics import Metrics
from sama_video.app.server.problems import ApiError
from sama_video.app.server.settings import Limits
from sama_video.app.server.state import Desk, ServerState, State
from sama_video.chat.answer import Answer, AnswerReady, TextDelta
from sama_video.chat.grounding import grounding_json
from sama_video.chat.replay import PastTurn
from sama_video.chat.session import ChatSession
from sama_video.model.decoding import Sampling
from sama_video.regions.shapes import Region

router = APIRouter(tags=["chat"])
ANY_MODEL = "default"
"""A name that every server knows its model by."""


@dataclass(frozen=True)
class Question:
    """One user message taken apart."""

    text: str
    regions: tuple[Region, ...]
    urls: tuple[str, ...]


@dataclass(frozen=True)
class Asked:
    """A request made ready for a worker."""

    clip_id: str
    turns: tuple[PastTurn, ...]
    question: Question
    request: ChatRequest


@dataclass(frozen=True)
class Progress:
    """How far the tracking of new objects is."""

    done: int
    total: int


@dataclass(frozen=True)
class Finished:
    """The end of an answer."""

    content: str
    grounding: dict[str, Any]
    usage: dict[str, Any]
    finish_reason: str


@router.post(
    "/v1/chat/completions",
    response_model=ChatCompletion,
    responses={200: {"content": {STREAM_TYPE: {"schema": {"type": "string"}}}, "description": "The answer."}},
)
async def complete(body: ChatRequest, request: Request, state: State) -> Response:
    """Answer the last message of a conversation about one video.

    With `"stream": true` server-sent events: text deltas, progress of tracking, one delta with `grounding`, the end.
    """
    since = time.monotonic()
    check_model(body.model, state)
    asked = await run_in_threadpool(read_request, body, state)
    caller = caller_of(request)
    events = state.workers.submit(
        caller.client, f"{caller.holder} {asked.clip_id}", answering(asked, caller.holder, state)
    )
    _, stream = await first_of(timed(while_connected(request, events), since, state.metrics))
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


# reading


def read_request(body: ChatRequest, state: ServerState) -> Asked:
    """Take a conversation apart, and its clip in. Blocks while a clip is read or fetched.

    Raises:
        ApiError: Messages do not alternate, break a limit, or name no video or several.
    """
    limits = state.settings.limits
    roles = [message.role for message in body.messages]
    if roles != ["user", "assistant"] * (len(roles) // 2) + ["user"]:
        raise _bad("messages are not questions and answers in turn; begin and end with one of the role user")
    if (len(roles) + 1) // 2 > limits.turns:
        raise _bad(f"the conversation has more than {limits.turns} questions, which is this server's limit; start anew")
    questions = [question_of(message, limits) for message in body.messages if isinstance(message, UserMessage)]
    answers = [message for message in body.messages if isinstance(message, AssistantMessage)]
    turns = tuple(
        PastTurn(question.text, question.regions, answer_text(answer, limits), answer.grounding)
        for question, answer in zip(questions, answers, strict=False)
    )
    return Asked(_clip_id(questions, state), turns, questions[-1], body)


def question_of(message: UserMessage, limits: Limits) -> Question:
    """Words, regions and addresses of a message; words of several parts stand on lines of their own."""
    texts: list[str] = []
    regions: list[Region] = []
    urls: list[str] = []
    for part in message.content:
        match part:
            case TextPart():
                texts.append(part.text)
            case RegionPart():
                regions.append(part.region)
            case VideoPart():
                urls.append(part.video_url.url)
            case ImagePart():
                urls.append(part.image_url.url)
            case FilePart():
                urls.append(part.file.file_id)
    text = "\n".join(texts)
    if len(text) > limits.question_chars:
        raise _bad(f"a question has {len(text)} characters, and this server takes {limits.question_chars}; shorten it")
    if len(regions) > limits.regions:
        raise _bad(f"a message has {len(regions)} regions, and this server takes {limits.regions}; give fewer")
    return Question(text, tuple(regions), tuple(urls))


def answer_text(message: AssistantMessage, limits: Limits) -> str:
    """Words of an earlier answer."""
    text = "".join(part.text for part in message.content)
    if len(text) > limits.question_chars:
        raise _bad(f"an answer has {len(text)} characters, and this server takes {limits.question_chars}; shorten it")
    masklets = (message.grounding or {}).get("masklets", ())
    if isinstance(masklets, Sequence) and len(masklets) > limits.masklets:
        raise _bad(f"an answer has {len(masklets)} masklets, and this server takes {limits.masklets}; send fewer")
    return text


def _clip_id(questions: Sequence[Question], state: ServerState) -> str:
    urls = list(dict.fromkeys(url for question in questions for url in question.urls))
    if not urls:
        raise _bad("no message names a video; add a part {'type': 'video_url', 'video_url': {'url': FILE ID}}")
    if len(urls) > state.settings.limits.turns:
        raise _bad("the messages name too many videos; a conversation is about one")
    ids = {clip_of(url, state.store, state.fetcher).id for url in urls}
    if len(ids) > 1:
        raise _bad(f"the messages name {len(ids)} different videos; a conversation is about one, so name one")
    return ids.pop()


def _bad(message: str) -> ApiError:
    return ApiError(400, f"{message}.", code="invalid_value", param="messages")


# answering, on a device's thread


def answering(asked: Asked, holder: str, state: ServerState) -> Callable[[Desk, Callable[[object], None]], None]:
    """The job that answers a request."""

    def run(desk: Desk, emit: Callable[[object], None]) -> None:
        store, clip_id, options = state.store, asked.clip_id, state.settings.chat_options
        with (
            store.in_use(clip_id),
            desk.conversations.open(holder, clip_id, store.open(clip_id), asked.turns, **options) as session,
        ):
            usual = session.sampling
            session.sampling = sampling_of(asked.request, usual, state.settings.limits)
            try:
                answer_to(asked, session, emit, state.metrics)
            finally:
                session.sampling = usual

    return run


def sampling_of(request: ChatRequest, usual: Sampling, limits: Limits) -> Sampling:
    """How this answer's tokens are chosen."""
    asked_for = request.max_completion_tokens or request.max_tokens or usual.max_new_tokens
    changes: dict[str, Any] = {
        name: value for name in ("temperature", "top_p", "seed") if (value := getattr(request, name)) is not None
    }
    return replace(usual, max_new_tokens=min(asked_for, limits.answer_tokens), **changes)


def answer_to(asked: Asked, session: ChatSession, emit: Callable[[object], None], metrics: Metrics) -> None:
    """Ask, and hand on text and progress as they come, then what the answer means."""

    def progress(done: int, total: int) -> None:
        emit(Progress(done, total))

    request, question = asked.request, asked.question
    span = None if request.span is None else (request.span[0], request.span[1])
    stream = session.stream(question.text, question.regions, ground=request.ground, span=span, progress=progress)
    with closing(stream):  # type: ignore[type-var]
        for event in stream:
            if isinstance(event, AnswerReady):
                emit(_finished(event.answer, session, request, progress, metrics))
            elif isinstance(event, TextDelta):
                emit(event)


def _finished(
    answer: Answer,
    session: ChatSession,
    request: ChatRequest,
    progress: Callable[[int, int], None],
    metrics: Metrics,
) -> Finished:
    timing = answer.timing
    read, reused, written = timing.prefill_tokens, timing.reused_tokens, timing.generated_tokens or 0
    for kind, count in (("read", read), ("reused", reused), ("written", written)):
        metrics.tokens.labels(kind).inc(count)
    usage = {
        "prompt_tokens": read + reused,
        "completion_tokens": written,
        "total_tokens": read + reused + written,
        "prompt_tokens_details": {"cached_tokens": reused},
    }
    grounding = grounding_json(session, answer, masklets=request.masklets, progress=progress)
    metrics.masks.inc(sum(len(masklet["frames"]) for masklet in grounding["masklets"]))
    cut = written >= session.sampling.max_new_tokens
    return Finished(answer.text, grounding, usage, "length" if cut else "stop")


# telling


async def timed(events: AsyncIterator[object], since: float, metrics: Metrics) -> AsyncIterator[object]:
    """The same events; the time to the first text is noted."""
    told = False
    async with aclosing(events):  # type: ignore[type-var]
        async for event in events:
            if not told and isinstance(event, TextDelta):
                metrics.first_token_seconds.observe(time.monotonic() - since)
                told = True
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
