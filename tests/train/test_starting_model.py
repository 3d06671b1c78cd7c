"""A run in stages that goes on from a finished model."""

import shutil

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from sama_video.app.cli.train import command
from sama_video.chat.loading import load
from sama_video.errors import CheckpointError, ConfigError
from sama_video.train.config import load_recipe
from sama_video.train.engine import train
from sama_video.train.run_folder import RunFolder
from sama_video.train.stages import STAGES, going_on, reading
from sama_video.train.stages.joint import JointStage
from sama_video.train.stages.reading import HEADS
from sama_video.train.stages.refer import ReferStage
from sama_video.train.stages.speak import SpeakStage
from sama_video.train.starting_model import STARTING_MODEL, weights_of
from sama_video.train.taking_up import clips_of, origins, take_up

SMALL = [
    "start_from=nano",
    "joint.steps=2",
    "joint.batch=1",
    "joint.turns=8",
    "joint.mask_share=0",
    "joint.text_share=0",
    "joint.evaluation_scenes=4",
    "refer.batch=1",
    "refer.turns=4",
]


@pytest.fixture(scope="module")
def run():
    return load_recipe("nano", [*SMALL, "stages=[joint]"])


@pytest.fixture(scope="module")
def folder(run, tmp_path_factory):
    """Where the bundled nano has been taken up."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(going_on, "_DIALOGUES", 96)
        folder = RunFolder(tmp_path_factory.mktemp("run"))
        take_up(run, folder)
    return folder


@pytest.fixture
def few_head_steps(monkeypatch):
    monkeypatch.setattr(reading, "_HEAD_STEPS", 6)


def _text(stage):
    with torch.no_grad():
        return np.mean([stage(stage.seen_batch(np.random.default_rng(seed)))[1]["text"] for seed in range(4)])


def _read(stage, batch):
    embeds, features = stage.read_pictures(batch)
    return features, stage.read(embeds)[1]


def test_what_is_taken_up_is_the_model_and_what_it_calls_names(run, folder):
    taken = folder.result(STARTING_MODEL)
    model = weights_of(run)
    assert all(torch.equal(taken[name], value) for name, value in model.items())
    stage = SpeakStage(run)
    stage.take_over(taken)
    batch = stage.text_batch(np.random.default_rng([9, 9]), run.speak)
    with torch.no_grad():
        said = stage.seg_prompts(stage.read(stage.read_pictures(batch)[0])[0], batch.input_ids)
    tables = [taken[f"attribute_prompts.tables.{i}.weight"] for i in (0, 1)]
    named = sum(table[ids] for table, ids in zip(tables, batch.seg_classes.T[:2], strict=True))
    assert (named - said).pow(2).mean() < 0.05 * said.var(0).mean()


def test_a_stage_goes_on_from_where_the_model_is(run, folder, few_head_steps):
    joint, fresh = JointStage(run), JointStage(run)
    fresh_text = _text(fresh)
    head = joint.sama.model.grounding_head
    joint.start({STARTING_MODEL: folder.result(STARTING_MODEL)})
    assert torch.equal(head.linear_2.weight, folder.result(STARTING_MODEL)["grounding_head.linear_2.weight"])
    assert _text(joint) < 0.3 < 0.6 < fresh_text
    with torch.no_grad():
        batch = joint.seen_batch(np.random.default_rng(5))
        features, layers = _read(joint, batch)
        strange = {name: getattr(fresh, name) for name in HEADS}
        known = joint.readings(features, layers, batch)
        for name, head in strange.items():
            setattr(joint, name, head)
        assert known["centre"] < joint.readings(features, layers, batch)["centre"]


def test_a_stage_before_sam_hears_codes_and_hands_them_on(run, folder, few_head_steps):
    refer = ReferStage(run)
    refer.start({STARTING_MODEL: folder.result(STARTING_MODEL)})
    batch = refer.text_batch(np.random.default_rng(0), run.speak)
    with torch.no_grad():
        said = refer.seg_prompts(refer.read(refer.read_pictures(batch)[0])[0], batch.input_ids)
    wanted = refer.seg_targets(batch.seg_classes)
    assert (said - wanted).pow(2).mean() < 0.05 * wanted.var(0).mean()
    results = {STARTING_MODEL: folder.result(STARTING_MODEL), "refer": refer.result()}
    joint = JointStage(run)
    joint.start(results)
    assert all(torch.equal(joint.state_dict()[k], v) for k, v in refer.result().items() if k.startswith(HEADS))
    with torch.no_grad():
        prompts = joint.seg_prompts(joint.read(joint.read_pictures(batch)[0])[0], batch.input_ids)
    targets = joint.seg_targets(batch.seg_classes)
    assert (prompts - targets).pow(2).mean() < 0.05 * targets.var(0).mean()


def test_a_run_goes_on_resumes_and_leaves_a_model(run, folder, few_head_steps, tmp_path, monkeypatch):
    def no_second_time(*_):
        raise AssertionError("it was taken up already")

    shutil.copytree(folder.path / "stages", tmp_path / "run" / "stages")
    (tmp_path / "run" / "recipe.yaml").write_text("")
    monkeypatch.setattr("sama_video.train.taking_up.prompts_of_names", no_second_time)
    arguments = ["nano", *SMALL, "stages=[joint]", "--out", str(tmp_path / "run"), "--device", "cpu"]
    told = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert told.exit_code == 0, told.output
    model = tmp_path / "run" / "model"
    card = (model / "README.md").read_text()
    assert "Command: `sama train nano start_from=nano stages=[joint]`" in card
    assert "It went on from the model `nano`" in card
    loaded, bundled = load(model, device="cpu"), load("nano", device="cpu")
    assert loaded.processor.tokenizer.get_vocab() == bundled.processor.tokenizer.get_vocab()
    was, now = (each.model.model.state_dict() for each in (bundled, loaded))
    tower = "vision_tower.encoder.layer.0.attention.q_proj.weight"
    assert torch.equal(was[tower], now[tower])
    assert not torch.equal(was["grounding_head.linear_1.weight"], now["grounding_head.linear_1.weight"])


def test_stages_of_the_run_come_before_the_model(run, tmp_path):
    folder = RunFolder(tmp_path)
    assert origins(run, JointStage, folder) == (STARTING_MODEL,)
    folder.write("see", {"x": torch.zeros(1)})
    assert origins(run, JointStage, folder) == (STARTING_MODEL, "see")
    both = load_recipe("nano", [*SMALL, "stages=[refer,joint]"])
    assert origins(both, JointStage, folder) == (STARTING_MODEL, "see", "refer")


def test_the_clips_are_others_than_those_the_model_was_made_with(run, folder, tmp_path):
    names = {clips_of(each, JointStage, folder) for each in (run, load_recipe("nano", []))}
    shutil.copytree(folder.path / "stages", tmp_path / "stages")
    (tmp_path / "stages" / STARTING_MODEL / "origin.txt").write_text("0" * 16)
    names.add(clips_of(run, JointStage, RunFolder(tmp_path)))
    assert len(names) == 3


def test_other_weights_than_at_the_beginning_are_refused(run, folder, tmp_path):
    shutil.copytree(folder.path / "stages", tmp_path / "stages")
    (tmp_path / "stages" / STARTING_MODEL / "origin.txt").write_text("0" * 16)
    with pytest.raises(ConfigError, match="start_from: nano holds other weights than when"):
        take_up(run, RunFolder(tmp_path))


def test_a_model_that_is_none_or_lacks_the_words_is_refused(run, tmp_path, monkeypatch):
    nowhere = load_recipe("nano", ["start_from=/nowhere/at/all", "stages=[joint]"])
    with pytest.raises(CheckpointError, match="nowhere"):
        train(nowhere, tmp_path / "a", STAGES, version="0")
    assert not (tmp_path / "a").exists()
    monkeypatch.setattr("sama_video.train.starting_model.VOCABULARY", ("ring", "beetle"))
    with pytest.raises(CheckpointError, match=r"nano has no token for 'beetle', which the lessons speak of"):
        train(run, tmp_path / "b", STAGES, version="0")


def test_prompts_that_are_no_sums_are_refused(run, folder, monkeypatch):
    monkeypatch.setattr(going_on, "_DIALOGUES", 16)
    stage = SpeakStage(run)
    stage.take_over(folder.result(STARTING_MODEL))
    torch.nn.init.normal_(stage.sama.model.language_model.layers[-1].mlp.down_proj.weight, std=1.0)
    with pytest.raises(CheckpointError, match="is no sum of a colour and a shape"):
        going_on.prompts_of_names(stage)
