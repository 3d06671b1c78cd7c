"""A language model behind an OpenAI-compatible endpoint: asked once for each question, whatever happens in between.

    model = open_language_model("gpt-4o-mini-2024-07-18", Endpoint.find(), ReplyStore("replies.sqlite"))
    reply = model.ask(Request((Message("user", ("Which is larger?", Picture(jpeg))),), prompt_version="sizes-1"))

A reply is kept before it is handed on, under the hash of what was asked, so asking again costs nothing, also after a
kill. Errors that pass are waited out; those that do not are raised at once. A budget ends the asking before it is
exceeded. In replay nothing leaves the machine.
"""

import random
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

from sama_video.remote.messages import Reply, Request
from sama_video.remote.pace import Clock, Pace, Patience, Sleep
from sama_video.remote.reply_store import Bill, Budget, BudgetError, Prices, ReplyStore, Spent
from sama_video.remote.transport import AccessError, Endpoint, EndpointError, OpenAITransport, Transport

DEFAULT_TOKENS_PER_PICTURE = 1500
"""What a picture of about a megapixel comes to with most models; tell the model's own figure where it matters."""


@dataclass(frozen=True)
class Limits:
    """What a model may cost, and how fast and how patiently it is asked.

    Attributes:
        requests_per_minute, tokens_per_minute: The endpoint's own limits; None for none.
        tokens_per_picture: What a picture is counted as, before the bill says it exactly.
    """

    budget: Budget = field(default_factory=Budget)
    prices: Prices = field(default_factory=Prices)
    requests_per_minute: float | int | None = None
    tokens_per_minute: float | int | None = None
    patience: Patience = field(default_factory=Patience)
    tokens_per_picture: int = DEFAULT_TOKENS_PER_PICTURE


@dataclass(frozen=True)
class Estimate:
    """What asking would take.

    Attributes:
        requests: Different requests that are not recorded yet.
        recorded: Those that are, and cost nothing.
        likely_tokens, likely_money: With prompts of usual length for their bytes, and longest replies.
        most_tokens, most_money: What it cannot exceed, retries of lost requests aside.
    """

    requests: int
    recorded: int
    likely_tokens: int
    likely_money: float
    most_tokens: int
    most_money: float


class _Turn:
    """Held by whoever asks one thing; gone when nobody does."""

    def __init__(self) -> None:
        self.lock = threading.Lock()


class LanguageModel:
    """One model, pinned by name.

    Args:
        name: The model's name at the endpoint; a dated version where there is one.
        store: Where replies and costs are kept.
        transport: How requests get there; None to replay recorded replies only.
        clock, sleep, rng: Time and chance, for tests to hold in hand.
    """

    def __init__(
        self,
        name: str,
        store: ReplyStore,
        transport: Transport | None,
        limits: Limits = Limits(),
        *,
        clock: Clock = time.monotonic,
        sleep: Sleep | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.name = name
        self.store = store
        self.limits = limits
        self._transport = transport
        self._clock = clock
        self._pace = Pace(limits.requests_per_minute, limits.tokens_per_minute, clock=clock)
        self._stopping = threading.Event()
        self._sleep: Sleep = sleep if sleep is not None else self._stopping.wait
        self._rng = rng if rng is not None else random.Random()
        self._asking: WeakValueDictionary[str, _Turn] = WeakValueDictionary()
        self._asking_lock = threading.Lock()

    def ask(self, request: Request) -> Reply:
        """The reply: a recorded one, or a new one that is recorded before it is given.

        Raises:
            EndpointError: There is none, after all attempts; or in replay, none is recorded.
            AccessError: None can be had: wrong key, address or model.
            BudgetError: It could cost more than is left.
        """
        key = request.key(self.name)
        with self._alone(key):
            recorded = self.store.get(key)
            return recorded if recorded is not None else self._ask_anew(key, request)

    def ask_all(self, requests: Iterable[Request], *, workers: int = 4) -> Iterator[tuple[int, Reply | EndpointError]]:
        """Replies with the place of their request, in order, several being asked for at a time.

        A request that fails gives its error and the others go on. Requests are read a little ahead only, so they may be
        made as they are needed. After an error that ends everything, or when nobody reads on, requests under way are
        waited for and kept, and no other is sent.

        Raises:
            AccessError, BudgetError: As for `ask`; replies before that have been given.
        """
        waiting: deque[tuple[int, Future[Reply | EndpointError]]] = deque()
        pool = ThreadPoolExecutor(workers, thread_name_prefix="language-model")
        try:
            for place, request in enumerate(requests):
                waiting.append((place, pool.submit(self._ask_quietly, request)))
                if len(waiting) >= 4 * workers:
                    yield _next(waiting)
            while waiting:
                yield _next(waiting)
        finally:
            self._stopping.set()
            pool.shutdown(cancel_futures=True)
            self._stopping.clear()

    def estimate(self, requests: Iterable[Request]) -> Estimate:
        """What asking would take; nothing is sent."""
        seen: set[str] = set()
        recorded = likely_prompts = most_prompts = replies = 0
        for request in requests:
            key = request.key(self.name)
            if key in seen:
                continue
            seen.add(key)
            if self.store.get(key) is not None:
                recorded += 1
                continue
            likely_prompts += request.likely_prompt_tokens(self.limits.tokens_per_picture)
            most_prompts += request.most_prompt_tokens(self.limits.tokens_per_picture)
            replies += request.sampling.max_tokens
        likely, most = (Bill.of(prompts, replies, self.limits.prices) for prompts in (likely_prompts, most_prompts))
        return Estimate(
            len(seen) - recorded, recorded, likely_prompts + replies, likely.money, most_prompts + replies, most.money
        )

    def spent(self) -> Spent:
        """What the store's book comes to."""
        return self.store.spent()

    def close(self) -> None:
        """Let go of connections and of the store."""
        if self._transport is not None:
            self._transport.close()
        self.store.close()

    def __enter__(self) -> "LanguageModel":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask_quietly(self, request: Request) -> Reply | EndpointError:
        """The reply, or this request's own error; what ends everything is raised, and stops those who wait."""
        try:
            return self.ask(request)
        except (AccessError, BudgetError):
            self._stopping.set()
            raise
        except EndpointError as error:
            return error

    def _ask_anew(self, key: str, request: Request) -> Reply:
        """Try until there is a reply, or an error that no waiting mends."""
        if self._transport is None:
            raise EndpointError(
                "not_recorded",
                f"no reply of {self.name} to request {key[:12]} ({request.prompt_version}) is recorded in "
                f"{self.store.path}; ask once without replay.",
            )
        patience, began = self.limits.patience, self._clock()
        errors: dict[str, int] = {}
        while True:
            left = patience.total_seconds - (self._clock() - began)
            try:
                return self._attempt(key, request, min(patience.attempt_seconds, left))
            except AccessError:
                raise
            except EndpointError as error:
                errors[error.kind] = errors.get(error.kind, 0) + 1
                wait = patience.wait_seconds(sum(errors.values()), error.retry_after, self._rng)
                if errors[error.kind] > patience.retries.get(error.kind, 0):
                    raise self._gave_up(error, errors, "") from error
                left = patience.total_seconds - (self._clock() - began)
                if wait >= left:
                    raise self._gave_up(error, errors, f", and the next wait of {wait:g} s is too long") from error
                if error.kind == "rate_limited":
                    self._pace.hold(wait)
                self._wait(wait)

    def _attempt(self, key: str, request: Request, seconds: float | int) -> Reply:
        """Send once; the book is right whatever happens."""
        assert self._transport is not None
        prices, tokens_per_picture = self.limits.prices, self.limits.tokens_per_picture
        prompt_tokens = request.most_prompt_tokens(tokens_per_picture)
        most = Bill.of(prompt_tokens, request.sampling.max_tokens, prices)
        likely = request.likely_prompt_tokens(tokens_per_picture) + request.sampling.max_tokens
        self._wait(self._pace.take_turn(likely))
        attempt = self.store.begin(key, most, self.limits.budget)
        try:
            reply = self._transport.send(request.to_wire(self.name, self._transport.limit_name), seconds)
        except EndpointError as error:
            self.store.give_up(attempt, free=not error.maybe_billed)
            raise
        # Where the server does not say what it counted, the most it can be stands.
        prompt = prompt_tokens if reply.prompt_tokens is None else reply.prompt_tokens
        completion = request.sampling.max_tokens if reply.completion_tokens is None else reply.completion_tokens
        self.store.pay(attempt, Bill.of(prompt, completion, prices), key, self.name, request, reply)
        return reply

    def _wait(self, seconds: float | int) -> None:
        """Wait, unless the asking has been stopped meanwhile."""
        if seconds > 0:
            self._sleep(seconds)
            if self._stopping.is_set():
                raise EndpointError("cut", "the asking was stopped before this request was sent.")

    def _gave_up(self, last: EndpointError, errors: dict[str, int], why: str) -> EndpointError:
        """The last error, with what was tried before it."""
        tries = sum(errors.values())
        if tries == 1 and not why:
            return last
        told = ", ".join(f"{kind} ×{count}" for kind, count in errors.items())
        return EndpointError(last.kind, f"{last} (gave up after {tries} attempts: {told}{why})", last.retry_after)

    @contextmanager
    def _alone(self, key: str) -> Iterator[None]:
        """Let one thread at a time ask the same thing: the second finds the first one's reply."""
        with self._asking_lock:
            turn = self._asking.setdefault(key, _Turn())
        with turn.lock:
            yield


def open_language_model(
    name: str,
    endpoint: Endpoint | None,
    store: ReplyStore,
    limits: Limits = Limits(),
) -> LanguageModel:
    """A model at an endpoint; with None as the endpoint, its recorded replies alone.

    Raises:
        MissingExtraError: The `openai` package is not installed; a replay does without it.
    """
    return LanguageModel(name, store, None if endpoint is None else OpenAITransport(endpoint), limits)


def _next(
    waiting: "deque[tuple[int, Future[Reply | EndpointError]]]",
) -> tuple[int, Reply | EndpointError]:
    place, future = waiting.popleft()
    return place, future.result()
