"""A model that is spread over several processes: what their engine needs to be told, and its weights as a whole."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sama_video.errors import ConfigError, MissingExtraError
from sama_video.train.tuning.settings import EngineSettings


def engine_arguments(settings: EngineSettings, layers: Sequence[str]) -> dict[str, Any]:
    """The part of `TrainingArguments` that says how the model is spread.

    Args:
        layers: Names of the classes whose instances FSDP shards one by one.

    Raises:
        ConfigError: FSDP without `torchrun`.
        MissingExtraError: DeepSpeed is asked for and not installed.
    """
    if settings.kind == "deepspeed":
        try:
            import deepspeed  # type: ignore[import-not-found]  # noqa: F401
        except ImportError as error:
            raise MissingDeepSpeedError from error
        return {"deepspeed": settings.deepspeed_config}
    if settings.kind == "ddp":
        # Every trained weight takes part in every update, see `TuningModel`.
        return {"ddp_find_unused_parameters": False}
    if "RANK" not in os.environ:
        raise ConfigError("engine.kind=fsdp2 needs several processes; start with torchrun, or use engine.kind=ddp.")
    config = {
        "version": 2,
        "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
        "transformer_layer_cls_to_wrap": list(layers),
        "reshard_after_forward": True,
        "cpu_offload": settings.fsdp_offload,
        "state_dict_type": "FULL_STATE_DICT",
    }
    return {"fsdp": True, "fsdp_config": config}


def shard_on_cpu(accelerator: Any, plugin_arguments: Mapping[str, Any]) -> None:
    """Let accelerate shard over processes without cards, which it can but does not offer."""
    from accelerate.state import PartialState
    from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin

    accelerator.state.fsdp_plugin = FullyShardedDataParallelPlugin(**plugin_arguments)
    accelerator.state.distributed_type = DistributedType.FSDP
    PartialState._shared_state["distributed_type"] = DistributedType.FSDP


def set_shard_precision(plugin: Any, precision: str) -> None:
    """Weights travel in the precision of the arithmetic; gradients are added up, and losses come back, in float32.

    accelerate's own policy would round both to bfloat16, in which a count of tokens has three digits.
    """
    from torch.distributed.fsdp import MixedPrecisionPolicy

    dtype = torch.bfloat16 if precision == "bf16" else None
    plugin.mixed_precision_policy = MixedPrecisionPolicy(
        param_dtype=dtype, reduce_dtype=torch.float32, output_dtype=None, cast_forward_inputs=False
    )


class MissingDeepSpeedError(MissingExtraError):
    """DeepSpeed is in no extra: it is built for the machine at hand."""

    def __init__(self) -> None:
        Exception.__init__(
            self, "deepspeed is not installed, but engine.kind=deepspeed needs it; run: pip install deepspeed"
        )


def whole_weights(named: Sequence[tuple[str, nn.Parameter]]) -> dict[str, Tensor]:
    """Parameters as whole tensors in main memory; every process must ask, and gets them all.

    One at a time, so that no device ever holds more than the largest of them.
    """
    return {name: _whole(parameter).cpu().contiguous() for name, parameter in named}


def _whole(parameter: Any) -> Tensor:
    if hasattr(parameter, "full_tensor"):
        full: Tensor = parameter.detach().full_tensor()
        return full
    if hasattr(parameter, "ds_id"):
        import deepspeed

        with deepspeed.zero.GatheredParameters([parameter]):
            gathered_copy: Tensor = parameter.detach().clone()
            return gathered_copy
    own: Tensor = parameter.detach().clone()
    return own


def load_whole(named: Sequence[tuple[str, nn.Parameter]], weights: Mapping[str, Tensor]) -> None:
    """Fill parameters that are not yet spread out; names must agree exactly."""
    names = {name for name, _ in named}
    if names != weights.keys():
        odd = sorted(names ^ weights.keys())[0]
        raise ConfigError(f"the checkpoint and the settings do not train the same weights ({odd}); repeat its recipe.")
    with torch.no_grad():
        for name, parameter in named:
            parameter.copy_(weights[name])
