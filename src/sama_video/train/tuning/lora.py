"""Low-rank adapters (LoRA) on a model's language decoder, over PEFT: added, saved, put back, merged away."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from torch import Tensor, nn

from sama_video.errors import CheckpointError, ConfigError, MissingExtraError
from sama_video.model import SamaForConditionalGeneration
from sama_video.model.weight_files import save_weights
from sama_video.train.tuning.settings import LoraSettings

ADAPTER_WEIGHTS: Final = "adapter_model.safetensors"
_PREFIX: Final = "base_model.model."
"""What PEFT puts before the names in an adapter's file."""


def add_adapters(model: SamaForConditionalGeneration, settings: LoraSettings) -> None:
    """Put an adapter beside each of the decoder's linear layers that the settings name; only adapters learn there.

    Fresh adapters change nothing: the second of their two matrices is zero. The first is drawn from torch's generator.

    Raises:
        ConfigError: The decoder has no layer of a name.
        MissingExtraError: peft is not installed.
    """
    try:
        from peft import inject_adapter_in_model
    except ImportError as error:
        raise MissingExtraError("peft", "train") from error
    decoder = model.model.language_model
    there = {name.rsplit(".", 1)[-1] for name, part in decoder.named_modules() if isinstance(part, nn.Linear)}
    for name in settings.targets:
        if name not in there:
            raise ConfigError(
                f"lora.targets names {name!r}; the decoder's linear layers are {', '.join(sorted(there))}."
            )
    learns = {name: parameter.requires_grad for name, parameter in decoder.named_parameters()}
    inject_adapter_in_model(peft_config(settings), decoder)
    decoder.train(decoder.training)  # the new parts would drop numbers out in a model that is in use
    for name, parameter in decoder.named_parameters():
        # PEFT freezes all but its adapters; a decoder that is trained whole beside them stays so.
        parameter.requires_grad_(is_adapter(name) or learns.get(name.replace(".base_layer.", "."), False))


def peft_config(settings: LoraSettings) -> Any:
    """The same settings as PEFT has them."""
    from peft import LoraConfig

    return LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=list(settings.targets),
    )


def is_adapter(name: str) -> bool:
    """Whether a parameter, by its name, belongs to an adapter."""
    return ".lora_" in name or name.startswith("lora_")


def has_adapters(model: SamaForConditionalGeneration) -> bool:
    """Whether adapters are beside the decoder's layers."""
    return any(True for _ in _layers(model))


def merge_adapters(model: SamaForConditionalGeneration) -> int:
    """Add what the adapters learnt to the layers they stand beside, take them away, and say how many there were.

    The model is then what it was before, in all but its weights: any tool that reads it needs no PEFT.

    Raises:
        CheckpointError: An adapter holds a value that is no number.
    """
    found = list(_layers(model))
    for name, layer in found:
        try:
            layer.merge(safe_merge=True)
        except ValueError as error:
            raise CheckpointError(f"the adapter of {name} cannot be merged ({error}); go back a checkpoint.") from error
        parent, _, last = name.rpartition(".")
        setattr(model.model.language_model.get_submodule(parent), last, layer.get_base_layer())
    decoder: Any = model.model.language_model
    if hasattr(decoder, "peft_config"):
        del decoder.peft_config
    return len(found)


def save_adapters(model: SamaForConditionalGeneration, settings: LoraSettings, folder: Path, base: str) -> None:
    """Write the adapters alone as PEFT writes them, a few megabytes to hand on.

    Args:
        base: Names the model that they belong to.
    """
    config = peft_config(settings)
    config.base_model_name_or_path = base
    folder.mkdir(parents=True, exist_ok=True)
    config.save_pretrained(str(folder))
    save_weights(adapter_state(model), folder / ADAPTER_WEIGHTS)


def adapter_state(model: SamaForConditionalGeneration) -> dict[str, Tensor]:
    """The adapters' weights under the names of PEFT's files, which leave the adapter's own name out."""
    return {
        _PREFIX + "model.language_model." + name.replace(".default.", "."): parameter.detach().cpu().contiguous()
        for name, parameter in model.model.language_model.named_parameters()
        if is_adapter(name)
    }


def _layers(model: SamaForConditionalGeneration) -> Iterator[tuple[str, Any]]:
    """The decoder's layers that have an adapter, by name; none without peft."""
    names = {name for name, _ in model.model.language_model.named_parameters() if is_adapter(name)}
    if not names:
        return
    from peft.tuners.lora import LoraLayer

    for name, part in list(model.model.language_model.named_modules()):
        if isinstance(part, LoraLayer):
            yield name, part
