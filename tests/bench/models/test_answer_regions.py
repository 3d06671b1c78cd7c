import json
from typing import Any

import pytest

from sama_video.bench.models.answer_regions import NO_JSON, Pointed, mark_phrases, read_answer
from sama_video.bench.models.picture_prompts import View
from sama_video.regions.shapes import Box, Points

VIEW = View((0, 6, 11), height=100, width=200, shown_height=50, shown_width=100, coordinates="0-1000")
BOX = {"phrase": "a dog", "frame": 6, "boxes": [[100, 200, 500, 1000]]}
DOG = Pointed("a dog", (Box(frame=6, xyxy=(20, 20, 100, 100)),))


def reply(answer: Any = "I see a dog.", *objects: Any) -> str:
    return json.dumps({"answer": answer, "objects": list(objects)})


@pytest.mark.parametrize(
    "text",
    [
        reply("I see a dog.", BOX),
        f"Sure!\n```json\n{reply('I see a dog.', BOX)}\n```\nAnything else?",
        f"Here {{it}} is: {reply('I see a dog.', BOX)}",
        f"```\n{reply('I see a dog.', BOX)}```",
        reply("I see a dog.", {"label": "a dog", "frame": 6, "bbox_2d": [100, 200, 500, 1000]}),
        reply("I see a dog.", {"phrase": " a dog ", "frame": 6, "boxes": [100, 200, 500, 1000]}),
        reply("I see a dog.", {"phrase": "a dog", "frame_idx": 6, "box": [100.0, 200.0, 500.0, 1000.0]}),
        '{"thought": {"answer": 1}} ' + reply("I see a dog.", BOX),
    ],
)
def test_wrapping_does_not_matter(text: str) -> None:
    answer = read_answer(text, VIEW)
    assert (answer.text, answer.pointed, answer.problems) == ("I see a dog.", (DOG,), ())


def test_list_alone_is_an_answer_without_words() -> None:
    answer = read_answer(json.dumps([BOX]), VIEW)
    assert (answer.text, answer.pointed, answer.problems) == ("", (DOG,), ())


@pytest.mark.parametrize(
    ("coordinates", "box", "pixels"),
    [
        ("0-1", [0.1, 0.2, 0.5, 1.0], (20, 20, 100, 100)),
        ("0-1000", [100, 200, 500, 1000], (20, 20, 100, 100)),
        ("pixels", [10, 10, 50, 50], (20, 20, 100, 100)),
        ("0-1000", [-4, 0, 1004, 500], (0, 0, 200, 50)),
    ],
)
def test_coordinates_are_counted_as_declared(coordinates: str, box: list[float], pixels: tuple[float, ...]) -> None:
    view = View((6,), 100, 200, 50, 100, coordinates)
    answer = read_answer(reply("x", {"phrase": "x", "box": box}), view)
    assert answer.problems == ()
    (region,) = answer.pointed[0].regions
    assert isinstance(region, Box)
    assert region.frame == 6
    assert region.xyxy == pytest.approx(pixels)


def test_points_are_things_of_their_own_and_stay_on_the_picture() -> None:
    answer = read_answer(reply("x", {"phrase": "x", "frame": 0, "points": [[500, 500], [1000, 1000]]}), VIEW)
    assert answer.pointed == (Pointed("x", (Points(0, xy=[(100, 50)]), Points(0, xy=[(199, 99)]))),)


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("a dog", "no JSON object"),
        ({"frame": 6, "box": [1, 2, 3, 4]}, "no phrase"),
        ({"phrase": "", "frame": 6, "box": [1, 2, 3, 4]}, "no phrase"),
        ({"phrase": 3, "frame": 6, "box": [1, 2, 3, 4]}, "no phrase"),
        ({"phrase": "x", "box": [1, 2, 3, 4]}, "frame is None"),
        ({"phrase": "x", "frame": 5, "box": [1, 2, 3, 4]}, "frame is 5, which is none of those shown"),
        ({"phrase": "x", "frame": "6", "box": [1, 2, 3, 4]}, "frame is '6'"),
        ({"phrase": "x", "frame": True, "box": [1, 2, 3, 4]}, "frame is True"),
        ({"phrase": "x", "frame": 6}, "neither a box nor a point"),
        ({"phrase": "x", "frame": 6, "boxes": []}, "neither a box nor a point"),
        ({"phrase": "x", "frame": 6, "box": [1, 2, 3]}, "instead of 4 numbers"),
        ({"phrase": "x", "frame": 6, "box": ["1", 2, 3, 4]}, "instead of 4 numbers"),
        ({"phrase": "x", "frame": 6, "box": [1, 2, 3, float("nan")]}, "instead of 4 numbers"),
        ({"phrase": "x", "frame": 6, "box": [1, 2, 3, None]}, "instead of 4 numbers"),
        ({"phrase": "x", "frame": 6, "boxes": "all"}, "its boxes are 'all'"),
        ({"phrase": "x", "frame": 6, "box": [500, 200, 100, 900]}, "no area"),
        ({"phrase": "x", "frame": 6, "box": [100, 200, 100, 900]}, "no area"),
        ({"phrase": "x", "frame": 6, "box": [100, 200, 1200, 900]}, "outside the picture, counted as 0-1000"),
        ({"phrase": "x", "frame": 6, "point": [1, 2, 3]}, "instead of 2 numbers"),
    ],
)
def test_what_makes_no_sense_gives_no_mask_and_leaves_the_rest(entry: Any, problem: str) -> None:
    answer = read_answer(reply("I see a dog.", entry, BOX), VIEW)
    assert answer.text == "I see a dog."
    assert answer.pointed == (DOG,)
    assert len(answer.problems) == 1
    assert answer.problems[0].startswith("object 1: ")
    assert problem in answer.problems[0]


@pytest.mark.parametrize(
    "text",
    [
        "A dog runs.",
        "",
        "{",
        '{"answer": "A dog',
        "[1, 2]",
        '{"dog": [1, 2, 3, 4]}',
        "[" * 5000,
        "{" * 5000,
        "```json\n```",
    ],
)
def test_reply_without_an_answer_is_text_alone(text: str) -> None:
    answer = read_answer(text, VIEW)
    assert (answer.pointed, answer.problems) == ((), (NO_JSON,))
    assert answer.text == " ".join(text.split())


def test_answer_of_another_kind_is_told() -> None:
    answer = read_answer('{"answer": 3, "objects": {"a": 1}}', VIEW)
    assert (answer.text, answer.pointed) == ("", ())
    assert answer.problems == ("the answer is no text", "the objects are no list")


def test_marks_of_ours_in_a_reply_are_none() -> None:
    answer = read_answer(reply("The <p> dog </p> [SEG] runs.", {**BOX, "phrase": "<p>dog</p>"}), VIEW)
    assert answer.text == "The dog runs."
    assert mark_phrases(answer.text, answer.pointed)[0] == "The <p> dog </p> [SEG] runs."


# phrases


def pointed(phrase: str, x: int = 0) -> Pointed:
    return Pointed(phrase, (Box(frame=0, xyxy=(x, 0, x + 1, 1)),))


def test_phrases_are_marked_where_they_stand_and_masks_follow_that_order() -> None:
    marked, order = mark_phrases("A dog chases A CAT.", [pointed("a cat", 1), pointed("A dog", 2)])
    assert marked == "<p> A dog </p> [SEG] chases <p> A CAT </p> [SEG]."
    assert order == (pointed("A dog", 2), pointed("a cat", 1))


def test_same_phrase_again_is_its_next_place() -> None:
    marked, order = mark_phrases("A dog and a dog.", [pointed("a dog", 1), pointed("a dog", 2)])
    assert marked.count("[SEG]") == 2
    assert order == (pointed("a dog", 1), pointed("a dog", 2))


def test_same_phrase_without_another_place_is_more_of_the_same() -> None:
    marked, order = mark_phrases("Two dogs.", [pointed("two dogs", 1), pointed("two dogs", 2)])
    assert marked == "<p> Two dogs </p> [SEG]."
    assert order == (Pointed("two dogs", pointed("", 1).regions + pointed("", 2).regions),)


def test_phrase_that_the_text_does_not_hold_comes_last_and_unmarked() -> None:
    marked, order = mark_phrases("Two dogs.", [pointed("cat", 1), pointed("dogs", 2), pointed("cat", 3)])
    assert marked == "Two <p> dogs </p> [SEG]."
    assert [one.phrase for one in order] == ["dogs", "cat"]
    assert len(order[1].regions) == 2


def test_phrase_within_a_word_or_within_another_is_no_place() -> None:
    marked, order = mark_phrases("The cathedral.", [pointed("cat")])
    assert marked == "The cathedral."
    marked, order = mark_phrases("The red dog.", [pointed("the red dog", 1), pointed("dog", 2)])
    assert marked == "<p> The red dog </p> [SEG]."
    assert [one.phrase for one in order] == ["the red dog", "dog"]
