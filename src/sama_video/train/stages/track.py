"""Stage `track`: SAM 2's memory, unrolled over a few frames of many objects at once."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sama_video.model.segmenter import Decoded, FrameFeatures, MaskPrediction
from sama_video.train import losses
from sama_video.train.config import TrackConfig, TrainConfig
from sama_video.train.lessons.prompts import draw_box, draw_click
from sama_video.train.lessons.scenes import TARGET_STEP, Shot, coverage, normalised
from sama_video.train.stages.base import Logs, low_precision
from sama_video.train.stages.segment import SegmentBatch, SegmentStage, full_size_iou

_ABSENT_LOGIT = -1024.0


@dataclass(frozen=True)
class TrackBatch:
    """Clips of equal length and the objects followed in them.

    Attributes:
        pixel_values: All frames, clip after clip.
        clip: Which clip each object belongs to.
        prompted: Positions in the clip that bring a prompt.
        given: The prompt: points or boxes on the only prompted frame, or a mask for each prompted frame.
        present: Whether each object can be seen in each frame.
        hard: Whether masks of prompted frames are thresholded before they are remembered, as they are in use. That cuts
            their gradient, so it is done half of the time.
    """

    pixel_values: Float[Tensor, "frames 3 side side"]
    num_frames: int
    clip: Int[Tensor, " objects"]
    prompted: tuple[int, ...]
    given: dict[str, Tensor]
    targets: Float[Tensor, "objects frames height width"]
    present: Bool[Tensor, "objects frames"]
    hard: bool


@dataclass
class Past:
    """What the objects of a batch remember so far."""

    conditioning: list[Tensor] = field(default_factory=list)
    conditioning_pointers: list[tuple[int, Tensor]] = field(default_factory=list)
    recent: list[tuple[int, Tensor, Tensor]] = field(default_factory=list)


class TrackStage(SegmentStage):
    """Memory attention, memory encoder and object pointers; the encoder learns in the single-frame batches only."""

    name: ClassVar[str] = "track"
    starts_from: ClassVar[tuple[str, ...]] = ("segment",)
    products: ClassVar[tuple[str, ...]] = ("segmenter",)

    @classmethod
    def predecessors(cls, run: TrainConfig) -> tuple[str, ...]:
        """Single frames first."""
        return cls.starts_from

    def __init__(self, run: TrainConfig) -> None:
        super().__init__(run)
        # Words learn to speak these prompts from the `segment` stage on, so they stay as they were.
        self.attribute_prompts.requires_grad_(False)

    @property
    def track_settings(self) -> TrackConfig:
        """The stage's part of the recipe."""
        return self.run.track

    def batch(self, rng: np.random.Generator) -> Any:
        """Fresh clips, or now and then fresh single frames."""
        settings = self.track_settings
        if settings.segment_every and rng.random() < 1 / settings.segment_every:
            return super().batch(rng)
        kind = str(rng.choice(["click", "box", "mask"]))
        num_prompted = int(rng.integers(1, 6)) if kind == "mask" else 1
        num_frames, num_clips = settings.frames - 1 + num_prompted, settings.batch
        if rng.random() < settings.long_share:
            num_frames, num_clips = 2 * num_frames, max(1, num_clips // 2)
        prompted = _spread(rng, num_frames, num_prompted)
        clips: list[Shot] = []
        while len(clips) < num_clips:
            clip = self.world.clip(rng, self.world.draw(rng), num_frames, self.side)
            if len(followed(clip, prompted)):
                clips.append(clip)
        return track_batch(rng, clips, prompted, kind, settings.objects, self.side // TARGET_STEP)

    def forward(self, batch: Any) -> tuple[Tensor, Logs]:
        """Mask and presence losses of every frame that has a mask to learn."""
        if isinstance(batch, SegmentBatch):
            loss, logs = self.segment_loss(batch)
            return loss, {f"segment_{name}": value for name, value in logs.items()}
        total, count, logs = batch.pixel_values.new_zeros(()), 0, dict[str, float]()
        for frame, decoded, _ in self.unroll(batch):
            masks = losses.candidate_losses(
                decoded.mask_logits, decoded.iou, batch.targets[:, frame], batch.present[:, frame].float()
            ).total()
            presence = losses.presence_loss(decoded.object_score, batch.present[:, frame])
            total = total + masks + self.track_settings.presence_weight * presence
            count += 1
            logs["first" if frame in batch.prompted else "tracked"] = masks.item()
            logs["presence"] = presence.item()
        return total / max(1, count), logs

    def unroll(self, batch: TrackBatch, *, as_in_use: bool = False) -> Iterator[tuple[int, Decoded, MaskPrediction]]:
        """Every decoded frame in turn: first the prompted ones (unless their mask was given), then the tracked ones.

        Args:
            as_in_use: Remember the candidate that the model believes in, not the one that is best in truth.
        """
        features = self.frozen_features(batch.pixel_values)
        past = Past()
        for number, frame in enumerate(batch.prompted):
            rows = batch.clip * batch.num_frames + frame
            if "masks" in batch.given:
                chosen = self.sam.mask_as_output(features, rows, batch.given["masks"][:, number])
            else:
                decoded = self._decode(features, rows, self.sam.with_no_memory(features.low[rows]), batch.given)
                chosen = self._pick(decoded, None if as_in_use else batch.targets[:, frame])
                yield frame, decoded, chosen
            memory = self._memory(features.low[rows], chosen, prompted=batch.hard or as_in_use)
            past.conditioning.append(memory)
            past.conditioning_pointers.append((frame, chosen.object_pointer))
        for frame in range(batch.num_frames):
            if frame in batch.prompted:
                continue
            rows = batch.clip * batch.num_frames + frame
            mixed = self._recall(features.low[rows], frame, past)
            decoded = self._decode(features, rows, mixed, {})
            chosen = self._pick(decoded, None if as_in_use else batch.targets[:, frame])
            yield frame, decoded, chosen
            past.recent.append((frame, self._memory(features.low[rows], chosen, prompted=False), chosen.object_pointer))

    @torch.no_grad()
    def frozen_features(self, pixel_values: Float[Tensor, "frames 3 side side"]) -> FrameFeatures:
        """Features from which the encoder learns nothing, only the decoder's own layers over the fine maps."""
        with low_precision(pixel_values.device):
            maps = self.segmenter.vision_encoder(pixel_values, return_dict=True).fpn_hidden_states
        maps = tuple(level.float() for level in maps)
        with torch.enable_grad():
            return self.features_of(maps)

    @torch.no_grad()
    def evaluate(self) -> Logs:
        """IoU on the clicked frame and after it, on clips as long as their scenes; presence; and single frames."""
        first: list[Tensor] = []
        later: list[Tensor] = []
        copied: list[Tensor] = []
        presence: list[Tensor] = []
        for number in range(0, self.track_settings.evaluation_scenes, 4):
            rng = np.random.default_rng([2, number])
            clips = [self._held_out_clip(number + i) for i in range(4)]
            batch = track_batch(rng, clips, (0,), "click", self.track_settings.objects, self.side)
            seen = batch.present
            for frame, _, chosen in self.unroll(batch, as_in_use=True):
                overlap = full_size_iou(chosen.mask_logits, batch.targets[:, frame])[seen[:, frame]]
                (first if frame == 0 else later).append(overlap)
                if frame:
                    presence.append(((chosen.object_score > 0) == seen[:, frame]).float())
                    same = losses.candidate_iou(batch.targets[:, :1] - 0.5, batch.targets[:, frame])[:, 0]
                    copied.append(same[seen[:, frame]])
        scores = {"first_iou": first, "tracked_iou": later, "copied_iou": copied, "presence": presence}
        shown = {name: round(torch.cat(values).mean().item(), 4) for name, values in scores.items()}
        return shown | {f"segment_{name}": value for name, value in super().evaluate().items() if name.endswith("iou")}

    def _held_out_clip(self, number: int) -> Shot:
        scene = self.world.held_out(self.name, number)
        clip = self.world.shoot(scene, self.world.spread(scene, 8), self.side)
        return clip if len(followed(clip, (0,))) else self._held_out_clip(number + 1000)

    def _decode(
        self, features: FrameFeatures, rows: Int[Tensor, " objects"], low: Tensor, given: dict[str, Tensor]
    ) -> Decoded:
        sparse, dense = self.sam.embed_prompts(**given)
        num_points = 2 if "boxes" in given else len(given)
        multimask = self.sam.use_multimask(num_points=num_points, prompted=bool(given))
        return self.sam.decode(low, features, rows, sparse.expand(len(rows), -1, -1), dense, multimask=multimask)

    def _pick(self, decoded: Decoded, targets: Tensor | None) -> MaskPrediction:
        """The candidate to remember: the believed one, or, where targets are given, the one nearest to them."""
        if targets is None:
            return self.sam.choose(decoded)
        with torch.no_grad():
            logits = losses.at_size_of(targets, decoded.mask_logits)
            wanted = targets[:, None].expand_as(logits)
            best = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none").mean((-2, -1))
        rows, best = torch.arange(len(targets), device=targets.device), best.argmin(1)
        return self.sam.choose(
            Decoded(
                decoded.mask_logits[rows, best][:, None],
                decoded.iou[rows, best][:, None],
                decoded.tokens[rows, best][:, None],
                decoded.object_score,
            )
        )

    def _memory(self, low: Tensor, chosen: MaskPrediction, *, prompted: bool) -> Tensor:
        absent = chosen.object_score <= 0
        logits = chosen.mask_logits.masked_fill(absent[:, None, None], _ABSENT_LOGIT)
        return self.sam.encode_memory(low, logits, chosen.object_score, prompted=prompted)

    def _recall(self, low: Tensor, frame: int, past: Past) -> Tensor:
        """A frame in the light of everything remembered, as the tracker does it in use."""
        config = self.segmenter.config
        recent = past.recent[-(config.num_maskmem - 1) :]
        ages = [0] * len(past.conditioning) + list(range(len(recent), 0, -1))
        memories = torch.stack(past.conditioning + [memory for _, memory, _ in recent], dim=1)
        behind = [(frame - at, pointer) for at, pointer in past.conditioning_pointers if at <= frame]
        newest = past.recent[::-1][: config.max_object_pointers_in_encoder - 1]
        told = behind + [(age + 1, pointer) for age, (_, _, pointer) in enumerate(newest)]
        pointers = torch.stack([pointer for _, pointer in told], dim=1) if told else None
        pointer_ages = torch.tensor([[age for age, _ in told]], device=low.device).float() if told else None
        return self.sam.condition_on_memory(
            low, memories, torch.tensor([ages], device=low.device), pointers, pointer_ages
        )


def followed(clip: Shot, prompted: tuple[int, ...]) -> list[int]:
    """Objects that can be seen in some prompted frame."""
    return np.flatnonzero(clip.visible[:, list(prompted)].any(1)).tolist()


def track_batch(
    rng: np.random.Generator,
    clips: list[Shot],
    prompted: tuple[int, ...],
    kind: str,
    most_objects: int,
    target_side: int,
) -> TrackBatch:
    """Clips of one length with the same frames prompted in the same way: "click", "box" or "mask"."""
    rows = [(number, int(i)) for number, clip in enumerate(clips) for i in followed(clip, prompted)[:most_objects]]
    masks = np.stack([clips[number].masks[i] for number, i in rows])
    first = prompted[0]
    if kind == "mask":
        given = {"masks": masks[:, list(prompted)].astype(np.float32)}
    elif kind == "box":
        given = {"boxes": np.stack([draw_box(rng, mask[first]) for mask in masks])}
    else:
        given = {"points": np.stack([draw_click(rng, mask[first])[None] for mask in masks])}
    return TrackBatch(
        normalised(np.concatenate([clip.frames for clip in clips])),
        clips[0].num_frames,
        torch.tensor([number for number, _ in rows]),
        prompted,
        {name: torch.from_numpy(value) for name, value in given.items()},
        torch.from_numpy(coverage(masks, target_side)),
        torch.from_numpy(np.stack([clips[number].visible[i] for number, i in rows])),
        bool(rng.random() < 0.5),
    )


def _spread(rng: np.random.Generator, num_frames: int, count: int) -> tuple[int, ...]:
    """The first frame, or several frames anywhere in the clip."""
    if count == 1:
        return (0,)
    return tuple(sorted(rng.choice(num_frames, count, replace=False).tolist()))
