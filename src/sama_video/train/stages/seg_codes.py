"""What `[SEG]` says before SAM 2 is at hand, and how its head is made to say SAM 2's own prompts instead."""

from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from sama_video.model.grounding import GroundingHead
from sama_video.train.lessons.attributes import NUM_CLASSES

_CODE_SEED: Final = 20


def class_codes(dim: int) -> Float[Tensor, "classes dim"]:
    """Fixed random codes of the classes of colour, then of shape."""
    generator = torch.Generator().manual_seed(_CODE_SEED)
    return torch.randn(sum(NUM_CLASSES[:2]), dim, generator=generator)


@torch.no_grad()
def translate_head(
    head: GroundingHead, spoken: Float[Tensor, "names prompt_dim"], wanted: Float[Tensor, "names prompt_dim"]
) -> None:
    """Make a head that says one target for each name say another; exact where an affine map leads there."""
    ones = spoken.new_ones(len(spoken), 1)
    solution = torch.linalg.lstsq(torch.cat([spoken, ones], dim=1), wanted, driver="gelsd").solution
    matrix, offset = solution[:-1].T, solution[-1]
    head.linear_2.weight.copy_(matrix @ head.linear_2.weight)
    head.linear_2.bias.copy_(matrix @ head.linear_2.bias + offset)
