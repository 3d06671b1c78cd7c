import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sama_video.dialogue.markup import (
    BACKBONE_TOKENS,
    GROUNDING_TOKENS,
    ParsedAnswer,
    ParsedPhrase,
    PhraseSpan,
    parse_answer,
    render_answer,
    settled_text,
)
from sama_video.errors import DialogueError

# The shape checker of the test run draws random numbers where strategies build our values.
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")

CONTRACT = "<p> The red star </p> [SEG] moves left past <p> the green square </p> [SEG]."


def test_the_contracts_example():
    parsed = parse_answer(CONTRACT)
    assert parsed == ParsedAnswer(
        "The red star moves left past the green square.",
        (ParsedPhrase("The red star", 0, 12, 0), ParsedPhrase("the green square", 29, 45, 1)),
        num_seg=2,
    )
    assert render_answer(parsed.text, [(0, 12), (29, 45)]) == CONTRACT


# raw, clean text, phrases with their mask token, loose mask tokens, problems
CASES = [
    ("", "", [], (), ()),
    ("Nothing here.", "Nothing here.", [], (), ()),
    ("Sure, it is [SEG].", "Sure, it is.", [], (0,), ("[SEG] without phrase",)),
    ("[SEG]", "", [], (0,), ("[SEG] without phrase",)),
    ("<p> A dog </p> [SEG]", "A dog", [("A dog", 0)], (), ()),
    ("<p> A dog </p> runs.", "A dog runs.", [("A dog", None)], (), ("phrase without [SEG]",)),
    ("<p> A dog </p> runs [SEG].", "A dog runs.", [("A dog", 0)], (), ()),
    ("<p>A</p><p>B</p>[SEG]", "AB", [("A", None), ("B", 0)], (), ("phrase without [SEG]",)),
    ("<p>A</p>[SEG][SEG] runs", "A runs", [("A", 0)], (1,), ("[SEG] without phrase",)),
    ("[SEG] <p>A</p> [SEG]", "A", [("A", 1)], (0,), ("[SEG] without phrase",)),
    ("<p> A dog runs", "A dog runs", [("A dog runs", None)], (), ("unclosed <p>; phrase without [SEG]",)),
    ("<p> A dog [SEG] runs", "A dog runs", [("A dog", 0)], (), ("unclosed <p>",)),
    ("<p> A dog [SEG] </p> runs", "A dog runs", [("A dog", 0)], (), ("[SEG] before </p>",)),
    ("<p> A dog [SEG] runs </p>", "A dog runs", [("A dog runs", 0)], (), ("[SEG] before </p>",)),
    (
        "<p> A [SEG] </p> [SEG]",
        "A",
        [("A", 0)],
        (1,),
        ("[SEG] before </p>", "[SEG] without phrase"),
    ),
    (
        "<p> a <p> b </p> c </p> [SEG]",
        "a b c",
        [("a", None), ("b", 0)],
        (),
        ("unclosed <p>; phrase without [SEG]", "</p> without <p>"),
    ),
    ("A dog </p> [SEG]", "A dog", [], (0,), ("</p> without <p>", "[SEG] without phrase")),
    ("<p></p>[SEG] x", "x", [("", 0)], (), ("empty phrase",)),
    ("<p>", "", [("", None)], (), ("empty phrase; unclosed <p>; phrase without [SEG]",)),
    ("<p>\n Two\nLines </p>[SEG]", "Two Lines", [("Two Lines", 0)], (), ()),
    ("(<p> the dog </p> [SEG])", "(the dog)", [("the dog", 0)], (), ()),
    ("<p> A dog </p> [SEG] , then<|im_end|>", "A dog, then", [("A dog", 0)], (), ()),
    ("<obj2> and <region> stay", "<obj2> and <region> stay", [], (), ()),
    ("<img><IMG_CONTEXT></img>A <vp>dog</vp>", "A dog", [], (), ()),
]


@pytest.mark.parametrize(("raw", "text", "phrases", "loose", "problems"), CASES)
def test_whatever_is_missing_is_named(raw, text, phrases, loose, problems):
    parsed = parse_answer(raw)
    assert parsed.text == text
    assert [(phrase.text, phrase.seg) for phrase in parsed.phrases] == phrases
    assert parsed.loose_segs == loose
    assert parsed.problems == problems
    assert parsed.num_seg == raw.count("[SEG]")


def test_marks_that_come_together_when_others_go_are_taken_out_too():
    parsed = parse_answer("see <<p>p> dog </p> [S[SEG]EG] <|im_<p>end|> run")
    assert parsed.text == "see dog run"
    assert parse_answer("<" * 40 + "p>" * 40).text == ""


scraps = ["<|im_end|>", "<p", ">", "[SEG", "]", "</", "<", "<obj1>", *" .(!é\n\u00a0", "  ", "dog", " a", " ,", " )"]
soup = st.lists(st.sampled_from([*GROUNDING_TOKENS, *BACKBONE_TOKENS, *scraps]), max_size=24).map("".join)
marks = re.compile(
    r"\[SEG\]|</?(p|vp|img|IMG_CONTEXT|quad|ref|box|s)>|<\|(im_start|im_end|end|user|assistant|endoftext)\|>"
)


@settings(max_examples=400, deadline=None)
@given(soup)
def test_no_soup_of_marks_breaks_the_reading(raw):
    parsed = parse_answer(raw)
    assert not marks.search(parsed.text)
    assert parsed.text == " ".join(parsed.text.split())
    assert not re.search(r" [.,;:!?)]", parsed.text)
    done = 0
    for phrase in parsed.phrases:
        assert parsed.text[phrase.start : phrase.end] == phrase.text
        assert phrase.start >= done
        assert (phrase.problem is None) == (bool(phrase.text) and phrase.seg is not None) or phrase.problem
        done = phrase.end
    bound = [phrase.seg for phrase in parsed.phrases if phrase.seg is not None]
    assert sorted([*bound, *parsed.loose_segs]) == list(range(parsed.num_seg))
    assert bound == sorted(bound)
    assert parse_answer(parsed.text).text == parsed.text
    lost = parsed.loose_segs or any(phrase.seg is None or not phrase.text for phrase in parsed.phrases)
    assert parsed.problems or not lost


@settings(max_examples=400, deadline=None)
@given(soup, st.data())
def test_settled_text_only_ever_grows(raw, data):
    cut = data.draw(st.integers(0, len(raw)))
    assert settled_text(raw).startswith(settled_text(raw[:cut]))
    assert parse_answer(raw).text.startswith(settled_text(raw))


def test_settled_text_keeps_back_what_may_become_a_mark():
    assert settled_text("A dog <") == "A dog"
    assert settled_text("A dog [SE") == "A dog"
    assert settled_text("A dog <x") == "A dog <x"
    assert settled_text("<p> A dog </p> [SEG] runs.") == "A dog runs."


words = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=6)
glue = st.sampled_from([" ", ", ", ". ", " (", ") ", "-", "“", "”", "'s ", " — ", "; "])


@st.composite
def answers(draw: st.DrawFn) -> ParsedAnswer:
    """Clean answers with phrases anywhere in them, grounded or not."""
    text, phrases, seg = "", [], 0
    for word in draw(st.lists(words, min_size=1, max_size=8)):
        start, text = len(text), text + word
        if draw(st.booleans()):
            grounded = draw(st.booleans())
            problem = None if grounded else "phrase without [SEG]"
            phrases.append(ParsedPhrase(word, start, len(text), seg if grounded else None, problem))
            seg += grounded
        text += draw(glue)
    cleaned = parse_answer(text).text
    problems = tuple(phrase.problem for phrase in phrases if phrase.problem)
    return ParsedAnswer(cleaned, tuple(phrases), seg, (), problems)


@settings(max_examples=300, deadline=None)
@given(answers())
def test_reading_what_was_written_gives_it_back(answer):
    spans = [PhraseSpan(phrase.start, phrase.end, phrase.seg is not None) for phrase in answer.phrases]
    assert parse_answer(render_answer(answer.text, spans)) == answer


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("two  blanks", []),
        ("a [SEG] mark", []),
        ("a dog", [(0, 9)]),
        ("a dog", [(2, 2)]),
        ("a dog", [(1, 5)]),
        ("a dog", [(0, 3), (2, 5)]),
        ("a dog", [(-3, 5)]),
    ],
)
def test_text_and_spans_that_do_not_fit_are_not_written(text, spans):
    with pytest.raises(DialogueError):
        render_answer(text, spans)
