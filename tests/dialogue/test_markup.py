import pytest

from sama_video.dialogue import markup
from sama_video.dialogue.markup import TEMPLATES, ObjectTag, RegionTag
from sama_video.errors import DialogueError


def test_tokens_join_a_tokenizer_in_the_published_order():
    assert markup.BACKBONE_TOKENS[:3] == ("<img>", "</img>", "<IMG_CONTEXT>")
    assert markup.GROUNDING_TOKENS == ("[SEG]", "<p>", "</p>", "<vp>", "</vp>")
    assert markup.QFORMER_TOKENS == ("[DEC]", "<mask>", "<pos>", "[SEG]", "<p>", "</p>", "<vp>", "</vp>")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("qwen_chat", "<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n"),
        ("phi3_chat", "<|user|>\nQ<|end|>\n<|assistant|>\nA<|end|>\n"),
        ("internlm2_chat", "<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n"),
    ],
)
def test_templates_spell_a_turn(name, expected):
    template = TEMPLATES[name]
    assert template.question("Q") + template.answer("A") + template.separator == expected
    assert template.answer_suffix in template.stop_strings


def test_stop_strings_end_an_answer_whatever_line_breaks_do():
    template = TEMPLATES["phi3_chat"]
    assert template.stops("A dog.<|end|>")
    assert template.stops("A dog.<|e\r\nnd|>\n")
    assert not template.stops("A dog.<|end|> and")
    assert template.without_stop("A dog.<|end|> and <|end|>") == "A dog."
    assert template.without_stop("A dog.") == "A dog."


def test_question_is_cut_into_text_and_tags():
    pieces = markup.split_question("<region> and <region>: does <obj12> see <obj2>")
    assert pieces == (
        RegionTag(0),
        " and ",
        RegionTag(1),
        ": does ",
        ObjectTag("obj12"),
        " see ",
        ObjectTag("obj2"),
    )
    assert markup.split_question("") == ()
    assert markup.split_question("<obj> <REGION>") == ("<obj> <REGION>",)


def test_counts_that_do_not_agree_are_named():
    markup.check_tags("Is <region> left of <obj1>?", 1)
    with pytest.raises(DialogueError, match="2 <region> tags, but 1 region was given"):
        markup.check_tags("Is <region> left of <region>?", 1)
    with pytest.raises(DialogueError, match="0 <region> tags, but 3 regions were given"):
        markup.check_tags("What is it?", 3)
    with pytest.raises(DialogueError, match="1 <region> tag, but 0 regions were given"):
        markup.check_tags("What is <region>?", 0)


@pytest.mark.parametrize("token", ["<IMG_CONTEXT>", "[SEG]", "<vp>", "<mask>", "<|im_end|>", "</s>"])
def test_a_question_may_not_hold_the_models_own_tokens(token):
    with pytest.raises(DialogueError, match="keeps for itself"):
        markup.check_tags(f"What {token} is it?", 0)


def test_cleaning_a_question_is_the_references():
    assert markup.clean_question("<image>\nWhat is\nit? ") == "What isit?"
    assert markup.clean_question("<video> What is\r\nit?\n", line_break=" ") == "What is it?"


def test_prompt_is_spelt_as_the_reference_spells_it():
    blocks = [markup.frame_block(2), markup.frame_block(2)]
    block = "<img><IMG_CONTEXT><IMG_CONTEXT></img>"
    context = "<IMG_CONTEXT>" * 3
    assert markup.visual_prefix(blocks, 3, line_break=True) == f"{block}\n{block}{context}\n"
    assert markup.visual_prefix([], 3, line_break=False) == context
    assert markup.frame_block(2, seconds=1.25) == f"1.2s {block}"
    question = "Is <region> left of <obj1>?"
    place = "<vp><IMG_CONTEXT><IMG_CONTEXT></vp>"
    assert markup.prompt_text(question) == f"Is {place} left of {place}?"
    assert markup.qformer_text(question) == "Is <vp><mask><pos></vp> left of <vp><mask><pos></vp>?"


def test_a_request_for_masks_is_added_once():
    asked = markup.ask_for_masks("What happens?")
    assert asked == "What happens? Response with interleaved segmentation masks."
    assert markup.ask_for_masks(asked) == asked
    assert markup.ask_to_segment("the red star. ") == "Please segment the red star in this image."
    assert all(markup.parse_answer(answer).num_seg == 1 for answer in markup.SEGMENTATION_ANSWERS)


def test_records_are_respelt():
    assert markup.question_from_record("Is <mask> red?") == "Is <region> red?"
    assert markup.answer_from_record(" <g_s> The dog <g_e> <seg> runs. ") == "<p> The dog </p> [SEG] runs."
