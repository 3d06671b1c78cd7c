"""What a run takes of a device's memory, worked out on the meta device: real modules and shapes, no numbers.

    weights + gradients + optimiser + activations + the device's own

The first three are counted. For activations one micro-step runs forwards and backwards through the model's own parts on
the meta device, where every tensor is seen as it comes and goes; attention is taken as the memory-sparing kernels of a
GPU leave it. What a run's arithmetic does beside (autocast's copies of trained weights) is added, kernels' workspaces
are not. The mix of lengths in real data is replaced by one `StepShape`.
"""

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from sama_video.model import SamaForConditionalGeneration
from sama_video.model.configuration_sama import SamaConfig
from sama_video.train import losses
from sama_video.train.tuning.base import part_of, prepare
from sama_video.train.tuning.lora import is_adapter
from sama_video.train.tuning.model_step import TuningModel
from sama_video.train.tuning.settings import PARTS, TuneConfig

DEVICE_BYTES: Final = 6 * 1024**3 // 10
"""What a CUDA context and its kernels take before the first tensor."""

_ADAM_BYTES: Final = 8
_GRADIENT_BYTES: Final = 4
_AUTOCAST_BYTES: Final = 2


@dataclass(frozen=True)
class PartSize:
    """Parameters of one part of a model.

    Attributes:
        adapters: Those of them that LoRA added.
    """

    name: str
    parameters: int
    trained: int
    adapters: int = 0


@dataclass(frozen=True)
class StepShape:
    """What one record brings into a step.

    Attributes:
        frames: Pictures that the vision tower sees.
        dense: Of them, those shown in full.
        turns: Questions with their answers.
        text: Tokens of one turn's words, marks included.
        labels: Tokens of all turns that are learnt.
        masks: `[SEG]`s times frames that get a mask; 0 for words alone.
        mask_frames: Frames that SAM 2 encodes.
    """

    frames: int
    dense: int
    turns: int = 4
    text: int = 70
    labels: int = 140
    masks: int = 25
    mask_frames: int = 5

    def tokens(self, config: SamaConfig) -> int:
        """Length of the decoder's row."""
        context = self.frames if config.has_aggregator else 0
        return self.dense * (config.tokens_per_frame + 3) + self.turns * (context + self.text)


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes on one device, estimated.

    Attributes:
        activations: At the highest point of a micro-step, with the recipe's choice about checkpointing.
        activations_kept: The same without checkpointing.
        activations_checkpointed: The same with it.
        device: The device's own.
    """

    weights: int
    gradients: int
    optimiser: int
    activations: int
    activations_kept: int
    activations_checkpointed: int
    device: int = DEVICE_BYTES

    @property
    def total(self) -> int:
        """All of it, with the recipe's choice."""
        return self.weights + self.gradients + self.optimiser + self.activations + self.device


def meta_model(config: SamaConfig, settings: TuneConfig) -> SamaForConditionalGeneration:
    """A model of a configuration without memory, prepared as a run would prepare it.

    Raises:
        ConfigError: The recipe trains a part that it does not have.
        MissingExtraError: Adapters without peft.
    """
    with torch.device("meta"):
        model = SamaForConditionalGeneration(config)
        prepare(model, settings)
    return model


def part_sizes(model: SamaForConditionalGeneration) -> tuple[PartSize, ...]:
    """Parameters of every part, in all and learning; what is trained of SAM 2 is told by its own parts."""
    named = [(name, child) for name, child in _parts(model) if any(True for _ in child.parameters())]
    return tuple(_size(name, child) for name, child in named)


def typical_shape(config: SamaConfig, settings: TuneConfig) -> StepShape:
    """A record as long as they come often: a clip of full length, four turns, as many masks as the recipe takes."""
    dense = min(config.dense_frames, config.max_frames)
    frames = min(settings.data.mask_frames, dense)
    return StepShape(
        frames=config.max_frames,
        dense=dense,
        masks=settings.data.max_objects * frames,
        mask_frames=frames,
    )


def estimate_memory(
    config: SamaConfig, settings: TuneConfig, shape: StepShape, *, processes: int = 1
) -> MemoryEstimate:
    """What one device needs.

    Args:
        shape: Of every record of a micro-step.
        processes: Over which FSDP and ZeRO deal out what they shard.
    """
    model = meta_model(config, settings)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    kept, checkpointed = (_activations(config, settings, shape, checkpointing=choice) for choice in (False, True))
    cast = _AUTOCAST_BYTES * trained if settings.engine.precision == "bf16" else 0
    shares = _shares(settings, processes)
    return MemoryEstimate(
        weights=round(weights * shares[0]),
        gradients=round(_GRADIENT_BYTES * trained * shares[1]),
        optimiser=round(_ADAM_BYTES * trained * shares[2]),
        activations=(checkpointed if settings.engine.gradient_checkpointing else kept) + cast,
        activations_kept=kept + cast,
        activations_checkpointed=checkpointed + cast,
    )


def _shares(settings: TuneConfig, processes: int) -> tuple[float, float, float]:
    """Which share of weights, gradients and optimiser a device holds."""
    part = 1 / processes
    if settings.engine.kind == "fsdp2" or (settings.engine.kind == "deepspeed" and _zero_stage(settings) == 3):
        return part, part, part
    return (1.0, part, part) if settings.engine.kind == "deepspeed" else (1.0, 1.0, 1.0)


def _zero_stage(settings: TuneConfig) -> int:
    from sama_video.train.tuning.recipes import read_deepspeed

    return int(read_deepspeed(settings.engine.deepspeed_config)["zero_optimization"]["stage"])


def _parts(model: SamaForConditionalGeneration) -> Iterator[tuple[str, nn.Module]]:
    for name in PARTS:
        if name == "lm_head" or hasattr(model.model, name):
            yield name, part_of(model, name)


def _size(name: str, part: nn.Module) -> PartSize:
    named = list(part.named_parameters())
    return PartSize(
        name,
        sum(p.numel() for _, p in named),
        sum(p.numel() for _, p in named if p.requires_grad),
        sum(p.numel() for place, p in named if is_adapter(place)),
    )


def _activations(config: SamaConfig, settings: TuneConfig, shape: StepShape, *, checkpointing: bool) -> int:
    """Highest point of what a micro-step makes, gradients that are kept not counted."""
    model, dtype = _ready(config, settings, checkpointing=checkpointing)
    with LiveBytes() as live, _sparing_attention(), torch.device("meta"):
        _step(model, settings, shape, dtype).backward()
    return live.peak


def record_flops(config: SamaConfig, settings: TuneConfig, shape: StepShape) -> int:
    """Operations of matrix products and attention for one record, forwards and backwards, nothing worked out twice."""
    model, dtype = _ready(config, settings, checkpointing=False)
    with LiveBytes(), FlopCounterMode(display=False) as counter, torch.device("meta"):
        _step(model, settings, shape, dtype).backward()
    return int(counter.get_total_flops()) // settings.batch


def _ready(
    config: SamaConfig, settings: TuneConfig, *, checkpointing: bool
) -> tuple[SamaForConditionalGeneration, torch.dtype]:
    """A model on the meta device that a micro-step can go through, all of it in the precision of the arithmetic."""
    # Autocast does not know the meta device; all weights in its precision give activations of that precision.
    engine = replace(settings.engine, gradient_checkpointing=checkpointing)
    model = meta_model(config, replace(settings, engine=engine)).train()
    dtype = torch.bfloat16 if settings.engine.precision == "bf16" else torch.float32
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype)
        parameter.grad = torch.empty_like(parameter) if parameter.requires_grad else None
    for name, buffer in list(model.named_buffers()):
        if buffer.is_floating_point():
            parent, _, last = name.rpartition(".")
            model.get_submodule(parent)._buffers[last] = buffer.to(dtype)
    return model, dtype


def _step(model: SamaForConditionalGeneration, settings: TuneConfig, shape: StepShape, dtype: torch.dtype) -> Tensor:
    """One micro-step's loss, through the same calls as `TuningModel.forward`, with whole blocks instead of places."""
    config: Any = model.config
    rows = settings.batch
    features = model.model.encode_frames(torch.empty(rows * shape.frames, 3, *[config.image_side] * 2, dtype=dtype))
    pieces = [
        torch.cat(_row(model, features[row * shape.frames : (row + 1) * shape.frames], shape)) for row in range(rows)
    ]
    states = model.model.language_model(inputs_embeds=torch.stack(pieces), use_cache=False).last_hidden_state
    logits = model.lm_head(states[:, : shape.labels]).flatten(0, 1).float()
    loss = F.cross_entropy(logits, torch.empty(len(logits), dtype=torch.long))
    if shape.masks:
        loss = loss + _mask_loss(model, settings, shape, states)
    return loss


def _row(model: SamaForConditionalGeneration, features: Tensor, shape: StepShape) -> list[Tensor]:
    """A record's embeddings: dense frames, then context tokens and words of each turn."""
    parts = model.model
    dim = features.shape[-1]
    row = [features[: shape.dense].flatten(0, 1), features.new_empty(3 * shape.dense, dim)]
    context = features.new_empty(shape.turns, 0, dim)
    if model.config.has_aggregator:
        spatial = parts.aggregator.spatial_states(features)
        length = min(32, model.config.aggregator_config.text_max_length)
        question = torch.empty(shape.turns, length, dtype=torch.long)
        context = parts.aggregator(features, spatial, question, torch.ones_like(question))
    for turn in range(shape.turns):
        row += [context[turn], features.new_empty(shape.text, dim)]
    return row


def _mask_loss(model: SamaForConditionalGeneration, settings: TuneConfig, shape: StepShape, states: Tensor) -> Tensor:
    """All masks of the batch in one pass, as a run makes them."""
    tuned = TuningModel(model, settings.loss)
    side, count = tuned.segmenter.image_size, settings.batch * shape.masks
    features = tuned.segmenter.encode(torch.empty(settings.batch * shape.mask_frames, 3, side, side))
    prompts = model.model.grounding_head(states.flatten(0, 1)[:1]).expand(count, -1)
    frame = torch.empty(count, dtype=torch.long)
    logits = tuned.segmenter.predict(features, frame, embeddings=prompts).mask_logits.float()
    num_points = settings.loss.points_per_mask
    num_extra = num_points - int(losses.IMPORTANCE_RATIO * num_points)
    with torch.no_grad():
        candidates = torch.empty(count, int(losses.OVERSAMPLE_RATIO * num_points), 2)
        points = losses.sample_uncertain_points(logits, candidates, torch.empty(count, num_extra, 2), num_points)
        wanted = losses.sample_at_points(torch.empty_like(logits), points)
    sampled = losses.sample_at_points(logits, points)
    return losses.point_sampled_mask_loss(sampled, wanted) + losses.dice_loss(sampled, wanted)


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of tensors made while it is on, as long as they live; works where tensors hold nothing.

    Attributes:
        live: Now.
        peak: At the highest point.
    """

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation and see what it made."""
        if func is torch.ops.aten._local_scalar_dense.default:
            return True  # there is no value; all that is asked for here is whether masks let everything through
        result = func(*args, **(kwargs or {}))
        given = {one.untyped_storage()._cdata for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor)}
        for one in tree_leaves(result):
            if isinstance(one, Tensor) and one.untyped_storage()._cdata not in given:
                self._take(one.untyped_storage())
        return result

    def _take(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return
        self._known.add(key)
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._drop, key, size)

    def _drop(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.live -= size


@contextmanager
def _sparing_attention() -> Iterator[None]:
    """Attention as fused kernels leave it: no table of scores is ever whole.

    A mode would not do: layers that are worked out again on the way back do not run under it.
    """
    usual = F.scaled_dot_product_attention

    def sparing(query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any) -> Any:
        if query.is_meta:
            return _FusedAttention.apply(query, key, value)
        return usual(query, key, value, *args, **kwargs)

    F.scaled_dot_product_attention = sparing
    try:
        yield
    finally:
        F.scaled_dot_product_attention = usual


class _FusedAttention(torch.autograd.Function):
    """Shapes in and out, and what such a kernel keeps for its way back."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """An output like the query, as wide as the values."""
        out = query.new_empty(*query.shape[:-1], value.shape[-1])
        ctx.save_for_backward(query, key, value, out, query.new_empty(query.shape[:-1], dtype=torch.float32))
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients like what went in."""
        query, key, value, *_ = ctx.saved_tensors
        return torch.empty_like(query), torch.empty_like(key), torch.empty_like(value)
