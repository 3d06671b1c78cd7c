from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_model import moving_squares

from sama_video.bench.models import ModelChoice
from sama_video.bench.models.picture_prompts import Turn
from sama_video.bench.models.transformers_chat import _messages, open_model
from sama_video.bench.task import Sample, TaskOptions
from sama_video.data.synthetic import corpus
from sama_video.errors import CheckpointError, ConfigError
from sama_video.model.nano_tokenizers import build_language_tokenizer

CLIP = moving_squares(4)
TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}: {% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}{% endfor %}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llava of a few thousand random weights, saved as any checkpoint is."""
    from transformers import (
        CLIPImageProcessorPil,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )

    tokenizer = build_language_tokenizer([turn.question for turn in corpus(0, 50)])
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    vision = CLIPVisionConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=28, patch_size=14
    )
    text = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2
    )
    image = tokenizer.convert_tokens_to_ids("<image>")
    config = LlavaConfig(vision_config=vision, text_config=text, image_token_index=image, image_seq_length=4)
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("llava")
    LlavaForConditionalGeneration(config).save_pretrained(folder)
    pictures = CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28})
    LlavaProcessor(
        pictures,
        tokenizer,
        patch_size=14,
        num_additional_image_tokens=1,
        vision_feature_select_strategy="default",
        chat_template=TEMPLATE,
    ).save_pretrained(folder)
    return folder


def sample(name: str, **fields: Any) -> Sample:
    given = {"ground": False} | fields
    return Sample(name, "v", "all", name, lambda: CLIP, "What is there?", **given)


@pytest.mark.slow
def test_checkpoint_answers_alike_each_time(checkpoint: Path) -> None:
    model = ModelChoice(f"hf:{checkpoint}?frames=2&max_tokens=6", {"device": "cpu"}).open()
    asked = [sample("q1"), sample("q2", ground=True), sample("q3")]
    first, grounded, third = model.answer(asked, TaskOptions(), {})
    assert model.name == f"hf:{checkpoint}"
    assert first.error is None
    assert first.text == third.text
    assert first.frames == (0, 3)
    assert (grounded.tracks, grounded.error) == ((), None)
    again = ModelChoice(f"hf:{checkpoint}?frames=2&max_tokens=6").open()
    assert again.revision == model.revision
    assert next(again.answer(asked[:1], TaskOptions(), {})).text == first.text
    assert ModelChoice(f"hf:{checkpoint}?frames=2&max_tokens=7").open().revision != model.revision


def test_pictures_reach_the_model(checkpoint: Path) -> None:
    model = open_model(f"hf:{checkpoint}?frames=2&max_tokens=6", device="cpu")
    seen: list[tuple[int, ...]] = []
    model.speaker.model.model.vision_tower.register_forward_pre_hook(  # type: ignore[attr-defined]
        lambda _module, args, kwargs: seen.append(tuple([*args, *kwargs.values()][0].shape)), with_kwargs=True
    )
    assert next(model.answer([sample("q1")], TaskOptions(), {})).error is None
    assert seen == [(2, 3, 28, 28)]


def test_error_of_one_question_is_its_own(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = open_model(f"hf:{checkpoint}?frames=2&max_tokens=3", device="cpu")
    generate, calls = model.speaker.model.generate, []  # type: ignore[attr-defined]

    def fail_once(**inputs: Any) -> Any:
        calls.append(inputs)
        if len(calls) == 1:
            raise RuntimeError("out of\nmemory")
        return generate(**inputs)

    monkeypatch.setattr(model.speaker.model, "generate", fail_once)  # type: ignore[attr-defined]
    first, second = model.answer([sample("q1"), sample("q2")], TaskOptions(), {})
    assert (first.text, first.error) == (None, "RuntimeError: out of memory")
    assert second.error is None


def test_words_of_the_system_open_the_first_question() -> None:
    picture = np.zeros((2, 3, 3), np.uint8)
    turns = [Turn("system", ("Look.",)), Turn("user", ("Frame 0:", picture, "What?")), Turn("assistant", ("A.",))]
    first, second = _messages(turns)
    assert [part["type"] for part in first["content"]] == ["text", "text", "image", "text"]
    assert first["content"][0]["text"] == "Look."
    assert first["content"][2]["image"].size == (3, 2)
    assert second == {"role": "assistant", "content": [{"type": "text", "text": "A."}]}


def test_folder_that_is_no_checkpoint_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no image-text-to-text checkpoint") as caught:
        open_model(f"hf:{tmp_path}", device="cpu")
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match="no option 'workers'"):
        open_model(f"hf:{tmp_path}?workers=2")
