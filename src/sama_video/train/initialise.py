"""Starting weights for training from nothing.

The classes of `transformers` start many tables and scales at zero and linear layers at a deviation of 0.02. That suits
loading a checkpoint; from scratch it costs most of the first minutes.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import Qwen2Model, Sam2VideoModel
from transformers.models.internvl.modeling_internvl import InternVLVisionModel
from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoAttention, Sam2VideoMemoryFuserCXBlock

_TABLE_STD = 0.2
_FUSER_SCALE = 0.1
_MAP_STD = 0.3
_LOCAL_SHARE = 3 / 8  # of the rotary speeds, the fast ones: they tell near from far
_LOCAL_STRENGTH = 2.3  # makes the nearest tokens outweigh some hundred others


@torch.no_grad()
def initialise_vision_tower(tower: InternVLVisionModel) -> None:
    """Xavier layers, and position and class tables that differ from place to place."""
    spread_layers(tower)
    nn.init.normal_(tower.embeddings.position_embeddings, std=_TABLE_STD)
    nn.init.normal_(tower.embeddings.cls_token, std=_TABLE_STD)


@torch.no_grad()
def initialise_segmenter(model: Sam2VideoModel, pixel_values: Float[Tensor, "frames 3 side side"]) -> None:
    """SAM 2 ready to learn from nothing.

    Args:
        pixel_values: Some frames, by which the feature maps' scale is set.
    """
    spread_layers(model)
    for name, parameter in model.named_parameters():
        if name.rsplit(".", 1)[-1] in _TABLES:
            nn.init.normal_(parameter, std=_TABLE_STD)
    for module in model.modules():
        if isinstance(module, Sam2VideoMemoryFuserCXBlock):
            nn.init.constant_(module.scale, _FUSER_SCALE)
    for name, module in model.mask_decoder.transformer.named_modules():
        # With equal projections a prompt finds its place by likeness of position codes.
        if isinstance(module, Sam2VideoAttention) and not name.endswith("self_attn"):
            module.k_proj.weight.copy_(module.q_proj.weight)
    # Two independent random codes by construction; clicks mean nothing unless they are the same.
    model.prompt_encoder.shared_embedding.positional_embedding.copy_(model.shared_image_embedding.positional_embedding)
    _scale_feature_maps(model, pixel_values)


def spread_layers(module: nn.Module) -> None:
    """Xavier for linear layers, the framework's defaults for convolutions, normal tables."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
            part.reset_parameters()
        elif isinstance(part, nn.Embedding):
            nn.init.normal_(part.weight, std=_TABLE_STD)


_TABLES = frozenset(
    {
        "pos_embed",
        "pos_embed_window",
        "no_memory_embedding",
        "no_memory_positional_encoding",
        "memory_temporal_positional_encoding",
        "no_object_pointer",
        "occlusion_spatial_embedding_parameter",
    }
)


def _scale_feature_maps(model: Sam2VideoModel, pixel_values: Float[Tensor, "frames 3 side side"]) -> None:
    """Scale the neck so that its maps are of the size of the position codes.

    Hiera and its neck end without a norm; left alone, the maps drown the codes and clicks are not localised.
    """
    stages = model.vision_encoder.backbone(pixel_values, return_dict=True).intermediate_hidden_states
    for stage, conv in zip(reversed(stages), model.vision_encoder.neck.convs, strict=True):
        lateral = conv(stage.permute(0, 3, 1, 2))
        conv.weight.mul_(_MAP_STD / lateral.std())
        nn.init.zeros_(conv.bias)


@torch.no_grad()
def look_back(decoder: Qwen2Model) -> None:
    """Half of the heads of a decoder of words start by looking at the tokens just before each one.

    A region's tokens, or the words of a phrase, stand right before what is to be said of them, among hundreds of frame
    tokens. Heads that start blind look at all of them alike, and take most of a training to find the near ones. Equal
    biases of queries and keys, turned apart by some tokens, are a preference for that distance under rotary codes.
    """
    config: Any = decoder.config
    dim, groups = config.hidden_size // config.num_attention_heads, config.num_key_value_heads
    shared = config.num_attention_heads // groups
    speeds = config.rope_parameters["rope_theta"] ** (-torch.arange(dim // 2) * 2 / dim)
    kept = torch.where(torch.arange(dim // 2) < round(_LOCAL_SHARE * dim / 2), _LOCAL_STRENGTH, 0.0)
    for layer in decoder.layers:
        attention: Any = layer.self_attn
        keys, queries = attention.k_proj.bias.view(groups, dim), attention.q_proj.bias.view(-1, dim)
        keys[0] = torch.cat([kept, torch.zeros_like(kept)])
        for head in range(shared):
            turn = speeds * -(head + 1)
            queries[head] = torch.cat([kept * turn.cos(), kept * turn.sin()])
