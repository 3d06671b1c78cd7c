"""Stage `segment`: SAM 2 on single frames, from clicks, boxes, corrections and attributes to masks."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import AutoModel

from sama_video.model.segmenter import Decoded, FrameFeatures, Segmenter
from sama_video.train import losses
from sama_video.train.config import SegmentConfig, TrainConfig
from sama_video.train.initialise import initialise_segmenter, spread_layers
from sama_video.train.lessons.attributes import AttributeHead, AttributePrompts, attribute_loss
from sama_video.train.lessons.prompts import (
    draw_absent_attributes,
    draw_attributes,
    draw_box,
    draw_click,
    draw_corrections,
)
from sama_video.train.lessons.scenes import TARGET_STEP, Shot, cell_labels, coverage, normalised
from sama_video.train.stages.base import Logs, Stage, low_precision
from sama_video.train.starting_model import config_of

KINDS = ("click", "box", "correction", "attribute")
# Of twelve prompts per frame: clicks, boxes, corrections, the rest attributes.
_SHARES = {"click": 4 / 12, "box": 2 / 12, "correction": 1 / 12}


@dataclass(frozen=True)
class Prompts:
    """Prompts of one kind, and what they ask for.

    Attributes:
        frame: Which frame of the batch each prompt is on.
        given: What the segmenter takes: points and labels, boxes, or attribute classes.
        object_idx: The object meant, -1 for one that is not there.
        present: Whether it can be seen.
    """

    kind: str
    frame: Int[Tensor, " prompts"]
    given: dict[str, Tensor]
    targets: Float[Tensor, "prompts height width"]
    present: Bool[Tensor, " prompts"]


@dataclass(frozen=True)
class SegmentBatch:
    """Frames, the prompts on them, and the attribute classes of their cells."""

    pixel_values: Float[Tensor, "frames 3 side side"]
    prompts: tuple[Prompts, ...]
    coarse_labels: Int[Tensor, "frames coarse coarse 4"]
    fine_labels: Int[Tensor, "frames fine fine 4"]


class SegmentStage(Stage):
    """SAM 2 from nothing: every candidate mask learns, every cell of the feature maps says what it shows."""

    name: ClassVar[str] = "segment"
    products: ClassVar[tuple[str, ...]] = ("segmenter", "attribute_prompts", "coarse_head", "fine_head")

    @classmethod
    def predecessors(cls, run: TrainConfig) -> tuple[str, ...]:
        """What was learnt on plain clips, where the recipe has such stages; what tracks may come before it."""
        plain = {"plain_segment": run.plain_segment, "plain_track": run.plain_track}
        return tuple(name for name, settings in plain.items() if settings.steps)

    def __init__(self, run: TrainConfig) -> None:
        super().__init__(run)
        config = config_of(run).segmenter_config
        self.side = int(config.image_size)
        self.segmenter = AutoModel.from_config(config)
        # Masks are never replaced for an absent object in training: that would cut their gradient.
        self.sam = Segmenter(self.segmenter, suppress_absent=False, memory_dtype=torch.float32)
        self.attribute_prompts = AttributePrompts(config.mask_decoder_config.hidden_size)
        self.coarse_head = AttributeHead(config.vision_config.fpn_hidden_size)
        self.fine_head = AttributeHead(config.vision_config.fpn_hidden_size)
        for part in (self.attribute_prompts, self.coarse_head, self.fine_head):
            spread_layers(part)
        rng = np.random.default_rng(run.seed)
        frames = np.concatenate([self.world.frame(rng, self.world.draw(rng), self.side).frames for _ in range(8)])
        initialise_segmenter(self.segmenter, normalised(frames))

    @property
    def segment_settings(self) -> SegmentConfig:
        """The single-frame part of the recipe, also where another stage mixes it in."""
        return self.run.segment

    def batch(self, rng: np.random.Generator) -> Any:
        """Fresh frames with a fresh set of prompts each."""
        settings = self.segment_settings
        clips = [self.world.frame(rng, self.world.draw(rng), self.side) for _ in range(settings.batch)]
        return segment_batch(rng, clips, settings, self.side)

    def forward(self, batch: Any) -> tuple[Tensor, Logs]:
        """Mask, presence and dense attribute losses of a batch of single frames."""
        return self.segment_loss(batch)

    def segment_loss(self, batch: SegmentBatch) -> tuple[Tensor, Logs]:
        """As `forward`; its own name so that a stage which mixes in single frames can ask for it."""
        settings = self.segment_settings
        maps = self.feature_maps(batch.pixel_values)
        features = self.features_of(maps)
        total = maps[0].new_zeros(())
        logs: Logs = {}
        count = sum(len(prompts.frame) for prompts in batch.prompts)
        for prompts in batch.prompts:
            decoded = self.decode_prompts(features, prompts)
            loss = losses.candidate_losses(
                decoded.mask_logits, decoded.iou, prompts.targets, prompts.present.float()
            ).total() + settings.presence_weight * losses.presence_loss(decoded.object_score, prompts.present)
            logs[prompts.kind] = loss.item()
            total = total + loss * (len(prompts.frame) / count)
        dense = attribute_loss(self._cells(self.coarse_head, maps[-1]), batch.coarse_labels, 0.3)
        dense = dense + attribute_loss(self._cells(self.fine_head, maps[0]), batch.fine_labels, 0.3)
        scale = torch.stack([level.square().mean() for level in maps]).sum()
        logs |= {"masks": total.item(), "dense": dense.item(), "scale": scale.item()}
        return total + settings.dense_weight * dense + settings.scale_weight * scale, logs

    def feature_maps(self, pixel_values: Float[Tensor, "frames 3 side side"]) -> tuple[Tensor, ...]:
        """The neck's maps, finest first, in float32."""
        with low_precision(pixel_values.device):
            maps = self.segmenter.vision_encoder(pixel_values, return_dict=True).fpn_hidden_states
        return tuple(level.float() for level in maps)

    def features_of(self, maps: tuple[Tensor, ...]) -> FrameFeatures:
        """The maps as the decoder takes them."""
        decoder = self.segmenter.mask_decoder
        return FrameFeatures(maps[-1], {"main": (decoder.conv_s0(maps[0]), decoder.conv_s1(maps[1]))})

    def decode_prompts(self, features: FrameFeatures, prompts: Prompts) -> Decoded:
        """Candidates for prompts without memory, as many as inference would ask for."""
        given = dict(prompts.given)
        if "attributes" in given:
            given["embeddings"] = self.attribute_prompts(given.pop("attributes"))
        sparse, dense = self.sam.embed_prompts(**given)
        num_points = (given["points"].shape[1] if "points" in given else 0) + 2 * ("boxes" in given)
        return self.sam.decode(
            self.sam.with_no_memory(features.low[prompts.frame]),
            features,
            prompts.frame,
            sparse,
            dense,
            multimask=self.sam.use_multimask(num_points=num_points, prompted=True),
        )

    @torch.no_grad()
    def evaluate(self) -> Logs:
        """Mean IoU at full size by kind of prompt, and how often presence is judged right."""
        settings = self.segment_settings
        scores: dict[str, list[Tensor]] = {}
        for seed in range(0, settings.evaluation_scenes, 8):
            rng = np.random.default_rng([1, seed])
            clips = [self.world.frame(rng, self.world.held_out(self.name, seed + i), self.side) for i in range(8)]
            batch = segment_batch(rng, clips, settings, self.side, full_targets=True)
            features = self.features_of(self.feature_maps(batch.pixel_values))
            for prompts in batch.prompts:
                chosen = self.sam.choose(self.decode_prompts(features, prompts))
                overlap = full_size_iou(chosen.mask_logits, prompts.targets)
                scores.setdefault(f"{prompts.kind}_iou", []).append(overlap[prompts.present])
                right = ((chosen.object_score > 0) == prompts.present).float()
                scores.setdefault(f"{prompts.kind}_presence", []).append(right)
        return {name: round(torch.cat(values).mean().item(), 4) for name, values in scores.items()}

    def _cells(self, head: AttributeHead, level: Tensor) -> Tensor:
        return head(level.permute(0, 2, 3, 1))[..., 0, :]


def full_size_iou(
    mask_logits: Float[Tensor, "prompts height4 width4"], targets: Float[Tensor, "prompts height width"]
) -> Float[Tensor, " prompts"]:
    """IoU of masks blown up to the size of their targets."""
    return losses.candidate_iou(losses.at_size_of(targets, mask_logits[:, None]), targets)[:, 0]


def segment_batch(
    rng: np.random.Generator,
    clips: list[Shot],
    settings: SegmentConfig,
    side: int,
    full_targets: bool = False,
) -> SegmentBatch:
    """A batch from clips of one frame each.

    Args:
        full_targets: Targets at the frame's size rather than coarser.
    """
    drawn: dict[str, list[tuple[int, dict[str, Any], np.ndarray, bool]]] = {kind: [] for kind in KINDS}
    for frame, clip in enumerate(clips):
        for kind in KINDS:
            for given, mask, present in _draw(rng, clip, kind, settings):
                drawn[kind].append((frame, given, mask, present))
    ids = [clip.looks[:, 0] for clip in clips]
    masks = [clip.masks[:, 0] for clip in clips]
    target_side = side if full_targets else side // TARGET_STEP
    return SegmentBatch(
        normalised(np.concatenate([clip.frames for clip in clips])),
        tuple(_stack(kind, rows, target_side) for kind, rows in drawn.items() if rows),
        _labels(masks, ids, side // 16, 0.2),
        _labels(masks, ids, side // 4, 0.5),
    )


def _draw(
    rng: np.random.Generator, clip: Shot, kind: str, settings: SegmentConfig
) -> list[tuple[dict[str, Any], np.ndarray, bool]]:
    spatial = {name: round(share * settings.prompts) for name, share in _SHARES.items()}
    count = spatial.get(kind, settings.prompts - sum(spatial.values()))
    visible, ids = np.flatnonzero(clip.visible[:, 0]), clip.looks[:, 0]
    prompts = []
    for _ in range(count):
        chosen = int(rng.choice(visible))
        mask = clip.masks[chosen, 0]
        if kind == "click":
            given = {"points": draw_click(rng, mask)[None]}
        elif kind == "box":
            given = {"boxes": draw_box(rng, mask)}
        elif kind == "correction":
            others = np.logical_or.reduce(np.delete(clip.masks[:, 0], chosen, axis=0), axis=0)
            points, labels = draw_corrections(rng, mask, others, 3)
            given = {"points": points, "labels": labels}
        elif rng.random() < settings.absent_share:
            prompts.append(({"attributes": draw_absent_attributes(rng, ids)}, np.zeros_like(mask), False))
            continue
        else:
            chosen = int(rng.integers(len(ids)))
            given = {"attributes": draw_attributes(rng, ids, chosen)}
            mask = clip.masks[chosen, 0]
        prompts.append((given, mask, bool(clip.visible[chosen, 0])))
    return prompts


def _stack(kind: str, rows: list[tuple[int, dict[str, Any], np.ndarray, bool]], target_side: int) -> Prompts:
    given = {key: torch.from_numpy(np.stack([row[1][key] for row in rows])) for key in rows[0][1]}
    targets = coverage(np.stack([mask for _, _, mask, _ in rows]), target_side)
    return Prompts(
        kind,
        torch.tensor([frame for frame, *_ in rows]),
        given,
        torch.from_numpy(targets),
        torch.tensor([present for *_, present in rows]),
    )


def _labels(masks: list[np.ndarray], ids: list[np.ndarray], side: int, least: float) -> Tensor:
    cells = [cell_labels(mask, own, side, least) for mask, own in zip(masks, ids, strict=True)]
    return torch.from_numpy(np.stack(cells))
