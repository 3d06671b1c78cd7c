"""Scores of a finished model: every kind of question is asked, and each figure stands beside what guessing gives."""

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from sama_video.chat.loading import LoadedModel
from sama_video.data.synthetic.world import World
from sama_video.model.decoding import Sampling
from sama_video.model.modeling_sama import SamaForConditionalGeneration
from sama_video.model.presets import preset_config
from sama_video.train import plain_evaluation as module
from sama_video.train.lessons.vocabulary import make_processor
from sama_video.train.plain_evaluation import Figure, Outcome, ask_about, command, evaluate, table


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = preset_config("tiny")
    untrained = SamaForConditionalGeneration(config).eval()
    return LoadedModel(untrained, make_processor(config), sampling=Sampling(max_new_tokens=4))


def test_a_model_that_knows_nothing_is_asked_everything(model):
    clip = World.sample(3, num_frames=6)
    outcomes = list(ask_about(model, clip, np.random.default_rng(0)))
    assert {"click to mask, IoU", "click tracked, J", "not there, said so"} <= {each.name for each in outcomes}
    assert all(0.0 <= each.score <= 1.0 for each in outcomes)


def test_a_clip_without_anything_to_see_is_passed_over(model):
    clip = World.sample(3, num_frames=2)
    clip.masks[:] = False
    assert list(ask_about(model, clip, np.random.default_rng(0))) == []


def test_figures_stand_beside_what_guessing_gives(model, monkeypatch):
    asked = [
        Outcome("attribute color", 1.0, answer="red"),
        Outcome("attribute color", 0.0, answer="blue"),
        Outcome("attribute size", 1.0, answer="small"),
        Outcome("click tracked, J", 0.8, 0.3),
    ]
    monkeypatch.setattr(module, "ask_about", lambda *_: asked)
    figures = evaluate(model, 1, 0)
    assert figures["attribute color"] == Figure(0.5, 0.5, 2)
    assert figures["one attribute"] == Figure(0.6667, 0.6667, 3)
    assert figures["click tracked, J"] == Figure(0.8, 0.3, 1)
    assert "| click tracked, J | 0.800 | 0.300 | 1 |" in table(figures)


def test_the_command_writes_what_it_prints(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "load", lambda name: name)
    monkeypatch.setattr(module, "evaluate", lambda *_: {"click tracked, J": Figure(0.8, None, 2)})
    result = CliRunner().invoke(command, ["nano", "--clips", "2", "--out", str(tmp_path / "figures.json")])
    assert result.exit_code == 0
    assert "| click tracked, J | 0.800 |  | 2 |" in result.output
    assert json.loads((tmp_path / "figures.json").read_text())["figures"]["click tracked, J"]["count"] == 2
