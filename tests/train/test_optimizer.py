"""Who steps what, and how far."""

import pytest
import torch
from torch import nn

from sama_video.errors import ConfigError
from sama_video.train.config import load_recipe
from sama_video.train.optimizer import StageOptimizer, hidden_matrices
from sama_video.train.stages.base import ParameterGroup, Stage


class Small(Stage):
    """Words to states, states to states, states to words."""

    name = "see"
    products = ("words", "wide", "square", "word_head")

    def __init__(self):
        super().__init__(load_recipe("nano"))
        self.words = nn.Embedding(7, 4)
        self.wide = nn.Linear(4, 6)
        self.square = nn.Linear(6, 6, bias=False)
        self.word_head = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 7))

    def batch(self, rng):
        return torch.arange(7)

    def forward(self, batch):
        return self.word_head(self.square(self.wide(self.words(batch)))).square().sum(), {}

    def evaluate(self):
        return {}

    def parameter_groups(self):
        first = [*self.words.parameters(), *self.wide.parameters()]
        rest = [*self.square.parameters(), *self.word_head.parameters()]
        return [ParameterGroup(0.1, first), ParameterGroup(0.01, rest)]


def _settings(matrices):
    return load_recipe("nano", [f"optimizer.matrices={matrices}"]).optimizer


def _stepped(matrices, share=1.0):
    torch.manual_seed(0)
    stage = Small()
    before = {name: p.detach().clone() for name, p in stage.named_parameters()}
    optimizer = StageOptimizer(stage, _settings(matrices))
    optimizer.set_rate(share)
    stage(stage.batch(None))[0].backward()
    optimizer.step()
    return stage, optimizer, {name: p.detach() - before[name] for name, p in stage.named_parameters()}


def test_matrices_between_hidden_states_are_those_of_no_head():
    stage = Small()
    assert hidden_matrices(stage) == {stage.wide.weight, stage.square.weight}


def test_everything_is_stepped_once_whoever_steps_it():
    for matrices in ("adamw", "muon"):
        stage, optimizer, moved = _stepped(matrices)
        assert {id(p) for p in optimizer.parameters} == {id(p) for p in stage.parameters()}
        assert len(optimizer.parameters) == len(list(stage.parameters()))
        assert all(change.abs().max() > 0 for change in moved.values())
        optimizer.zero_grad()
        assert all(p.grad is None for p in stage.parameters())


def test_muon_goes_as_far_along_every_direction_and_leaves_the_rest_to_adamw():
    (_, _, adamw), (stage, _, muon) = _stepped("adamw"), _stepped("muon")
    alike = {name for name in adamw if torch.equal(adamw[name], muon[name])}
    assert alike == set(adamw) - {"wide.weight", "square.weight"}
    for name, rate in (("wide.weight", 0.1), ("square.weight", 0.01)):
        # The nearest orthogonal matrix of the gradient, 0.2 sqrt(longer side) long in every direction.
        left, _, right = torch.linalg.svd(dict(stage.named_parameters())[name].grad, full_matrices=False)
        wanted = -rate * 0.2 * 6**0.5 * left @ right
        near, far = (torch.cosine_similarity(each[name].flatten(), wanted.flatten(), dim=0) for each in (muon, adamw))
        assert near > 0.7
        assert near > far
        assert 0.7 < muon[name].norm() / wanted.norm() < 1.3


def test_no_rate_is_no_step():
    *_, moved = _stepped("muon", share=0.0)
    assert not any(change.abs().max() > 0 for change in moved.values())


def test_states_of_other_optimisers_are_refused():
    _, adamw, _ = _stepped("adamw")
    _, muon, _ = _stepped("muon")
    with pytest.raises((KeyError, ValueError)):
        muon.load_state_dict(adamw.state_dict())
    with pytest.raises(ConfigError, match=r"optimizer.matrices is 'sgd'; it is one of adamw, muon"):
        _settings("sgd")
