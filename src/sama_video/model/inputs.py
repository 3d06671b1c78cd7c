"""The picture side of a dialogue as tensors: what the processor hands to the model."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class RegionInputs:
    """The regions of one turn, each on one frame.

    Attributes:
        frame_positions: Which of the dialogue's encoded frames each region lies on.
        token_weights: How much of each frame token a region covers, 0 to 1.
        shapes: Each region's mask, flattened, 0 or 1.
    """

    frame_positions: Int[Tensor, " regions"]
    token_weights: Float[Tensor, "regions tokens"]
    shapes: Float[Tensor, "regions pixels"]

    def __len__(self) -> int:
        return len(self.frame_positions)

    def to(self, *args: Any) -> "RegionInputs":
        """The same on another device or in another float type."""
        return replace(
            self,
            frame_positions=self.frame_positions.to(self.token_weights.to(*args).device),
            token_weights=self.token_weights.to(*args),
            shapes=self.shapes.to(*args),
        )


@dataclass(frozen=True)
class TurnInputs:
    """One question's share of the pictures.

    Attributes:
        dense_positions: Encoded frames whose every token stands in this turn, in order of their blocks.
        question_ids: The question as the aggregator reads it; empty when the model has no aggregator.
        regions: What the question points at; `None` when it points at nothing.
    """

    dense_positions: tuple[int, ...]
    question_ids: Int[Tensor, " text"]
    regions: RegionInputs | None = None

    def to(self, *args: Any) -> "TurnInputs":
        """The same on another device or in another float type."""
        regions = self.regions.to(*args) if self.regions is not None else None
        device = torch.empty(0).to(*args).device if args else self.question_ids.device
        return replace(self, question_ids=self.question_ids.to(device), regions=regions)


@dataclass(frozen=True)
class VideoInputs:
    """One dialogue's pictures and the turns that use them.

    Attributes:
        pixel_values: Frames for the vision tower; the positions below count in this stack.
        context_positions: The sparse frames, each of which gives a context token in every turn.
        turns: In order.
    """

    pixel_values: Float[Tensor, "frames 3 height width"]
    context_positions: tuple[int, ...]
    turns: tuple[TurnInputs, ...] = field(default=())

    def to(self, *args: Any) -> "VideoInputs":
        """The same on another device or in another float type."""
        return replace(
            self, pixel_values=self.pixel_values.to(*args), turns=tuple(turn.to(*args) for turn in self.turns)
        )


def pad_questions(turns: Sequence[TurnInputs]) -> tuple[Int[Tensor, "prompts text"], Int[Tensor, "prompts text"]]:
    """Question ids of several turns padded on the right with 0, and the mask of what is text."""
    longest = max(len(turn.question_ids) for turn in turns)
    ids = turns[0].question_ids.new_zeros(len(turns), longest)
    mask = torch.zeros_like(ids)
    for row, turn in enumerate(turns):
        ids[row, : len(turn.question_ids)] = turn.question_ids
        mask[row, : len(turn.question_ids)] = 1
    return ids, mask
