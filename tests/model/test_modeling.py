"""The model as a `transformers` model: saving, Auto classes, generation, precision, training switches, adapters."""

import importlib.util
import os
import stat
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_model import build_model, build_processor, moving_squares
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

from sama_video.errors import ConfigError, DialogueError
from sama_video.model import SamaConfig, SamaForConditionalGeneration, SamaProcessor
from sama_video.model.decoding import Decoder, Sampling
from sama_video.model.presets import preset_config, preset_names
from sama_video.model.processing_sama import PlacedRegion, TurnSpec
from sama_video.model.weight_files import save_weights


@pytest.fixture(scope="module")
def model() -> SamaForConditionalGeneration:
    return build_model()


@pytest.fixture(scope="module")
def saved(model: SamaForConditionalGeneration, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    model.save_pretrained(folder)
    build_processor().save_pretrained(folder)
    return folder


def _turns(answer: str | None = None) -> list[TurnSpec]:
    mask = np.zeros((48, 64), dtype=bool)
    mask[6:20, 4:18] = True
    first = TurnSpec("What is <region>?", (PlacedRegion(0, mask),), (0, 2, 4), (0.0, 0.2, 0.4), "It is red.")
    return [first, TurnSpec("Where is it?", answer=answer)]


def _batch(dialogues: list[list[TurnSpec]]) -> dict:
    frames = moving_squares(6).frames(range(6))
    return dict(build_processor()([frames] * len(dialogues), dialogues))


def test_weights_and_settings_survive_saving(model: SamaForConditionalGeneration, saved: Path) -> None:
    again = SamaForConditionalGeneration.from_pretrained(saved)
    ours, theirs = model.state_dict(), again.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    for name in ("hidden_size", "num_spatial_queries", "window_size", "mask_slot_id"):
        assert getattr(again.config.aggregator_config, name) == getattr(model.config.aggregator_config, name)
    processor = SamaProcessor.from_pretrained(saved)
    assert processor.settings == build_processor().settings
    text = "Segment the red star."
    assert processor.tokenizer.encode(text) == build_processor().tokenizer.encode(text)
    assert processor.qformer_tokenizer.encode(text) == build_processor().qformer_tokenizer.encode(text)


def test_saved_weights_are_read_by_whoever_may_read_new_files(
    model: SamaForConditionalGeneration, tmp_path: Path
) -> None:
    before = os.umask(0o027)
    try:
        model.save_pretrained(tmp_path)
        save_weights({"w": torch.zeros(2)}, tmp_path / "one.safetensors")
    finally:
        os.umask(before)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    assert {"model.safetensors", "one.safetensors", "config.json"} <= set(modes)
    assert set(modes.values()) == {0o640}


def test_auto_classes_find_ours(saved: Path) -> None:
    assert isinstance(AutoConfig.from_pretrained(saved), SamaConfig)
    assert isinstance(AutoModelForImageTextToText.from_pretrained(saved), SamaForConditionalGeneration)
    assert isinstance(AutoProcessor.from_pretrained(saved), SamaProcessor)


def test_device_map_places_the_model(saved: Path) -> None:
    placed = SamaForConditionalGeneration.from_pretrained(saved, device_map={"": "cpu"})
    assert {parameter.device.type for parameter in placed.parameters()} == {"cpu"}


def test_generate_gives_what_the_session_decoder_gives(model: SamaForConditionalGeneration) -> None:
    inputs = _batch([_turns()])
    generated = model.generate(**inputs, max_new_tokens=6, do_sample=False, eos_token_id=-1)
    placeholders = model.model.video_embeddings(inputs["videos"][0])
    embeds = model.model.embed_tokens(inputs["input_ids"], placeholders)
    rows = model.config.text_config.vocab_size
    decoder = Decoder(model, stop=lambda _: False, num_tokens=rows, sampling=Sampling(max_new_tokens=6))
    *_, grown = decoder.decode(decoder.prefill(embeds))
    assert grown[0].ids == generated[0, inputs["input_ids"].shape[1] :].tolist()


def test_batched_generation_is_one_by_one_generation(model: SamaForConditionalGeneration) -> None:
    short, long = [TurnSpec("Where?", (), (1,), (0.1,))], _turns()
    together = model.generate(**_batch([short, long]), max_new_tokens=5, do_sample=False, eos_token_id=-1)
    for row, dialogue in enumerate((short, long)):
        alone = model.generate(**_batch([dialogue]), max_new_tokens=5, do_sample=False, eos_token_id=-1)
        assert together[row, -5:].tolist() == alone[0, -5:].tolist()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precisions_run(saved: Path, dtype: torch.dtype) -> None:
    half = SamaForConditionalGeneration.from_pretrained(saved, dtype=dtype).eval()
    with torch.inference_mode():
        logits = half(**_batch([_turns()])).logits
    assert logits.dtype == dtype
    assert logits.isfinite().all()


# transformers 5.23 renames the switch; 5.17, which we support as well, has only the old name.
@pytest.mark.filterwarnings("ignore:`gradient_checkpointing_enable` is deprecated:FutureWarning")
def test_gradient_checkpointing_changes_no_gradient() -> None:
    rows = [build_processor().encode_dialogue(moving_squares(6).frames(range(6)), range(6), _turns("Here it is."))]
    gradients = []
    for checkpointing in (False, True):
        model = build_model().train()
        if checkpointing:
            model.gradient_checkpointing_enable()
        loss = model(rows[0].input_ids[None], videos=[rows[0].video], labels=rows[0].labels[None]).loss
        loss.backward()
        gradients.append(model.model.aggregator.input_proj.weight.grad)
    torch.testing.assert_close(*gradients)


def test_every_part_before_the_segmenter_gets_a_gradient() -> None:
    model = build_model().train()
    row = build_processor().encode_dialogue(moving_squares(6).frames(range(6)), range(6), _turns("Here it is."))
    model(row.input_ids[None], videos=[row.video], labels=row.labels[None]).loss.backward()
    for part in ("vision_tower", "multi_modal_projector", "language_model", "aggregator", "region_encoder"):
        parameters = [p for p in getattr(model.model, part).parameters() if p.requires_grad]
        assert any(p.grad is not None and p.grad.abs().max() > 0 for p in parameters), part


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_lora_attaches_to_the_decoder_alone() -> None:
    peft = pytest.importorskip("peft", reason="the train extra is not installed")
    targets = r"model\.language_model\..*\.(q_proj|v_proj)"
    adapted = peft.get_peft_model(build_model(), peft.LoraConfig(target_modules=targets, r=2))
    trainable = [name for name, parameter in adapted.named_parameters() if parameter.requires_grad]
    assert trainable
    assert all("language_model" in name and "lora_" in name for name in trainable)


def test_placeholders_without_features_are_refused(model: SamaForConditionalGeneration) -> None:
    inputs = _batch([_turns()])
    with pytest.raises(ValueError, match="placeholders in the text"):
        model(inputs["input_ids"])


def test_tags_and_regions_must_agree() -> None:
    with pytest.raises(DialogueError, match="1 <region> tags, but 0 regions"):
        build_processor().turn_text(TurnSpec("What is <region>?"), 4)


def test_presets_are_the_named_sizes() -> None:
    assert set(preset_names()) == {"nano", "sama-1b", "sama-4b", "sama-8b"}
    sides = {name: (preset_config(name).image_side, preset_config(name).segmenter_side) for name in preset_names()}
    assert {sides.pop("nano")} == {(128, 128)}
    assert set(sides.values()) == {(448, 1024)}
    with pytest.raises(ConfigError, match="'sama-2b' is no preset"):
        preset_config("sama-2b")
    with pytest.raises(ConfigError, match="region_shape"):
        SamaConfig(region_shape="circle")


@pytest.mark.skipif(importlib.util.find_spec("bitsandbytes") is None, reason="the quantize extra is not installed")
@pytest.mark.filterwarnings("ignore")
def test_quantisation_touches_the_decoder_alone(saved: Path) -> None:
    from sama_video.chat.loading import load

    whole, quantised = load(saved, device="cpu"), load(saved, device="cpu", quantize="int8")
    kinds = {name: type(part).__name__ for name, part in quantised.model.named_modules()}
    assert {kind for name, kind in kinds.items() if name.endswith("mlp.up_proj")} == {"Linear8bitLt"}
    assert not any("8bit" in kind for name, kind in kinds.items() if "language_model" not in name)
    inputs = _batch([_turns()])
    with torch.inference_mode():
        off = whole.model(**inputs).logits - quantised.model(**inputs).logits.float()
    assert off.abs().mean() < 0.1
