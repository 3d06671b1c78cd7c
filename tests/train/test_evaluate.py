"""Scores of a finished model: every kind of question is asked, each figure has its interval, a kill loses nothing."""

import json

import pytest
import torch
from click.testing import CliRunner

from sama_video.chat.loading import LoadedModel
from sama_video.data.synthetic.diagnostic import DiagnosticWorld
from sama_video.errors import ConfigError
from sama_video.model.decoding import Sampling
from sama_video.model.modeling_sama import SamaForConditionalGeneration
from sama_video.model.presets import preset_config
from sama_video.train import evaluate as module
from sama_video.train.evaluate import Answers, Asked, command, evaluate, figures_of, table
from sama_video.train.examination import Examination, Outcome
from sama_video.train.lessons.vocabulary import make_processor

WORLD = DiagnosticWorld(2, (64, 64))
ROWS = [
    Asked(3, 1.0, (Outcome("motion", 1.0), Outcome("motion", 0.0, is_new=True))),
    Asked(4, 1.0, (Outcome("motion", 1.0), Outcome("attribute", 0.5))),
]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = preset_config("tiny")
    untrained = SamaForConditionalGeneration(config).eval()
    return LoadedModel(untrained, make_processor(config), sampling=Sampling(max_new_tokens=5))


@pytest.mark.slow
def test_a_model_that_knows_nothing_is_asked_everything(model):
    outcomes = list(Examination(model, WORLD, 27).outcomes())
    assert {each.name for each in outcomes} >= {
        *(
            "click to mask, IoU",
            "box to mask, IoU",
            "outline tracked, J&F",
            "words to mask, mIoU",
            "words to mask, J&F",
        ),
        *("attribute", "motion", "motion, frames shuffled", "not there or there", "temporal, IoU of spans"),
        *(f"conversation, turn {turn}" for turn in (1, 2, 3)),
    }
    assert all(0.0 <= each.score <= 1.0 for each in outcomes)
    assert {each.is_new for each in outcomes} == {False, True}


def test_figures_are_means_over_questions_apart_for_new_pairs():
    figures = {(each.name, each.part): each for each in figures_of(ROWS)}
    assert figures["motion", "all"].interval.value == pytest.approx(2 / 3)
    assert figures["motion", "all"].count == 3
    assert figures["motion", "known pairs"].interval.value == 1.0
    assert figures["motion", "new pairs"].interval.value == 0.0
    assert ("attribute", "new pairs") not in figures
    shown = table(figures_of(ROWS))
    assert "| motion | 0.667 (0.500-1.000) | 1.000 (1.000-1.000) | 0.000 | 3 |" in shown


def test_clips_that_are_done_are_not_asked_again(model):
    kept = []
    assert evaluate(model, WORLD, [3, 4], ROWS, kept.append) == ROWS
    assert kept == []


def test_a_line_cut_short_is_asked_again_and_other_settings_are_refused(tmp_path):
    answers = Answers(tmp_path / "out", {"level": 2})
    for row in ROWS:
        answers.add(row)
    with answers.lines.open("a") as file:
        file.write('{"seed": 9, "outc')
    again = Answers(tmp_path / "out", {"level": 2})
    assert again.read() == ROWS
    again.add(Asked(5, 0.1, ()))
    assert [row.seed for row in again.read()] == [3, 4, 5]
    with pytest.raises(ConfigError, match="other settings"):
        Answers(tmp_path / "out", {"level": 3})


def test_the_command_writes_what_it_prints(model, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "load", lambda name: model)
    monkeypatch.setattr(module, "evaluate", lambda *_: ROWS)
    result = CliRunner().invoke(command, ["nano", "--clips", "2", "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert "| motion | 0.667" in result.output
    assert (tmp_path / "out" / "figures.md").read_text() == result.output
    found = json.loads((tmp_path / "out" / "figures.json").read_text())
    assert {(each["name"], each["part"]) for each in found} >= {("motion", "all"), ("attribute", "known pairs")}
