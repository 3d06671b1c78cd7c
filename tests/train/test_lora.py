"""Adapters change nothing at first, are small files, and merge away without a trace."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_model import build_model

from sama_video.errors import ConfigError
from sama_video.model import SamaForConditionalGeneration
from sama_video.train.tuning.lora import adapter_state, add_adapters, has_adapters, merge_adapters, save_adapters
from sama_video.train.tuning.settings import LoraSettings

IDS = torch.arange(20, 29)[None]
SETTINGS = LoraSettings(rank=2)


def adapted() -> SamaForConditionalGeneration:
    model = build_model()
    model.requires_grad_(False)
    add_adapters(model, SETTINGS)
    torch.manual_seed(1)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    return model


@pytest.mark.slow
def test_fresh_adapters_change_nothing_and_alone_learn() -> None:
    plain, model = build_model(), build_model()
    model.requires_grad_(False)
    add_adapters(model, SETTINGS)
    assert torch.equal(model(input_ids=IDS).logits, plain(input_ids=IDS).logits)
    learning = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert learning
    assert all(".lora_" in name and "language_model" in name for name in learning)


def test_merged_adapters_leave_the_same_answers_and_the_old_names() -> None:
    model = adapted()
    wanted = model(input_ids=IDS).logits
    assert (wanted - build_model()(input_ids=IDS).logits).abs().max() > 0.01
    assert merge_adapters(model) == 14
    assert not has_adapters(model)
    # Sums in another order.
    torch.testing.assert_close(model(input_ids=IDS).logits, wanted, atol=1e-4, rtol=1e-4)
    assert model.state_dict().keys() == build_model().state_dict().keys()


def test_saved_adapters_are_a_peft_folder(tmp_path: Path) -> None:
    from peft import PeftConfig

    model = adapted()
    save_adapters(model, SETTINGS, tmp_path, "base")
    config = PeftConfig.from_pretrained(str(tmp_path))
    assert (config.r, config.base_model_name_or_path) == (2, "base")
    stored = load_file(tmp_path / "adapter_model.safetensors")
    assert stored.keys() == adapter_state(model).keys()
    assert all(name.startswith("base_model.model.model.language_model.") for name in stored)


def test_an_unknown_layer_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"'query'.*q_proj"):
        add_adapters(build_model(), LoraSettings(rank=2, targets=("query",)))
