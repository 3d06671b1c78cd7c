"""What objects look like, as class numbers, and the small modules that read and speak them.

The classes are those of the diagnostic world; the older world has the first of each.
"""

import math
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
from sama_video.train.lessons.scenes import token_places

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
        wanted = column.reshape(-1)
        each = F.cross_entropy(part.reshape(-1, part.shape[-1]), wanted, reduction="none")
        losses.append(_weighted_mean(each, wanted, background_weight))
    return torch.stack(losses).mean()


def gray_shapes_loss(
    logits: Float[Tensor, "*batch classes"],
    gray: Float[Tensor, "*batch classes"],
    ids: Int[Tensor, "*batch 4"],
    background_weight: float = 1.0,
) -> Float[Tensor, ""]:
    """Mean cost over attributes of the same pictures with colour and without.

    Shapes are learnt from those without alone, and those with colour are to give what these give, right or wrong: so no
    colour speaks for or against a shape, whatever pairs of them there were to learn from.

    Args:
        gray: Logits of the pictures without colour.
        background_weight: As in `attribute_loss`.
    """
    losses = []
    parts = (values.split(NUM_CLASSES, dim=-1) for values in (logits, gray))
    for name, with_color, without, column in zip(ATTRIBUTES, *parts, ids.unbind(-1), strict=True):
        wanted = column.reshape(-1)
        seen, grayed = (part.reshape(-1, part.shape[-1]) for part in (with_color, without))
        each = F.cross_entropy(grayed if name == "shape" else seen, wanted, reduction="none")
        if name == "shape":
            each = each + F.cross_entropy(seen, grayed.detach().softmax(-1), reduction="none")
        elif name != "color":
            each = 0.5 * (each + F.cross_entropy(grayed, wanted, reduction="none"))
        losses.append(_weighted_mean(each, wanted, background_weight))
    return torch.stack(losses).mean()


def place_loss(told: Float[Tensor, "frames tokens 2"], ids: Int[Tensor, "frames tokens cells 4"]) -> Float[Tensor, ""]:
    """Mean distance of tokens from where they say they are, half of it of those that show objects.

    What a token shows drowns where it is: by all tokens alike, those of objects would be the last to learn.

    Args:
        told: Row before column, in sides of the picture.
    """
    off = told - token_places(math.isqrt(told.shape[1]), told.device)
    shows = (ids != UNSAID).flatten(2).any(-1)
    each = off.abs().mean(-1)
    return 0.5 * each.mean() + 0.5 * (each * shows).sum() / shows.sum().clamp(min=1)


def _weighted_mean(
    each: Float[Tensor, " items"], wanted: Int[Tensor, " items"], background_weight: float
) -> Float[Tensor, ""]:
    weights = torch.where(wanted == UNSAID, background_weight, 1.0)
    return (each * weights).sum() / weights.sum().clamp(min=1e-6)


def attributes_right(
    logits: Float[Tensor, "objects classes"], ids: Int[Tensor, "objects 4"]
) -> Float[Tensor, "objects 4"]:
    """1.0 where the likeliest class is the right one."""
    parts = [part.argmax(-1) for part in logits.split(NUM_CLASSES, dim=-1)]
    return (torch.stack(parts, dim=-1) == ids).float()
