"""Losses as pure functions: text, masks sampled at points, and what the nano adds to them.

`text_loss`, `point_sampled_mask_loss` and `dice_loss` are the published model's three losses (spec model 8.4). The rest
supervises a SAM 2 trained from nothing, where every candidate mask must learn, not only the best one.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

MASK_WEIGHT = 2.0
DICE_WEIGHT = 0.5
POINTS_PER_MASK = 12544
OVERSAMPLE_RATIO = 3.0
IMPORTANCE_RATIO = 0.75
_IGNORED = -100
# The published loss averages over "count + 1e-4" and adds float32's smallest step on top.
_COUNT_MARGIN = 1e-4 + torch.finfo(torch.float32).eps


def text_loss(logits: Float[Tensor, "batch tokens vocab"], labels: Int[Tensor, "batch tokens"]) -> Float[Tensor, ""]:
    """Mean next-token cross-entropy over labels that are not -100; zero when none is left."""
    targets = labels[:, 1:].reshape(-1)
    total = F.cross_entropy(
        logits[:, :-1].reshape(-1, logits.shape[-1]).float(), targets, ignore_index=_IGNORED, reduction="sum"
    )
    return total / (targets != _IGNORED).sum().clamp(min=1)


def sample_uncertain_points(
    mask_logits: Float[Tensor, "masks height width"],
    candidates: Float[Tensor, "masks candidates 2"],
    extra: Float[Tensor, "masks extra 2"],
    num_points: int,
) -> Float[Tensor, "masks points 2"]:
    """The candidates nearest to a mask's border, then the extra uniform ones (PointRend).

    Args:
        candidates: Uniform draws in [0, 1), x before y; drawn before `extra`.
        num_points: Points per mask in all; what `extra` does not fill comes from the candidates.
    """
    uncertainty = -sample_at_points(mask_logits, candidates).abs()
    chosen = uncertainty.topk(num_points - extra.shape[1], dim=1).indices
    return torch.cat([candidates.gather(1, chosen[..., None].expand(-1, -1, 2)), extra], dim=1)


def draw_points(
    num_masks: int, num_points: int, generator: torch.Generator
) -> tuple[Float[Tensor, "masks candidates 2"], Float[Tensor, "masks extra 2"]]:
    """The two uniform draws `sample_uncertain_points` asks for, in the published order."""
    num_extra = num_points - int(IMPORTANCE_RATIO * num_points)
    shapes = (int(OVERSAMPLE_RATIO * num_points), num_extra)
    first, second = (torch.rand(num_masks, count, 2, generator=generator, device=generator.device) for count in shapes)
    return first, second


def sample_at_points(
    maps: Float[Tensor, "masks height width"], points: Float[Tensor, "masks points 2"]
) -> Float[Tensor, "masks points"]:
    """Bilinear values at points in [0, 1], zero outside the map."""
    grid = (2.0 * points - 1.0)[:, :, None]
    return F.grid_sample(maps[:, None], grid, align_corners=False)[:, 0, :, 0]


def point_sampled_mask_loss(
    sampled_logits: Float[Tensor, "masks points"], sampled_targets: Float[Tensor, "masks points"]
) -> Float[Tensor, ""]:
    """Twice the mean cross-entropy over sampled points; zero without masks."""
    total = F.binary_cross_entropy_with_logits(sampled_logits, sampled_targets, reduction="sum")
    return MASK_WEIGHT * total / (sampled_targets.numel() + _COUNT_MARGIN)


def dice_loss(
    sampled_logits: Float[Tensor, "masks points"], sampled_targets: Float[Tensor, "masks points"]
) -> Float[Tensor, ""]:
    """Half the mean dice distance over sampled points; zero without masks."""
    return DICE_WEIGHT * _dice_distance(sampled_logits, sampled_targets).sum() / (len(sampled_targets) + _COUNT_MARGIN)


@dataclass(frozen=True)
class CandidateLosses:
    """What the candidate masks of some prompts cost, each part a mean over prompts."""

    focal: Float[Tensor, ""]
    dice: Float[Tensor, ""]
    cross_entropy: Float[Tensor, ""]
    iou: Float[Tensor, ""]

    def total(self) -> Float[Tensor, ""]:
        """20 focal + dice + cross-entropy + squared error of the predicted IoU."""
        return 20.0 * self.focal + self.dice + self.cross_entropy + self.iou


def candidate_losses(
    mask_logits: Float[Tensor, "prompts candidates height width"],
    predicted_iou: Float[Tensor, "prompts candidates"],
    targets: Float[Tensor, "prompts target_height target_width"],
    weights: Float[Tensor, " prompts"],
) -> CandidateLosses:
    """Losses of every candidate against the same target.

    With the usual minimum over candidates a decoder trained from nothing turns them into a list of guesses and ignores
    the prompt; so all of them learn.

    Args:
        targets: Share of each cell that the object covers, in [0, 1]. Logits are blown up to their size, as they are
            in use: from targets as coarse as the logits, a decoder learns borders that are off once they are blown up.
        weights: Zero where a prompt has no mask to learn; all zero gives a zero loss.
    """
    mask_logits = at_size_of(targets, mask_logits)
    logits = mask_logits.flatten(2)
    wanted = targets.flatten(1)[:, None].expand_as(logits)
    cross_entropy = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    balance = 0.25 * wanted + 0.75 * (1 - wanted)
    focal = balance * (logits.sigmoid() - wanted).square() * cross_entropy
    iou_error = (predicted_iou - candidate_iou(mask_logits.detach(), targets)).square()
    share = (weights / weights.sum().clamp(min=1.0))[:, None] / logits.shape[1]
    parts = (focal.mean(-1), _dice_distance(logits, wanted), cross_entropy.mean(-1), iou_error)
    return CandidateLosses(*((part * share).sum() for part in parts))


def candidate_iou(
    mask_logits: Float[Tensor, "prompts candidates height width"], targets: Float[Tensor, "prompts height width"]
) -> Float[Tensor, "prompts candidates"]:
    """IoU of each candidate with its target, both cut at one half; two empty masks agree."""
    guess, truth = mask_logits > 0, targets[:, None] > 0.5
    overlap, union = (guess & truth).sum((-2, -1)), (guess | truth).sum((-2, -1))
    return torch.where(union > 0, overlap / union.clamp(min=1), torch.ones_like(overlap, dtype=torch.float32))


def at_size_of(
    targets: Float[Tensor, "prompts target_height target_width"],
    mask_logits: Float[Tensor, "prompts candidates height width"],
) -> Float[Tensor, "prompts candidates target_height target_width"]:
    """Mask logits blown up to the size of targets, as a session does it."""
    size = (targets.shape[-2], targets.shape[-1])
    if mask_logits.shape[-2:] == size:
        return mask_logits
    return F.interpolate(mask_logits, size=size, mode="bilinear", align_corners=False)


def presence_loss(scores: Float[Tensor, " prompts"], present: Bool[Tensor, " prompts"]) -> Float[Tensor, ""]:
    """Cross-entropy of the object score; zero without prompts."""
    total = F.binary_cross_entropy_with_logits(scores, present.to(scores.dtype), reduction="sum")
    return total / max(1, len(present))


def distillation_loss(
    states: Float[Tensor, "objects dim"], prompts: Float[Tensor, "objects dim"], variance: Float[Tensor, ""]
) -> Float[Tensor, ""]:
    """Squared distance of `[SEG]` prompts from the attribute prompts they should become, per unit of variance."""
    if not len(states):
        return states.sum() * 0.0
    return F.mse_loss(states, prompts.detach()) / variance


def _dice_distance(logits: Float[Tensor, "*masks points"], targets: Float[Tensor, "*masks points"]) -> Tensor:
    likely = logits.sigmoid()
    return 1 - (2 * (likely * targets).sum(-1) + 1) / (likely.sum(-1) + targets.sum(-1) + 1)
