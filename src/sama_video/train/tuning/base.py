"""What a run starts from: a model with the right parts frozen, each in the precision it needs."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from sama_video.chat.published import model_folder
from sama_video.errors import ConfigError
from sama_video.model import SamaForConditionalGeneration, SamaProcessor
from sama_video.model.weight_files import fingerprint
from sama_video.train.tuning.aggregator import fit_aggregator
from sama_video.train.tuning.settings import TuneConfig


@dataclass(frozen=True)
class Base:
    """What a run starts from, as it was loaded; `prepare` makes it ready.

    Attributes:
        fingerprint: Names the weights; a resumed run must start from the same.
    """

    model: SamaForConditionalGeneration
    processor: SamaProcessor
    fingerprint: str


def load_base(settings: TuneConfig) -> Base:
    """The model that `settings.model` names, in the precision of its files.

    Raises:
        CheckpointError: Nothing usable is there.
    """
    folder = model_folder(settings.model)
    model = SamaForConditionalGeneration.from_pretrained(folder, dtype="auto", local_files_only=True)
    processor = SamaProcessor.from_pretrained(folder, local_files_only=True)
    return Base(model, fit_aggregator(model, processor, settings), fingerprint(folder))


def prepare(model: SamaForConditionalGeneration, settings: TuneConfig) -> None:
    """Choose what is trained, and set each weight's precision.

    Trained weights are float32, whatever the arithmetic: small updates would be lost in bfloat16. Frozen ones are
    bfloat16 under that precision, which halves what they take.

    Raises:
        ConfigError: A part to train does not exist in the model.
        MissingExtraError: Adapters without peft.
    """
    choose_trained(model, settings)
    frozen = torch.bfloat16 if settings.engine.precision == "bf16" else torch.float32
    for parameter in model.parameters():
        parameter.data = parameter.data.to(torch.float32 if parameter.requires_grad else frozen)
    if settings.engine.gradient_checkpointing:
        checkpoint_layers(model)


def choose_trained(model: SamaForConditionalGeneration, settings: TuneConfig) -> None:
    """Freeze all but the trained parts, and add the adapters; precisions stay.

    Raises:
        ConfigError: A part to train does not exist in the model.
        MissingExtraError: Adapters without peft.
    """
    model.requires_grad_(False)
    for name in settings.trained:
        part_of(model, name).requires_grad_(True)
    if settings.lora.rank:
        from sama_video.train.tuning.lora import add_adapters

        add_adapters(model, settings.lora)


def part_of(model: SamaForConditionalGeneration, name: str) -> nn.Module:
    """A part by its name in `settings.PARTS`, dots going deeper.

    Raises:
        ConfigError: The model has no such part.
    """
    if name == "lm_head":
        return model.lm_head
    try:
        return model.model.get_submodule(name)
    except AttributeError as error:
        raise ConfigError(f"trained names {name!r}, which this model does not have; leave it out.") from error


def checkpoint_layers(model: SamaForConditionalGeneration) -> None:
    """Keep no activations inside the decoder's layers, and the tower's where it learns: they are worked out again."""
    parts: list[Any] = [model.model.language_model]
    if any(parameter.requires_grad for parameter in model.model.vision_tower.parameters()):
        parts.append(model.model.vision_tower)
    for part in parts:
        # Its name before transformers 5.20, and since.
        enable = getattr(part, "activation_checkpointing_enable", None) or part.gradient_checkpointing_enable
        enable({"use_reentrant": False})


def layer_classes(model: SamaForConditionalGeneration) -> list[str]:
    """Names of the layers that FSDP shards one by one: those every batch goes through, the same on all ranks."""
    parts: Iterable[nn.ModuleList] = (model.model.language_model.layers, model.model.vision_tower.encoder.layer)
    return sorted({type(layer).__name__ for layers in parts for layer in layers})
