"""The ablation: variants that differ in one part alone, and a comparison that does not see more than there is."""

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from sama_video.app.cli.bench import ablate
from sama_video.chat.loading import load
from sama_video.errors import ConfigError
from sama_video.train.ablation.findings import document, page
from sama_video.train.ablation.study import SCORES, StudyConfig, differences, paired_difference, run_study
from sama_video.train.ablation.variants import VARIANTS, count_parameters, read_foundation
from sama_video.train.engine import seed_of
from sama_video.train.lessons.worlds import PlainWorld

SMALL = StudyConfig(seeds=(0, 1), speak_steps=1, steps=1, clips=2)


@pytest.fixture(scope="module")
def foundation():
    nano = load("nano")
    return read_foundation(nano.model, nano.processor)


@pytest.fixture(scope="module")
def stages(foundation):
    made = {}
    for name, variant in VARIANTS.items():
        torch.manual_seed(0)
        made[name] = variant.stage(SMALL.recipe(0), foundation)
    return made


def _trained(stage):
    return sum(p.numel() for group in stage.parameter_groups() for p in group.parameters if p.requires_grad)


@pytest.mark.slow
def test_variants_train_equally_many_parameters(stages):
    counts = {name: _trained(stage) for name, stage in stages.items()}
    assert max(counts.values()) / min(counts.values()) < 1.01
    full = stages["full"].sama.model
    assert count_parameters(stages["no-aggregator"].sama.model.aggregator) == pytest.approx(
        count_parameters(full.aggregator), rel=0.01
    )
    assert count_parameters(stages["no-sam"].coarse_reader) == pytest.approx(
        count_parameters(full.segmenter.mask_decoder), rel=0.01
    )


@pytest.mark.slow
def test_variants_see_the_same_clips(stages):
    rng = lambda: np.random.default_rng(seed_of(0, "joint", 3))  # noqa: E731
    pixels = [stages[name].batch(rng()).videos[0].pixel_values for name in ("full", "no-sam", "no-aggregator")]
    assert torch.equal(pixels[0], pixels[1])
    assert torch.equal(pixels[0], pixels[2])


@pytest.mark.slow
def test_perception_is_the_finished_models(stages, foundation):
    for stage in stages.values():
        stage.take_over(foundation.weights)
        state = stage.sama.model.state_dict()
        assert all(torch.equal(state[key], value) for key, value in foundation.weights.items())


def test_the_finished_model_says_another_prompt_for_each_name(foundation):
    names = PlainWorld().name_classes()
    prompts = foundation.name_prompts[names[:, 0], names[:, 1]]
    apart = torch.cdist(prompts, prompts) + torch.eye(len(prompts)) * 1e9
    assert apart.min() > 0.1 * prompts.std() * prompts.shape[1] ** 0.5


@pytest.mark.slow
def test_without_dialogues_no_answer_has_two_phrases(stages):
    stage = stages["no-dialogues"]
    told = [stage.tell(np.random.default_rng(i), stage_scene(i)) for i in range(6)]
    assert all(len(turn.seg_objects) <= 1 for each in told for turn in each.turns)
    full = [stages["full"].tell(np.random.default_rng(i), stage_scene(i)) for i in range(12)]
    assert any(len(turn.seg_objects) > 1 for each in full for turn in each.turns)


def stage_scene(seed):
    from sama_video.data.synthetic.scene import sample_scene

    return sample_scene(seed)


def test_a_clear_difference_is_shown_and_noise_is_not():
    rng = np.random.default_rng(0)
    base = rng.uniform(size=(3, 60))
    clear = paired_difference(base + 0.2, base + rng.normal(0, 0.05, base.shape))
    assert clear.reading == "full is better"
    assert clear.low < 0.2 < clear.high
    noise = paired_difference(base, base + rng.normal(0, 0.3, base.shape))
    assert noise.reading == "no difference shown"
    assert paired_difference(base - 0.2, base).reading == "full is worse"


def test_seeds_that_disagree_leave_nothing_shown():
    clips = np.zeros((3, 200))
    other = clips + np.array([[0.2], [-0.3], [0.25]])
    assert paired_difference(other, clips).reading == "no difference shown"


def test_clips_without_such_a_question_do_not_count():
    full = np.array([[1.0, np.nan, 1.0], [1.0, np.nan, 1.0]])
    assert paired_difference(full, full - 0.5).value == pytest.approx(0.5)


@pytest.mark.parametrize("bad", [{"seeds": ()}, {"seeds": (1, 1)}, {"clips": 0}])
def test_a_study_that_cannot_be_is_refused(bad):
    with pytest.raises(ConfigError):
        StudyConfig(**bad)


@pytest.mark.slow
def test_a_study_goes_on_where_it_was_and_another_is_refused(foundation, tmp_path):
    scores = run_study(SMALL, foundation, tmp_path / "study")
    assert set(scores) == set(VARIANTS)
    assert all(len(rows) == SMALL.clips for by_seed in scores.values() for rows in by_seed.values())
    begun = []
    (tmp_path / "study" / "no-sam" / "seed-1" / "scores.json").unlink()
    again = run_study(SMALL, foundation, tmp_path / "study", begin=lambda *what: begun.append(what))
    assert begun == [("no-sam", 1)]
    assert again == scores
    with pytest.raises(ConfigError, match="other settings"):
        run_study(StudyConfig(seeds=(0,), steps=2), foundation, tmp_path / "study")
    found = document(SMALL, scores)
    assert set(found["scores"]) == set(SCORES)
    assert found["scores"]["mask_iou"]["no-sam"]["full_minus_this"]["value"] == pytest.approx(
        differences(scores, "mask_iou")["no-sam"].value
    )
    assert all(variant.title in page(SMALL, scores) for variant in VARIANTS.values())


@pytest.mark.slow
def test_the_command_writes_its_findings(tmp_path):
    words = ["--seeds", "3", "--steps", "1", "--speak-steps", "1", "--clips", "1", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(ablate.command, [*words, "--device", "cpu"], catch_exceptions=False)
    assert result.exit_code == 0
    found = json.loads((tmp_path / "out" / "ablation.json").read_text())
    assert found["quoted"]["grounding"]["full"] == 48.6
    assert "no difference shown" in (tmp_path / "out" / "ablation.md").read_text() or "full is" in result.output
