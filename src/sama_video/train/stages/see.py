"""Stage `see`: the vision tower, told what every cell and every object of single frames looks like."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn
from transformers.models.internvl.modeling_internvl import InternVLVisionModel

from sama_video.model.grounding import pool_regions
from sama_video.model.modeling_sama import shuffle_pixels
from sama_video.model.processing_sama import resize_frames
from sama_video.train.config import SeeConfig, TrainConfig
from sama_video.train.initialise import initialise_vision_tower, spread_layers
from sama_video.train.lessons.attributes import (
    ATTRIBUTES,
    AttributeHead,
    attribute_loss,
    attributes_right,
    gray_shapes_loss,
    place_loss,
)
from sama_video.train.lessons.scenes import (
    Shot,
    cell_labels,
    coverage,
    filled_box,
    normalised,
    without_color,
)
from sama_video.train.stages.base import Logs, Stage, low_precision
from sama_video.train.starting_model import config_of


@dataclass(frozen=True)
class SeeBatch:
    """Frames with the classes of their cells and of their visible objects.

    Attributes:
        cell_labels: Per token, the classes of the patches it folds together, rows before columns.
        frame: Which frame each object is on.
        token_weights: How much of each token the object covers.
        gray_values: The same frames without colour, where shapes are learnt from them.
    """

    pixel_values: Float[Tensor, "frames 3 height width"]
    cell_labels: Int[Tensor, "frames tokens cells 4"]
    frame: Int[Tensor, " objects"]
    token_weights: Float[Tensor, "objects tokens"]
    object_labels: Int[Tensor, "objects 4"]
    gray_values: Float[Tensor, "frames 3 height width"] | None = None


class SeeStage(Stage):
    """The vision tower from nothing."""

    name: ClassVar[str] = "see"
    products: ClassVar[tuple[str, ...]] = ("vision_tower", "patch_head", "object_head", "spot_head")

    @classmethod
    def predecessors(cls, run: TrainConfig) -> tuple[str, ...]:
        """What was learnt on plain clips, where the recipe has such a stage."""
        return ("plain_see",) if run.plain_see.steps else ()

    def __init__(self, run: TrainConfig) -> None:
        super().__init__(run)
        config = config_of(run)
        self.side, self.tokens_per_side = config.image_side, config.tokens_per_side
        self.factor = round(1 / config.downsample_ratio)
        self.vision_tower = InternVLVisionModel(config.vision_config)
        initialise_vision_tower(self.vision_tower)
        dim = config.vision_config.hidden_size * self.factor**2
        self.patch_head = AttributeHead(dim, cells=self.factor**2)
        self.object_head = AttributeHead(dim)
        self.spot_head = nn.Linear(dim, 2)
        for head in (self.patch_head, self.object_head, self.spot_head):
            spread_layers(head)

    @property
    def see_settings(self) -> SeeConfig:
        """The stage's part of the recipe."""
        return self.run.see

    def batch(self, rng: np.random.Generator) -> SeeBatch:
        """Fresh frames; half of the objects by their masks, half by their boxes."""
        clips = [self.world.frame(rng, self.world.draw(rng)) for _ in range(self.see_settings.batch)]
        batch = self._stack(clips, lambda: bool(rng.random() < 0.5))
        if not self.see_settings.gray_shapes:
            return batch
        return replace(batch, gray_values=self._pixels(without_color(rng, _frames(clips))))

    def forward(self, batch: SeeBatch) -> tuple[Tensor, Logs]:
        """Attribute cross-entropy of cells and of pooled objects, and how far tokens are from where they say."""
        cells, objects, places = self._told(batch.pixel_values, batch)
        if batch.gray_values is None:
            dense = attribute_loss(cells, batch.cell_labels, 0.3)
            whole = attribute_loss(objects, batch.object_labels)
        else:
            gray_cells, gray_objects, gray_places = self._told(batch.gray_values, batch)
            dense = gray_shapes_loss(cells, gray_cells, batch.cell_labels, 0.3)
            whole = gray_shapes_loss(objects, gray_objects, batch.object_labels)
            places = torch.cat([places, gray_places])
        place = place_loss(places, batch.cell_labels.repeat(len(places) // len(batch.cell_labels), 1, 1, 1))
        loss = whole + self.see_settings.dense_weight * dense + self.see_settings.place_weight * place
        return loss, {"dense": dense.item(), "objects": whole.item(), "place": place.item()}

    def _told(
        self, pixel_values: Float[Tensor, "frames 3 height width"], batch: SeeBatch
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Attributes of every cell and of every object pooled over its tokens, and the place of every token."""
        tokens = self.tokens(pixel_values)
        pooled = pool_regions(tokens[batch.frame], batch.token_weights)
        return self.patch_head(tokens), self.object_head(pooled)[:, 0], self.spot_head(tokens)

    def tokens(self, pixel_values: Float[Tensor, "frames 3 height width"]) -> Float[Tensor, "frames tokens dim"]:
        """The tower's patches, folded as the projector will take them."""
        with low_precision(pixel_values.device):
            patches = self.vision_tower(pixel_values=pixel_values).last_hidden_state[:, 1:]
        return shuffle_pixels(patches.float(), self.factor)

    @torch.no_grad()
    def evaluate(self) -> Logs:
        """Share of held-out objects whose attributes are read right, one by one and all four."""
        right = []
        for seed in range(0, self.see_settings.evaluation_scenes, 8):
            rng = np.random.default_rng([1, seed])
            clips = [self.world.frame(rng, self.world.held_out(self.name, seed + i)) for i in range(8)]
            batch = self._stack(clips, lambda: False)
            _, objects, _ = self._told(batch.pixel_values, batch)
            right.append(attributes_right(objects, batch.object_labels))
        table = torch.cat(right)
        scores = dict(zip(ATTRIBUTES, table.mean(0).tolist(), strict=True))
        return {name: round(value, 4) for name, value in (scores | {"all": table.all(1).float().mean().item()}).items()}

    def _stack(self, clips: list[Shot], as_box: Callable[[], bool]) -> SeeBatch:
        cells, frames, weights, labels = [], [], [], []
        grid, factor = self.tokens_per_side, self.factor
        for number, clip in enumerate(clips):
            ids = clip.looks[:, 0]
            cells.append(cell_labels(clip.masks[:, 0], ids, grid * factor, 0.4))
            for chosen in np.flatnonzero(clip.visible[:, 0]).tolist():
                mask = clip.masks[chosen, 0]
                frames.append(number)
                weights.append(coverage(filled_box(mask) if as_box() else mask, grid).reshape(-1))
                labels.append(ids[chosen])
        folded = torch.from_numpy(np.stack(cells)).view(len(clips), grid, factor, grid, factor, -1)
        return SeeBatch(
            self._pixels(_frames(clips)),
            folded.permute(0, 1, 3, 2, 4, 5).reshape(len(clips), grid * grid, factor * factor, -1),
            torch.tensor(frames),
            torch.from_numpy(np.stack(weights)),
            torch.from_numpy(np.stack(labels)),
        )

    def _pixels(self, frames: UInt8[np.ndarray, "frames height width 3"]) -> Float[Tensor, "frames 3 side side"]:
        return normalised(resize_frames(frames, self.side))


def _frames(clips: Sequence[Shot]) -> UInt8[np.ndarray, "frames height width 3"]:
    return np.concatenate([clip.frames for clip in clips])
