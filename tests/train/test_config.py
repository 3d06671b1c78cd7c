"""Recipes are short, strict, and read back as they were written."""

import pytest

from sama_video.errors import ConfigError
from sama_video.train.config import PLAIN_STAGE_NAMES, RECIPES, STAGE_NAMES, TrainConfig, load_recipe, to_yaml


@pytest.mark.parametrize("recipe", sorted(path.stem for path in RECIPES.glob("*.yaml")))
def test_every_bundled_recipe_loads(recipe):
    assert set(load_recipe(recipe).stages) <= {*PLAIN_STAGE_NAMES, *STAGE_NAMES}


def test_overrides_reach_nested_keys():
    run = load_recipe("nano", ["see.steps=7", "stages=[see]", "segment.learning_rate=1e-4", "optimizer.clip_norm=2"])
    assert (run.see.steps, run.stages, run.segment.learning_rate, run.optimizer.clip_norm) == (7, ("see",), 1e-4, 2.0)


def test_all_settings_read_back_as_they_were_written(tmp_path):
    run = load_recipe("nano", ["seed=3", "refer.turns=2"])
    path = tmp_path / "copy.yaml"
    path.write_text(to_yaml(run))
    assert load_recipe(path) == run


def test_an_empty_recipe_is_the_defaults(tmp_path):
    path = tmp_path / "empty.yaml"
    path.write_text("")
    assert load_recipe(path) == TrainConfig()


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("sede=1", "'sede'"),
        ("see.stesp=1", "'see.stesp'"),
        ("see.steps=many", "see.steps"),
        ("see.steps=1.5", "see.steps"),
        ("see.steps=true", "see.steps"),
        ("stages=[sea]", "'sea'"),
        ("world.name=moon", "'moon'"),
        ("world.level=4", "world.level"),
        ("stages=see", "stages"),
        ("optimizer.betas=[0.9]", "optimizer.betas"),
        ("seed.deeper=1", "seed"),
        ("see=3", "see"),
        ("justaword", "key=value"),
        ("see.steps=[1", "YAML"),
    ],
)
def test_a_wrong_override_is_refused_in_one_line(override, said):
    with pytest.raises(ConfigError) as refusal:
        load_recipe("nano", [override])
    assert said in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_an_unknown_recipe_is_refused_with_those_there_are():
    with pytest.raises(ConfigError, match="nano"):
        load_recipe("mano")


def test_a_missing_file_is_not_taken_for_a_bundled_name(tmp_path):
    with pytest.raises(ConfigError, match="no recipe"):
        load_recipe(tmp_path / "nano.yaml")


def test_a_broken_file_is_refused(tmp_path):
    path = tmp_path / "broken.yaml"
    path.write_text("see: {steps: [")
    with pytest.raises(ConfigError, match="not YAML"):
        load_recipe(path)
