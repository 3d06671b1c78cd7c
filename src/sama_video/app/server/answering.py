"""The job that answers a question, and what it tells while it does."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

from sama_video.app.server.chat_reading import Asked
from sama_video.app.server.chat_wire import ChatRequest
from sama_video.app.server.jobs import Emit
from sama_video.app.server.metrics import Metrics
from sama_video.app.server.state import Desk
from sama_video.app.server.wire import told_rle
from sama_video.chat.answer import Answer, AnswerReady, TextDelta
from sama_video.chat.grounding import grounding_json
from sama_video.chat.masks import Progress as ToldProgress
from sama_video.chat.session import ChatSession, TextOver
from sama_video.model.decoding import Sampling, Unread


@dataclass(frozen=True)
class Progress:
    """How far the tracking of objects is."""

    done: int
    total: int


@dataclass(frozen=True)
class Sighted:
    """Masks of new objects on the frames where they were pointed at or found, before they are followed to others."""

    sightings: list[dict[str, Any]]


@dataclass(frozen=True)
class Finished:
    """The end of an answer.

    Attributes:
        reused: Tokens of the prompt that a cache held.
    """

    content: str
    grounding: dict[str, Any]
    read: int
    reused: int
    written: int
    finish_reason: str

    @property
    def usage(self) -> dict[str, Any]:
        """Tokens as OpenAI counts them."""
        return {
            "prompt_tokens": self.read + self.reused,
            "completion_tokens": self.written,
            "total_tokens": self.read + self.reused + self.written,
            "prompt_tokens_details": {"cached_tokens": self.reused},
        }

    def count(self, metrics: Metrics) -> None:
        """Add to the server's figures."""
        for kind, count in (("read", self.read), ("reused", self.reused), ("written", self.written)):
            metrics.tokens.labels(kind).inc(count)
        metrics.masks.inc(sum(len(masklet["frames"]) for masklet in self.grounding["masklets"]))


@dataclass(frozen=True)
class AnswerJob:
    """Answers a request, for the holder of a key. A value, so that it may be done on another machine."""

    asked: Asked
    holder: str

    def steps(self, desk: Desk, emit: Emit) -> Iterator[Unread | TextOver]:
        """Tell text and progress as they come, then what the answer means; lets go where tokens are to be read."""
        asked, clip_id = self.asked, self.asked.clip_id
        with (
            desk.store.in_use(clip_id),
            desk.conversations.open(
                self.holder, clip_id, desk.store.open(clip_id), asked.turns, **desk.chat_options
            ) as session,
        ):
            usual = session.sampling
            session.sampling = sampling_of(asked.request, usual, desk.answer_tokens)
            try:
                yield from answer_to(asked, session, emit)
            finally:
                session.sampling = usual


def sampling_of(request: ChatRequest, usual: Sampling, most: int) -> Sampling:
    """How this answer's tokens are chosen; at most so many of them."""
    asked_for = request.max_completion_tokens or request.max_tokens or usual.max_new_tokens
    changes: dict[str, Any] = {
        name: value for name in ("temperature", "top_p", "seed") if (value := getattr(request, name)) is not None
    }
    return replace(usual, max_new_tokens=min(asked_for, most), **changes)


def answer_to(asked: Asked, session: ChatSession, emit: Emit) -> Iterator[Unread | TextOver]:
    """Ask a session that stands where the request's past turns end."""
    request, question, known = asked.request, asked.question, set(session.objects)

    def progress(done: int, total: int) -> None:
        found = [] if request.masklets == "none" else first_masks(session, known)
        if found:
            emit(Sighted(found))
        emit(Progress(done, total))

    span = None if request.span is None else (request.span[0], request.span[1])
    steps = session.steps(question.text, question.regions, ground=request.ground, span=span, progress=progress)
    with closing(steps):  # type: ignore[type-var]
        for step in steps:
            if isinstance(step, Unread | TextOver):
                yield step
            elif isinstance(step, AnswerReady):
                emit(_finished(step.answer, session, request, progress))
            elif isinstance(step, TextDelta):
                emit(step)


def first_masks(session: ChatSession, known: set[str]) -> list[dict[str, Any]]:
    """The masks of objects that are new by now, which are known from then on."""
    found = [one for object_id, one in session.objects.items() if object_id not in known]
    known.update(one.object_id for one in found)
    return [
        {"object": one.object_id, "frame": frame_idx, "mask": told_rle(sighting.mask)}
        for one in found
        for frame_idx, sighting in sorted(one.sightings.items())
        if sighting.mask is not None
    ]


def _finished(answer: Answer, session: ChatSession, request: ChatRequest, progress: ToldProgress) -> Finished:
    timing = answer.timing
    written = timing.generated_tokens or 0
    grounding = grounding_json(session, answer, masklets=request.masklets, progress=progress)
    reason = "length" if written >= session.sampling.max_new_tokens else "stop"
    return Finished(answer.text, grounding, timing.prefill_tokens, timing.reused_tokens, written, reason)
