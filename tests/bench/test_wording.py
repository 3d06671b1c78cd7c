import json

import pytest

from sama_video.bench import parsing, wording


@pytest.mark.parametrize(
    ("question", "has_masks", "give_away", "asked"),
    [
        ("<image>\nWhat does <mask> do?", False, True, "What does <region> do?"),
        ("What does <mask> do?", True, True, "What does <region> do? Response with interleaved segmentation masks."),
        ("What does <mask> do?", True, False, "What does <region> do?"),
        ("Answer with interleaved segmentation masks.", True, True, "Answer with interleaved segmentation masks."),
        ("Answer with interleaved segmentation masks.", True, False, "Answer with interleaved segmentation masks."),
    ],
)
def test_grounded_questions_get_the_suffix_once_and_only_where_it_is_due(question, has_masks, give_away, asked):
    assert wording.grounded_question(question, reference_has_masks=has_masks, give_away=give_away) == asked


def test_fixed_sentences_are_as_the_benchmarks_have_them():
    assert wording.DESCRIBE_REGION == "Please describe the region <region> in the video in detail."
    assert wording.refcoco_question("man on the left") == "Please segment man on the left in this image."
    assert wording.expression_question("the dog that barks") == "Please segment the dog that barks."
    assert wording.expression_question("Which dog barks?") == "Which dog barks?"
    assert wording.choice_question("What is <object0><region>?", ["(A) a cat", "(B) a hat"]) == (
        "What is <object0><region>? (A) a cat (B) a hat. "
        "Answer with the option's letter from the given choices directly."
    )
    assert wording.DESCRIBE_REGION1.endswith("marked by region1.")
    assert wording.DESCRIBE_PICTURE_REGION.endswith("marked by <region>.")
    assert wording.PIXELQA_PREFIX == "The best option is ("
    assert wording.boxed_object(0) == wording.boxed_object(20) == "the object within red box"


def test_clair_prompt_lists_both_sets_and_says_what_is_described():
    prompt = wording.clair_prompt(["a cat", "one cat"], ["a dog"], subject="video")
    assert "- a cat\n- one cat" in prompt
    assert "- a dog" in prompt
    assert "same video?" in prompt
    assert "image" not in prompt
    assert "image" in wording.clair_prompt(["a"], ["b"])


def test_a_judge_that_replies_as_told_is_understood():
    lines = wording.videorefer_judge_system().splitlines()[1:]
    reply = "\n".join(line.replace("<score>", str(place)) for place, line in enumerate(lines))
    expected = dict(zip(parsing.VIDEOREFER_DIMENSIONS, (0.0, 1.0, 2.0, 3.0), strict=True))
    assert parsing.videorefer_scores_reference(reply) == parsing.videorefer_scores_strict(reply) == expected
    assert wording.videorefer_judge_user("a", "b") == "##Correct answer: a\n##Predicted answer: b"
    said = json.dumps({"score": 60, "reason": "alike"})
    assert parsing.clair_reference([said]).score == parsing.clair_strict(said).score == 0.6
