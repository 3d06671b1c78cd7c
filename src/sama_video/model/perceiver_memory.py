"""EdgeTAM's memories: a frame's memory map squeezed into a few tokens by its perceiver.

The perceiver's own forward takes one object at a time; these functions run its layers on a batch.
"""

from math import isqrt
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sama_video.model import memory_attention


def resample(
    perceiver: Any, memory: Float[Tensor, "objects memory_dim height width"]
) -> Float[Tensor, "objects tokens memory_dim"]:
    """Memory tokens of each object: first those that look at the whole map, then one for each window of it."""
    parts = []
    if perceiver.num_latents_1d > 0:
        parts.append(_whole(perceiver, memory))
    if perceiver.num_latents_2d > 0:
        parts.append(_windows(perceiver, memory))
    return torch.cat(parts, dim=1)


def _whole(perceiver: Any, memory: Tensor) -> Tensor:
    objects = memory.shape[0]
    shape = torch.Size((1, *memory.shape[1:]))
    places = perceiver.positional_encoding(shape, memory.device, memory.dtype).to(memory.dtype)
    places = places.flatten(2).transpose(1, 2).expand(objects, -1, -1)
    tokens = memory.flatten(2).transpose(1, 2)
    latents = perceiver.latents_1d.expand(objects, -1, -1)
    for layer in perceiver.layers:
        latents = layer(latents, tokens, places)
    return perceiver.layer_norm(latents)


def _windows(perceiver: Any, memory: Tensor) -> Tensor:
    objects, width = memory.shape[:2]
    across = isqrt(perceiver.num_latents_2d)
    cells = memory.unflatten(2, (across, -1)).unflatten(4, (across, -1))  # objects dim down tall across wide
    cells = cells.permute(0, 2, 4, 3, 5, 1).flatten(3, 4).flatten(0, 2)  # (objects windows) cells dim
    latents = perceiver.latents_2d.expand(objects, -1, -1).reshape(-1, 1, width)
    for layer in perceiver.layers:
        latents = layer(latents, cells, None)
    return perceiver.layer_norm(latents.view(objects, -1, width))


def places(perceiver: Any, low: Tensor) -> Float[Tensor, "1 tokens memory_dim"]:
    """Position codes of the memory tokens: none for those of the whole map, the window's place for the others."""
    width = perceiver.hidden_size
    parts = []
    if perceiver.num_latents_1d > 0:
        parts.append(low.new_zeros(1, perceiver.num_latents_1d, width))
    if perceiver.num_latents_2d > 0:
        across = isqrt(perceiver.num_latents_2d)
        shape = torch.Size((1, width, across, across))
        codes = perceiver.positional_encoding(shape, low.device, low.dtype).to(low.dtype)
        parts.append(codes.flatten(2).transpose(1, 2))
    return torch.cat(parts, dim=1)


def rotary_turns(attention: Any, num_whole: int) -> memory_attention.Turns:
    """Rotary codes of one memory's tokens: those of the whole map stay as they are, the others turn by their window."""
    placed = memory_attention.rotary_turns(attention, attention.position_ids_k)
    return torch.cat([torch.ones_like(placed[:1]).expand(num_whole, -1), placed])
