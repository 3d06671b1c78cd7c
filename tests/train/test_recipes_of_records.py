"""Recipes of runs on records: short, strict, and the shipped engine files parse."""

from pathlib import Path

import pytest
import yaml

from sama_video.errors import ConfigError
from sama_video.train.tuning.distributed import MissingDeepSpeedError, engine_arguments
from sama_video.train.tuning.recipes import (
    ENGINE_FILES,
    RECORD_RECIPES,
    bundled_recipes,
    find_recipe,
    read_deepspeed,
    read_recipe,
)
from sama_video.train.tuning.settings import TuneConfig, to_yaml

NAMES = sorted(path.stem for path in RECORD_RECIPES.glob("*.yaml"))


@pytest.mark.parametrize("name", NAMES)
def test_every_bundled_recipe_loads_and_says_what_it_is(name: str) -> None:
    assert isinstance(read_recipe(name).settings(), TuneConfig)
    assert len(bundled_recipes()[name]) > 20


def test_the_sizes_are_there_and_nano_stays_in_stages() -> None:
    assert {"sama-1b", "sama-4b", "sama-8b", "sama-1b-foundation", "sama-1b-instruct", "lora-own-data"} <= set(NAMES)
    assert read_recipe("nano", ["see.steps=3"]).in_stages
    assert not read_recipe("sama-1b").in_stages


def test_a_small_recipe_is_a_few_lines() -> None:
    assert all(len(find_recipe(name).read_text().splitlines()) <= 25 for name in NAMES)


def test_the_published_settings() -> None:
    """Spec model 8.1 to 8.3."""
    settings = read_recipe("sama-1b").settings()
    optimiser = settings.optimiser
    assert (optimiser.learning_rate, optimiser.betas, optimiser.weight_decay) == (4e-5, (0.9, 0.999), 0.05)
    assert (optimiser.clip_norm, optimiser.warmup_share, settings.epochs) == (1.0, 0.05, 1.0)
    assert settings.global_batch(8) == 64
    assert (settings.loss.text_weight, settings.loss.mask_weight, settings.loss.dice_weight) == (1.0, 2.0, 0.5)
    assert (settings.loss.points_per_mask, settings.data.max_tokens, settings.data.max_objects) == (12544, 8192, 5)
    passes = {source.name: source.weight for source in settings.data.sources}
    assert passes == {
        "refcoco": 4,
        "refcoco+": 4,
        "refcocog": 4,
        "llava": 1,
        "mevis": 4,
        "revos": 10,
        "ref-youtube-vos": 4,
        "chat-univi": 1,
        "ref-sav": 4,
        "openpsg": 1,
        "grandf": 10,
        "flickr30k": 1,
        "refcocog-gcg": 1,
        "osprey": 1,
        "sama": 5,
    }
    assert (settings.data.weighting, settings.data.balance) == ("passes", "none")


def test_a_recipe_changes_one_source_of_another_by_its_name() -> None:
    def sama(name: str) -> list[float | int]:
        return [one.weight for one in read_recipe(name).settings().data.sources if one.name == "sama"]

    assert (sama("sama-4b"), sama("sama-1b-no-dialogues"), sama("sama-1b-foundation")) == ([3], [], [])
    assert len(read_recipe("sama-4b").settings().data.sources) == 15
    changed = read_recipe("sama-1b", ["data.sources.sama.weight=2", "data.sources.llava=null"]).settings()
    assert len(changed.data.sources) == 14
    assert changed.data.sources[-1].weight == 2


def test_data_on_the_command_line_stands_for_a_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = read_recipe("lora-own-data", ["data=clips", "data.workers=0"]).settings()
    assert [source.path for source in settings.data.sources] == [str(tmp_path / "clips")]
    assert settings.data.workers == 0
    both = read_recipe("lora-own-data", ["data=[a, b]"]).settings()
    assert len(both.data.sources) == 2


def test_a_variant_is_taken_with_its_model_and_what_is_typed_wins() -> None:
    plain, nano = read_recipe("lora-own-data").settings(), read_recipe("lora-own-data", ["model=nano"]).settings()
    assert (plain.engine.precision, nano.engine.precision) == ("bf16", "fp32")
    assert plain.lora.rank > 0
    assert read_recipe("lora-own-data", ["model=nano", "engine.precision=bf16"]).settings().engine.precision == "bf16"


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("batchs=2", "did you mean batch?"),
        ("learning_rate=1", "did you mean optimiser.learning_rate?"),
        ("lroa.rank=2", "did you mean lora?"),
        ("data.sourcs=[]", "did you mean sources?"),
        ("data.sources.sama.wieght=2", "did you mean weight?"),
        ("engine=5", "engine is 5"),
        ("batch", "key=value"),
        ("trained=[vision]", "'vision'"),
        ("data.sources.sama=5", "data.sources.sama is 5"),
        ("aggregator=off", "aggregator"),
        ("engine.kind=deepspeed", "deepspeed_config"),
        ("qformer=x/y aggregator=kept", "qformer"),
    ],
)
def test_mistakes_are_one_line_that_names_the_nearest_key(override: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_recipe("sama-1b", override.split()).settings()
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean sama-1b"):
        read_recipe("sama1b")


def test_a_circle_of_recipes_is_refused(tmp_path: Path) -> None:
    for name, other in (("a", "b"), ("b", "a")):
        (tmp_path / f"{name}.yaml").write_text(f"extends: {other}.yaml\n")
    with pytest.raises(ConfigError, match="extends itself"):
        read_recipe(str(tmp_path / "a.yaml"))


def test_saved_settings_read_back(tmp_path: Path) -> None:
    settings = read_recipe("sama-4b", ["seed=3"]).settings()
    path = tmp_path / "recipe.yaml"
    path.write_text(to_yaml(settings, "1"))
    assert read_recipe(str(path)).settings() == settings


@pytest.mark.parametrize(("name", "stage"), [("zero2", 2), ("zero3", 3)])
def test_shipped_deepspeed_files_parse_and_a_missing_install_is_one_line(name: str, stage: int) -> None:
    settings = read_recipe("sama-1b", ["engine.kind=deepspeed", f"engine.deepspeed_config={name}"]).settings()
    assert read_deepspeed(settings.engine.deepspeed_config)["zero_optimization"]["stage"] == stage
    with pytest.raises(MissingDeepSpeedError, match="pip install deepspeed"):
        engine_arguments(settings.engine, [])


@pytest.mark.parametrize(("name", "stage"), [("zero2", 2), ("zero3", 3)])
def test_accelerate_parses_the_shipped_deepspeed_files(name: str, stage: int) -> None:
    from accelerate.utils.deepspeed import HfDeepSpeedConfig

    parsed = HfDeepSpeedConfig(str(ENGINE_FILES / f"deepspeed-{name}.json"))
    assert (parsed.is_zero2(), parsed.is_zero3()) == (stage == 2, stage == 3)
    assert parsed.get_value("train_batch_size") == "auto"


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ('{"zero_optimization": {"stage": 1}}', "stage 1"),
        ("[]", "stage None"),
        ("{", "not JSON"),
        ('{"zero_optimization": {"stage": 2}, "train_batch_size": 8}', "train_batch_size"),
    ],
)
def test_deepspeed_files_that_would_disagree_with_the_recipe_are_refused(
    tmp_path: Path, document: str, said: str
) -> None:
    path = tmp_path / "config.json"
    path.write_text(document)
    with pytest.raises(ConfigError, match=said):
        read_deepspeed(str(path))


def test_a_missing_deepspeed_file_names_the_shipped_ones() -> None:
    with pytest.raises(ConfigError, match="zero2, zero3"):
        read_recipe("sama-1b", ["engine.kind=deepspeed", "engine.deepspeed_config=zero9"]).settings()


def test_the_accelerate_file_says_what_fsdp2_of_a_recipe_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")
    ours = engine_arguments(read_recipe("sama-8b", ["engine.kind=fsdp2"]).settings().engine, ["Qwen2DecoderLayer"])[
        "fsdp_config"
    ]
    file = yaml.safe_load((ENGINE_FILES / "accelerate-fsdp2.yaml").read_text())["fsdp_config"]
    assert file["fsdp_version"] == ours["version"] == 2
    assert file["fsdp_auto_wrap_policy"] == ours["auto_wrap_policy"]
    assert file["fsdp_state_dict_type"] == ours["state_dict_type"]
