import json

import numpy as np
import pytest
from annotate_case import DESCRIPTIONS, make_draft, make_subject, square

from sama_video.annotate.converting import from_records, point_at, to_records
from sama_video.annotate.drafts import Draft, DraftTurn
from sama_video.data.building.draws import Draws
from sama_video.data.records import DialogueRecord
from sama_video.dialogue.markup import parse_answer
from sama_video.errors import DataError
from sama_video.regions.masklet import Masklet
from sama_video.regions.shapes import Box, Mask, Points

SUBJECT = make_subject()
DRAFT = make_draft(
    DraftTurn(
        "Does the brown dog <obj1> run past the man <obj3>?",
        "Yes, <p>the brown dog</p><obj1> runs past <p>the man in red</p><obj3>.",
        "relation",
    ),
    DraftTurn("How many dogs are there?", "Two: <p>the dogs</p><obj1><obj2>.", "counting"),
    DraftTurn("Is there a cat?", "No, there is no cat here.", "not_there"),
    DraftTurn("When is the man <obj3> there?", "<p>He</p><obj3> is there from 1.0 s on.", "temporal", ((1.0, 1.9),)),
)


def test_a_draft_becomes_a_dialogue_and_questions_about_regions() -> None:
    dialogue, descriptions = to_records(SUBJECT, DRAFT, {"model": "m-1"}, 0)
    assert dialogue.turns[0].question == "Does the brown dog <region> run past the man <region>?"
    assert [prompt.object_id for prompt in dialogue.turns[0].regions] == ["obj1", "obj3"]
    parsed = parse_answer(dialogue.turns[0].answer)
    assert parsed.problems == ()
    assert [phrase.text for phrase in parsed.phrases] == ["the brown dog", "the man in red"]
    assert parsed.text == "Yes, the brown dog runs past the man in red."
    assert dialogue.turns[0].targets == (("obj1",), ("obj3",))
    assert dialogue.turns[1].targets == (("obj1", "obj2"),)
    assert dialogue.turns[2].targets == ()
    assert dialogue.turns[3].spans == ((1.0, 1.9),)
    assert dialogue.task == "dialogue"
    assert dialogue.provenance["model"] == "m-1"
    assert dialogue.facts["obj1"]["label"] == "dog"
    assert descriptions.task == "referring"
    assert [turn.answer for turn in descriptions.turns] == list(DESCRIPTIONS.values())
    assert all(turn.question.count("<region>") == 1 for turn in descriptions.turns)


def test_records_and_drafts_are_the_same_thing() -> None:
    records = to_records(SUBJECT, DRAFT, {}, 0)
    assert from_records(records) == DRAFT
    read = [DialogueRecord.from_json(json.loads(json.dumps(record.to_json()))) for record in records]
    assert from_records(read) == DRAFT


@pytest.mark.parametrize(
    "answer",
    [
        "<p>The dog</p><obj1>, <p>the other</p><obj2> and <p>the man</p><obj3> wait (all of them).",
        "(<p>The dog</p><obj1>) waits; so does <p>it</p><obj2>!",
        "<p>Dog</p><obj1>",
        "It is <p>a dog's toy, or two</p><obj2>?",
    ],
)
def test_punctuation_survives(answer: str) -> None:
    draft = Draft({}, (DraftTurn("What of the dog <obj1>?", answer, "dialogue"),))
    assert from_records(to_records(SUBJECT, draft, {}, 0)) == draft


def test_questions_point_the_same_way_in_every_run() -> None:
    once, again = (to_records(SUBJECT, DRAFT, {}, 4) for _ in range(2))
    assert [record.to_json() for record in once] == [record.to_json() for record in again]
    other = to_records(SUBJECT, DRAFT, {}, 5)
    assert [record.turns for record in other] != [record.turns for record in once]


def test_regions_lie_on_their_object_where_it_shows() -> None:
    masklet = Masklet.from_masks("obj1", square(20, range(5, 9)))
    forms = set()
    for number in range(40):
        region = point_at(masklet, Draws(number))
        assert isinstance(region, Points | Box | Mask)
        assert region.frame in range(5, 9)
        forms.add(type(region))
        if isinstance(region, Points):
            (x, y) = region.xy[0]
            assert masklet.mask(int(region.frame or 0))[int(y), int(x)]
        elif isinstance(region, Box):
            assert region.xyxy == (20, 18, 32, 30)
    assert forms == {Points, Box, Mask}


def test_a_frame_that_hardly_shows_an_object_is_not_pointed_at() -> None:
    masks = square(20)
    masks[:10, :, 22:] = False
    masklet = Masklet.from_masks("obj1", masks)
    frames = {point_at(masklet, Draws(number)).frame for number in range(30)}  # type: ignore[union-attr]
    assert min(frame for frame in frames if frame is not None) == 10


def test_what_cannot_be_pointed_at_or_grounded_is_refused() -> None:
    hidden = make_subject(masks=[square(2), np.zeros_like(square(2)), square(40)])
    with pytest.raises(DataError, match="visible on no frame"):
        to_records(hidden, make_draft(), {}, 0)
    with pytest.raises(DataError, match="no masklet of obj9"):
        to_records(SUBJECT, Draft({"obj9": "A cat."}, ()), {}, 0)
    with pytest.raises(DataError, match="not as checked drafts are"):
        to_records(SUBJECT, make_draft(DraftTurn("Who is <obj1>?", "<p>it <p>is</p><obj1>.", "dialogue")), {}, 0)
    assert to_records(SUBJECT, Draft({}, ()), {}, 0) == ()
