import pytest
from hypothesis import given
from hypothesis import strategies as st

from sama_video.bench import parsing

OPTIONS = ["(A) A helmet", "(B) A hat", "(C) Sunglasses", "(D) A watch"]


@pytest.mark.parametrize(
    ("reply", "letter"),
    [
        ("(A) A helmet", "A"),
        ("B", "B"),
        ("b.", "B"),
        ("(b)", "B"),
        ("c) sunglasses", "C"),
        ("The answer is (D).", "D"),
        ("Answer: B) hat", "B"),
        ("I think C", "C"),
        ("Option A is right", "A"),
        ("The answer is A", "A"),
        ("A hat", "B"),
        ("sunglasses.", "C"),
        ("A person with a hat", None),
        ("It is either (A) or (B)", None),
        ("(E) none of these", None),
        ("I do not know", None),
        ("", None),
        ("...", None),
    ],
)
def test_strict_choice(reply, letter):
    assert parsing.letter_strict(reply, OPTIONS) == letter


@given(st.text(max_size=40))
def test_any_reply_has_a_strict_reading(reply):
    assert parsing.letter_strict(reply, OPTIONS) in {"A", "B", "C", "D", None}
    judged = parsing.clair_strict(reply)
    assert (judged.score is None) == (judged.problem is not None)
    assert judged.score is None or 0 <= judged.score <= 1
    assert set(parsing.videorefer_scores_strict(reply)) <= set(parsing.VIDEOREFER_DIMENSIONS)


def test_reference_choice_of_an_empty_reply_crashes_as_the_script_does():
    with pytest.raises(IndexError):
        parsing.videorefer_letter_reference("")
    assert parsing.videorefer_letter_reference("The answer is B") == "T"


def test_letter_of_an_option():
    assert [parsing.option_letter(option) for option in (*OPTIONS, " d) x", "hat")] == ["A", "B", "C", "D", "D", None]


@pytest.mark.parametrize(
    ("reply", "letter"), [("A) a hat", "A"), ("(b).", "B"), ("Cat", "C"), ("hat", None), ("", None), (").", None)]
)
def test_pixelqa_choice(reply, letter):
    assert parsing.pixelqa_letter(reply, "ABCD") == letter


@pytest.mark.parametrize(
    ("reply", "score", "reason"),
    [
        ('{"score": 85, "reason": "close"}', 0.85, "close"),
        ('{"score": "42.5"}', 0.425, None),
        ('{"score": 250}', 1.0, None),
        ('{"score": -5}', 0.0, None),
        ('First {"score": 10}, no, {"score": 20, "reason": "a {b}"}', 0.2, "a {b}"),
        ('```json\n{"score": 7}\n```', 0.07, None),
        ("score: 70, reason: partial", 0.7, None),
        ("Score = 0.5", 0.005, None),
    ],
)
def test_strict_clair_keeps_scores_in_range(reply, score, reason):
    read = parsing.clair_strict(reply)
    assert (read.score, read.reason, read.problem) == (pytest.approx(score), reason, None)


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        ("", "names no score"),
        ("1. They differ in 3 ways", "names no score"),
        ('{"reason": "x"} 12', "names no score"),
        ('{"score": null}', "no number"),
        ('{"score": true}', "no number"),
        ('{"score": "high"}', "no number"),
        ('{"score": NaN}', "no number"),
    ],
)
def test_strict_clair_leaves_unreadable_replies_unscored(reply, problem):
    read = parsing.clair_strict(reply)
    assert read.score is None
    assert problem in read.problem


def test_reference_clair_asks_again_only_when_it_must():
    def judge(*replies):
        for reply in replies:
            asked.append(reply)
            yield reply

    asked = []
    assert parsing.clair_reference(judge("none", "score 80", "score 90")) == parsing.Judgement(0.8, "Unknown", 2)
    assert asked == ["none", "score 80"]
    assert parsing.clair_reference(["none", "nothing", "no"]) == parsing.Judgement(0.0, None, 3)
    assert parsing.clair_reference([]) == parsing.Judgement(0.0, None, 3)
    assert parsing.clair_reference(['{"score": "high"}']) == parsing.Judgement(None, None, 1, "ValueError")


@pytest.mark.parametrize(
    ("reply", "scores"),
    [
        ("1. Subject Correspondence: 5\n2. Appearance Description: 4.5", [5.0, 4.5, None, None]),
        ("**1. Subject Correspondence:** 5/5\n**4. Hallucination Detection**: 0", [5.0, None, None, 0.0]),
        ("subject correspondence = 3. Temporal Description: 9", [3.0, None, None, None]),
        ("Subject Correspondence: 4/10\nAppearance Description (0-5): 3", [None, None, None, None]),
        ("Subject Correspondence: 2\nSubject Correspondence: 4", [2.0, None, None, None]),
        ("Subject Correspondence: -1", [None, None, None, None]),
        ("", [None, None, None, None]),
    ],
)
def test_strict_videorefer_judge(reply, scores):
    names = zip(parsing.VIDEOREFER_DIMENSIONS, scores, strict=True)
    assert parsing.videorefer_scores_strict(reply) == {name: score for name, score in names if score is not None}


def test_means_by_dimension_leave_out_who_lacks_it():
    assert parsing.mean_by_dimension([{"a": 1.0, "b": 3.0}, {"a": 2.0}, {}]) == {"a": 1.5, "b": 3.0, "total": 2.25}
    assert parsing.mean_by_dimension([{}]) == {}


@pytest.mark.parametrize(
    ("text", "caption"),
    [
        ("<s> region1 is a man with a hat.", "a man with a hat."),
        ("The region marked by region1 shows: a dish on the island", "a dish on the island"),
        ("ASSISTANT: 'a wise sister is sitting'", "a wise sister is sitting"),
        ("a <p>red</p> car[SEG]\n", "a red car"),
        ("Region1: a bus.<|im_end|>", "a bus."),
        ("This is fishing", "This is fishing"),
        ("regional food: bread", "regional food: bread"),
        ("", ""),
    ],
)
def test_strict_region_caption_keeps_words_whole(text, caption):
    assert parsing.region_caption_strict(text) == caption
