from dataclasses import replace

import pytest
from annotate_case import DESCRIPTIONS, TIMES, TURN, make_draft, make_subject

from sama_video.annotate.asking import TaskPlan, WantedTurn
from sama_video.annotate.checks.checking import CheckRules, check_draft
from sama_video.annotate.checks.reasons import REASONS
from sama_video.annotate.drafts import Draft, DraftTurn, Problem, TaskType
from sama_video.errors import ConfigError

SUBJECT = make_subject()
RULES = CheckRules()


def reasons_of(turn: DraftTurn, rules: CheckRules = RULES) -> list[str]:
    checked = check_draft(make_draft(turn), SUBJECT, rules, times=TIMES)
    found = [one.reason for one in checked.problems if one.place == "turn 1"]
    assert bool(found) != (turn in checked.kept.turns)
    return found


def turn(answer: str, question: str = TURN.question, task: TaskType = "dialogue", **more: object) -> DraftTurn:
    return DraftTurn(question, answer, task, **more)  # type: ignore[arg-type]


def test_a_sound_draft_passes_whole() -> None:
    checked = check_draft(make_draft(), SUBJECT, times=TIMES)
    assert checked.kept == make_draft()
    assert checked.problems == ()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("<p>The brown dog</p><obj9> runs.", "unknown_object"),
        ("The brown dog <obj1> runs.", "bare_tag"),
        ("<p></p><obj1> runs to the right.", "empty_phrase"),
        ("<p>The <p>brown</p><obj1> dog</p><obj1> runs.", "nested_phrase"),
        ("<p>The brown dog<obj1> runs.", "unclosed_phrase"),
        ("<p>The brown dog</p> runs.", "phrase_without_object"),
        ("<p>The brown dog</p><obj1> runs and <p>it</p><obj1> stops.", "repeated_object"),
        (f"<p>The dog {'very ' * 14}fast</p><obj1> runs.", "long_phrase"),
        ("<p>The brown dog</p>[SEG] runs.", "mark_in_text"),
        ("<p>The brown dog</p><obj1> sees <region>.", "mark_in_text"),
        ("<p>The brown dog</p><obj 1> runs.", "malformed_tag"),
        ("<p>The brown dog</p><obj1> sees [obj2].", "malformed_tag"),
        ("It runs to the right.", "ungrounded_answer"),
        ("<p>The brown dog</p><obj1> is in the red bounding box.", "talks_of_marks"),
        ("<p>The brown dog</p><obj1> runs in frame 3.", "talks_of_marks"),
        ("<p>The brown dog</p><obj1> runs past obj2.", "talks_of_marks"),
        ("<p>The brown dog</p><obj1> **runs**.", "markdown"),
        ("- <p>The brown dog</p><obj1> runs.", "markdown"),
        ("I'm sorry, but I cannot tell what <p>the dog</p><obj1> does.", "refusal"),
        ("...", "placeholder"),
        ("<p>The brown dog</p><obj1> " + "runs and " * 200, "too_long"),
        ("<p>Der Hund</p><obj1> läuft nach rechts und bleibt dann stehen.", "wrong_language"),
        ("What does the brown dog do? <p>The brown dog</p><obj1> runs.", "echo"),
        ("<p>The white dog</p><obj1> runs.", "swapped_objects"),
        ("<p>The black dog</p><obj1> runs.", "contradicts_known"),
        ("<p>The two dogs</p><obj1> run.", "wrong_count"),
        ("<p>The brown dog</p><obj1> runs at 40 s.", "time_outside_clip"),
        ("<p>The brown dog</p><obj1> runs from 1.5 s to 0.5 s.", "time_outside_clip"),
        ("<p>The brown dog</p><obj1> runs for 12 seconds.", "time_outside_clip"),
        ("<p>The man</p><obj3> waves at 0.2 s.", "not_visible_then"),
    ],
)
def test_a_faulty_answer_gets_its_reason(answer: str, reason: str) -> None:
    assert reason in reasons_of(turn(answer))


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (turn(TURN.answer, "What does the brown dog do?"), "no_object_in_question"),
        (turn(TURN.answer, "What does <p>the brown dog</p><obj1> do?"), "mark_in_text"),
        (turn(TURN.answer, "What does the man <obj1> do?"), "swapped_objects"),
        (turn(TURN.answer, "What does the dog <obj7> do?"), "unknown_object"),
        (turn(TURN.answer, "Why <obj1>?"), "too_short"),
        (turn("<p>The brown dog</p><obj1> does.", task="temporal"), "no_time"),
        (turn("Yes, it is there.", "Is there a cat?", "not_there"), "no_denial"),
        (turn("No, there is none.", "Is there a brown dog?", "not_there"), "denies_what_is_there"),
        (turn("<p>The brown dog</p><obj1> does.", task="hard_negative"), "no_denial"),
        (
            turn("There are three dogs: <p>one</p><obj1> and <p>another</p><obj2>.", "How many dogs?", "counting"),
            "wrong_count",
        ),
        (turn("There is one dog: <p>the brown dog</p><obj1>.", "How many dogs are there?", "counting"), "wrong_count"),
        (turn(TURN.answer, spans=((0.5, 30.0),)), "time_outside_clip"),
    ],
)
def test_a_faulty_turn_gets_its_reason(wrong: DraftTurn, reason: str) -> None:
    assert reason in reasons_of(wrong)


@pytest.mark.parametrize(
    "right",
    [
        turn("No, there is no cat.", "Is there a cat in the garden?", "not_there"),
        turn("No, the clip shows no black dog.", "Is there a black dog?", "not_there"),
        turn("<p>The brown dog</p><obj1> does not fly; it runs.", "Why does the dog <obj1> fly?", "hard_negative"),
        turn(
            "There are two dogs: <p>the brown one</p><obj1> and <p>the white one</p><obj2>.",
            "How many dogs are there?",
            "counting",
        ),
        turn("There are two of them: <p>the dogs</p><obj1><obj2>.", "How many dogs can you see?", "counting"),
        turn("<p>Both dogs</p><obj1><obj2> wait.", "What do the dogs <obj1> and <obj2> do?"),
        turn("<p>The man</p><obj3> is not visible from 0 s to 0.9 s.", "When is the man <obj3> away?", "temporal"),
        turn("<p>The man</p><obj3> appears at 1.0 s.", "When does the man <obj3> come?", "temporal"),
        turn("<p>The man</p><obj3> walks from 1.0 s to 1.9 s.", "When does the man <obj3> walk?", "temporal"),
        turn("After 0.5 s <p>the brown dog</p><obj1> stops for 1 second."),
        turn("<p>The dog</p><obj1> carries a cardboard box in its mouth."),
        turn("<p>The brown dog</p><obj1> jumps over a box and wears a mask."),
        turn("<p>The man</p><obj3> looks at the price tag and at number 10 on his shirt.", "What of the man <obj3>?"),
        turn("<p>The brown dog</p><obj1> runs past the frame of a bicycle and a framed picture on the wall."),
        turn("<p>The brown dog</p><obj1> crosses the border of the lawn, marked with white lines."),
        turn("<p>The brown dog</p><obj1> runs behind <p>the man in the red shirt</p><obj3>."),
        turn("<p>A happy puppy</p><obj1> chases its tail because it is bored, which is why it turns - again."),
        turn("<p>The brown dog</p><obj1> is 3 times as large; 2 of its legs are white."),
        turn("Yes, <p>it</p><obj1> does.", "Does the dog <obj1> next to the man run?"),
        turn("<p>The dog's owner</p><obj3> calls it, and cannot be heard.", "Who calls the dog <obj1>?"),
    ],
)
def test_sound_turns_pass(right: DraftTurn) -> None:
    assert reasons_of(right) == []


@pytest.mark.parametrize(
    ("sentence", "reason"),
    [
        ("The blue-bordered one is meant.", "talks_of_marks"),
        ("In snapshot 4 it has gone.", "talks_of_marks"),
        ("The mark on it is yellow.", "talks_of_marks"),
        ("I must decline to answer this.", "refusal"),
        ("This violates the usage policy.", "refusal"),
        ("[object] moves [direction].", "placeholder"),
        ("It moves ~~right~~ left.", "markdown"),
        ("Det rør sig mod venstre og bliver der længe.", "wrong_language"),
        ("Pohybuje se doleva a pak se zastaví na trávě.", "wrong_language"),
    ],
)
def test_other_wordings_of_the_same_faults_are_seen(sentence: str, reason: str) -> None:
    assert reason in reasons_of(turn(f"<p>The brown dog</p><obj1>: {sentence}"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("The brown dog <obj1> runs across the lawn and lies down.", "mark_in_text"),
        ("The white dog runs across the lawn and then lies down.", "swapped_objects"),
        ("A dog.", "too_short"),
        ("The brown dog, outlined in orange, runs across the lawn.", "talks_of_marks"),
        ("As an AI, I cannot describe what the dog does here.", "refusal"),
        ("Le chien brun court dans le jardin et il se couche.", "wrong_language"),
        (DESCRIPTIONS["obj2"], "swapped_objects"),
        ("The brown dog runs until it stops at 12 s.", "time_outside_clip"),
    ],
)
def test_a_faulty_description_gets_its_reason(text: str, reason: str) -> None:
    draft = make_draft(descriptions={**DESCRIPTIONS, "obj1": text})
    checked = check_draft(draft, SUBJECT, times=TIMES)
    assert reason in [one.reason for one in checked.problems if one.place == "description obj1"]
    assert "obj1" not in checked.kept.descriptions
    assert Problem("draft", "missing_description", "obj1 has none that can be kept") in checked.problems
    assert checked.kept.turns == (TURN,)


def test_descriptions_in_the_same_words_are_noticed() -> None:
    text = "A brown and white animal that rests on the lawn."
    checked = check_draft(make_draft(descriptions={"obj1": text, "obj2": text}), SUBJECT)
    assert [(one.place, one.reason) for one in checked.problems][:1] == [("description obj2", "repeated_turn")]


def test_a_description_of_nobody_is_dropped() -> None:
    checked = check_draft(make_draft(descriptions={**DESCRIPTIONS, "obj7": "A cat that nobody can see here."}), SUBJECT)
    assert [one.reason for one in checked.problems] == ["unknown_object"]


@pytest.mark.parametrize(
    ("question", "is_same"),
    [
        ("What does the brown dog <obj1> do?", True),
        ("what does the brown dog <obj1> do", True),
        ("What does the white dog <obj2> do?", False),
        ("Where does the brown dog <obj1> end up?", False),
    ],
)
def test_turns_that_ask_the_same_are_dropped(question: str, is_same: bool) -> None:
    later = turn("<p>The other one</p><obj2> waits beside <p>the dog</p><obj1>.", question)
    checked = check_draft(make_draft(TURN, later), SUBJECT)
    assert ("repeated_turn" in [one.reason for one in checked.problems]) == is_same
    assert len(checked.kept.turns) == 2 - is_same


def test_the_plan_says_how_many_turns_and_descriptions_are_wanted() -> None:
    plan = TaskPlan(("obj1",), (WantedTurn("dialogue", ("obj1",)),))
    other = turn("<p>The white dog</p><obj2> waits.", "And what about the white dog <obj2>?")
    checked = check_draft(make_draft(TURN, other, descriptions={}), SUBJECT, plan=plan)
    assert [(one.place, one.reason) for one in checked.problems] == [
        ("turn 2", "too_many_turns"),
        ("draft", "missing_description"),
    ]
    checked = check_draft(Draft(DESCRIPTIONS, ()), SUBJECT, plan=plan)
    assert [one.reason for one in checked.problems] == ["too_few_turns"]


def test_nothing_about_time_is_checked_where_nobody_knows_it() -> None:
    late = turn("<p>The brown dog</p><obj1> runs at 40 s.")
    assert check_draft(make_draft(late), SUBJECT).problems == ()


def test_what_could_not_be_read_is_told_too() -> None:
    fault = Problem("reply turn 2", "wrong_form", "it has no answer")
    checked = check_draft(replace(make_draft(), faults=(fault,)), SUBJECT)
    assert checked.problems == (fault,)


def test_another_language_can_be_asked_for() -> None:
    german = turn("<p>Der Hund</p><obj1> läuft nach rechts und bleibt dann stehen.", "Was macht der Hund <obj1> da?")
    assert reasons_of(german, CheckRules(language="German")) == []
    assert "wrong_language" in reasons_of(
        replace(TURN, answer=f"{TURN.answer} It is on the grass then."), CheckRules(language="German")
    )


def test_checking_what_was_kept_changes_nothing() -> None:
    bad = turn("The brown dog <obj1> runs.", "Where does the dog <obj1> go to?")
    once = check_draft(make_draft(TURN, bad), SUBJECT, times=TIMES)
    again = check_draft(once.kept, SUBJECT, times=TIMES)
    assert once.kept.turns == (TURN,)
    assert again.kept == once.kept
    assert again.problems == ()


def test_every_reason_that_is_given_has_a_sentence() -> None:
    assert all(sentence.endswith(".") for sentence in REASONS.values())
    with pytest.raises(ConfigError, match="answer_words"):
        CheckRules(answer_words=(5, 2))
