"""What heads, which no model keeps, read off its frame tokens and its decoder's states while it learns."""

from collections.abc import Callable, Sequence
from typing import Final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sama_video.dialogue.markup import REGION_END
from sama_video.model.configuration_sama import SamaConfig
from sama_video.model.processing_sama import SamaProcessor
from sama_video.train.lessons.attributes import AttributeHead, attribute_loss, place_loss
from sama_video.train.lessons.gazes import Gazes
from sama_video.train.stages.base import Stage
from sama_video.train.stages.dialogue_batch import DialogueBatch

HEADS: Final = ("cell_head", "place_head", "centre_head", "look_head", "move_head")
"""Read what the states should tell; handed on between the stages, and no part of a finished model."""

_HEAD_STEPS: Final = 120
_HEAD_RATE: Final = 3e-3


class ReadingStage(Stage):
    """A stage whose model's states are to tell what the pictures show, before anybody asks."""

    config: SamaConfig
    processor: SamaProcessor

    @property
    def factor(self) -> int:
        """How many patches a side of a frame token folds together."""
        return round(1 / self.config.downsample_ratio)

    def add_heads(self) -> None:
        """Make the heads, fresh."""
        dim = self.config.text_config.hidden_size
        self.cell_head = AttributeHead(dim, cells=self.factor**2)
        self.place_head = nn.Linear(dim, 2)
        self.centre_head = nn.Linear(dim, 2 * self.config.dense_frames)
        self.look_head = AttributeHead(dim)
        self.move_head = nn.Linear(dim, 4)

    @property
    def heads(self) -> tuple[nn.Module, ...]:
        """The heads of `HEADS`."""
        return tuple(getattr(self, name) for name in HEADS)

    def acquaint_heads(self, loss_of: Callable[[int], Float[Tensor, ""]]) -> None:
        """Let fresh heads learn to read a model that is well trained, before what they say of it moves the model.

        Args:
            loss_of: How far off the heads are on the batch of a number, from 0; nothing else is moved by it.
        """
        parameters = [parameter for head in self.heads for parameter in head.parameters()]
        optimizer = torch.optim.Adam(parameters, lr=_HEAD_RATE)
        for step in range(_HEAD_STEPS):
            loss = loss_of(step)
            optimizer.param_groups[0]["lr"] = _HEAD_RATE * (1 - step / _HEAD_STEPS)
            optimizer.zero_grad()
            torch.autograd.backward(loss, inputs=parameters)
            optimizer.step()

    def readings(
        self, features: Float[Tensor, "frames tokens dim"], layers: Sequence[Tensor], batch: DialogueBatch
    ) -> dict[str, Float[Tensor, ""]]:
        """How far what heads read off frame tokens and the decoder's states is from what the pictures show."""
        inner = last_read(layers)
        assert batch.cell_labels is not None
        assert batch.gazes is not None
        return {
            "dense": attribute_loss(self.cell_head(features), batch.cell_labels, 0.3),
            "looks": self.look_loss(inner, batch),
            "centre": self.centre_loss(inner, batch),
            "place": place_loss(self.place_head(features.float()), batch.cell_labels),
            "moves": self.move_loss(layers, batch.gazes),
        }

    def centre_loss(self, inner: Float[Tensor, "rows tokens dim"], batch: DialogueBatch) -> Float[Tensor, ""]:
        """Distance between told and true places over the dense frames, in sides of the picture.

        Told at the end of a region, of its object, and at a `[SEG]`, of the object that the words before it name.
        """
        assert batch.centres is not None
        assert batch.centre_weights is not None
        named = inner[batch.input_ids == self.config.seg_token_id]
        told = self.centre_head(torch.cat([self.states_after_regions(inner, batch), named])).view_as(batch.centres)
        off = (told - batch.centres).abs().sum(-1) * batch.centre_weights
        return off.sum() / batch.centre_weights.sum().clamp(min=1.0)

    def move_loss(self, layers: Sequence[Tensor], gazes: Gazes) -> Float[Tensor, ""]:
        """Distance between told and true ways of things, in sides of the picture.

        Told by the tokens that show them, in time for the layer whose heads look for what a whole question means.
        """
        row, position = gazes.row[gazes.is_thing], gazes.position[gazes.is_thing]
        states = layers[max(0, len(layers) - 2)][row, position].float()
        off = self.move_head(F.rms_norm(states, states.shape[-1:])) - gazes.moved[gazes.is_thing]
        return off.abs().sum() / (2 * len(off) + 1e-6)

    def look_loss(self, inner: Float[Tensor, "rows tokens dim"], batch: DialogueBatch) -> Float[Tensor, ""]:
        """Cross-entropy of what each region's object looks like, read off before any question asks for it."""
        assert batch.looks is not None
        return attribute_loss(self.look_head(self.states_after_regions(inner, batch))[..., 0, :], batch.looks)

    def states_after_regions(
        self, states: Float[Tensor, "rows tokens dim"], batch: DialogueBatch
    ) -> Float[Tensor, "regions dim"]:
        """The state at the end of every region of the batch."""
        after_region = self.processor.tokenizer.convert_tokens_to_ids(REGION_END)
        return states[batch.input_ids == after_region]


def last_read(layers: Sequence[Tensor]) -> Float[Tensor, "rows tokens dim"]:
    """What the decoder's last layer reads, of unit mean square.

    What a token should tell the tokens after it has to be there before the last layer: nobody reads its last state.
    """
    return F.rms_norm(layers[-1].float(), layers[-1].shape[-1:])
