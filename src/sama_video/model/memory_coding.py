"""Masks into memories, and memories into the features of a later frame: the parts behind `Segmenter`'s two calls."""

from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers.models.sam2_video.modeling_sam2_video import get_1d_sine_pe

from sama_video.model import memory_attention, perceiver_memory


class Constants:
    """Tensors that no parameter enters, made once for each key."""

    def __init__(self) -> None:
        self._made: dict[Hashable, Tensor] = {}

    def get(self, key: Hashable, make: Callable[[], Tensor]) -> Tensor:
        """The tensor of a key; usable in training even when first needed in inference mode."""
        if key not in self._made:
            with torch.inference_mode(False), torch.no_grad():
                self._made[key] = make().clone()
        return self._made[key]


class MemoryCoder:
    """Memory encoder and memory attention of a SAM 2 or EdgeTAM video model; shapes as in `Segmenter`.

    Args:
        model: The wrapped model.
        constants: Where position codes are kept.
        binarize_prompted: Threshold the masks of prompted frames first.
        dtype: How memories are kept; None for as the model's own session does.
    """

    def __init__(self, model: Any, constants: Constants, *, binarize_prompted: bool, dtype: torch.dtype | None) -> None:
        self.model = model
        self.config = model.config
        self.binarize_prompted = binarize_prompted
        self._constants = constants
        self._perceiver: Any = getattr(model, "spatial_perceiver", None)
        self._dtype = torch.bfloat16 if dtype is None and self._perceiver is None else dtype

    def encode(self, low: Tensor, mask_logits: Tensor, object_score: Tensor, *, prompted: bool) -> Tensor:
        """Memory tokens of masks; see `Segmenter.encode_memory`."""
        side = 4 * self.model.prompt_encoder.mask_input_size[0]
        full = resized(mask_logits[:, None], (side, side), antialias=False).to(low.dtype)
        shown = (full > 0).to(full.dtype) if prompted and self.binarize_prompted else full.sigmoid()
        shown = shown * self.config.sigmoid_scale_for_mem_enc + self.config.sigmoid_bias_for_mem_enc
        memory, _ = self.model.memory_encoder(low, shown)
        absent_embedding = self.model.occlusion_spatial_embedding_parameter
        if absent_embedding is not None:
            absent = (object_score <= 0).to(memory.dtype)[:, None, None, None]
            memory = memory + absent * absent_embedding[..., None, None]
        if self._perceiver is None:
            tokens = memory.flatten(2).transpose(1, 2)  # prompts tokens memory_dim
        else:
            tokens = perceiver_memory.resample(self._perceiver, memory)
        return tokens.to(low.dtype if self._dtype is None else self._dtype)

    def condition(
        self,
        low: Tensor,
        memories: Tensor,
        ages: Tensor,
        pointers: Tensor | None,
        pointer_ages: Tensor | None,
        *,
        max_pointers: int,
    ) -> Tensor:
        """A frame in the light of memories; see `Segmenter.condition_on_memory`."""
        objects, num_memories, _, width = memories.shape
        memory, positions = memories.flatten(1, 2).to(low.dtype), self._memory_positions(low, ages)
        if pointers is not None and pointers.shape[1]:
            tokens = pointers.to(low.dtype).reshape(objects, -1, width)  # a pointer is as wide as several tokens
            pointer_positions = self._pointer_positions(pointer_ages, tokens, max_pointers)
            rows = max(positions.shape[0], pointer_positions.shape[0])
            memory = torch.cat([memory, tokens], dim=1)
            positions = torch.cat([positions.expand(rows, -1, -1), pointer_positions.expand(rows, -1, -1)], dim=1)
        mixed = memory_attention.mix(
            self.model.memory_attention,
            low.flatten(2).transpose(1, 2) + self._frame_positions(low),
            memory,
            positions,
            self._frame_turns(low),
            self._memory_turns(low),
            num_memories,
        )
        return mixed.transpose(1, 2).reshape(objects, *low.shape[1:])

    def _memory_positions(self, low: Tensor, ages: Tensor) -> Tensor:
        """Place and time codes of memories, one row for all objects when they share their ages."""
        times = self.model.memory_temporal_positional_encoding[:, 0, 0][ages - 1]  # age 0 takes the last row
        return (self._memory_places(low) + times[:, :, None]).flatten(1, 2)

    def _pointer_positions(self, ages: Tensor | None, pointers: Tensor, max_pointers: int) -> Tensor:
        """Age codes of pointers cut into tokens, one row for all objects when they share their ages."""
        if not self.config.enable_temporal_pos_encoding_for_object_pointers:
            return torch.zeros_like(pointers[:1])
        assert ages is not None, "this model codes the age of pointers"
        codes = get_1d_sine_pe(ages.float() / (max_pointers - 1), dim=self.model.hidden_dim).to(pointers.dtype)
        projected: Tensor = self.model.temporal_positional_encoding_projection_layer(codes)
        return projected.repeat_interleave(pointers.shape[1] // ages.shape[1], dim=1)

    def _frame_positions(self, low: Tensor) -> Tensor:
        shape = torch.Size((1, *low.shape[1:]))
        encoding = self.model.vision_encoder.neck.position_encoding
        return self._constants.get(
            ("frame", shape, low.device, low.dtype),
            lambda: 0.1 * encoding(shape, low.device, low.dtype).to(low.dtype).flatten(2).transpose(1, 2),
        )

    def _frame_turns(self, low: Tensor) -> Tensor:
        attention = self.model.memory_attention
        key = ("frame turns", low.device)
        return self._constants.get(key, lambda: memory_attention.rotary_turns(attention, attention.position_ids))

    def _memory_turns(self, low: Tensor) -> Tensor:
        if self._perceiver is None:
            return self._frame_turns(low)
        attention, unplaced = self.model.memory_attention, self._perceiver.num_latents_1d
        return self._constants.get(
            ("memory turns", low.device), lambda: perceiver_memory.rotary_turns(attention, unplaced)
        )

    def _memory_places(self, low: Tensor) -> Tensor:
        key = ("memory", low.shape[-2:], low.device, low.dtype)
        if self._perceiver is not None:
            perceiver = self._perceiver
            return self._constants.get(key, lambda: perceiver_memory.places(perceiver, low))
        shape = torch.Size((1, self.model.mem_dim, *low.shape[-2:]))
        encoding = self.model.memory_encoder.position_encoding
        return self._constants.get(
            key, lambda: encoding(shape, low.device, low.dtype).to(low.dtype).flatten(2).transpose(1, 2)
        )


def resized(masks: Tensor, size: tuple[int, int], *, antialias: bool = True) -> Tensor:
    """Bilinear resize in float32; SAM 2 smooths the masks it is given, but not its own on their way to the memory."""
    if masks.shape[-2:] == tuple(size):
        return masks
    return F.interpolate(masks.float(), size=tuple(size), mode="bilinear", align_corners=False, antialias=antialias)
