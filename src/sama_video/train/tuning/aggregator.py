"""A base whose context aggregator is not to be kept as it is: a new one in its place, or one that only takes means."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from sama_video.errors import CheckpointError, ConfigError
from sama_video.model import SamaForConditionalGeneration, SamaProcessor
from sama_video.model.aggregator import SpatioTemporalAggregator, init_aggregator
from sama_video.model.configuration_sama import SamaAggregatorConfig, SamaConfig
from sama_video.model.grounding import RegionEncoder
from sama_video.model.official_tokenizers import QUESTION_FOLDER, copy_question_tokenizer
from sama_video.model.weight_files import WeightFiles
from sama_video.train.engine import seed_of
from sama_video.train.tuning.settings import TuneConfig

_QFORMER: Final = "qformer."
_RENAMED: Final = {"layernorm.": "embeddings.layernorm."}
"""The norm before InstructBLIP's Q-Former stands among the embeddings of its text."""
_QUERIES: Final = "query_tokens"
_INPUT_NORM: Final = "vision_model.post_layernorm."


def fit_aggregator(
    model: SamaForConditionalGeneration, processor: SamaProcessor, settings: TuneConfig
) -> SamaProcessor:
    """Make the base's aggregator what the settings ask for, and give the processor that goes with it.

    Raises:
        ConfigError: There is none to keep.
        CheckpointError: The Q-Former's weights or vocabulary are not to be had.
    """
    config: Any = model.config
    if settings.aggregator == "kept" and not config.has_aggregator:
        raise ConfigError(
            f"{settings.model} has no context aggregator and no region encoder, as Sa2VA has none; set aggregator=new."
        )
    if settings.aggregator == "new" or not config.has_aggregator:
        give_new_aggregator(model, settings.seed)
        if settings.qformer:
            fill_from_instructblip(model.model.aggregator, Path(settings.qformer).expanduser())
        processor = _with_question_tokenizer(processor, config, settings.qformer)
    if settings.aggregator == "pooled":
        take_means(model.model.aggregator)
    return processor


@torch.no_grad()
def give_new_aggregator(model: SamaForConditionalGeneration, seed: int) -> None:
    """Put an untrained aggregator and region encoder of the published sizes into a model, drawn under a seed."""
    config: Any = model.config
    if config.aggregator_config is None:
        config.aggregator_config = SamaAggregatorConfig()
    dim, std = config.text_config.hidden_size, config.initializer_range
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(seed, "aggregator", 0))
        model.model.aggregator = SpatioTemporalAggregator(config.aggregator_config, dim)
        model.model.region_encoder = RegionEncoder(config)
        init_aggregator(model.model.aggregator, std)
        for part in (*model.model.aggregator.children(), *model.model.region_encoder.modules()):
            if isinstance(part, nn.Linear | nn.Embedding):  # the Q-Formers have drawn their own
                nn.init.normal_(part.weight, std=std)
                if isinstance(part, nn.Linear) and part.bias is not None:
                    nn.init.zeros_(part.bias)
    for part in (model.model.aggregator, model.model.region_encoder):
        part.to(device=model.device, dtype=model.dtype)


@torch.no_grad()
def take_means(aggregator: SpatioTemporalAggregator) -> None:
    """Make every context token its frame's mean token, projected, whatever is asked: the ablation's aggregator.

    What the Q-Formers read is multiplied by zero. It stays so when the recipe trains `aggregator.output_proj` alone.
    """
    aggregator.injection.out.weight.zero_()
    aggregator.injection.out.bias.zero_()


@torch.no_grad()
def fill_from_instructblip(aggregator: SpatioTemporalAggregator, folder: Path) -> int:
    """Start the frame reader from InstructBLIP's Q-Former, as the published training does; how many weights it gave.

    Its queries and the norm before it come along; the reader of windows stays random (spec model 6).

    Raises:
        CheckpointError: The folder does not hold them, or in other shapes.
    """
    files = WeightFiles(folder)
    count = 0
    for target, name in _places(aggregator):
        if name not in files.specs or files.specs[name].shape != tuple(target.shape):
            raise CheckpointError(
                f"{folder} has no {name} of shape {tuple(target.shape)}; give the folder of an InstructBLIP checkpoint "
                "in safetensors, such as Salesforce/instructblip-vicuna-7b."
            )
        target.copy_(files.tensor(name).to(target.dtype))
        count += 1
    return count


def _places(aggregator: SpatioTemporalAggregator) -> Iterator[tuple[Tensor, str]]:
    """Each weight to fill, and InstructBLIP's name of it."""
    for name, parameter in aggregator.spatial.named_parameters():
        renamed = next((new + name.removeprefix(old) for old, new in _RENAMED.items() if name.startswith(old)), name)
        yield parameter, _QFORMER + renamed
    yield aggregator.spatial_queries, _QUERIES
    for name, parameter in aggregator.input_norm.named_parameters():
        yield parameter, _INPUT_NORM + name


def _with_question_tokenizer(processor: SamaProcessor, config: SamaConfig, qformer: str) -> SamaProcessor:
    """A processor that also cuts questions into the aggregator's word pieces."""
    if processor.qformer_tokenizer is not None:
        return SamaProcessor.for_config(config, processor.tokenizer, processor.qformer_tokenizer)
    from transformers import AutoTokenizer

    source = Path(qformer).expanduser() / QUESTION_FOLDER
    with tempfile.TemporaryDirectory() as scratch:
        copy_question_tokenizer(source, Path(scratch), config.aggregator_config, None)
        tokenizer = AutoTokenizer.from_pretrained(Path(scratch) / QUESTION_FOLDER)
    return SamaProcessor.for_config(config, processor.tokenizer, tokenizer)
