import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from fake_endpoint import BROKEN, BUSY, BUSY_FOR_7, CUT, HTML, NO_KEY, TOO_LONG, Behaviour, serve, text_of

from sama_video.errors import MissingExtraError
from sama_video.remote.language_model import LanguageModel, Limits, open_language_model
from sama_video.remote.messages import Message, Reply, Request, Sampling
from sama_video.remote.pace import Patience
from sama_video.remote.reply_store import Budget, BudgetError, Prices, ReplyStore, Spent
from sama_video.remote.transport import AccessError, Endpoint, EndpointError, OpenAITransport

Outcome = str | EndpointError | type[BaseException]


def request(text: str = "hello", **sampling: Any) -> Request:
    return Request((Message("user", (text,)),), "v1", Sampling(**{"max_tokens": 100} | sampling))


class Script:
    """A transport that says what it is told to, in turn."""

    limit_name = "max_tokens"

    def __init__(self, *outcomes: Outcome) -> None:
        self.outcomes = list(outcomes)
        self.sent: list[Mapping[str, Any]] = []

    def send(self, body: Mapping[str, Any], seconds: float) -> Reply:
        assert seconds > 0
        self.sent.append(body)
        outcome = self.outcomes.pop(0) if self.outcomes else "fine"
        if isinstance(outcome, str):
            return Reply(outcome, prompt_tokens=10, completion_tokens=5)
        raise outcome

    def close(self) -> None:
        pass


class Watch:
    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def model_of(
    *outcomes: Outcome, limits: Limits | None = None, store: ReplyStore | None = None
) -> tuple[LanguageModel, Script, Watch]:
    script, watch = Script(*outcomes), Watch()
    model = LanguageModel(
        "m",
        store or ReplyStore(":memory:"),
        script,
        limits or Limits(),
        clock=watch.time,
        sleep=watch.sleep,
        rng=random.Random(0),
    )
    return model, script, watch


def error(kind: Any, retry_after: float | None = None) -> EndpointError:
    return EndpointError(kind, f"it was {kind}.", retry_after)


def test_same_question_is_paid_once() -> None:
    model, script, _ = model_of("first", "second")
    assert model.ask(request()).recorded is False
    again = model.ask(request())
    assert (again.text, again.recorded, len(script.sent)) == ("first", True, 1)
    assert model.ask(request(draw=1)).text == "second"


@pytest.mark.parametrize(
    ("kind", "retries"), [("timeout", 2), ("rate_limited", 8), ("server_error", 5), ("cut", 4), ("nonsense", 2)]
)
def test_each_kind_of_error_has_its_own_patience(kind: str, retries: int) -> None:
    model, script, watch = model_of(*[error(kind)] * retries, "at last")
    assert model.ask(request()).text == "at last"
    assert len(watch.slept) == retries
    assert all(0.5 <= wait <= 60 for wait in watch.slept)

    model, script, _ = model_of(*[error(kind)] * (retries + 1), "too late")
    with pytest.raises(EndpointError, match=f"gave up after {retries + 1} attempts: {kind} ×{retries + 1}") as caught:
        model.ask(request())
    assert caught.value.kind == kind
    assert len(script.sent) == retries + 1


def test_mixed_errors_are_counted_by_kind() -> None:
    model, _, _ = model_of(*map(error, ["timeout", "timeout", "cut", "nonsense"]), "at last")
    assert model.ask(request()).text == "at last"


def test_rejected_request_is_not_tried_again() -> None:
    model, script, watch = model_of(error("rejected"), "never")
    with pytest.raises(EndpointError, match="^it was rejected.$"):
        model.ask(request())
    assert (len(script.sent), watch.slept) == (1, [])


def test_closed_endpoint_ends_at_once() -> None:
    model, script, _ = model_of(AccessError("wrong key."), "never")
    with pytest.raises(AccessError, match="wrong key"):
        model.ask(request())
    assert len(script.sent) == 1


def test_retry_after_is_waited_for_in_full() -> None:
    model, _, watch = model_of(error("rate_limited", 7.0), error("server_error", 90.0), "at last")
    model.ask(request())
    assert watch.slept == [7.0, 90.0]


def test_wait_beyond_all_patience_is_not_begun() -> None:
    limits = Limits(patience=Patience(total_seconds=100))
    model, _, watch = model_of(error("rate_limited", 101.0), limits=limits)
    with pytest.raises(EndpointError, match="the next wait of 101 s is too long"):
        model.ask(request())
    assert watch.slept == []


def test_total_time_bounds_all_attempts() -> None:
    patience = Patience(retries={"server_error": 1000}, total_seconds=50)
    model, _, watch = model_of(*[error("server_error")] * 1000, limits=Limits(patience=patience))
    with pytest.raises(EndpointError, match="gave up"):
        model.ask(request())
    assert watch.now < 50


def test_requests_keep_the_pace() -> None:
    model, _, watch = model_of(limits=Limits(requests_per_minute=30))
    for number in range(4):
        model.ask(request(str(number)))
    assert watch.slept == pytest.approx([2.0, 2.0, 2.0])


def test_book_tells_paid_free_and_doubtful_attempts_apart() -> None:
    limits = Limits(prices=Prices(1_000_000, 2_000_000))
    model, _, _ = model_of(error("server_error"), error("cut"), "fine", limits=limits)
    question = request()
    model.ask(question)
    most = question.most_prompt_tokens(0)
    assert model.spent() == Spent(3, most + 100 + 15, most + 200 + 20.0, 1)


def test_usage_that_is_not_told_counts_at_the_most() -> None:
    with serve(Behaviour(usage=False)) as endpoint:
        model = open_language_model("m", Endpoint(endpoint.url), ReplyStore(":memory:"))
        question = request()
        model.ask(question)
        assert model.spent().tokens == question.most_prompt_tokens(0) + 100
        model.close()


@pytest.mark.parametrize("limit", [1, 3, 7])
def test_budget_is_never_exceeded_and_loses_nothing(limit: int, tmp_path: Path) -> None:
    store = ReplyStore(tmp_path / "r.sqlite")
    model, script, _ = model_of(limits=Limits(budget=Budget(requests=limit)), store=store)
    with pytest.raises(BudgetError, match=f"budget of {limit} for requests is reached"):
        list(model.ask_all((request(str(number)) for number in range(10)), workers=3))
    assert len(script.sent) == limit
    further, more, _ = model_of(store=store)
    assert len([reply for _, reply in further.ask_all([request(str(n)) for n in range(10)], workers=3)]) == 10
    assert len(more.sent) == 10 - limit


def test_money_is_bounded_by_the_most_a_request_can_cost() -> None:
    prices = Prices(10, 100)
    one = request()
    most = (one.most_prompt_tokens(0) * 10 + 100 * 100) / 1e6
    model, script, _ = model_of(limits=Limits(budget=Budget(money=most * 0.99), prices=prices))
    with pytest.raises(BudgetError, match="for money"):
        model.ask(one)
    assert script.sent == []


def test_estimate_counts_each_new_request_once() -> None:
    model, script, _ = model_of(limits=Limits(prices=Prices(10, 100)))
    model.ask(request("known"))
    plan = model.estimate([request("known"), request("new"), request("new"), request("other")])
    assert (plan.requests, plan.recorded, len(script.sent)) == (2, 1, 1)
    assert 200 < plan.likely_tokens < plan.most_tokens
    assert 0 < plan.likely_money < plan.most_money
    model.ask(request("new"))
    assert model.estimate([request("known"), request("new")]).requests == 0


def test_replay_never_leaves_the_machine(tmp_path: Path) -> None:
    path = tmp_path / "r.sqlite"
    model, _, _ = model_of("recorded", store=ReplyStore(path))
    model.ask(request())
    replay = open_language_model("m", None, ReplyStore(path, read_only=True))
    assert replay.ask(request()).text == "recorded"
    with pytest.raises(EndpointError, match="no reply of m to request [0-9a-f]{12} \\(v1\\) is recorded") as caught:
        replay.ask(request("another"))
    assert caught.value.kind == "not_recorded"


def test_missing_package_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(MissingExtraError, match=r"sama-video\[bench\]"):
        open_language_model("m", Endpoint("http://x"), ReplyStore(":memory:"))
    open_language_model("m", None, ReplyStore(":memory:"))


def test_replies_come_in_order_and_errors_stand_in_their_place() -> None:
    def behave(_number: int, body: dict[str, Any]) -> Behaviour:
        text = text_of(body)
        return TOO_LONG if text == "3" else Behaviour(text=f"re {text}", delay=0.05 if int(text) % 2 == 0 else 0)

    with serve(behave) as endpoint, asking(endpoint.url) as model:
        rows = list(model.ask_all((request(str(number)) for number in range(8)), workers=4))
        assert 2 <= endpoint.most_at_once <= 4
    assert [place for place, _ in rows] == list(range(8))
    texts = [row.text if isinstance(row, Reply) else row.kind for _, row in rows]
    assert texts == ["re 0", "re 1", "re 2", "rejected", "re 4", "re 5", "re 6", "re 7"]


def test_same_question_at_the_same_time_is_paid_once() -> None:
    with serve(Behaviour(delay=0.05)) as endpoint, asking(endpoint.url) as model:
        rows = list(model.ask_all([request()] * 6, workers=6))
        assert len(endpoint.paid) == 1
    assert sum(isinstance(row, Reply) and row.recorded for _, row in rows) == 5


@pytest.mark.parametrize(
    "row",
    [[BUSY, BUSY_FOR_7], [BROKEN], [CUT, CUT], [HTML], [Behaviour(delay=1.5)]],
    ids=["busy", "broken", "cut", "nonsense", "slow"],
)
def test_misbehaving_server_is_outlasted(row: Sequence[Behaviour]) -> None:
    waits: list[float] = []
    with serve([*row, Behaviour(text="at last")]) as endpoint:
        limits = Limits(patience=Patience(attempt_seconds=0.6))
        transport = OpenAITransport(Endpoint(endpoint.url))
        model = LanguageModel("m", ReplyStore(":memory:"), transport, limits, sleep=waits.append)
        assert model.ask(request()).text == "at last"
        model.close()
        assert len(endpoint.requests) == len(row) + 1
    assert len([wait for wait in waits if wait > 0.4]) >= len(row)
    assert (7.0 in waits) == (BUSY_FOR_7 in row)


def test_closed_endpoint_ends_a_whole_batch() -> None:
    def behave(_number: int, body: dict[str, Any]) -> Behaviour:
        return Behaviour() if text_of(body) == "0" else NO_KEY

    with serve(behave) as endpoint, asking(endpoint.url) as model:
        with pytest.raises(AccessError):
            list(model.ask_all((request(str(number)) for number in range(100)), workers=2))
        assert len(endpoint.requests) <= 20
        assert model.ask(request("0")).recorded


def test_who_stops_reading_stops_the_asking() -> None:
    with serve(Behaviour()) as endpoint, asking(endpoint.url) as model:
        replies = model.ask_all((request(str(number)) for number in range(1000)), workers=2)
        assert next(replies)[0] == 0
        replies.close()  # type: ignore[attr-defined]
        assert len(endpoint.paid) < 20
        assert model.ask(request("later")).text == "fine"


@pytest.mark.slow
def test_killed_in_the_middle_and_resumed_pays_nothing_twice(tmp_path: Path) -> None:
    def behave(number: int, body: dict[str, Any]) -> Behaviour:
        if number == 5:
            endpoint.hold.clear()  # from here on nobody is answered until the caller is dead
        return Behaviour(text=f"re {text_of(body)}")

    script = str(Path(__file__).with_name("ask_in_turn.py"))
    with serve(behave) as endpoint:
        command = [sys.executable, script, endpoint.url, str(tmp_path / "r.sqlite")]
        killed = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        until = time.monotonic() + 30
        while len(endpoint.requests) < 7 and time.monotonic() < until:
            time.sleep(0.02)
        time.sleep(0.1)
        killed.kill()
        out, _ = killed.communicate()
        before = Counter(map(text_of, endpoint.paid))
        held = Counter(endpoint.prompts) - before
        assert 4 <= sum(before.values()) <= 6
        assert len(out.splitlines()) <= sum(before.values())
        lost = ReplyStore(tmp_path / "r.sqlite").spent()
        assert lost.doubtful == sum(held.values())

        endpoint.paid.clear()
        endpoint.requests.clear()
        endpoint.hold.set()
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        assert done.stdout.splitlines() == [f"re question {number}" for number in range(10)]
        assert set(endpoint.prompts).isdisjoint(before)
        assert Counter(endpoint.prompts) == Counter({f"question {n}" for n in range(10)} - set(before))
    assert ReplyStore(tmp_path / "r.sqlite").spent().requests == 10 + sum(held.values())


def asking(url: str) -> LanguageModel:
    return LanguageModel("m", ReplyStore(":memory:"), OpenAITransport(Endpoint(url)))
