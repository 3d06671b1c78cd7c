import pytest
from annotate_case import make_subject

from sama_video.annotate.checks.knowledge import Knowledge, head_words
from sama_video.annotate.checks.languages import LANGUAGES, other_language
from sama_video.annotate.checks.moments import moments_in, without_moments


@pytest.mark.parametrize(
    ("words", "head"),
    [
        ("The two brown dogs behind the man", ("brown", "dog")),
        ("a man in a red shirt", ("man",)),
        ("children", ("child",)),
        ("the man's grey boxes", ("gray", "box")),
        ("it", ()),
        ("", ()),
    ],
)
def test_a_name_is_read_up_to_where_it_may_speak_of_others(words: str, head: tuple[str, ...]) -> None:
    assert head_words(words) == head


@pytest.mark.parametrize(
    ("words", "objects", "reason"),
    [
        ("the brown dog", ["obj1"], None),
        ("the dog", ["obj1"], None),
        ("the animal", ["obj1"], None),
        ("the brown dog next to the man", ["obj1"], None),
        ("the tired puppy", ["obj1"], None),
        ("the white dog", ["obj1"], "swapped_objects"),
        ("the man", ["obj1"], "swapped_objects"),
        ("the black dog", ["obj1"], "contradicts_known"),
        ("the two dogs", ["obj1", "obj2"], None),
        ("the brown and the white dog", ["obj1", "obj2"], None),
        ("the man in a white shirt", ["obj3"], None),
        ("he", ["obj3"], None),
    ],
)
def test_words_are_held_against_what_is_known(words: str, objects: list[str], reason: str | None) -> None:
    verdict = Knowledge(make_subject()).judge(words, objects)
    assert (verdict and verdict.reason) == reason


def test_where_nothing_is_known_nothing_speaks_against_a_name() -> None:
    knowledge = Knowledge(make_subject(labels=(None, None, None), names=(None, None, None)))
    assert knowledge.judge("the man", ["obj1"]) is None
    assert knowledge.vocabulary == frozenset()


def test_kinds_that_exclude_each_other_are_told_by_the_user() -> None:
    subject = make_subject(names=(None, None, None))
    assert Knowledge(subject).judge("the cat", ["obj1"]) is None
    verdict = Knowledge(subject, ("dog", "cat", "man")).judge("the cat", ["obj1"])
    assert verdict is not None
    assert verdict.reason == "contradicts_known"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("What does the man", "swapped_objects"),
        ("What does the brown dog", None),
        ("What does the dog next to the man", None),
        ("Is it true that this", None),
    ],
)
def test_words_before_a_tag_are_judged_unless_they_hang_on_others(words: str, reason: str | None) -> None:
    verdict = Knowledge(make_subject()).judge_before_tag(words, "obj1")
    assert (verdict and verdict.reason) == reason


def test_a_description_is_judged_by_its_first_known_name() -> None:
    knowledge = Knowledge(make_subject())
    assert knowledge.judge_beginning("The brown dog follows the man.", "obj1") is None
    assert knowledge.judge_beginning("A happy animal follows the man.", "obj1") is None
    verdict = knowledge.judge_beginning("The man walks behind the dog.", "obj1")
    assert verdict is not None
    assert verdict.reason == "swapped_objects"


@pytest.mark.parametrize(
    ("text", "spans", "lengths"),
    [
        ("from 1.2 s to 2.8 s", ((1.2, 2.8),), ()),
        ("between 1 and 2.5 seconds", ((1.0, 2.5),), ()),
        ("at 3s and at second 5", ((3.0, 3.0), (5.0, 5.0)), ()),
        ("from 0:05 to 1:10", ((5.0, 70.0),), ()),
        ("1.2-2.8 s", ((1.2, 2.8),), ()),
        ("for about 2 seconds", (), (2.0,)),
        ("0.5 s later", (), (0.5,)),
        ("it lasts 1.6 s, from 1 s on", ((1.0, 1.0),), (1.6,)),
        ("after thirty seconds", ((30.0, 30.0),), ()),
        ("two dogs and 3 cats", (), ()),
        ("a 10 second rule of 5 steps", ((10.0, 10.0),), ()),
    ],
)
def test_times_are_read(text: str, spans: tuple[tuple[float, float], ...], lengths: tuple[float, ...]) -> None:
    found = moments_in(text)
    assert (found.spans, found.lengths) == (spans, lengths)


def test_numbers_that_are_no_times_are_left() -> None:
    assert without_moments("Three dogs run from 1.2 s to 2.8 s at 3 s.").split() == [
        "Three",
        "dogs",
        "run",
        "from",
        "at",
        ".",
    ]


SENTENCES = {
    "English": "The dog runs to the left and then it stops.",
    "German": "Der Hund läuft nach links und bleibt dann stehen.",
    "French": "Le chien court vers la gauche et il s'arrête dans le jardin.",
    "Spanish": "El perro corre hacia la izquierda y luego se para en el jardín.",
    "Italian": "Il cane corre verso sinistra e poi si ferma nel giardino.",
    "Portuguese": "O cão corre para a esquerda e depois não está no jardim.",
    "Dutch": "De hond rent naar links en blijft dan staan in het gras.",
    "Polish": "Pies biegnie w lewo, a potem nie jest już w ogrodzie.",
    "Turkish": "Köpek sola doğru koşuyor ve sonra bir ağaç için duruyor.",
    "Vietnamese": "Con chó chạy sang trái và không dừng ở trong vườn.",
    "Indonesian": "Anjing itu berlari ke kiri dan tidak berhenti di taman.",
    "Swedish": "Hunden springer till vänster och stannar inte i trädgården.",
    "Russian": "Собака бежит налево, а потом останавливается.",
    "Chinese": "狗向左跑，然后停下来。",
}


@pytest.mark.parametrize("language", SENTENCES)
def test_each_language_is_taken_for_itself_and_not_for_english(language: str) -> None:
    assert other_language(SENTENCES[language], language) is None
    assert (other_language(SENTENCES[language], "English") is None) == (language == "English")


def test_english_is_noticed_where_another_language_was_asked_for() -> None:
    for language in LANGUAGES:
        if language != "English":
            assert other_language(SENTENCES["English"], language) == "English"
    assert other_language(SENTENCES["English"], "Japanese") == "Latin script"


@pytest.mark.parametrize("text", ["Yes.", "Red.", "3", "Two dogs.", "A café in São Paulo serves the naïve tourist."])
def test_texts_without_evidence_count_as_right(text: str) -> None:
    assert other_language(text, "English") is None
