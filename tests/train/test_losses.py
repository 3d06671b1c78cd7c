"""The losses on hand-worked cases; tests/parity holds them against the published code's stored outputs."""

import torch

from sama_video.train import losses


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


def test_coarse_logits_are_judged_as_they_are_used():
    targets = torch.zeros(1, 8, 8)
    targets[:, 2:5, 2:5] = 1.0
    logits = torch.randn(1, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    blown_up = torch.nn.functional.interpolate(logits, scale_factor=2, mode="bilinear")
    given = torch.ones(1, 1), targets, torch.ones(1)
    coarse, fine = losses.candidate_losses(logits, *given), losses.candidate_losses(blown_up, *given)
    torch.testing.assert_close(coarse.total(), fine.total())


def test_two_empty_masks_agree():
    assert losses.candidate_iou(-torch.ones(1, 1, 4, 4), torch.zeros(1, 4, 4)).item() == 1.0


def test_draws_have_the_published_sizes():
    candidates, extra = losses.draw_points(2, losses.POINTS_PER_MASK, torch.Generator().manual_seed(0))
    assert candidates.shape == (2, 37632, 2)
    assert extra.shape == (2, 3136, 2)
