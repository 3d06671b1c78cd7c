"""A base without an aggregator gets one; the ablation's takes means; InstructBLIP's Q-Former fits."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tiny_model import build_model, build_processor

from sama_video.errors import CheckpointError, ConfigError
from sama_video.model import SamaForConditionalGeneration
from sama_video.model.presets import preset_config
from sama_video.train.tuning.aggregator import fill_from_instructblip, fit_aggregator, give_new_aggregator, take_means
from sama_video.train.tuning.settings import TuneConfig


def without_aggregator() -> SamaForConditionalGeneration:
    config = preset_config("tiny")
    config.aggregator_config = None
    torch.manual_seed(0)
    return SamaForConditionalGeneration(config)


def test_a_base_without_aggregator_is_refused_unless_a_new_one_is_asked_for() -> None:
    with pytest.raises(ConfigError, match="aggregator=new"):
        fit_aggregator(without_aggregator(), build_processor(), TuneConfig(aggregator="kept"))


def test_a_new_aggregator_follows_the_seed_and_not_what_was_drawn_before() -> None:
    states = []
    for seed in (0, 0, 1):
        model = build_model()
        torch.rand(seed + 3)
        give_new_aggregator(model, seed)
        states.append(torch.cat([p.flatten() for p in model.model.aggregator.parameters()]))
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


def test_pooled_context_tokens_do_not_hang_on_the_question() -> None:
    aggregator = build_model().model.aggregator
    features = torch.randn(3, 4, preset_config("tiny").text_config.hidden_size)
    questions = torch.tensor([[2, 20, 30, 3], [2, 40, 50, 3]])
    mask = torch.ones_like(questions)
    spatial = aggregator.spatial_states(features)
    asked = aggregator(features, spatial, questions, mask)
    assert not torch.allclose(asked[0], asked[1])
    take_means(aggregator)
    pooled = aggregator(features, spatial, questions, mask)
    torch.testing.assert_close(pooled[0], pooled[1])
    torch.testing.assert_close(pooled[0], aggregator.output_proj(features.mean(1)))


def test_the_frame_reader_starts_from_an_instructblip_folder(tmp_path: Path) -> None:
    aggregator = build_model().model.aggregator
    weights = {"query_tokens": torch.randn_like(aggregator.spatial_queries)}
    for name, parameter in aggregator.spatial.named_parameters():
        place = f"embeddings.{name}" if name.startswith("layernorm.") else name
        weights[f"qformer.{place}"] = torch.randn_like(parameter)
    for name, parameter in aggregator.input_norm.named_parameters():
        weights[f"vision_model.post_layernorm.{name}"] = torch.randn_like(parameter)
    save_file(weights, tmp_path / "model.safetensors")
    assert fill_from_instructblip(aggregator, tmp_path) == len(weights)
    assert torch.equal(aggregator.spatial.layernorm.weight, weights["qformer.embeddings.layernorm.weight"])
    assert torch.equal(aggregator.spatial_queries, weights["query_tokens"])
    save_file({"query_tokens": weights["query_tokens"]}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match="InstructBLIP"):
        fill_from_instructblip(aggregator, tmp_path)
