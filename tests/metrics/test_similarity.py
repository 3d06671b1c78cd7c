import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sama_video.errors import ConfigError
from sama_video.metrics.similarity import (
    SIMILARITIES,
    embedding_similarity,
    exact,
    lemma,
    overlap,
    similarity_named,
)

texts = st.lists(st.text(max_size=12), max_size=4)


def letters(given):
    """A toy model: how often each vowel occurs."""
    return np.array([[text.count(vowel) for vowel in "aeiou"] for text in given], dtype=float)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("the black dog", "The  dog black!", 1.0),
        ("two running dogs", "two dogs that run", 3 / 4),
        ("dog", "white dog", 1 / 2),
        ("black dog", "white dog", 1 / 3),
        ("the man's hat", "a hat of the men", 2 / 3),
        ("a woman", "the man", 0.0),
        ("the", "the", 1.0),
        ("the", "a", 0.0),
        ("", "", 1.0),
        ("", "dog", 0.0),
    ],
)
def test_overlap_by_hand(a, b, expected):
    assert overlap([a], [b]) == [[pytest.approx(expected)]]


@pytest.mark.parametrize(
    "forms",
    [
        "ride rides riding rode ridden",
        "carry carries carried carrying",
        "run runs running ran",
        "horse horses",
        "shoe shoes",
        "box boxes",
        "bus buses",
        "man men",
        "stand stands standing stood",
    ],
)
def test_forms_of_a_word_have_one_lemma(forms):
    assert len({lemma(form) for form in forms.split()}) == 1


@pytest.mark.parametrize("word", ["string", "red", "bed", "seed", "king", "grass", "bus", "tennis"])
def test_words_that_only_look_inflected_stay(word):
    assert lemma(word) == word


@given(texts, texts)
@pytest.mark.parametrize(
    "similarity", [exact, overlap, embedding_similarity(letters)], ids=["exact", "overlap", "embedding"]
)
def test_similarities_are_symmetric_fractions_of_the_right_shape(similarity, a, b):
    found = similarity(a, b)
    assert [len(row) for row in found] == [len(b)] * len(a)
    assert all(0.0 <= value <= 1.0 for row in found for value in row)
    turned = np.array(similarity(b, a)).reshape(len(b), len(a))
    np.testing.assert_allclose(turned.T, np.array(found).reshape(len(a), len(b)), atol=1e-12)


def test_embedding_similarity_is_a_cosine():
    found = embedding_similarity(letters)(["aae", "xyz"], ["ae", "o"])
    assert found[0] == [pytest.approx(3 / np.sqrt(10)), 0.0]
    assert found[1] == [0.0, 0.0]  # a zero vector is like nothing


def test_embedding_similarity_asks_once_for_each_text():
    asked = []

    def embed(given):
        asked.append(list(given))
        return letters(given)

    embedding_similarity(embed)(["a", "b", "a"], ["b"])
    embedding_similarity(embed)([], ["b"])
    assert asked == [["a", "b"]]


def test_similarities_can_be_sent_to_workers():
    for similarity in (*SIMILARITIES.values(), embedding_similarity(letters)):
        sent = pickle.loads(pickle.dumps(similarity))
        assert sent(["a dog"], ["a dog"]) == [[pytest.approx(1.0)]]


def test_unknown_names_are_refused():
    assert similarity_named("overlap") is overlap
    with pytest.raises(ConfigError, match="'bert'.*exact, overlap"):
        similarity_named("bert")
