"""What a run will take is known before it starts: parameters, memory, steps, data and disk."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from shared_folders import REPOSITORY
from tiny_model import build_model, build_processor

from sama_video.model.configuration_sama import SamaConfig
from sama_video.model.presets import preset_config
from sama_video.train.tuning.memory import LiveBytes, StepShape, estimate_memory, meta_model, part_sizes
from sama_video.train.tuning.own_data import prepare_own_data
from sama_video.train.tuning.plan import Plan, data_set_of, find_base, make_plan
from sama_video.train.tuning.recipes import read_recipe

EXAMPLE = REPOSITORY / "examples" / "own_video" / "clips"
SMALL = ("data.workers=0", "loss.points_per_mask=16", "data.max_objects=2", "data.mask_frames=2")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    build_model().save_pretrained(folder)
    build_processor().save_pretrained(folder)
    return folder


def aggregator_parameters(dim: int) -> int:
    """Of the aggregator's own layers, worked out from the sizes of spec model 6 at a decoder's width.

    Two Q-Formers of 768 with 12 and 2 layers, tables of 30530 and 512 rows, 32 + 32 queries, one projection to 1408
    with its norm, four square-ish layers of the injection and one behind it.
    """
    width, mlp, frames = 768, 3072, 1408
    attention = 4 * (width * width + width) + 2 * width
    feed = 2 * width * mlp + mlp + width + 2 * width
    cross_frames = 2 * (width * width + width) + 2 * (frames * width + width) + 2 * width
    spatial = 12 * (attention + feed) + 6 * cross_frames + 2 * width
    temporal = 2 * (2 * attention + 2 * feed) + 2 * width
    tables = (30530 + 512 + 64) * width
    injection = 2 * (dim * dim + dim) + 2 * (width * dim + dim)
    return spatial + temporal + tables + (dim * frames + frames) + 2 * frames + injection + dim * dim + dim


@pytest.mark.parametrize(("recipe", "dim"), [("sama-1b", 896), ("sama-4b", 2048), ("sama-8b", 4096)])
def test_trained_parameters_of_each_size(recipe: str, dim: int) -> None:
    """Spec model 8.1: decoder, tower and SAM 2 frozen; projector, aggregator, `[SEG]` layers, mask decoder trained."""
    settings = read_recipe(recipe).settings()
    sizes = {part.name: part for part in part_sizes(meta_model(find_base(settings).config, settings))}
    frozen = {name for name, part in sizes.items() if not part.trained}
    assert frozen == {"vision_tower", "language_model", "lm_head"}
    assert sizes["multi_modal_projector"].trained == 2 * 4096 + (4096 * dim + dim) + (dim * dim + dim)
    assert sizes["grounding_head"].trained == (dim * dim + dim) + (dim * 256 + 256)
    assert sizes["aggregator"].trained == sizes["aggregator"].parameters == aggregator_parameters(dim)
    shape_mlps = sum(112 * 112 * 1024 + 1024 + 1024 * 1024 + 1024 + 1024 * out + out for out in (dim, 768))
    assert sizes["region_encoder"].trained == shape_mlps + dim * dim + dim + dim * 768 + 768
    assert sizes["segmenter"].trained == 4215109  # SAM 2 hiera-large's mask decoder
    assert sizes["segmenter"].parameters == 224430130


def test_lora_trains_adapters_beside_a_frozen_decoder() -> None:
    settings = read_recipe("lora-own-data").settings()
    sizes = {part.name: part for part in part_sizes(meta_model(preset_config("sama-1b"), settings))}
    decoder = sizes["language_model"]
    widths = ((896, 896), (896, 128), (896, 128), (896, 896), (896, 4864), (896, 4864), (4864, 896))
    assert decoder.trained == decoder.adapters == 24 * 16 * sum(a + b for a, b in widths)


def test_live_bytes_sees_tensors_come_and_go() -> None:
    with LiveBytes() as live, torch.device("meta"):
        first = torch.empty(1000)
        second = first + 1
        del first
        third = second * 2
        del second
    assert (live.peak, live.live) == (8000, 4000)
    del third
    assert live.live == 0


@pytest.mark.slow
def test_checkpointing_and_smaller_batches_take_less() -> None:
    config = preset_config("tiny")
    shape = StepShape(frames=8, dense=5, masks=4, mask_frames=2, turns=4, text=200)
    settings = read_recipe("sama-1b", ["model=nano", "aggregator=kept", "engine.precision=fp32", *SMALL]).settings()
    memory = estimate_memory(config, settings, shape)
    assert memory.activations == memory.activations_checkpointed < memory.activations_kept
    trained = sum(part.trained for part in part_sizes(meta_model(config, settings)))
    assert (memory.gradients, memory.optimiser) == (4 * trained, 8 * trained)
    sharded = read_recipe(
        "sama-1b", ["model=nano", "aggregator=kept", "engine.kind=fsdp2", "batch=1", *SMALL]
    ).settings()
    spread = estimate_memory(config, sharded, shape, processes=4)
    assert spread.activations < memory.activations
    assert spread.optimiser == 2 * trained


def plan_of(tiny: Path, tmp_path: Path, *changes: str) -> Plan:
    words = [f"data={EXAMPLE}", f"model={tiny}", "engine.precision=fp32", *SMALL, *changes]
    settings, own = prepare_own_data(read_recipe("lora-own-data", words).settings(), tmp_path / "run")
    return make_plan("lora-own-data", settings, tmp_path / "run", data_root=tmp_path, own_data=own)


@pytest.mark.slow
def test_the_plan_of_ones_own_clips(tiny: Path, tmp_path: Path) -> None:
    plan = plan_of(tiny, tmp_path)
    assert list(plan.problems()) == []
    assert (plan.records, plan.records_per_step, plan.steps_per_epoch, plan.steps) == (20, 4, 5, 100)
    assert plan.tokens_measured
    document = plan.to_json()
    assert document["model"]["trained"] == sum(part["trained"] for part in document["model"]["parts"])
    assert document["memory_bytes"]["measured"] is False
    assert document["own_data"][0]["turns"] == 120
    text = "\n".join(plan.lines())
    assert "20 records with 120 questions" in text
    assert "(LoRA)" in text
    full = replace(plan, disk=replace(plan.disk, free=plan.disk.needed - 1))
    assert ["free, and the run takes" in line for line in full.problems()] == [True]


@pytest.mark.slow
def test_missing_data_names_what_prepares_it(tmp_path: Path) -> None:
    settings = read_recipe("sama-1b", ["model=nano", "aggregator=kept", *SMALL]).settings()
    plan = make_plan("sama-1b", settings, tmp_path / "run", data_root=tmp_path)
    problems = list(plan.problems())
    assert len(problems) == 15
    assert any("sama data prepare sama239k says how" in line for line in problems)
    assert (plan.records, plan.steps) == (None, None)
    known = {source.name: source.prepare for source in plan.sources}
    assert None not in known.values()
    assert (known["ref-sav"], known["ref-youtube-vos"], known["grandf"]) == ("ref-sav", "ref-youtube-vos", "gcg")


def test_a_model_that_is_not_here_has_its_presets_sizes() -> None:
    settings = read_recipe("sama-4b").settings()
    base = find_base(settings)
    assert (base.folder, base.sizes_from) == (None, "the preset sama-4b")
    assert isinstance(base.config, SamaConfig)
    assert base.config.text_config.hidden_size == 2048


def test_paths_of_recipes_are_those_that_prepare_knows() -> None:
    for source in read_recipe("sama-1b").settings().data.sources:
        assert data_set_of(source.path) is not None, source
