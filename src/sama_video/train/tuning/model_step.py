"""One forward pass of training: text, masks on the sampled frames, and the sums that the losses are made of."""

from collections.abc import Iterator, Sequence
from typing import Final

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from sama_video.model.inputs import VideoInputs
from sama_video.model.modeling_sama import SamaForConditionalGeneration
from sama_video.model.processing_sama import IMAGE_MEAN, IMAGE_STD
from sama_video.model.segmenter import Segmenter
from sama_video.train import losses
from sama_video.train.tuning.collate import TuneBatch
from sama_video.train.tuning.examples import IGNORED, MaskTargets
from sama_video.train.tuning.settings import LossSettings

SUMS: Final = (
    "text_sum",
    "labels",
    "mask_sum",
    "dice_sum",
    "prompts",
    "answers",
    "answers_right",
    "grounded_answers",
    "grounded_said",
    "records",
    "tokens",
)
"""What a step adds up; `averages` makes figures of it. Sums of ranks and steps may be added."""

ALWAYS_RUN: Final = "language_model"
"""The part that every batch goes through; the others may stand still, and must still take part in every update."""

COUNT_MARGIN: Final = 1e-4 + torch.finfo(torch.float32).eps
"""What the published mask losses add to the count they divide by."""

PAPER_BIAS: Final = 1e-6
"""Factor of the constant that the published training adds to questions without regions (spec model 6.5)."""


class TuningModel(nn.Module):
    """A SAMA model with its losses, all inside one `forward`, as DDP and FSDP need it.

    Args:
        sama: Its parameters that require a gradient are trained.
        regionless_bias: As for `SamaModel.turn_embeddings`.
        bf16: Whether matrix products are done in bfloat16; set here, for not every engine sees to it.
        always_looks: Look at a blank frame where a batch has none. Engines that shard the tower's layers fetch them on
            all ranks at once, so none may pass them by; what is seen goes nowhere.
    """

    def __init__(
        self,
        sama: SamaForConditionalGeneration,
        loss: LossSettings,
        *,
        regionless_bias: float = 0.0,
        bf16: bool = False,
        always_looks: bool = False,
    ) -> None:
        super().__init__()
        self.sama = sama
        self.loss = loss
        self.regionless_bias = regionless_bias
        self.bf16 = bf16
        self.always_looks = always_looks
        self.config = sama.config
        # Holds no parameters of its own; made once, for it keeps position codes.
        self.segmenter = Segmenter(sama.model.segmenter, suppress_absent=False)

    def forward(
        self,
        batch: TuneBatch,
        num_labels: Float[Tensor, ""],
        num_prompts: Float[Tensor, ""],
    ) -> dict[str, Tensor]:
        """The loss as this batch's share of the update, and `SUMS` as one vector.

        Args:
            num_labels: Labels of the whole update, over all its micro-steps and ranks; the text loss is a mean over
                these, so that it does not matter how the records were dealt out.
            num_prompts: Masks of the whole update.
        """
        with torch.autocast(batch.input_ids.device.type, torch.bfloat16, enabled=self.bf16):
            return self._losses(batch, num_labels, num_prompts)

    def _losses(self, batch: TuneBatch, num_labels: Tensor, num_prompts: Tensor) -> dict[str, Tensor]:
        states = self._states(batch)
        text_sum, counts = self._text(states, batch.labels)
        loss = self.loss.text_weight * text_sum / num_labels.clamp(min=1)
        mask_sum = dice_sum = text_sum.new_zeros(())
        num_own = text_sum.new_tensor(batch.num_prompts)
        if batch.targets is not None:
            prompts = self._prompts(states, batch)
            mask_sum, dice_sum = self._mask_sums(prompts, batch.targets)
            points = self.loss.points_per_mask
            loss = loss + self.loss.mask_weight * mask_sum / (num_prompts * points + COUNT_MARGIN)
            loss = loss + self.loss.dice_weight * dice_sum / (num_prompts + COUNT_MARGIN)
        size = torch.tensor([len(batch.record_ids), batch.input_ids.numel()], device=states.device)
        sums = [text_sum.detach(), counts[0], mask_sum.detach(), dice_sum.detach(), num_own, *counts[1:], *size]
        return {"loss": loss + self._touch(), "sums": torch.stack([value.float() for value in sums])}

    # words

    def _states(self, batch: TuneBatch) -> Float[Tensor, "rows tokens dim"]:
        parts = self.sama.model
        placeholders = self._placeholders(batch.videos)
        embeds = parts.embed_tokens(batch.input_ids, placeholders)
        if not len(placeholders):
            embeds = embeds + placeholders.sum() * 0.0  # ties a blank frame to the loss, so that ranks go back alike
        return parts.language_model(inputs_embeds=embeds, use_cache=False).last_hidden_state

    def _placeholders(self, videos: Sequence[VideoInputs]) -> Float[Tensor, "placeholders dim"]:
        """What stands at every placeholder of the batch: one pass of the tower, one of the spatial reader.

        Dialogues about words alone have no placeholder, and a batch of nothing else goes through neither.
        """
        seen = [video for video in videos if len(video.pixel_values)]
        if not seen:
            return self._nothing_seen(videos[0].pixel_values)
        return self._seen(seen)

    def _nothing_seen(self, pixels: Float[Tensor, "0 3 side side"]) -> Float[Tensor, "0 dim"]:
        parts = self.sama.model
        if not self.always_looks:
            return parts.get_input_embeddings().weight.new_zeros(0, self.config.text_config.hidden_size)
        return parts.encode_frames(pixels.new_zeros(1, *pixels.shape[1:])).flatten(0, 1)[:0]

    def _seen(self, videos: Sequence[VideoInputs]) -> Float[Tensor, "placeholders dim"]:
        parts = self.sama.model
        pixels = torch.cat([video.pixel_values for video in videos])
        features = parts.encode_frames(pixels).split([len(video.pixel_values) for video in videos])
        spatial: Sequence[Tensor | None] = [None] * len(videos)
        if self.config.has_aggregator:
            context = [own[list(video.context_positions)] for own, video in zip(features, videos, strict=True)]
            spatial = parts.aggregator.spatial_states(torch.cat(context)).split([len(own) for own in context])
        embeddings = [
            embedding
            for own, read, video in zip(features, spatial, videos, strict=True)
            for embedding in parts.turn_embeddings(
                own, read, video.context_positions, video.turns, regionless_bias=self.regionless_bias
            )
        ]
        return torch.cat(embeddings)

    def _text(
        self, states: Float[Tensor, "rows tokens dim"], labels: Int[Tensor, "rows tokens"]
    ) -> tuple[Float[Tensor, ""], list[Tensor]]:
        """Summed cross-entropy, and how often answers hold the right number of `[SEG]` by what is likeliest."""
        learnt = labels[:, 1:] != IGNORED
        targets = labels[:, 1:][learnt]
        logits = self.sama.lm_head(states[:, :-1][learnt]).float()
        total = F.cross_entropy(logits, targets, reduction="sum") if len(targets) else logits.sum() * 0.0
        return total, [total.new_tensor(len(targets)), *self._seg_counts(logits.detach(), targets, learnt)]

    def _seg_counts(self, logits: Tensor, targets: Tensor, learnt: Tensor) -> list[Tensor]:
        """Answers, those with the right number of `[SEG]`, those that should hold some, those of them that do."""
        begins = learnt & ~F.pad(learnt[:, :-1], (1, 0))
        answer = begins.flatten().cumsum(0)[learnt.flatten()] - 1
        num_answers = int(begins.sum())
        seg = self.config.seg_token_id
        said, meant = (
            torch.zeros(num_answers, device=logits.device).index_add_(0, answer, (ids == seg).float())
            for ids in (logits.argmax(-1) if len(targets) else targets, targets)
        )
        grounded = meant > 0
        return [
            said.new_tensor(num_answers),
            (said == meant).sum().float(),
            grounded.sum().float(),
            (grounded & (said > 0)).sum().float(),
        ]

    # masks

    def _prompts(self, states: Tensor, batch: TuneBatch) -> Float[Tensor, "segs dim"]:
        """The SAM 2 prompt of every `[SEG]` of the batch, row after row."""
        return self.sama.model.grounding_head(states[batch.labels == self.config.seg_token_id])

    def _mask_sums(
        self, prompts: Float[Tensor, "segs dim"], targets: MaskTargets
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Cross-entropy summed over points, dice distance summed over masks: every object and frame in one pass."""
        pixels = normalised(targets.pixels, rounded=self.config.rounded_segmenter_pixels)
        features = self.segmenter.encode(pixels)
        found = self.segmenter.predict(features, targets.frame, embeddings=prompts[targets.seg])
        logits = found.mask_logits.float()
        with torch.no_grad():
            points = self._points(logits, targets.seeds)
            wanted = losses.sample_at_points(targets.masks.float(), points)
        with torch.autocast(logits.device.type, enabled=False):
            sampled = losses.sample_at_points(logits, points)
            mask = F.binary_cross_entropy_with_logits(sampled, wanted, reduction="sum")
            dice = losses.dice_loss(sampled, wanted) / losses.DICE_WEIGHT * (len(wanted) + COUNT_MARGIN)
        return mask, dice

    def _points(
        self, logits: Float[Tensor, "masks height width"], seeds: Int[Tensor, " masks"]
    ) -> Float[Tensor, "masks points 2"]:
        """Where each mask is compared; drawn under its own seed, so neither rank nor order in the batch matters."""
        count = self.loss.points_per_mask
        generator = torch.Generator(logits.device)
        drawn = [losses.draw_points(1, count, generator.manual_seed(seed)) for seed in seeds.tolist()]
        candidates, extra = (torch.cat(parts) for parts in zip(*drawn, strict=True))
        return losses.sample_uncertain_points(logits, candidates, extra, count)

    # parameters

    def trained(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Parameters that learn, by their names in the SAMA model."""
        return ((name, p) for name, p in self.sama.named_parameters() if p.requires_grad)

    def _touch(self) -> Float[Tensor, ""]:
        """Zero, with a zero gradient for every trained parameter that a batch may pass by.

        Without it a batch without masks would leave gradients missing on one rank and not on another; and a weight's
        decay would depend on which records met in an update.
        """
        total = self.sama.lm_head.weight.new_zeros((), dtype=torch.float32)
        for name, part in (*self.sama.model.named_children(), ("lm_head", self.sama.lm_head)):
            if name != ALWAYS_RUN and not (name == "vision_tower" and self.always_looks):
                for parameter in part.parameters():
                    if parameter.requires_grad:
                        total = total + parameter.sum().float() * 0.0
        return total


def normalised(pixels: UInt8[Tensor, "frames 3 side side"], *, rounded: bool) -> Float[Tensor, "frames 3 side side"]:
    """Frames as `SamaProcessor.segmenter_pixels` leaves them, worked out where they lie."""
    mean, std = (pixels.new_tensor(values, dtype=torch.float32)[:, None, None] for values in (IMAGE_MEAN, IMAGE_STD))
    if rounded:
        mean, std = mean.bfloat16().float(), std.bfloat16().float()
    return (pixels / 255.0 - mean) / std


def averages(sums: Float[Tensor, " sums"], settings: LossSettings) -> dict[str, float]:
    """Figures of some steps: weighted losses as means over labels and masks, and how `[SEG]` is used."""
    by_name = dict(zip(SUMS, sums.tolist(), strict=True))
    masks, points = max(by_name["prompts"], 1.0), settings.points_per_mask
    figures = {
        "text_loss": settings.text_weight * by_name["text_sum"] / max(by_name["labels"], 1.0),
        "seg_rate": by_name["answers_right"] / max(by_name["answers"], 1.0),
    }
    if by_name["prompts"]:
        figures["mask_loss"] = settings.mask_weight * by_name["mask_sum"] / (masks * points)
        figures["dice_loss"] = settings.dice_weight * by_name["dice_sum"] / masks
    if by_name["grounded_answers"]:
        figures["seg_said"] = by_name["grounded_said"] / by_name["grounded_answers"]
    return figures
