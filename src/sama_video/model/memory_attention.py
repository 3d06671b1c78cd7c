"""A frame's features mixed with memories, through the layers of SAM 2's (or EdgeTAM's) memory attention.

The arithmetic is that of the wrapped module, arranged for many objects on one frame: what does not depend on the
object, up to the first look at a memory, is computed once for all, and rotary codes are tables made once.
"""

from typing import Any

import torch
from jaxtyping import Complex, Float
from torch import Tensor
from torch.nn import functional as F

Turns = Complex[Tensor, "_ half_dim"]


def rotary_turns(attention: Any, position_ids: Tensor) -> Turns:
    """How far each place turns each pair of channels, as unit complex numbers."""
    cos, sin = attention.rotary_emb(position_ids.float(), position_ids)
    cos, sin = cos.reshape(-1, cos.shape[-1]), sin.reshape(-1, sin.shape[-1])
    return torch.complex(cos[:, ::2].contiguous(), sin[:, ::2].contiguous())


def mix(
    attention: Any,
    frame: Float[Tensor, "#objects tokens dim"],
    memory: Float[Tensor, "objects memory_tokens memory_dim"],
    memory_positions: Float[Tensor, "#objects memory_tokens memory_dim"],
    frame_turns: Turns,
    memory_turns: Turns,
    num_memories: int,
) -> Float[Tensor, "objects tokens dim"]:
    """The frame in the light of each object's memory.

    Args:
        attention: The memory attention module.
        frame: Features with a tenth of their position codes added; one frame may serve all objects.
        memory: Tokens of `num_memories` memories, then object pointers, which have no place.
        memory_positions: Added to the keys.
        frame_turns: Rotary codes of the frame's tokens.
        memory_turns: Rotary codes of one memory's tokens.
        num_memories: How many memories come before the pointers.
    """
    if attention.training:
        frame = frame.expand(memory.shape[0], -1, -1)  # else all objects would drop out the same channels
    keys = memory + memory_positions
    for layer in attention.layers:
        normed = layer.layer_norm1(frame)
        seen = _attend(layer.self_attn, normed, normed, normed, frame_turns, frame_turns, 1)
        frame = frame + layer.dropout1(seen)
        normed = layer.layer_norm2(frame)
        seen = _attend(layer.cross_attn_image, normed, keys, memory, frame_turns, memory_turns, num_memories)
        frame = frame + layer.dropout2(seen)
        frame = frame + layer.dropout3(_feed_forward(layer, layer.layer_norm3(frame)))
    mixed: Tensor = attention.layer_norm(frame)
    return mixed


def _attend(
    attention: Any, query: Tensor, key: Tensor, value: Tensor, query_turns: Turns, key_turns: Turns, repeats: int
) -> Tensor:
    queries = _rotate(_heads(attention, attention.q_proj(query)), query_turns, 1)
    keys = _rotate(_heads(attention, attention.k_proj(key)), key_turns, repeats)
    values = _heads(attention, attention.v_proj(value))
    objects = max(queries.shape[0], keys.shape[0])
    seen = F.scaled_dot_product_attention(
        queries.expand(objects, -1, -1, -1),
        keys,
        values,
        dropout_p=attention.dropout_p if attention.training else 0.0,
        scale=attention.scaling,
    )
    out: Tensor = attention.o_proj(seen.transpose(1, 2).flatten(2))  # objects tokens dim
    return out


def _heads(attention: Any, projected: Tensor) -> Tensor:
    return projected.unflatten(-1, (attention.num_attention_heads, -1)).transpose(1, 2)  # objects heads tokens dim


def _rotate(vectors: Tensor, turns: Turns, repeats: int) -> Tensor:
    """Turn the tokens of `repeats` maps, each with the same table of places; tokens after them stay as they are."""
    placed = repeats * turns.shape[0]
    pairs = torch.view_as_complex(vectors[:, :, :placed].float().unflatten(-1, (-1, 2)).contiguous())
    turned = torch.view_as_real(pairs.unflatten(2, (repeats, -1)) * turns).flatten(4).flatten(2, 3).to(vectors.dtype)
    return turned if placed == vectors.shape[2] else torch.cat([turned, vectors[:, :, placed:]], dim=2)


def _feed_forward(layer: Any, frame: Tensor) -> Tensor:
    if hasattr(layer, "mlp"):  # EdgeTAM
        out: Tensor = layer.mlp(frame)
    else:
        out = layer.linear2(layer.dropout(layer.activation(layer.linear1(frame))))
    return out
