import hashlib
import json
from collections import Counter
from dataclasses import replace

import pytest
from annotate_case import TURN, make_clip, make_draft, make_subject

from sama_video.annotate import wording
from sama_video.annotate.asking import (
    AskSettings,
    TaskMix,
    TaskPlan,
    WantedTurn,
    critic_request,
    plan_tasks,
    read_critic,
    repair_plan,
    repair_request,
    request_for,
    without_places,
)
from sama_video.annotate.case import Subject
from sama_video.annotate.checks.reasons import REASONS
from sama_video.annotate.drafts import TASK_TYPES, Draft, DraftError, Problem
from sama_video.annotate.drawing import Drawing, DrawOptions, draw_subject
from sama_video.errors import ConfigError
from sama_video.remote.messages import Picture, Request

SUBJECT = make_subject()
MIX = TaskMix()
PLAIN = AskSettings()
PINNED = {
    "annotate-ask-1": "42dab8d49bf2",
    "annotate-repair-1": "89e053c83267",
    "annotate-critic-1": "dcdabb7e3d23",
}


def renamed(name: str, objects: int = 3) -> Subject:
    return replace(SUBJECT, subject_id=name, things=SUBJECT.things[:objects])


def test_wording_stays_as_its_version_says() -> None:
    # Other words are another request: raise the version in wording.py together with this hash.
    turns = [(task, ["obj1"]) for task in TASK_TYPES]
    asked = [
        wording.system_text("English"),
        wording.subject_text("clip", 2.0, {"obj1": ["dog"], "obj2": []}, [(0.0, ["obj1"]), (1.0, [])]),
        wording.plan_text(["obj1"], turns),
        json.dumps(wording.draft_schema()),
    ]
    problems = [Problem("turn 1", reason, "detail") for reason in REASONS]
    texts = {
        wording.ASK_VERSION: asked,
        wording.REPAIR_VERSION: [wording.repair_text(problems, ["obj1"], turns)],
        wording.CRITIC_VERSION: [
            wording.critic_text("English"),
            wording.draft_text(make_draft()),
            json.dumps(wording.critic_schema()),
        ],
    }
    assert {name: hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12] for name, parts in texts.items()} == PINNED


def test_a_plan_follows_from_mix_seed_and_subject_alone() -> None:
    assert plan_tasks(SUBJECT, MIX, 0) == plan_tasks(make_subject(), MIX, 0)
    plans = {plan_tasks(renamed(f"clip-{n}"), MIX, 0).turns for n in range(12)}
    assert len(plans) == 12
    assert plan_tasks(SUBJECT, MIX, 0).describe == ("obj1", "obj2", "obj3")
    assert plan_tasks(SUBJECT, TaskMix(descriptions=False), 0).describe == ()


def test_the_mix_is_kept_over_subjects_and_nearly_in_each() -> None:
    mix = TaskMix({"dialogue": 2, "relation": 1, "temporal": 1, "not_there": 0.5}, turns_per_object=2)
    total: Counter[str] = Counter()
    for number in range(150):
        here = Counter(turn.task for turn in plan_tasks(renamed(f"clip-{number}"), mix, 5).turns)
        assert here.total() == 6
        for task, share in mix.shares.items():
            assert abs(here[task] - share / 4.5 * 6) < 1
        total += here
    for task, share in mix.shares.items():
        assert total[task] / total.total() == pytest.approx(share / 4.5, abs=0.02)


def test_objects_are_asked_about_in_turn() -> None:
    mix = TaskMix({"dialogue": 1}, turns_per_object=2)
    about = Counter(turn.object_ids[0] for turn in plan_tasks(SUBJECT, mix, 0).turns)
    assert about == {"obj1": 2, "obj2": 2, "obj3": 2}


def test_what_a_subject_does_not_offer_is_not_asked_for() -> None:
    alone = plan_tasks(renamed("clip", objects=1), TaskMix({"relation": 5, "dialogue": 1}), 0)
    assert {turn.task for turn in alone.turns} == {"dialogue"}
    assert plan_tasks(renamed("clip", objects=1), TaskMix({"relation": 1}), 0).turns == ()
    first = plan_tasks(SUBJECT, TaskMix({"dialogue": 3, "temporal": 1}), 0).turns[0]
    assert first.task == "temporal"  # nothing carries on from nothing
    assert len(plan_tasks(SUBJECT, TaskMix(most_turns=2), 0).turns) == 2


@pytest.mark.parametrize(
    "given", [{"shares": {"poetry": 1}}, {"shares": {"dialogue": -1}}, {"shares": {"dialogue": 0}}]
)
def test_impossible_mixes_are_refused(given: dict[str, dict[str, int]]) -> None:
    with pytest.raises(ConfigError, match="mix"):
        TaskMix(**given)  # type: ignore[arg-type]


def first_request(settings: AskSettings = PLAIN) -> tuple[Request, Drawing]:
    drawing = draw_subject(SUBJECT, make_clip(), DrawOptions(pictures=3, longest_side=96))
    return request_for(SUBJECT, drawing, plan_tasks(SUBJECT, MIX, 0), settings), drawing


def test_a_request_has_rules_facts_plan_and_pictures() -> None:
    request, drawing = first_request()
    system, user = request.messages
    assert system.role == "system"
    text = str(user.parts[0])
    assert "Clip clip-1, 2.00 s long" in text
    assert "tag <obj3>, known as: man; the man in the red shirt" in text
    assert "picture 1 at 0.00 s shows <obj1><obj2>\n" in text
    assert "1. " in text
    assert [part.content for part in user.parts if isinstance(part, Picture)] == list(drawing.pictures)
    assert request.form is not None
    assert request.prompt_version == wording.ASK_VERSION
    assert "<p>the brown dog</p><obj1>" in str(system.parts[0])


def test_an_endpoint_without_schemas_is_asked_plainly() -> None:
    request, _ = first_request(AskSettings(structured=False, language="German", temperature=None))
    assert request.form is None
    assert "in German" in str(request.messages[0].parts[0])
    assert "temperature" not in request.to_wire("m")


def test_the_schema_is_strict() -> None:
    def rows(schema: object) -> list[dict[str, object]]:
        if isinstance(schema, dict):
            own = [schema] if schema.get("type") == "object" else []
            return own + [row for value in schema.values() for row in rows(value)]
        return []

    for schema in (wording.draft_schema(), wording.critic_schema()):
        assert len(rows(schema)) > 1
        for row in rows(schema):
            assert row["additionalProperties"] is False
            assert row["required"] == list(row["properties"])  # type: ignore[call-overload]


def test_a_repair_asks_for_what_is_missing_with_the_reasons() -> None:
    plan = TaskPlan(("obj1", "obj2", "obj3"), (WantedTurn("dialogue", ("obj1",)), WantedTurn("counting", ("obj1",))))
    kept = make_draft(TURN, descriptions={"obj1": "A dog."})
    missing = repair_plan(plan, kept)
    assert missing == TaskPlan(("obj2", "obj3"), (WantedTurn("counting", ("obj1",)),))
    request, _ = first_request()
    problem = Problem("turn 2", "bare_tag", "<obj1> does not follow a phrase")
    again = repair_request(request, "{the reply}", [problem], missing)
    assert again.messages[:2] == request.messages
    assert again.messages[2].parts == ("{the reply}",)
    text = str(again.messages[3].parts[0])
    assert "turn 2: <obj1> does not follow a phrase." in text
    assert REASONS["bare_tag"] in text
    assert "Describe: <obj2> <obj3>" in text
    assert "1. counting about <obj1>" in text
    assert again.key("m") != request.key("m")
    assert repair_plan(plan, Draft({}, (TURN, TURN))).turns == ()


def test_a_critic_names_the_texts_that_are_untrue() -> None:
    draft = make_draft()
    request = critic_request(SUBJECT, first_request()[1], draft)
    assert "turn 1 (dialogue): Q: What does the brown dog <obj1> do? A: <p>" in str(request.messages[1].parts[0])
    rows = [
        {"place": "turn 1", "true": False, "why": "it\nsleeps"},
        {"place": "description obj2", "true": True, "why": ""},
        {"place": "turn 9", "true": False, "why": "no such turn"},
    ]
    problems = read_critic(f"Here:\n{json.dumps({'verdicts': rows})}", draft)
    assert problems == (Problem("turn 1", "critic", "it sleeps"),)
    left = without_places(draft, [*problems, Problem("description obj3", "critic", "")])
    assert left.turns == ()
    assert set(left.descriptions) == {"obj1", "obj2"}


@pytest.mark.parametrize("text", ["", "all fine", '{"verdicts": 7}', '{"verdicts": [{}]}', "[" * 100_000])
def test_a_critic_that_cannot_be_read_is_told(text: str) -> None:
    with pytest.raises(DraftError, match="critic"):
        read_critic(text, make_draft())
