"""Between words and regions: `[SEG]` states to SAM 2 prompts, and regions to tokens."""

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sama_video.model.configuration_sama import SamaConfig


class GroundingHead(nn.Module):
    """A `[SEG]` state in, a SAM 2 prompt embedding out (spec model 7.2)."""

    def __init__(self, dim: int, prompt_dim: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(dim, dim)
        self.linear_2 = nn.Linear(dim, prompt_dim)

    def forward(self, states: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch prompt_dim"]:
        """One prompt embedding per state."""
        return self.linear_2(torch.relu(self.linear_1(states)))


class ShapeMlp(nn.Module):
    """A region's binary mask, flattened, to one vector: three linear layers with ReLU between (spec model 5)."""

    def __init__(self, side: int, hidden: int, dim: int) -> None:
        super().__init__()
        self.num_pixels = side * side
        sizes = [self.num_pixels, hidden, hidden, dim]
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(sizes))

    def forward(self, flat_masks: Float[Tensor, "regions pixels"]) -> Float[Tensor, "regions dim"]:
        """One vector per mask."""
        hidden = flat_masks
        for layer in self.layers[:-1]:
            hidden = torch.relu(layer(hidden))
        return self.layers[-1](hidden)


class RegionEncoder(nn.Module):
    """Regions to two decoder tokens and two question slots each (spec model 5, 6.4)."""

    def __init__(self, config: SamaConfig) -> None:
        super().__init__()
        dim = config.text_config.hidden_size
        width = config.aggregator_config.hidden_size
        shape = (config.region_mask_side, config.region_mlp_hidden)
        self.pooled_proj = nn.Linear(dim, dim)
        self.shape_mlp = ShapeMlp(*shape, dim)
        self.slot_pooled_proj = nn.Linear(dim, width)
        self.slot_shape_mlp = ShapeMlp(*shape, width)

    def tokens(
        self, pooled: Float[Tensor, "regions dim"], shapes: Float[Tensor, "regions pixels"]
    ) -> Float[Tensor, "regions 2 dim"]:
        """The two tokens a region puts into the prompt: what it shows, then where and how it lies."""
        return torch.stack([self.pooled_proj(pooled), self.shape_mlp(shapes)], dim=1)

    def slots(
        self, pooled: Float[Tensor, "regions dim"], shapes: Float[Tensor, "regions pixels"]
    ) -> tuple[Float[Tensor, "regions width"], Float[Tensor, "regions width"]]:
        """The two vectors a region puts into the question that the aggregator reads."""
        return self.slot_pooled_proj(pooled), self.slot_shape_mlp(shapes)

    def regionless_bias(self) -> Float[Tensor, "1 width"]:
        """The constant the published inference adds when a dialogue has no region (spec model 6.5)."""
        weight = self.slot_pooled_proj.weight
        pooled = weight.new_zeros(1, self.slot_pooled_proj.in_features)
        shapes = weight.new_zeros(1, self.slot_shape_mlp.num_pixels)
        return self.slot_pooled_proj(pooled) + self.slot_shape_mlp(shapes)


def pool_regions(
    features: Float[Tensor, "regions tokens dim"], weights: Float[Tensor, "regions tokens"]
) -> Float[Tensor, "regions dim"]:
    """Average the frame tokens each region covers.

    A region that covers no token gives a zero row: a mean over nothing would be NaN and spoil the batch.

    Args:
        features: The tokens of each region's own frame.
        weights: How much of each token the region covers, 0 to 1.
    """
    weights = weights.float()[..., None]
    pooled = (features.float() * weights).sum(1) / (weights.sum(1) + 1e-8)
    return pooled.to(features.dtype)
