import json
from typing import Any

import pytest

from sama_video.annotate.drafts import Draft, DraftError, DraftTurn, Problem, read_draft
from sama_video.annotate.tags import named_things, question_objects, read_answer, without_tags
from sama_video.errors import DataError

ROW: dict[str, Any] = {
    "descriptions": [{"object": "obj1", "text": "A dog runs {fast}."}],
    "turns": [
        {
            "task": "temporal",
            "question": "When does the dog <obj1> run?",
            "answer": "<p>The dog</p><obj1> runs from 0.5 s to 1.5 s.",
            "spans": [{"start": 0.5, "end": 1.5}],
        }
    ],
}
DRAFT = Draft(
    {"obj1": "A dog runs {fast}."},
    (
        DraftTurn(
            "When does the dog <obj1> run?", "<p>The dog</p><obj1> runs from 0.5 s to 1.5 s.", "temporal", ((0.5, 1.5),)
        ),
    ),
)
TEXT = json.dumps(ROW)


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        json.dumps(ROW, indent=2),
        f"```json\n{TEXT}\n```",
        f"Here it is:\n{TEXT}\nAnything else?",
        '{"thoughts": "none"}\n' + TEXT,
        TEXT.replace('[{"object": "obj1", "text": "A dog runs {fast}."}]', '{"<obj1>": " A dog runs {fast}."}'),
        TEXT.replace('[{"start": 0.5, "end": 1.5}]', "[[0.5, 1.5]]"),
    ],
)
def test_a_reply_is_read_whatever_stands_around_it(text: str) -> None:
    assert read_draft(text) == DRAFT


def test_drafts_survive_a_ledger() -> None:
    faulty = Draft(DRAFT.descriptions, DRAFT.turns, (Problem("reply turn 2", "wrong_form", "no answer"),))
    for draft in (DRAFT, faulty):
        assert Draft.from_json(json.loads(json.dumps(draft.to_json()))) == draft
    with pytest.raises(DataError, match="question and answer"):
        Draft.from_json({"turns": [{"question": "Who?"}]})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty_reply"),
        (" \n", "empty_reply"),
        ("I'm sorry, but I can't help with that.", "refusal"),
        ("The clip shows a dog.", "no_json"),
        ('{"a": 1}', "no_json"),
        (TEXT[: len(TEXT) // 2], "cut_json"),
        (TEXT[:-1], "cut_json"),
        (TEXT.replace('"answer":', '"answer"'), "no_json"),
        ('{"turns": {}, "descriptions": []}', "wrong_form"),
        ('{"turns": [], "descriptions": []}', "wrong_form"),
        ('{"turns": [], "descriptions": [], "turns": []}', "wrong_form"),
        ('{"turns": ' + "[" * 100_000 + "]" * 100_000 + "}", "wrong_form"),
    ],
)
def test_a_reply_that_cannot_be_read_has_a_reason(text: str, reason: str) -> None:
    with pytest.raises(DraftError) as caught:
        read_draft(text)
    assert caught.value.reason == reason
    assert "\n" not in str(caught.value)


def test_what_the_endpoint_says_of_its_reply_counts() -> None:
    with pytest.raises(DraftError, match="refused"):
        read_draft(TEXT, refusal="I will not.")
    with pytest.raises(DraftError, match="refused"):
        read_draft("", "content_filter")
    with pytest.raises(DraftError, match="breaks off"):
        read_draft('{"turns": [{"question": "Who?",}]}', "length")


@pytest.mark.parametrize(
    "change",
    [
        {"answer": None},
        {"question": 7},
        {"task": "poetry"},
        {"spans": [[1]]},
        {"spans": [["a", "b"]]},
        {"spans": "1-2"},
    ],
)
def test_one_bad_turn_is_left_out_and_told(change: dict[str, Any]) -> None:
    row = {**ROW, "turns": [ROW["turns"][0] | change, ROW["turns"][0]]}
    draft = read_draft(json.dumps(row))
    assert draft.turns == DRAFT.turns
    assert [(fault.place, fault.reason) for fault in draft.faults] == [("reply turn 1", "wrong_form")]


def test_a_description_given_twice_is_told() -> None:
    row = {"descriptions": [*ROW["descriptions"], {"object": "obj1", "text": "Another."}, {"object": 1}]}
    draft = read_draft(json.dumps(row))
    assert draft.descriptions == DRAFT.descriptions
    assert [fault.reason for fault in draft.faults] == ["repeated_turn", "wrong_form"]


def test_what_was_kept_is_joined_with_what_comes_back() -> None:
    more = Draft({"obj1": "Other words.", "obj2": "A cat."}, DRAFT.turns)
    joined = DRAFT.joined(more)
    assert joined.descriptions == {"obj2": "A cat.", "obj1": "A dog runs {fast}."}
    assert joined.turns == DRAFT.turns * 2


def test_phrases_stand_for_one_object_or_several() -> None:
    tagged = read_answer("<p>The two dogs</p> <obj1><obj2> chase <p>a cat</p><obj3>.")
    assert [(phrase.words, phrase.object_ids) for phrase in tagged.phrases] == [
        ("The two dogs", ("obj1", "obj2")),
        ("a cat", ("obj3",)),
    ]
    assert tagged.text == "The two dogs chase a cat."
    assert tagged.faults == ()


@pytest.mark.parametrize(
    ("answer", "reasons"),
    [
        ("The dog <obj1> runs.", ["bare_tag"]),
        ("<p>The dog</p> runs.", ["phrase_without_object"]),
        ("<p></p><obj1> runs.", ["empty_phrase"]),
        ("<p>The <p>dog</p></p><obj1> runs.", ["nested_phrase", "unclosed_phrase"]),
        ("<p>The dog<obj1> runs.", ["bare_tag", "unclosed_phrase"]),
        ("The dog</p><obj1> runs.", ["unclosed_phrase", "bare_tag"]),
        ("<p>The dog</p> which <obj1> runs.", ["bare_tag", "phrase_without_object"]),
    ],
)
def test_faulty_marks_are_named(answer: str, reasons: list[str]) -> None:
    assert [reason for reason, _ in read_answer(answer).faults] == reasons


def test_questions_are_taken_apart() -> None:
    question = "Does the dog <obj1> follow the man <obj12>?"
    assert question_objects(question) == ("obj1", "obj12")
    assert named_things(question) == (("Does the dog", "obj1"), ("follow the man", "obj12"))
    assert without_tags(question) == "Does the dog follow the man?"
