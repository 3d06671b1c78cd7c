"""What answers are bound to, whatever the model writes, and what `ground` makes of it."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_model import build_processor, filled

import sama_video as sama
from sama_video.chat.answer import AnswerReady, TextDelta
from sama_video.chat.loading import LoadedModel
from sama_video.chat.masks import MaskMaker
from sama_video.chat.rules import ForcedGrounding, token_rule
from sama_video.chat.session import ChatSession
from sama_video.dialogue.markup import TEMPLATES, ChatTemplate
from sama_video.errors import ConfigError, DialogueError
from sama_video.video.clip import Clip

Say = Callable[..., None]
LEFT, RIGHT = (2, 4, 20, 24), (40, 20, 60, 44)


@pytest.fixture
def chat(model: LoadedModel, clip: Clip) -> ChatSession:
    return model.chat(clip, max_new_tokens=60)


def grow(rule: Callable, seed: int, limit: int, sharpness: float) -> list[int]:
    """Answers drawn from random logits, as the decoder draws them."""
    processor = build_processor()
    generator = torch.Generator().manual_seed(seed)
    favoured = torch.randn(len(processor.tokenizer), generator=generator) * sharpness
    ids: list[int] = []
    while len(ids) < limit and not processor.stops(ids):
        logits = favoured + torch.randn(len(favoured), generator=generator) * sharpness
        ids.append(int(torch.multinomial(rule(ids, logits).softmax(-1), 1, generator=generator)))
    return ids


@settings(max_examples=60)
@given(
    st.integers(0, 10**6),
    st.integers(4, 40),
    st.sampled_from([0.0, 1.0, 8.0]),
    st.sampled_from(["qwen_chat", "phi3_chat"]),
)
def test_forced_answers_have_one_mask_for_each_phrase_and_at_least_one(
    seed: int, limit: int, sharpness: float, template: str
) -> None:
    processor = build_processor()
    before = processor.settings["template"]
    processor.settings["template"] = template
    try:
        ids = grow(ForcedGrounding(processor, limit), seed, limit, sharpness)
        marks = processor.grounding_ids
        order = [token for token in ids if token in marks]
        assert order == [marks.phrase_open, marks.phrase_close, marks.seg] * (len(order) // 3)
        assert order
        for at, token in enumerate(ids):
            if token == marks.phrase_close:
                assert ids[at + 1] == marks.seg
                assert ids[at - 1] != marks.phrase_open
    finally:
        processor.settings["template"] = before


@pytest.mark.parametrize("favourite", ["<|im_end|>", "<p>", "</p>", "[SEG]", " ", "the"])
@pytest.mark.parametrize("limit", [4, 5, 6, 7, 12])
def test_forced_answers_are_whole_whatever_the_model_insists_on(favourite: str, limit: int) -> None:
    processor = build_processor()
    rule = ForcedGrounding(processor, limit)
    logits = torch.zeros(len(processor.tokenizer))
    logits[processor.tokenizer.encode(favourite)[0]] = 50.0
    ids: list[int] = []
    while len(ids) < limit and not processor.stops(ids):
        ids.append(int(rule(ids, logits).argmax()))
    marks = processor.grounding_ids
    order = [token for token in ids if token in marks]
    assert order == [marks.phrase_open, marks.phrase_close, marks.seg] * (len(order) // 3)
    assert order


def test_a_stop_string_of_several_tokens_cannot_end_a_forced_answer_early(monkeypatch: pytest.MonkeyPatch) -> None:
    processor = build_processor()
    monkeypatch.setitem(processor.settings, "template", "phi3_chat")
    spelt = processor.tokenizer.encode("a <|end|>")
    assert len(spelt) > 3
    rule = ForcedGrounding(processor, 30)
    logits = torch.zeros(len(processor.tokenizer))
    logits[spelt[-1]] = 9.0
    assert rule(spelt[:-1], logits)[spelt[-1]] == -torch.inf
    opened = [processor.grounding_ids.phrase_open, *spelt[:-1]]
    assert rule(opened, logits)[spelt[-1]] == -torch.inf


def test_too_small_a_limit_for_a_mask_is_refused(model: LoadedModel, clip: Clip) -> None:
    chat = model.chat(clip, max_new_tokens=3)
    with pytest.raises(ConfigError, match="an answer with a mask needs 4"):
        chat.ask("What is here?", ground=True)
    assert chat.ask("What is here?", ground=False).phrases == ()


def test_ground_is_one_of_three(chat: ChatSession) -> None:
    with pytest.raises(DialogueError, match="ground is 'yes'"):
        chat.ask("What is here?", ground="yes")
    processor = build_processor()
    assert token_rule("auto", processor, 9) is None
    assert token_rule(False, processor, 9) is None


def test_text_only_drops_the_marks_a_model_writes(
    model: LoadedModel, clip: Clip, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat, other = model.chat(clip), model.chat(clip)
    say("Here is <p> the left one </p> [SEG], and [SEG].")
    events = list(chat.stream("What is here?", ground=False))
    ready, told = events[-1], "Here is the left one, and."
    assert isinstance(ready, AnswerReady)
    answer = ready.answer
    assert (answer.text, answer.raw, answer.phrases, {**answer.masklets}, answer.problems) == (told, told, (), {}, ())
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == told
    other.adopt("What is here?", answer=told)
    assert chat.history.turns == other.history.turns
    monkeypatch.undo()
    later, expected = chat.ask("And now?"), other.ask("And now?")
    assert later.raw == expected.raw
    assert later.timing.reused_tokens > 0


def test_text_only_costs_the_segmenter_one_frame_for_a_click(chat: ChatSession) -> None:
    assert chat.ask("What is here?", ground=False).timing.segmenter_frames_encoded == 0
    answer = chat.ask("What is <region>?", [sama.Points(frame=0, xy=[(10, 12)])], ground=False)
    assert answer.timing.segmenter_frames_encoded == 1
    assert answer.phrases == ()
    assert list(answer.masklets) == ["obj1"]


def test_phrases_are_bound_in_order_and_keep_their_objects(chat: ChatSession, say: Say, see: Say) -> None:
    say(
        "<p> The left one </p> [SEG] passes <p> the right one </p> [SEG].",
        "Again <p> the right one </p> [SEG], then <p> it </p> [SEG].",
    )
    see(LEFT, RIGHT, RIGHT, LEFT)
    first = chat.ask("What is here?")
    assert first.text == "The left one passes the right one."
    assert [(p.text, p.object_id) for p in first.phrases] == [("The left one", "obj1"), ("the right one", "obj2")]
    assert first.problems == ()
    second = chat.ask("And now?")
    assert [p.object_id for p in second.phrases] == ["obj2", "obj1"]
    assert list(second.masklets) == ["obj2", "obj1"]
    assert chat.objects["obj1"].name == "it"


def test_a_known_object_is_recognised_without_being_followed_again(
    chat: ChatSession, say: Say, see: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    followed: list[list[str]] = []
    track = MaskMaker.track

    def counting(maker: MaskMaker, objects: list, progress: object = None) -> dict:
        followed.append([known.object_id for known in objects])
        return track(maker, objects, progress)

    monkeypatch.setattr(MaskMaker, "track", counting)
    say("<p> One </p> [SEG].", "<p> One </p> [SEG] and <p> two </p> [SEG].", "<p> Two </p> [SEG].")
    see(LEFT, LEFT, RIGHT, RIGHT)
    for question in ("First?", "Second?", "Third?"):
        chat.ask(question)
    assert followed == [["obj1"], ["obj2"]]


def test_regions_are_named_before_phrases(chat: ChatSession, say: Say, see: Say) -> None:
    say("<p> A third </p> [SEG].")
    see((20, 30, 36, 46))
    masks = [np.zeros((48, 64), bool) for _ in range(2)]
    masks[0][2:10, 2:10] = masks[1][2:10, 40:50] = True
    answer = chat.ask("Are <region> and <region> alike?", [sama.Mask(frame=3, mask=mask) for mask in masks])
    assert [prompt.object_id for prompt in answer.turn.regions] == ["obj1", "obj2"]
    assert answer.phrases[0].object_id == "obj3"
    assert list(answer.masklets) == ["obj1", "obj2", "obj3"]


def test_an_answer_about_the_thing_pointed_at_takes_its_name(chat: ChatSession, say: Say, see: Say) -> None:
    say("<p> The square </p> [SEG] is red.")
    see(LEFT)
    answer = chat.ask("What is <region>?", [sama.Mask(frame=0, mask=filled(LEFT))])
    assert answer.phrases[0].object_id == "obj1"
    assert list(chat.objects) == ["obj1"]


def test_a_forgotten_name_is_not_used_again(chat: ChatSession, say: Say, see: Say) -> None:
    say("<p> One </p> [SEG].", "<p> One </p> [SEG].")
    see(LEFT, LEFT)
    chat.ask("First?")
    chat.forget("obj1")
    assert chat.ask("Second?").phrases[0].object_id == "obj2"
    assert list(chat.objects) == ["obj2"]


def test_a_mask_that_is_empty_everywhere_is_told(chat: ChatSession, say: Say, see: Say) -> None:
    say("<p> The ghost </p> [SEG] and <p> the square </p> [SEG].")
    see(None, LEFT)
    answer = chat.ask("What is here?")
    assert answer.text == "The ghost and the square."
    assert [(p.object_id, p.reason) for p in answer.phrases] == [(None, "not visible"), ("obj1", None)]
    assert answer.problems == ("phrase without mask: 'The ghost': not visible",)


@pytest.mark.parametrize(
    ("raw", "text", "phrases", "problem"),
    [
        ("Sure, it is [SEG].", "Sure, it is.", [], "[SEG] without phrase: obj1"),
        ("<p> The star </p> moves.", "The star moves.", [("The star", None, "phrase without [SEG]")], "phrase without"),
        ("<p> The star [SEG] moves.", "The star moves.", [("The star", "obj1", "unclosed <p>")], "unclosed <p>"),
        ("It is <p> the star", "It is the star", [("the star", None, "unclosed <p>")], "unclosed <p>"),
        ("The star </p> [SEG].", "The star.", [], "</p> without <p>"),
        ("It is <p> </p> [SEG].", "It is.", [("", "obj1", "empty phrase")], "empty phrase"),
        ("<p> one </p> [SEG] [SEG].", "one.", [("one", "obj1", None)], "[SEG] without phrase: obj2"),
        ("<p> one </p> [SEG]", "one", [("one", "obj1", None)], None),
    ],
)
def test_marks_out_of_place_leave_clean_text_and_a_reason(
    chat: ChatSession, say: Say, see: Say, raw: str, text: str, phrases: list, problem: str | None
) -> None:
    say(raw)
    see(LEFT, RIGHT)
    answer = chat.ask("What is here?")
    assert answer.text == text
    assert [(p.text, p.object_id) for p in answer.phrases] == [row[:2] for row in phrases]
    for phrase, row in zip(answer.phrases, phrases, strict=True):
        assert (row[2] is None) == (phrase.reason is None)
        assert row[2] is None or row[2] in phrase.reason
    assert (problem is None) == (answer.problems == ())
    assert problem is None or any(problem in told for told in answer.problems)
    assert all(answer.masklets[name].num_frames == 12 for name in answer.masklets)


def test_a_mask_without_phrase_can_be_read(chat: ChatSession, say: Say, see: Say) -> None:
    say("Sure, it is [SEG].")
    see(RIGHT)
    answer = chat.ask("Please segment the square.")
    assert list(answer.masklets) == ["obj1"]
    assert answer.masklets["obj1"].visible_frames


def test_a_mask_token_at_the_limit_has_a_mask_but_not_in_the_published_inference(
    model: LoadedModel, clip: Clip
) -> None:
    for protocol, is_bound in (("consistent", True), ("paper", False)):
        answer = model.chat(clip, protocol=protocol, max_new_tokens=4).ask("What is here?", ground=True)
        assert answer.raw.endswith("[SEG]")
        assert (answer.phrases[0].object_id is not None) == is_bound
        assert is_bound or "last token" in answer.phrases[0].reason


def test_picture_placeholders_are_never_an_answer(chat: ChatSession, say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    token = chat.model.config.image_token_id

    def insist(*_: object) -> Callable:
        return lambda ids, logits: logits.index_fill(
            0, torch.tensor([t for t in range(len(logits)) if t != token]), -1e4
        )

    monkeypatch.setattr("sama_video.chat.conversation.token_rule", insist)
    chat.ask("What is here?")
    assert token not in chat.history.turns[0].answer_ids
    chat.history.drop_cache()
    assert chat.ask("And now?").timing.reused_tokens == 0


def test_a_stop_string_of_several_tokens_is_kept_once(
    model: LoadedModel, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(model.processor.settings, "template", "phi3_chat")
    tokenizer, template = model.processor.tokenizer, TEMPLATES["phi3_chat"]
    chat = model.chat(clip, max_new_tokens=20)
    script = tokenizer.encode("It is red.<|end|>")

    def rule(ids: list[int], logits: torch.Tensor) -> torch.Tensor:
        only = torch.full_like(logits, -torch.inf)
        only[script[len(ids)]] = 0.0
        return only

    monkeypatch.setattr("sama_video.chat.conversation.token_rule", lambda *_: rule)
    assert chat.ask("What is here?").text == "It is red."
    assert chat.ask("And now?").text == "It is red."
    read = tokenizer.decode(chat.history._closed_ids())
    assert read.count(template.answer_suffix) == 4
    assert read.endswith("It is red.<|end|>")
    turn = template.separator + template.user_prefix
    assert f"It is red.<|end|>{turn}" in read
    kept, texts = chat.ask("Third?").raw, []
    for _ in range(2):
        again = model.chat(clip, max_new_tokens=20)
        for question in ("What is here?", "And now?"):
            again.ask(question)
            again.history.drop_cache()
        texts.append(again.ask("Third?").raw)
    assert texts == [kept] * 2


def test_a_cut_answer_is_ended_by_the_template(model: LoadedModel, clip: Clip, say: Say) -> None:
    chat = model.chat(clip, max_new_tokens=12)
    say("one two three four five six seven eight nine ten one two three four five")
    chat.ask("Count.")
    ids = chat.history.turns[0].answer_ids
    assert ids is not None
    assert len(ids) == 13
    template: ChatTemplate = chat.processor.template
    assert chat.processor.tokenizer.decode(ids).endswith(template.answer_suffix)
