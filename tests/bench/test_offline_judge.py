import random
import sys

import pytest

from sama_video.bench.judge import OfflineJudge
from sama_video.bench.offline_judge import Content, agreement, content_of, overlap_score
from sama_video.errors import DataError, MissingExtraError


def content(entities: str = "", attributes: str = "", actions: str = "") -> Content:
    return Content(*(frozenset(words.split()) for words in (entities, attributes, actions)))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The man's two dogs", content("man dog", "two")),
        ("Children were running and jumped.", content("child", "", "run jump")),
        ("She is carrying a wooden box", content("box", "wooden", "carry")),
        ("the buildings in the morning", content("building morning")),
        ("dresses, buses and puppies", content("dress bus puppy")),
        ("It sits on the grass, facing left.", content("grass", "left", "sit face")),
        ("a grey cat vaping", content("cat", "gray", "vaping")),
        ("It is in the video.", content()),
        ("", content()),
    ],
)
def test_words_are_sorted_in_their_base_form(text: str, found: Content) -> None:
    assert content_of(text) == found


@pytest.mark.parametrize(
    ("reference", "prediction", "score"),
    [
        ("A red car drives.", "A red car drives.", 1.0),
        ("A red car drives.", "a RED car, driving!", 1.0),
        ("A red car.", "A blue car.", (2 * 1 + 1 * 0) / 3),
        ("A red car drives.", "A car.", (2 * 1 + 0 + 0) / 4),
        ("a cat and a dog", "a dog", 2 * 1 / 3),
        ("a cat", "a dog", 0.0),
        ("a cat", "", 0.0),
        ("It is there.", "it is THERE", 1.0),
        ("It is there.", "It was here.", 0.0),
    ],
)
def test_score_follows_the_formula(reference: str, prediction: str, score: float) -> None:
    assert overlap_score(reference, prediction) == pytest.approx(score)
    assert overlap_score(prediction, reference) == pytest.approx(score)


def test_judge_has_one_figure_and_no_reply() -> None:
    score = OfflineJudge().score("?", "a red car", "a red car")
    assert (score.value, score.raw_reply, dict(score.dimensions)) == (1.0, None, {"overlap": 1.0})
    assert OfflineJudge().name == "overlap-1"


def test_agreement_is_tau_b_with_an_interval() -> None:
    stored = {"a": 1.0, "b": 2.0, "c": 3.0, "d": 3.0, "only here": 9.0}
    offline = {"a": 0.1, "b": 0.3, "c": 0.2, "d": 0.4, "only there": 0.0}
    # Of the six pairs one is tied by the first judge; of the others four agree and one does not.
    found = agreement(stored, offline, resamples=200)
    assert found.count == 4
    assert found.tau == pytest.approx((4 - 1) / (5 * 6) ** 0.5)
    assert found.low is not None
    assert found.high is not None
    assert -1 <= found.low <= found.tau <= found.high <= 1
    assert agreement(stored, offline, resamples=200) == found


def test_interval_narrows_around_a_known_order() -> None:
    rng = random.Random(0)
    truth = {str(number): rng.random() for number in range(300)}
    noisy = {name: value + 0.2 * rng.random() for name, value in truth.items()}
    found = agreement(truth, noisy, resamples=100)
    assert found.tau is not None
    assert found.low is not None
    assert found.high is not None
    assert 0.7 < found.low < found.tau < found.high < 0.95
    assert found.high - found.low < 0.1


def test_judges_without_an_order_or_without_answers_in_common() -> None:
    assert agreement({"a": 1.0, "b": 1.0}, {"a": 0.0, "b": 1.0}).tau is None
    with pytest.raises(DataError, match="1 scored answers in common"):
        agreement({"a": 1.0, "b": 1.0}, {"a": 0.0})


def test_missing_scipy_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.stats", None)
    with pytest.raises(MissingExtraError, match="bench"):
        agreement({"a": 1.0, "b": 1.0}, {"a": 0.0, "b": 1.0})
