import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from fake_endpoint import (
    BROKEN,
    BUSY,
    CUT,
    HTML,
    HUGE,
    NO_KEY,
    REFUSAL,
    TOO_LONG,
    Behaviour,
    FakeEndpoint,
    serve,
    text_of,
)
from stored_run import write_run

from sama_video.app.cli.bench.judge import command
from sama_video.bench.judge import Judge, LanguageJudge, OfflineJudge
from sama_video.bench.judge_prompts import SCALES, Scale, scale_of_task
from sama_video.bench.judgements import judge_run, judges_of, load_judgements
from sama_video.bench.parsing import VIDEOREFER_DIMENSIONS
from sama_video.bench.store import RunFolder
from sama_video.errors import ConfigError, DataError, SamaError
from sama_video.remote.language_model import LanguageModel, Limits
from sama_video.remote.pace import Patience
from sama_video.remote.reply_store import ReplyStore
from sama_video.remote.transport import Endpoint, OpenAITransport

CLAIR = SCALES["clair"]
ASPECTS = SCALES["videorefer-d"]
RUN = {"C/1": ("A red car drives.", "A red car."), "C/2": ("A dog.", "A cat."), "C/3": ("Two men walk.", "Men walk.")}


OPENED: list[LanguageModel] = []


@pytest.fixture(autouse=True)
def closed_at_the_end() -> Iterator[None]:
    yield
    while OPENED:
        OPENED.pop().close()


def judge_at(endpoint: FakeEndpoint, scale: Scale = CLAIR, store: ReplyStore | None = None) -> LanguageJudge:
    limits = Limits(patience=Patience(retries={"timeout": 1, "server_error": 1, "nonsense": 1}, attempt_seconds=5))
    transport = OpenAITransport(Endpoint(endpoint.url))
    store = store or ReplyStore(":memory:")
    OPENED.append(LanguageModel("m-1", store, transport, limits, sleep=lambda _: None))
    return LanguageJudge(OPENED[-1], scale)


def says(text: str | None) -> Behaviour:
    return Behaviour(text=text)


PINNED = {"clair": "6b2c03d28405", "videorefer-d": "868574bd046c"}


@pytest.mark.parametrize("name", SCALES)
def test_wording_stays_as_its_version_says(name: str) -> None:
    # Other words are another judge: change the version in judge_prompts.py together with this hash.
    messages = SCALES[name].messages("REFERENCE", "PREDICTION")
    text = json.dumps([[message.role, *message.parts] for message in messages])
    assert hashlib.sha256(text.encode()).hexdigest()[:12] == PINNED[name]
    assert "REFERENCE" in text
    assert "PREDICTION" in text


def test_judge_is_asked_without_chance_and_named_by_model_and_wording() -> None:
    with serve(says('{"score": 85, "reason": "close"}')) as endpoint:
        judge = judge_at(endpoint)
        assert isinstance(judge, Judge)
        score = judge.score("What?", "a car", "a red car")
        assert endpoint.requests[0]["temperature"] == 0
        assert endpoint.requests[0]["model"] == "m-1"
    assert judge.name == "m-1@clair-sama-1"
    assert (score.value, score.reason) == (0.85, "close")
    assert score.raw_reply == '{"score": 85, "reason": "close"}'
    assert dict(score.dimensions) == {"clair": 0.85}


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        ('{"score": 250}', 1.0),
        ('{"score": -5, "reason": "neg"}', 0.0),
        ('Sure! {"score": "42.5", "reason": "x"} thanks', 0.425),
        ('```json\n{"score": 7}\n```', 0.07),
    ],
)
def test_score_is_kept_between_0_and_100(reply: str, value: float) -> None:
    with serve(says(reply)) as endpoint:
        assert judge_at(endpoint).score("", "a", "b").value == value


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (says('{"score": null, "reason": "?"}'), "the score is no number"),
        (says("I cannot compare these 2 texts."), "names no score"),
        (says(""), "empty"),
        (says(None), "empty"),
        (REFUSAL, "refused"),
        (Behaviour(text="4", finish_reason="content_filter"), "filtered"),
        (HTML, "^nonsense: "),
        (HUGE, "names no score"),
        (BROKEN, "^server_error: "),
        (BUSY, "^rate_limited: "),
        (CUT, "^cut: "),
        (TOO_LONG, "^rejected: "),
    ],
)
def test_failure_has_a_reason_and_no_score(behaviour: Behaviour, reason: str) -> None:
    with serve(behaviour) as endpoint:
        score = judge_at(endpoint).score("", "a", "b")
    assert score.value is None
    assert dict(score.dimensions) == {}
    assert score.reason is not None
    assert re.search(reason, score.reason)


def test_aspects_of_videorefer_d_are_read_each() -> None:
    lines = [f"**{place}. {name}: {4 - place % 2}**\nwhy" for place, name in enumerate(VIDEOREFER_DIMENSIONS, start=1)]
    with serve([says("\n".join(lines)), says("\n".join(lines[:2]))]) as endpoint:
        judge = judge_at(endpoint, ASPECTS)
        whole, half = judge.score("", "a", "b"), judge.score("", "a", "c")
    assert dict(whole.dimensions) == dict(zip(VIDEOREFER_DIMENSIONS, [3.0, 4.0, 3.0, 4.0], strict=True))
    assert whole.value == pytest.approx(3.5 / 5)
    assert half.value is None
    assert dict(half.dimensions) == {"Subject Correspondence": 3.0, "Appearance Description": 4.0}
    assert half.reason == "the reply has no score for Temporal Description, Hallucination Detection"


def test_benchmark_has_its_scale() -> None:
    assert scale_of_task("videorefer-d") is ASPECTS
    assert scale_of_task("sama-bench-g") is CLAIR


def test_judgements_are_written_in_order_with_what_is_missing(tmp_path: Path) -> None:
    answers = RUN | {"C/4": ("A bird.", None), "C/5": ("", "A fish.")}
    folder = write_run(tmp_path, answers)

    def behave(_number: int, body: dict[str, Any]) -> Behaviour:
        return says("hm") if "cat" in text_of(body) else says('{"score": 50, "reason": "so so"}')

    with serve(behave) as endpoint:
        verdict = judge_run(folder, judge_at(endpoint))
        assert len(endpoint.requests) == 3
    assert (verdict.questions, verdict.scored, verdict.ended) == (5, 2, None)
    assert verdict.failures == {
        "the benchmark has no reference answer": 1,
        "the model gave no answer": 1,
        "the reply names no score": 1,
    }
    assert judges_of(tmp_path) == ["m-1@clair-sama-1"]
    assert load_judgements(tmp_path, "m-1@clair-sama-1") == {"C/1": {"clair": 0.5}, "C/3": {"clair": 0.5}}
    lines = (tmp_path / "judge" / "m-1@clair-sama-1.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == list(answers)
    assert json.loads(lines[1])["reply"] == "hm"


def test_answers_are_judged_without_their_marks_and_cut(tmp_path: Path) -> None:
    long = "word " * 400
    folder = write_run(tmp_path, {"C/1": ("The <p> car </p> [SEG] stops.", long)})
    with serve(says('{"score": 1}')) as endpoint:
        judge_run(folder, judge_at(endpoint))
        prompt = text_of(endpoint.requests[0])
    assert "The car stops." in prompt
    assert prompt.count("word") == 300


def test_judging_ended_early_goes_on_and_gives_the_same_file(tmp_path: Path) -> None:
    folder = write_run(tmp_path, RUN)
    store = tmp_path / "replies"
    good = says('{"score": 50}')

    def refuse_second(_number: int, body: dict[str, Any]) -> Behaviour:
        return NO_KEY if "cat" in text_of(body) else good

    with serve(refuse_second) as endpoint:
        verdict = judge_run(folder, judge_at(endpoint, store=ReplyStore(store)))
        paid = len(endpoint.paid)
    assert isinstance(verdict.ended, SamaError)
    assert "not judged yet" in verdict.failures
    with serve(good) as endpoint:
        verdict = judge_run(folder, judge_at(endpoint, store=ReplyStore(store)))
        assert len(endpoint.paid) == 3 - paid
    assert verdict.scored == 3
    resumed = (tmp_path / "judge" / "m-1@clair-sama-1.jsonl").read_bytes()
    with serve(good) as endpoint:
        judge_run(folder, judge_at(endpoint))
    assert (tmp_path / "judge" / "m-1@clair-sama-1.jsonl").read_bytes() == resumed


def test_unknown_judge_and_damaged_file_are_told(tmp_path: Path) -> None:
    write_run(tmp_path, RUN)
    judge_run(RunFolder(tmp_path), OfflineJudge())
    with pytest.raises(ConfigError, match=r"no judgements of 'm-2', but of: overlap-1"):
        load_judgements(tmp_path, "m-2")
    (tmp_path / "judge" / "overlap-1.jsonl").write_text('{"id": "C/1"}\n')
    with pytest.raises(DataError, match=r"overlap-1.jsonl, line 1 is no judgement"):
        load_judgements(tmp_path, "overlap-1")


def test_judge_with_odd_letters_in_its_name_stays_in_the_folder(tmp_path: Path) -> None:
    folder = write_run(tmp_path, RUN)
    with serve(says('{"score": 5}')) as endpoint:
        judge = judge_at(endpoint)
        judge.model.name = "../org/model:1"
        judge_run(folder, judge)
    assert [path.name for path in (tmp_path / "judge").iterdir()] == [".._org_model_1@clair-sama-1.jsonl"]
    assert len(load_judgements(tmp_path, judge.name)) == 3


# the command


def run_command(*words: str) -> Result:
    return CliRunner().invoke(command, list(words))


def test_command_judges_plans_and_replays(tmp_path: Path, bare_environment: pytest.MonkeyPatch) -> None:
    bare_environment.delenv("OPENAI_API_KEY", raising=False)
    write_run(tmp_path, RUN)
    (tmp_path / "key").write_text("sk-hidden")
    prices = ["--price-in", "1", "--price-out", "2"]
    with serve(says('{"score": 50, "reason": "so so"}')) as endpoint:
        words = [str(tmp_path), "--judge", "m-1", "--json", *prices]
        plan = run_command(*words, "--dry-run")
        assert json.loads(plan.output)["plan"]["requests"] == 3
        assert not endpoint.requests
        assert not (tmp_path / "judge").exists()

        there = ["--base-url", endpoint.url, "--key-file", str(tmp_path / "key")]
        done = run_command(*words, *there, "--budget", "1")
        assert done.exit_code == 0, done.output
        document = json.loads(done.output)
        assert document["scored"] == 3
        assert document["spent"] == {"requests": 3, "tokens": 330, "money": pytest.approx(3.6e-4), "doubtful": 0}
        assert len(endpoint.requests) == 3
        assert endpoint.headers[0]["authorization"] == "Bearer sk-hidden"

        again = run_command(*words, *there)
        assert json.loads(again.output)["scored"] == 3
        assert len(endpoint.requests) == 3
    assert json.loads(run_command(*words, "--dry-run").output)["plan"]["recorded"] == 3
    replay = run_command(*words, "--replay")
    assert json.loads(replay.output)["spent"] == document["spent"]
    other = run_command(
        str(tmp_path), "--judge", "m-2", "--replay", "--replies", str(tmp_path / "judge/replies.sqlite")
    )
    assert isinstance(other.exception, ConfigError)
    assert "3 replies are not among those kept" in str(other.exception)
    assert "not scored: 3 × not_recorded" in other.output
    folder = tmp_path / "judge"
    assert "sk-hidden" not in "".join(path.read_text("latin-1") for path in folder.iterdir())


def test_command_ends_before_the_budget_is_exceeded(tmp_path: Path) -> None:
    write_run(tmp_path, RUN)
    with serve(says('{"score": 50}')) as endpoint:
        ended = run_command(
            str(tmp_path), "--judge", "m-1", "--base-url", endpoint.url, "--max-requests", "2", "--workers", "1"
        )
        assert len(endpoint.requests) == 2
    assert isinstance(ended.exception, SamaError)
    assert "budget of 2 for requests is reached" in str(ended.exception)
    assert "\n" not in str(ended.exception)
    assert len(load_judgements(tmp_path, "m-1@clair-sama-1")) == 2


def test_command_works_offline_and_tells_how_far_judges_agree(tmp_path: Path) -> None:
    write_run(tmp_path, RUN)
    assert "3 of 3 answers scored" in run_command(str(tmp_path), "--judge", "overlap-1").output

    def behave(_number: int, body: dict[str, Any]) -> Behaviour:
        return says('{"score": 10}') if "cat" in text_of(body) else says('{"score": 90}')

    with serve(behave) as endpoint:
        words = [str(tmp_path), "--judge", "m-1", "--base-url", endpoint.url, "--agreement", "overlap-1", "--json"]
        found = json.loads(run_command(*words).output)["agreement"]
    assert (found["with"], found["answers"]) == ("overlap-1", 3)
    assert found["tau"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--judge", "m-1", "--budget", "1", "--replay"], "--price-in and --price-out"),
        (["--judge", "m-1", "--replay"], "no recorded replies"),
        (["--judge", "m-1"], "needs a key"),
        (["--judge", "m-1", "--base-url", "here"], "begins with http"),
    ],
)
def test_command_refuses_in_one_line(
    tmp_path: Path, words: list[str], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    write_run(tmp_path, RUN)
    refused = run_command(str(tmp_path), *words)
    assert isinstance(refused.exception, ConfigError)
    assert told in str(refused.exception)


def test_command_refuses_a_folder_without_a_run(tmp_path: Path) -> None:
    for judge in ("overlap-1", "m-1"):
        refused = run_command(str(tmp_path), "--judge", judge)
        assert isinstance(refused.exception, DataError)
    assert list(tmp_path.iterdir()) == []
