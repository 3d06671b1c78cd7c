"""How much of a decoder's attention falls where a reader of the dialogue would look."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import Qwen2Model
from transformers.models.qwen2.modeling_qwen2 import apply_rotary_pos_emb

from sama_video.train.lessons.gazes import Gazes

_LEAST_MASS = 1e-6


def gaze_loss(decoder: Qwen2Model, states: Sequence[Tensor], gazes: Gazes) -> Float[Tensor, ""]:
    """Minus the logarithm of the attention that falls on the right tokens, averaged over gazes, heads and two layers.

    The heads are those that look by content, of the decoder's last group of keys; its first group looks at the nearest
    tokens from the start (`initialise.look_back`). The group's first head looks at what is near, the others at what is
    far. The layers are the one in the middle and the last but one, whose findings the last one can still pass on.

    Args:
        states: What each layer reads, rows x tokens x dim.
    """
    layers = {False: (len(states) - 1) // 2, True: max(0, len(states) - 2)}
    costs = []
    for is_late, layer in layers.items():
        chosen = gazes.is_late == is_late
        looks = attention(decoder, states[layer], layer, gazes.row[chosen], gazes.position[chosen])
        near = torch.einsum("nht,nt->nh", looks[:, :1], gazes.near[chosen])
        far = torch.einsum("nht,nt->nh", looks[:, 1:], gazes.far[chosen])
        costs.append(-torch.cat([near, far], dim=1).clamp(min=_LEAST_MASS).log())
    together = torch.cat(costs)
    return together.mean() if len(together) else states[0].sum() * 0.0


def attention(
    decoder: Qwen2Model,
    states: Float[Tensor, "rows tokens dim"],
    layer: int,
    rows: Int[Tensor, " gazes"],
    positions: Int[Tensor, " gazes"],
) -> Float[Tensor, "gazes heads tokens"]:
    """Attention of some tokens in one layer, by the heads of its last group of keys; nothing looks ahead."""
    config: Any = decoder.config
    groups, width = config.num_key_value_heads, config.hidden_size // config.num_attention_heads
    block: Any = decoder.layers[layer]
    normed = block.input_layernorm(states.float())
    places = torch.arange(states.shape[1], device=states.device)
    keys = block.self_attn.k_proj(normed).unflatten(-1, (groups, 1, width))[:, :, -1].transpose(1, 2)
    queries = block.self_attn.q_proj(normed).unflatten(-1, (groups, -1, width))[:, :, -1].transpose(1, 2)
    queries, keys = apply_rotary_pos_emb(queries, keys, *decoder.rotary_emb(normed, places[None]))
    scores = torch.einsum("nhd,ntd->nht", queries[rows, :, positions], keys[rows, 0]) * width**-0.5
    ahead = places > positions[:, None]
    return scores.masked_fill(ahead[:, None], -torch.inf).softmax(-1)
