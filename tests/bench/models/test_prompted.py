import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from tiny_model import moving_squares, tiny_model

from sama_video.bench.models import ModelUnderTest, Outcome
from sama_video.bench.models.picture_prompts import Showing, Talk
from sama_video.bench.models.prompted import PromptedModel, Speaker
from sama_video.bench.task import HistoryMode, Prediction, Sample, TaskOptions
from sama_video.chat.pointing import Pointing
from sama_video.errors import DataError, RegionError, SamaError
from sama_video.regions.rle import overlap_areas
from sama_video.regions.shapes import Box, ObjectRef

CLIP = moving_squares(6)
RED = {"phrase": "the red square", "frame": 0, "boxes": [[62, 125, 281, 417]]}
BLUE = {"phrase": "the blue square", "frame": 0, "boxes": [[750, 83, 937, 333]]}


class Parrot(Speaker):
    """Says what it is told to, in turn, and remembers what it was shown."""

    def __init__(self, *replies: str | SamaError) -> None:
        self.replies = list(replies)
        self.talks: list[Talk] = []

    @property
    def name(self) -> str:
        return "parrot"

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"loud": True}

    def say(self, talks: Iterable[Talk]) -> Iterator[str | SamaError]:
        for talk in talks:
            self.talks.append(talk)
            yield self.replies[len(self.talks) - 1]


def sample(name: str = "q1", question: str = "Where is the red square?", **fields: Any) -> Sample:
    given = {"ground": True, "reference_text": "Over there."} | fields
    return Sample(name, "v", "all", name, lambda: CLIP, question, **given)


def model_of(*replies: str | SamaError) -> tuple[PromptedModel, Parrot]:
    parrot = Parrot(*replies)
    return PromptedModel(parrot, tiny_model(), Showing(frames=2)), parrot


def ask(
    model: PromptedModel,
    *samples: Sample,
    history: HistoryMode = "single",
    known: Mapping[str, Prediction] | None = None,
) -> list[Outcome]:
    return list(model.answer(samples, TaskOptions(history=history), known or {}))


def grounded(answer: str, *objects: Any) -> str:
    return json.dumps({"answer": answer, "objects": list(objects)})


def said(talk: Talk) -> list[str]:
    """Roles and the last words of each turn."""
    return [f"{turn.role}: {turn.parts[-1]}" for turn in talk.turns[1:]]


def test_boxes_become_tracks_in_the_order_of_the_marks() -> None:
    model, _ = model_of(grounded("There the blue square is, and the red square.", RED, BLUE))
    assert isinstance(model, ModelUnderTest)
    (outcome,) = ask(model, sample())
    assert outcome.error is None
    assert outcome.text == "There <p> the blue square </p> [SEG] is, and <p> the red square </p> [SEG]."
    assert outcome.phrases == ("the blue square", "the red square")
    assert outcome.frames == (0, 5)
    assert [len(track) for track in outcome.tracks] == [6, 6]
    session = tiny_model().chat(CLIP)
    alone = [session.another() for _ in range(2)]
    boxes = (Box(0, xyxy=(48, 3.984, 59.968, 15.984)), Box(0, xyxy=(3.968, 6, 17.984, 20.016)))
    for track, fresh, box in zip(outcome.tracks, alone, boxes, strict=True):
        (name,) = fresh.track([box])
        assert track == fresh.masklet(name).rles


def test_several_boxes_of_a_phrase_are_one_track() -> None:
    both = {"phrase": "squares", "frame": 0, "boxes": RED["boxes"] + BLUE["boxes"]}
    model, _ = model_of(grounded("Two squares.", both), grounded("Here.", RED, BLUE))
    one, two = ask(model, sample("q1"), sample("q2"))
    assert [len(one.tracks), len(two.tracks)] == [1, 2]
    assert two.text == "Here."
    assert two.phrases == ("the red square", "the blue square")
    for joined, first, second in zip(one.tracks[0], *two.tracks, strict=True):
        for part in (first, second):
            if part is not None:
                assert joined is not None
                assert overlap_areas(joined, part)[0] == overlap_areas(part, part)[0]


def test_question_is_answered_alike_whatever_was_asked_before() -> None:
    replies = [grounded("the red square", RED), grounded("the blue square", BLUE)]
    model, _ = model_of(*replies)
    together = ask(model, sample("q1"), sample("q2"))
    model, _ = model_of(replies[1])
    (alone,) = ask(model, sample("q2"))
    assert alone.tracks == together[1].tracks
    assert model.revision == model_of()[0].revision


def test_unreadable_answer_is_text_without_masks_and_the_reason_is_kept(caplog: pytest.LogCaptureFixture) -> None:
    model, _ = model_of("It is over there.", grounded("the red square", RED | {"frame": 3}))
    first, second = ask(model, sample("q1"), sample("q2"))
    assert (first.text, first.tracks, first.phrases, first.error) == ("It is over there.", (), (), None)
    assert (second.text, second.tracks, second.error) == ("the red square", (), None)
    assert model.problems == {
        "q1": ("the reply holds no JSON object with an answer",),
        "q2": ("object 1: its frame is 3, which is none of those shown",),
    }
    assert "q1: the reply holds no JSON" in caplog.text


def test_box_around_nothing_costs_its_mask_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    name = Pointing.name

    def blind_to_blue(self: Pointing, region: Any) -> Any:
        if isinstance(region, Box) and region.xyxy[0] > 40:
            raise RegionError("no object was found there.")
        return name(self, region)

    monkeypatch.setattr(Pointing, "name", blind_to_blue)
    both = {"phrase": "two squares", "frame": 0, "boxes": RED["boxes"] + BLUE["boxes"]}
    reply = grounded("the red square and the blue square", RED, BLUE, both)
    model, _ = model_of(reply, grounded("the red square", RED))
    outcome, alone = ask(model, sample("q1"), sample("q2"))
    assert outcome.error is None
    assert outcome.text == "<p> the red square </p> [SEG] and the blue square"
    assert outcome.phrases == ("the red square", "two squares")
    assert outcome.tracks == alone.tracks * 2
    assert model.problems == {"q1": ("no object was found there.",) * 2}


def test_question_for_text_alone_asks_for_no_form_and_reads_none() -> None:
    model, parrot = model_of(grounded("A", RED))
    (outcome,) = ask(model, sample(ground=False))
    assert outcome.tracks == ()
    assert outcome.text == " ".join(grounded("A", RED).split())
    assert "JSON" not in said(parrot.talks[0])[0]


def test_failure_is_the_questions_own() -> None:
    refused = sample("q2", "Where is <region>?", regions=(ObjectRef("obj1"),))
    model, _ = model_of(DataError("no reply."), grounded("", RED))
    outcomes = ask(model, sample("q1"), refused, sample("q3"), replace(refused, sample_id="q4"))
    assert [outcome.sample_id for outcome in outcomes] == ["q1", "q2", "q3", "q4"]
    assert [outcome.text for outcome in outcomes] == [None, None, "", None]
    assert outcomes[0].error == "no reply."
    assert outcomes[1].error is not None
    assert "obj1 is known to sessions of ours only" in outcomes[1].error
    assert len(outcomes[2].tracks) == 1


TURNS = [
    sample(
        f"t{place}", f"Question {place}?", dialogue="d", turn_idx=place, ground=False, reference_text=f"Truth {place}."
    )
    for place in range(3)
]


def test_single_question_sees_no_other() -> None:
    model, parrot = model_of("a", "b", "c")
    outcomes = ask(model, *TURNS)
    assert said(parrot.talks[2]) == ["user: Question 2?"]
    assert [outcome.history for outcome in outcomes] == [(), (), ()]


def test_teacher_gives_the_reference_answers() -> None:
    model, parrot = model_of("a", "b", "c")
    outcomes = ask(model, *TURNS, history="teacher")
    assert said(parrot.talks[2])[1:] == [
        "assistant: Truth 0.",
        "user: Question 1?",
        "assistant: Truth 1.",
        "user: Question 2?",
    ]
    assert outcomes[2].history == (("Question 0?", "Truth 0."), ("Question 1?", "Truth 1."))
    (outcome,) = ask(model_of("c")[0], replace(TURNS[2], reference_text=""), history="teacher")
    assert outcome.error is None  # its own reference answer is nobody's history
    outcomes = ask(model_of("a", "b")[0], replace(TURNS[0], reference_text=""), TURNS[1], history="teacher")
    assert "t0 has no reference answer" in (outcomes[1].error or "")


def test_self_gives_the_models_own_answers_and_those_known_from_before() -> None:
    model, parrot = model_of("a", "b", "c")
    outcomes = ask(model, *TURNS, history="self")
    whole = said(parrot.talks[2])[1:]
    assert whole == ["assistant: a", "user: Question 1?", "assistant: b", "user: Question 2?"]
    known = {"t0": prediction("t0", "a"), "t1": prediction("t1", "b")}
    model, parrot = model_of("c")
    (resumed,) = ask(model, *TURNS, history="self", known=known)
    assert said(parrot.talks[0])[1:] == whole
    assert resumed.history == outcomes[2].history == (("Question 0?", "a"), ("Question 1?", "b"))


def test_dialogue_that_broke_off_is_not_gone_on_with() -> None:
    model, _ = model_of("a", DataError("no reply."))
    outcomes = ask(model, *TURNS, history="self")
    assert [outcome.text for outcome in outcomes] == ["a", None, None]
    assert "broke off at t1" in (outcomes[2].error or "")


def test_known_answers_are_not_asked_for() -> None:
    model, parrot = model_of("b")
    outcomes = ask(model, *TURNS[:2], known={"t0": prediction("t0", "a")})
    assert [outcome.sample_id for outcome in outcomes] == ["t1"]
    assert len(parrot.talks) == 1


def test_revision_follows_everything_that_changes_an_answer() -> None:
    model, parrot = model_of()
    others = [
        PromptedModel(parrot, tiny_model(), Showing(frames=3)),
        PromptedModel(parrot, tiny_model(), Showing("0-1", frames=2)),
        PromptedModel(parrot, tiny_model(), Showing(frames=2, side=100)),
    ]
    assert len({model.revision, *(other.revision for other in others)}) == 4


def prediction(name: str, text: str) -> Prediction:
    return Prediction(name, "t", "t", "all", "v", name, "?", "", (), (), text)
