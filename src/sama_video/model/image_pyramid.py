"""SAM 2's image encoder without the position codes that its own forward makes anew for every batch."""

from typing import Any

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F
from transformers import Sam2VisionModel


def feature_maps(encoder: Any, pixel_values: Float[Tensor, "frames 3 side side"]) -> tuple[Tensor, ...]:
    """Maps from fine to coarse, as many as the encoder's `num_feature_levels`."""
    if not isinstance(encoder, Sam2VisionModel):
        maps: tuple[Tensor, ...] = encoder(pixel_values, return_dict=True).fpn_hidden_states
        return maps
    neck = encoder.neck
    stages = encoder.backbone(pixel_values, return_dict=True).intermediate_hidden_states  # each frames height width dim
    levels: list[Tensor] = []
    for convolution, (level, stage) in zip(neck.convs, reversed(list(enumerate(stages))), strict=True):
        lateral = convolution(stage.permute(0, 3, 1, 2).to(convolution.weight.dtype))
        if levels and level in (neck.fpn_top_down_levels or ()):
            coarser = F.interpolate(levels[-1].float(), scale_factor=2.0, mode="nearest")
            lateral = lateral + coarser.to(lateral.dtype)
        levels.append(lateral)
    return tuple(reversed(levels[-encoder.num_feature_levels :]))
