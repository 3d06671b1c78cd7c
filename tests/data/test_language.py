"""The synthetic language: tags and tokens agree with their objects, and what is said is true."""

import re
from functools import cache

import numpy as np
import pytest

from sama_video.data.synthetic.language import (
    KIND_WEIGHTS,
    Story,
    SyntheticTurn,
    corpus,
    motion_words,
    name_of,
    sample_dialogue,
    story_of,
    unique_references,
)
from sama_video.data.synthetic.scene import sample_scene
from sama_video.data.synthetic.shapes import COLORS, SHAPES, ObjectSpec
from sama_video.data.synthetic.wording import PLURALS, VOCABULARY, split_words
from sama_video.data.synthetic.world import World
from sama_video.dialogue.markup import PHRASE_END, PHRASE_START, REGION_TAG, SEG, check_tags, parse_answer
from sama_video.errors import ConfigError

TAGS = {REGION_TAG, SEG, PHRASE_START, PHRASE_END}


@cache
def told(seed: int) -> Story:
    return story_of(sample_scene(seed))


@cache
def dialogues(kind: str | None = None, count: int = 60) -> list[tuple[Story, SyntheticTurn]]:
    kinds = KIND_WEIGHTS if kind is None else {kind: 1.0}
    pairs = []
    for seed in range(count):
        turns = sample_dialogue(told(seed), np.random.default_rng(seed), 6, kinds)
        pairs += [(told(seed), turn) for turn in turns]
    assert pairs
    return pairs


@cache
def said() -> tuple[str, ...]:
    """Enough for every word to come up, with this seed."""
    return tuple(f"{turn.question} {turn.answer}" for turn in corpus(2, 2_700))


def phrases(answer: str) -> list[str]:
    return [phrase.text for phrase in parse_answer(answer).phrases]


def asked_words(question: str) -> tuple[set[str], set[str]]:
    words = set(split_words(question))
    return words & set(COLORS), words & set(SHAPES)


def test_same_generator_state_gives_the_same_dialogue():
    clip = World.sample(2)
    first = sample_dialogue(clip, np.random.default_rng(5), 8)
    assert first == sample_dialogue(clip, np.random.default_rng(5), 8)
    assert first != sample_dialogue(clip, np.random.default_rng(6), 8)
    assert len(first) == len(set(first)) == 8


def test_every_tag_and_token_has_its_object():
    seen = set()
    for story, turn in dialogues():
        seen.add(turn.kind)
        check_tags(turn.question, len(turn.region_objects))
        assert turn.answer.count(SEG) == len(turn.seg_objects)
        parsed = parse_answer(turn.answer)
        assert [phrase.seg for phrase in parsed.phrases] == list(range(len(turn.seg_objects)))
        assert all(phrase.problem is None for phrase in parsed.phrases)
        for i in (*turn.region_objects, *turn.seg_objects):
            assert i in story.shown
    assert seen == set(KIND_WEIGHTS)


def test_phrases_name_the_object_their_token_stands_for():
    for story, turn in dialogues():
        for phrase, i in zip(phrases(turn.answer), turn.seg_objects, strict=True):
            spec = story.objects[i]
            if turn.kind == "what":
                assert phrase == f"a {spec.size} {spec.color} {spec.texture} {spec.shape}"
            else:
                assert phrase.lower() == f"the {name_of(spec)}"


def test_attribute_answers_are_true_and_show_the_object_when_asked_to():
    for story, turn in dialogues("attribute"):
        spec = story.objects[turn.region_objects[0]]
        value = split_words(turn.answer)[-2]
        assert value in (spec.color, spec.shape, spec.texture, spec.size)
        for attribute in ("color", "shape", "texture", "size"):
            if f"{attribute} of" in turn.question:
                assert value == getattr(spec, attribute)
        assert bool(turn.seg_objects) == ("Show it." in turn.question or "masks." in turn.question)


def test_references_fit_one_object_alone():
    for story, turn in dialogues("segment_text"):
        words = set(split_words(turn.question))
        fitting = [
            i
            for i, spec in enumerate(story.objects)
            if all(
                asked <= {getattr(spec, attribute)}
                for attribute, asked in (
                    ("color", words & set(COLORS)),
                    ("shape", words & set(SHAPES)),
                    ("size", words & {"small", "large"}),
                    ("texture", words & {"plain", "striped", "dotted"}),
                )
            )
        ]
        assert fitting == list(turn.seg_objects)


def test_references_begin_with_the_name_and_leave_out_what_is_shared():
    red_star = ObjectSpec("red", "star", "plain", "small")
    red_ring = ObjectSpec("red", "ring", "plain", "large")
    story = Story((red_star, red_ring), ("left", "still"), (0, 1))
    references = unique_references(story, 0)
    assert references[0] == "the red star"
    assert "the star" in references
    assert "the red object" not in references


def test_motion_is_told_truly_and_asked_for_only_when_one_object_has_it():
    for story, turn in dialogues("direction"):
        assert turn.answer.endswith(f"{motion_words(story.motions[turn.region_objects[0]])}.")
    for story, turn in dialogues("segment_motion"):
        motion = story.motions[turn.seg_objects[0]]
        assert motion_words(motion) in turn.question
        assert story.motions.count(motion) == 1


def test_captions_tell_every_visible_object_from_left_to_right():
    for seed in range(25):
        clip = World.sample(seed, side=64)
        (turn,) = sample_dialogue(clip, np.random.default_rng(seed), 1, {"caption": 1.0})
        assert set(turn.seg_objects) == set(np.flatnonzero(clip.visible.any(axis=1)))
        starts = [clip.centers[i, 0, 0] for i in turn.seg_objects if clip.visible[i, 0]]
        assert starts == sorted(starts)
        later = [bool(clip.visible[i, 0]) for i in turn.seg_objects]
        assert later == sorted(later, reverse=True)
        for i in turn.seg_objects:
            spec, motion = clip.objects[i], clip.motions[i]
            assert f"{name_of(spec)} {PHRASE_END} {SEG} {motion_words(motion)}" in turn.answer


def test_counts_are_right():
    numbers = {2: "two", 3: "three", 4: "four"}
    for story, turn in dialogues("count"):
        assert turn.answer.startswith(f"There are {numbers[len(story.shown)]} objects")
        assert turn.seg_objects in ((), story.shown)


def test_absent_objects_are_nowhere_in_the_scene():
    near = 0
    for kind in ("absent", "exists"):
        for story, turn in dialogues(kind):
            if turn.seg_objects:
                continue
            assert "here is no" in turn.answer
            colors, shapes = asked_words(turn.question)
            assert (colors, shapes) == asked_words(turn.answer)
            assert colors or shapes
            for spec in story.objects:
                assert not (colors <= {spec.color} and shapes <= {spec.shape})
            near += any(colors <= {spec.color} or shapes <= {spec.shape} for spec in story.objects)
    assert near > 40


def test_yes_and_no_come_about_equally_often():
    answers = [turn.answer for _, turn in dialogues("exists", 100)]
    assert 0.4 < np.mean([answer.startswith("Yes") for answer in answers]) < 0.6


def test_comparisons_are_true():
    for story, turn in dialogues("compare"):
        first, second = (story.objects[i] for i in turn.region_objects)
        attribute = next(word for word in ("color", "shape", "texture", "size") if word in split_words(turn.question))
        assert turn.answer.startswith("Yes") == (getattr(first, attribute) == getattr(second, attribute))
        said = [getattr(first, attribute), getattr(second, attribute)]
        for value in said:
            assert value in turn.answer or PLURALS[value] in turn.answer


def test_question_decides_the_form_of_its_answer():
    # The same question about the same object never has two answers, else no answer could be learnt.
    for seed in range(12):
        answers: dict[tuple[str, tuple[int, ...]], set[str]] = {}
        for k in range(30):
            for turn in sample_dialogue(told(seed), np.random.default_rng([seed, k]), 8):
                answers.setdefault((turn.question, turn.region_objects), set()).add(turn.answer)
        assert all(len(given) == 1 for given in answers.values())


@pytest.mark.slow
def test_articles_fit_the_next_word():
    for text in said():
        for article, word in re.findall(r"\b(an?) (\w+)", text):
            assert (article == "an") == (word[0] in "aeiou"), (article, word)


@pytest.mark.slow
def test_vocabulary_is_what_the_language_uses():
    used = {word for text in said() for word in split_words(text)}
    assert used - TAGS <= set(VOCABULARY)
    assert set(VOCABULARY) - used <= {"one", "five", "six"}  # numbers of objects that only other settings have
    assert len(VOCABULARY) == len(set(VOCABULARY))


def test_corpus_is_seeded_and_as_long_as_asked():
    first = list(corpus(4, 25))
    assert len(first) == 25
    assert first == list(corpus(4, 25))
    assert first != list(corpus(5, 25))


def test_nothing_in_sight_leaves_only_questions_about_nothing():
    story = Story((ObjectSpec("red", "star", "plain", "small"),), ("left",), ())
    turns = sample_dialogue(story, np.random.default_rng(0), 6)
    assert {turn.kind for turn in turns} <= {"count", "absent", "exists"}
    assert all(not turn.seg_objects and not turn.region_objects for turn in turns)
    assert "There are no objects." in {turn.answer for turn in turns}


def test_weights_choose_the_kinds():
    turns = sample_dialogue(sample_scene(0), np.random.default_rng(0), 5, {"what": 1.0, "caption": 0.0})
    assert {turn.kind for turn in turns} == {"what"}
    with pytest.raises(ConfigError, match="poem"):
        sample_dialogue(sample_scene(0), np.random.default_rng(0), 5, {"poem": 1.0})
