"""What objects look like, as class numbers, and the small modules that read and speak them.

The classes are those of the diagnostic world; the older world has the first of each.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from sama_video.data.synthetic.appearance import Look
from sama_video.data.synthetic.levels import COLORS, SHAPES, SIZES, TEXTURES
from sama_video.data.synthetic.shapes import ObjectSpec

ATTRIBUTES: Final[dict[str, tuple[str, ...]]] = {
    "color": tuple(COLORS),
    "shape": SHAPES,
    "texture": TEXTURES,
    "size": SIZES,
}
UNSAID: Final = 0
"""Class number of an attribute that a prompt leaves out, and of background in a feature map."""

NUM_CLASSES: Final = tuple(len(words) + 1 for words in ATTRIBUTES.values())


def attribute_ids(specs: Sequence[ObjectSpec | Look]) -> Int[np.ndarray, "objects 4"]:
    """Class numbers of each object's colour, shape, texture and size, counted from 1."""
    rows = [[words.index(getattr(spec, name)) + 1 for name, words in ATTRIBUTES.items()] for spec in specs]
    return np.asarray(rows, dtype=np.int64).reshape(-1, len(ATTRIBUTES))


class AttributePrompts(nn.Module):
    """Attributes to a SAM 2 prompt: the sum of one learned row per attribute.

    They teach SAM 2 what words will later ask for, before there are any words; a `[SEG]` state then has a place to go.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(count, dim) for count in NUM_CLASSES)

    def forward(self, ids: Int[Tensor, "objects 4"]) -> Float[Tensor, "objects dim"]:
        """One prompt per row; class 0 stands for an attribute left unsaid."""
        rows = [table(column) for table, column in zip(self.tables, ids.unbind(-1), strict=True)]
        return torch.stack(rows).sum(0)


class AttributeHead(nn.Module):
    """Attribute logits of feature vectors, for the auxiliary losses; never part of a finished model."""

    def __init__(self, dim: int, cells: int = 1) -> None:
        super().__init__()
        self.cells = cells
        self.norm = nn.LayerNorm(dim)
        self.classes = nn.Linear(dim, cells * sum(NUM_CLASSES))

    def forward(self, features: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch cells classes"]:
        """The classes of all attributes side by side, for each of the cells that a vector stands for."""
        return self.classes(self.norm(features.float())).unflatten(-1, (self.cells, -1))


def attribute_loss(
    logits: Float[Tensor, "*batch classes"], ids: Int[Tensor, "*batch 4"], background_weight: float = 1.0
) -> Float[Tensor, ""]:
    """Mean cross-entropy over attributes; zero when there is nothing to say.

    Args:
        ids: Class numbers; 0 is background.
        background_weight: What a background cell counts, against 1 for an object's.
    """
    losses = []
    for part, column in zip(logits.split(NUM_CLASSES, dim=-1), ids.unbind(-1), strict=True):
        flat, wanted = part.reshape(-1, part.shape[-1]), column.reshape(-1)
        weights = torch.where(wanted == UNSAID, background_weight, 1.0)
        each = F.cross_entropy(flat, wanted, reduction="none")
        losses.append((each * weights).sum() / weights.sum().clamp(min=1e-6))
    return torch.stack(losses).mean()


def attributes_right(
    logits: Float[Tensor, "objects classes"], ids: Int[Tensor, "objects 4"]
) -> Float[Tensor, "objects 4"]:
    """1.0 where the likeliest class is the right one."""
    parts = [part.argmax(-1) for part in logits.split(NUM_CLASSES, dim=-1)]
    return (torch.stack(parts, dim=-1) == ids).float()
