import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sama_video.dialogue import Dialogue, Phrase, RegionPrompt, Timing, Turn
from sama_video.errors import DialogueError, RegionError
from sama_video.regions import Box, ObjectRef, Points
from sama_video.regions.sheet import Words

# The shape checker of the test run draws random numbers where strategies build our values.
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")

CONTRACT = {
    "question": "What is <region> doing?",
    "regions": [{"frame": 0, "box": [10, 20, 60, 90], "object": "obj1"}],
    "text": "The red star moves left past the green square.",
    "raw": "<p> The red star </p> [SEG] moves left past <p> the green square </p> [SEG].",
    "phrases": [
        {"text": "The red star", "start": 0, "end": 12, "object": "obj1"},
        {"text": "the green square", "start": 29, "end": 45, "object": None, "reason": "not visible"},
    ],
    "timing": {
        "first_token_seconds": 0.2,
        "total_seconds": 0.9,
        "prefill_tokens": 501,
        "reused_tokens": 0,
        "vision_frames_encoded": 32,
        "segmenter_frames_encoded": 96,
    },
}


def test_the_contracts_turn_is_read_and_written_as_it_stands():
    turn = Turn.from_json(CONTRACT)
    assert turn.regions == (RegionPrompt(Box(frame=0, xyxy=(10, 20, 60, 90)), "obj1"),)
    assert turn.phrases[1] == Phrase("the green square", 29, 45, None, "not visible")
    assert turn.object_ids == ("obj1",)
    assert json.dumps(turn.to_json()) == json.dumps(CONTRACT)


names = st.integers(1, 9).map(lambda number: f"obj{number}")
prompts = st.one_of(
    names.map(lambda name: RegionPrompt(ObjectRef(name), name)),
    st.builds(RegionPrompt, st.builds(lambda frame: Box(frame, xyxy=(1, 2, 3.5, 4)), st.integers(0, 9)), names),
    st.builds(RegionPrompt, st.builds(lambda s: Points(seconds=s, xy=[(1, 2)]), st.floats(0, 9)), names),
)
counts = st.integers(0, 10**6)
timings = st.builds(
    Timing, st.floats(0, 1e3), st.floats(0, 1e3), counts, counts, counts, counts, st.none() | counts, st.none() | counts
)


@st.composite
def turns(draw: st.DrawFn) -> Turn:
    text = draw(st.text(max_size=30))
    ends = sorted(draw(st.lists(st.integers(0, len(text)), max_size=6)))
    phrases = tuple(
        Phrase(text[start:end], start, end, draw(st.none() | names), draw(st.none() | st.text(max_size=5)))
        for start, end in zip(ends[::2], ends[1::2], strict=False)
    )
    regions = tuple(draw(st.lists(prompts, max_size=3)))
    return Turn(draw(st.text(max_size=20)), regions, text, draw(st.text(max_size=20)), phrases, draw(timings))


@settings(max_examples=60, deadline=None)
@given(st.lists(turns(), max_size=3))
def test_json_gives_the_dialogue_back(items):
    dialogue = Dialogue(tuple(items))
    assert Dialogue.from_json(json.loads(json.dumps(dialogue.to_json()))) == dialogue
    assert all(turn.spoken() for turn in dialogue)


def test_objects_are_listed_in_the_order_they_are_met():
    first = Turn.from_json(CONTRACT)
    second = replace(
        first,
        regions=(RegionPrompt(ObjectRef("obj3"), "obj3"),),
        phrases=(Phrase("The", 0, 3, "obj2"), Phrase("red", 4, 7, "obj3")),
    )
    dialogue = Dialogue((first,)).and_then(second)
    assert dialogue.object_ids == ("obj1", "obj3", "obj2")
    assert len(dialogue) == 2
    assert list(dialogue) == [first, second]
    assert dialogue[1] is second


def test_a_spoken_turn_names_objects_in_place_of_tags():
    turn = replace(Turn.from_json(CONTRACT), question="Is <region> near <obj2>?")
    spoken = turn.spoken()
    assert spoken.question == (Words("Is "), Words("obj1", "obj1"), Words(" near "), Words("obj2", "obj2"), Words("?"))
    assert spoken.answer == (
        Words("The red star", "obj1"),
        Words(" moves left past "),
        Words("the green square", None, "not visible"),
        Words("."),
    )


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"phrases": [{"text": "The", "start": 1, "end": 4, "object": None}]}, "'The' is not at 1-4"),
        ({"phrases": [{"text": "", "start": 99, "end": 99, "object": None}]}, "is not at 99-99"),
        ({"phrases": [{"text": "The", "start": 0, "end": 3}]}, "phrase 1 has no 'object'"),
        ({"phrases": [{"text": "The", "start": "0", "end": 3, "object": None}]}, "phrase 1: start is '0'"),
        ({"phrases": [{"text": "The", "start": True, "end": 3, "object": None}]}, "start is True"),
        ({"phrases": [{"text": "The", "start": 0, "end": 3, "object": 4}]}, "object is 4"),
        ({"phrases": {}}, "phrases is a dict"),
        ({"regions": [{"frame": 0, "box": [1, 2, 3, 4]}]}, "region 1 has no object"),
        ({"regions": ["obj1"]}, "region 1 has no object"),
        ({"text": None}, "text is None"),
        ({"timing": {}}, "timing has no 'first_token_seconds'"),
        ({"timing": CONTRACT["timing"] | {"total_seconds": -1}}, "total_seconds is -1"),
        ({"timing": CONTRACT["timing"] | {"prefill_tokens": 1.5}}, "prefill_tokens is 1.5"),
        ({"mood": "good"}, "unknown key 'mood'"),
    ],
)
def test_damaged_turns_are_refused_and_say_where(change, told):
    with pytest.raises(DialogueError) as caught:
        Dialogue.from_json([CONTRACT, CONTRACT | change])
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_damaged_region_is_told_as_one():
    with pytest.raises(RegionError, match="no area"):
        Turn.from_json(CONTRACT | {"regions": [{"frame": 0, "box": [3, 2, 1, 4], "object": "obj1"}]})


def test_a_reference_keeps_its_own_name():
    with pytest.raises(DialogueError, match="refers to obj2, but is named obj1"):
        RegionPrompt(ObjectRef("obj2"), "obj1")
