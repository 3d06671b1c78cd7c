import threading
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from fake_endpoint import BROKEN, BUSY, CUT, NONSENSE, Behaviour, serve

from sama_video.annotate.asking import critic_request, plan_tasks, read_critic, repair_plan, repair_request, request_for
from sama_video.annotate.case import Subject
from sama_video.annotate.checks.checking import check_draft
from sama_video.annotate.drafts import Draft, DraftTurn, read_draft
from sama_video.annotate.drawing import Drawing, DrawOptions, draw_subject
from sama_video.annotate.proof import MIX, synthetic_subject
from sama_video.annotate.scripted import HIDDEN_KINDS, KINDS, ScriptedTransport, Slips, truth_of
from sama_video.annotate.scripted.truth import is_known
from sama_video.data.record_clips import FileClip
from sama_video.data.synthetic.diagnostic import DiagnosticWorld
from sama_video.data.synthetic.levels import FPS
from sama_video.errors import ConfigError, DataError
from sama_video.remote.language_model import LanguageModel, Limits
from sama_video.remote.messages import Request
from sama_video.remote.pace import Patience
from sama_video.remote.reply_store import ReplyStore
from sama_video.remote.transport import Endpoint, EndpointError, OpenAITransport, Transport
from sama_video.video.clip import Clip

WORLD = DiagnosticWorld(2, (64, 64))
SEED = 10_000_003
OPTIONS = DrawOptions(pictures=2, longest_side=96)


@cache
def subject() -> Subject:
    return synthetic_subject(WORLD, SEED, "names")


@cache
def drawing() -> Drawing:
    return draw_subject(subject(), Clip.from_frames(WORLD.paint(SEED).frames, fps=FPS), OPTIONS)


def first_request() -> Request:
    return request_for(subject(), drawing(), plan_tasks(subject(), MIX, 0))


def transport(slips: Slips | None = None, **options: Any) -> ScriptedTransport:
    made = ScriptedTransport(slips or Slips(), **options)
    made.meet(subject())
    return made


def test_it_answers_a_first_request_truly_and_in_full() -> None:
    scripted = transport()
    assert isinstance(scripted, Transport)
    reply = scripted.send(first_request().to_wire("scripted"), 5)
    plan = plan_tasks(subject(), MIX, 0)
    times = tuple(frame / FPS for frame in range(subject().clip.num_frames))
    checked = check_draft(read_draft(reply.text), subject(), plan=plan, times=times)
    assert checked.problems == ()
    assert [turn.task for turn in checked.kept.turns] == [turn.task for turn in plan.turns]
    assert (reply.prompt_tokens or 0) > 2000
    assert scripted.planted == ()


def test_what_it_says_does_not_depend_on_order_or_threads() -> None:
    body = first_request().to_wire("scripted")
    once = transport(Slips(0.5), seed=3).reply_to(body)
    again, replies = transport(Slips(0.5), seed=3), []
    threads = [threading.Thread(target=lambda: replies.append(again.reply_to(body))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert replies == [once] * 4
    assert transport(seed=4).reply_to(body) != transport(seed=5).reply_to(body)


@pytest.mark.parametrize("kind", ["bare tag", "cut JSON", "missing description", "turn without answer"])
def test_a_mistake_is_planted_and_remembered(kind: str) -> None:
    scripted = transport(Slips(1.0, kinds=(kind,)))
    body = first_request().to_wire("scripted")
    assert scripted.reply_to(body) != transport().reply_to(body)
    scripted.reply_to(body)
    (planted,) = scripted.planted
    assert (planted.kind, planted.request, planted.subject_id) == (kind, "ask", subject().subject_id)


def test_a_repair_is_answered_with_what_is_missing() -> None:
    scripted = transport(Slips(1.0, kinds=("bare tag",)))
    request, plan = first_request(), plan_tasks(subject(), MIX, 0)
    reply = scripted.send(request.to_wire("scripted"), 5)
    checked = check_draft(read_draft(reply.text), subject(), plan=plan)
    missing = repair_plan(plan, checked.kept)
    assert len(missing.turns) == 1
    again = repair_request(request, reply.text, checked.problems, missing)
    mended = read_draft(scripted.reply_to(again.to_wire("scripted")))
    assert [turn.task for turn in mended.turns] == [turn.task for turn in missing.turns]
    whole = check_draft(checked.kept.joined(mended), subject(), plan=plan)
    assert whole.problems == ()
    assert len(whole.kept.turns) == len(plan.turns)


def test_as_a_critic_it_sees_what_is_untrue() -> None:
    scripted = transport()
    true = read_draft(scripted.reply_to(first_request().to_wire("scripted")))
    assert read_critic(_criticised(scripted, true), true) == ()
    thing = truth_of(subject()).things[0]
    wrong = "plain" if thing.texture != "plain" else "striped"
    false = DraftTurn(f"What is on the {thing.name} <obj1>?", f"<p>The {wrong} {thing.kind}</p><obj1> is.", "dialogue")
    draft = Draft({}, (*true.turns, false))
    assert [one.place for one in read_critic(_criticised(scripted, draft), draft)] == [f"turn {len(draft.turns)}"]


def _criticised(scripted: ScriptedTransport, draft: Draft) -> str:
    return scripted.reply_to(critic_request(subject(), drawing(), draft).to_wire("scripted"))


def test_names_of_objects_may_change_on_the_way() -> None:
    turned = subject().with_things(tuple(reversed(subject().things)))
    names = [thing.name for thing in truth_of(subject()).things]
    assert [thing.name for thing in truth_of(turned).things] == names[::-1]
    less = truth_of(subject().with_things(subject().things[1:]))
    assert less.unnamed == (names[0],)


def test_clips_of_no_drawn_world_are_refused() -> None:
    clip = FileClip("videos/cat", subject().clip.num_frames, 64, 64)
    other = Subject("cat", clip, subject().things, "test", "CC0-1.0")
    assert is_known(subject())
    assert not is_known(other)
    with pytest.raises(DataError, match="knows no others"):
        truth_of(other)
    with pytest.raises(EndpointError, match="has not met"):
        ScriptedTransport().reply_to(first_request().to_wire("scripted"))
    with pytest.raises(EndpointError, match="annotation alone"):
        transport().reply_to({"messages": [{"role": "user", "content": "Hello"}]})


def test_it_finds_subjects_itself_when_told_how() -> None:
    asked: list[str] = []
    scripted = ScriptedTransport(find=lambda name: asked.append(name) or truth_of(subject()))  # type: ignore[func-returns-value]
    for _ in range(3):
        scripted.reply_to(first_request().to_wire("scripted"))
    assert asked == [subject().subject_id]


def test_it_takes_its_time_and_no_more_than_allowed() -> None:
    slow = transport(latency=0.02)
    assert slow.send(first_request().to_wire("scripted"), 1).text
    with pytest.raises(EndpointError) as caught:
        slow.send(first_request().to_wire("scripted"), 0.001)
    assert caught.value.kind == "timeout"


def test_impossible_slips_are_refused() -> None:
    with pytest.raises(ConfigError, match="unknown"):
        Slips(kinds=("typo",))
    with pytest.raises(ConfigError, match="0 to 1"):
        Slips(rate=2)
    assert len(KINDS) >= 30
    assert not set(KINDS) & set(HIDDEN_KINDS)


def test_it_is_served_on_the_loopback_by_a_server_that_misbehaves(tmp_path: Path) -> None:
    scripted, row = transport(), [BUSY, BROKEN, CUT, NONSENSE]

    def behave(number: int, body: dict[str, Any]) -> Behaviour:
        return row[number] if number < len(row) else Behaviour(text=scripted.reply_to(body))

    limits = Limits(patience=Patience(attempt_seconds=5))
    with serve(behave) as endpoint:
        http, store = OpenAITransport(Endpoint(endpoint.url)), ReplyStore(tmp_path / "replies.sqlite")
        with LanguageModel("scripted", store, http, limits, sleep=lambda _: None) as model:
            reply = model.ask(first_request())
            assert read_draft(reply.text).turns
            assert model.ask(first_request()).recorded
        assert len(endpoint.paid) == 2  # nonsense was paid for as well
