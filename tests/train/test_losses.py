"""The losses against stored outputs of the published code, and on hand-worked cases."""

import json

import pytest
import torch
from safetensors.torch import load_file

from sama_video.train import losses

TOLERANCE = 1e-5  # float32 noise of the stored values is 1e-6


@pytest.fixture(scope="module")
def golden(parity_dir):
    return load_file(parity_dir / "golden_losses.safetensors")


@pytest.fixture(scope="module")
def settings(parity_dir):
    return json.loads((parity_dir / "golden_losses.json").read_text())


def _sampled(golden, settings):
    points = losses.sample_uncertain_points(
        golden["in.mask_logits"], golden["in.random_candidates"], golden["in.random_extra"], settings["num_points"]
    )
    logits = losses.sample_at_points(golden["in.mask_logits"], points)
    return points, logits, losses.sample_at_points(golden["in.mask_targets"].float(), points)


def test_points_are_chosen_as_published(golden, settings):
    points, logits, targets = _sampled(golden, settings)
    ours = logits.sort(dim=1).values
    torch.testing.assert_close(ours, golden["mid.sampled_logits"].sort(dim=1).values, atol=TOLERANCE, rtol=0)
    torch.testing.assert_close(points, golden["mid.point_coords"], atol=TOLERANCE, rtol=0)
    torch.testing.assert_close(targets, golden["mid.sampled_targets"], atol=TOLERANCE, rtol=0)


def test_mask_and_dice_losses_are_as_published(golden, settings):
    _, logits, targets = _sampled(golden, settings)
    assert abs(losses.point_sampled_mask_loss(logits, targets) - golden["out.loss_mask"]) < TOLERANCE
    assert abs(losses.dice_loss(logits, targets) - golden["out.loss_dice"]) < TOLERANCE


def test_text_loss_is_as_published(golden):
    assert abs(losses.text_loss(golden["in.lm_logits"], golden["in.lm_labels"]) - golden["out.loss_ce"]) < TOLERANCE


def test_losses_over_all_pixels_are_as_published(golden):
    logits, targets = golden["in.mask_logits"].flatten(1), golden["in.mask_targets"].float().flatten(1)
    assert abs(losses.point_sampled_mask_loss(logits, targets) - golden["out.loss_mask_dense"]) < TOLERANCE
    assert abs(losses.dice_loss(logits, targets) - golden["out.loss_dice_dense"]) < TOLERANCE


def test_nothing_to_learn_costs_nothing():
    none = torch.zeros(0, 8)
    assert losses.point_sampled_mask_loss(none, none) == 0
    assert losses.dice_loss(none, none) == 0
    assert losses.text_loss(torch.randn(1, 4, 7), torch.full((1, 4), -100)) == 0
    assert losses.presence_loss(torch.zeros(0), torch.zeros(0, dtype=torch.bool)) == 0
    assert losses.distillation_loss(torch.zeros(0, 4), torch.zeros(0, 4), torch.tensor(1.0)) == 0


def test_every_candidate_gets_a_gradient_and_unweighted_prompts_none():
    logits = torch.zeros(2, 3, 8, 8, requires_grad=True)
    targets = torch.zeros(2, 8, 8)
    targets[:, 2:5, 2:5] = 1.0
    parts = losses.candidate_losses(logits, torch.zeros(2, 3), targets, torch.tensor([1.0, 0.0]))
    parts.total().backward()
    assert (logits.grad[0].abs().sum((-2, -1)) > 0).all()
    assert (logits.grad[1] == 0).all()


def test_a_right_mask_costs_less_than_a_wrong_one():
    targets = torch.zeros(1, 8, 8)
    targets[:, 2:5, 2:5] = 1.0
    right = (targets * 20 - 10)[:, None]
    one = torch.ones(1)
    good = losses.candidate_losses(right, torch.ones(1, 1), targets, one).total()
    bad = losses.candidate_losses(-right, torch.ones(1, 1), targets, one).total()
    assert good < 0.01 < bad


def test_two_empty_masks_agree():
    assert losses.candidate_iou(-torch.ones(1, 1, 4, 4), torch.zeros(1, 4, 4)).item() == 1.0


def test_draws_have_the_published_sizes():
    candidates, extra = losses.draw_points(2, losses.POINTS_PER_MASK, torch.Generator().manual_seed(0))
    assert candidates.shape == (2, 37632, 2)
    assert extra.shape == (2, 3136, 2)
