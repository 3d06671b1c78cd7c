"""A run from beginning to end: what it leaves, what it refuses, and what stops it."""

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tuning_world import lost, synthetic_record, tiny_base, tiny_mixture, tiny_settings

from sama_video.chat.loading import load
from sama_video.errors import CheckpointError, ConfigError, DataError, MissingExtraError
from sama_video.train.config import from_tree
from sama_video.train.tuning.base import Base, prepare
from sama_video.train.tuning.callbacks import SegWatch, TuneProgress
from sama_video.train.tuning.folder import TuneFolder, read_state
from sama_video.train.tuning.settings import EngineSettings, LoraSettings, TuneConfig
from sama_video.train.tuning.trainer import TuneResult, tune

SETTINGS = tiny_settings(steps=3)
WATCHED = replace(SETTINGS, engine=replace(SETTINGS.engine, report_to=("tensorboard",)))


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TuneResult, list[TuneProgress]]:
    """A finished run over three records, one of which is not there."""
    out = tmp_path_factory.mktemp("tune") / "run"
    records = [synthetic_record(0), lost(synthetic_record(1)), synthetic_record(2)]
    told: list[TuneProgress] = []
    result = tune(WATCHED, out, base=tiny_base(), stream=tiny_mixture(records), version="9.9", report=told.append)
    return out, result, told


def weights_of(path: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(path)


def test_a_run_leaves_a_model_that_loads(run: tuple[Path, TuneResult, list[TuneProgress]]) -> None:
    out, result, _ = run
    assert result.model == out / "model"
    loaded = load(result.model, device="cpu")
    trained = weights_of(out / "checkpoint-3" / "trained.safetensors")
    own = dict(loaded.model.named_parameters())
    assert all(torch.equal(own[name], value) for name, value in trained.items())
    assert {name.split(".")[1] for name in trained} == {
        "multi_modal_projector",
        "aggregator",
        "region_encoder",
        "grounding_head",
        "segmenter",
    }
    before = dict(tiny_base().model.named_parameters())
    moved = {name for name, value in own.items() if not torch.equal(value, before[name])}
    assert moved
    assert moved <= trained.keys()


def test_figures_are_written_and_told(run: tuple[Path, TuneResult, list[TuneProgress]]) -> None:
    out, result, told = run
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3] == [one.step for one in told]
    assert {"text_loss", "seg_rate", "grad_norm", "records_per_second", "tokens_per_second", "data_wait_share"} <= set(
        rows[-1]
    )
    assert all(row["records_per_second"] > 0 for row in rows)
    assert result.figures["step" if "step" in result.figures else "text_loss"] == told[-1].figures["text_loss"]
    assert list((out / "runs").rglob("events.out.tfevents*"))
    assert (out / "recipe.yaml").read_text().startswith("# sama-video 9.9\n")


def test_unusable_records_are_counted_and_replaced(run: tuple[Path, TuneResult, list[TuneProgress]]) -> None:
    out, result, told = run
    assert result.dropped["list: missing_video"] == told[-1].figures["records_refused"] == 2
    state = json.loads((out / "checkpoint-3" / "run_state.json").read_text())
    assert state["stream"]["drops"] == {"list": {"missing_video": 2}}
    assert state["stream"]["position"] == 6


def test_only_the_last_checkpoints_stay(run: tuple[Path, TuneResult, list[TuneProgress]]) -> None:
    out, _, _ = run
    assert [path.name for path in TuneFolder(out, keep=2).checkpoints()] == ["checkpoint-2", "checkpoint-3"]
    assert not (out / ".saving").exists() or not any((out / ".saving").iterdir())


def test_a_folder_in_use_is_not_overwritten(run: tuple[Path, TuneResult, list[TuneProgress]], tmp_path: Path) -> None:
    out, _, _ = run
    with pytest.raises(ConfigError, match="--resume"):
        tune(SETTINGS, out, base=tiny_base(), stream=tiny_mixture())
    with pytest.raises(ConfigError, match=r"other settings \(steps was 3 and is 9\)"):
        tune(replace(SETTINGS, steps=9), out, base=tiny_base(), stream=tiny_mixture(), resume=True)
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="holds no run"):
        tune(SETTINGS, tmp_path, base=tiny_base(), stream=tiny_mixture())


def test_other_data_or_base_is_refused_on_resume(
    run: tuple[Path, TuneResult, list[TuneProgress]], tmp_path: Path
) -> None:
    out, _, _ = run
    shutil.copytree(out, tmp_path / "run")
    with pytest.raises(DataError, match="another|seed"):
        tune(SETTINGS, tmp_path / "run", base=tiny_base(), stream=tiny_mixture(seed=7), resume=True)
    records = [synthetic_record(0), lost(synthetic_record(1)), synthetic_record(2)]
    other = replace(tiny_base(), fingerprint="other")
    with pytest.raises(ConfigError, match="fingerprint"):
        tune(SETTINGS, tmp_path / "run", base=other, stream=tiny_mixture(records), resume=True)


def test_a_damaged_checkpoint_is_told_in_one_line(
    run: tuple[Path, TuneResult, list[TuneProgress]], tmp_path: Path
) -> None:
    out, _, _ = run
    shutil.copytree(out / "checkpoint-3", tmp_path / "checkpoint-3")
    assert read_state(tmp_path / "checkpoint-3")["step"] == 3
    for name in ("trained.safetensors", "optimizer.pt", "trainer_state.json"):
        whole = (tmp_path / "checkpoint-3" / name).read_bytes()
        (tmp_path / "checkpoint-3" / name).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(CheckpointError, match=rf"{name} is damaged.*from the one before"):
            read_state(tmp_path / "checkpoint-3")
        (tmp_path / "checkpoint-3" / name).write_bytes(whole)
    (tmp_path / "checkpoint-3" / "scheduler.pt").unlink()
    with pytest.raises(CheckpointError, match="scheduler.pt"):
        read_state(tmp_path / "checkpoint-3")


def test_a_full_disk_is_told_before_anything_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("sama_video.train.tuning.folder.shutil.disk_usage", lambda _: usage._replace(free=70 << 20))
    with pytest.raises(ConfigError, match=r"has 0\.1 GiB free, but 3 checkpoints"):
        tune(SETTINGS, tmp_path / "run", base=tiny_base(), stream=tiny_mixture())
    assert not (tmp_path / "run" / "checkpoint-2").exists()


def test_an_unwritable_folder_is_told_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot write to"):
        tune(SETTINGS, tmp_path / "file" / "run", base=tiny_base(), stream=tiny_mixture())


@pytest.mark.slow
def test_a_disk_that_fills_up_keeps_the_checkpoint_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sama_video.train.tuning import engine

    save = engine.save_weights

    def full(weights: dict, path: Path) -> None:
        if "checkpoint-3" in str(path):
            Path(path).write_bytes(b"half")
            raise OSError(28, "No space left on device")
        save(weights, path)

    monkeypatch.setattr(engine, "save_weights", full)
    settings = replace(SETTINGS, engine=replace(SETTINGS.engine, checkpoint_every=1))
    with pytest.raises(ConfigError, match="No space left on device"):
        tune(settings, tmp_path / "run", base=tiny_base(), stream=tiny_mixture())
    names = [path.name for path in TuneFolder(tmp_path / "run", keep=2).checkpoints()]
    assert names == ["checkpoint-1", "checkpoint-2"]
    assert not (tmp_path / "run" / ".saving").exists()


def spoilt(base: Base, value: float) -> Base:
    with torch.no_grad():
        base.model.model.grounding_head.linear_2.weight[0, 0] = value
    return base


@pytest.mark.parametrize("value", [float("nan"), pytest.param(float("inf"), marks=pytest.mark.slow)])
def test_a_loss_that_is_no_number_stops_with_its_batch(tmp_path: Path, value: float) -> None:
    with pytest.raises(ConfigError, match=r"records synthetic-.*bad_batch\.pt"):
        tune(SETTINGS, tmp_path / "run", base=spoilt(tiny_base(), value), stream=tiny_mixture())
    batches = torch.load(tmp_path / "run" / "bad_batch.pt", weights_only=True)
    assert len(batches) == SETTINGS.accumulation
    assert batches[0]["input_ids"].ndim == 2
    assert batches[0]["record_ids"][0].startswith("synthetic-")


def test_a_gradient_that_is_no_number_reaches_no_weight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sama_video.train.tuning import engine

    base = tiny_base()
    clip = engine.TuneTrainer._clip_grad_norm

    def spoil(trainer: engine.TuneTrainer, model: torch.nn.Module) -> object:
        norm = clip(trainer, model)
        next(p for _, p in trainer.tuned.trained()).grad[0] = float("nan")
        return norm

    monkeypatch.setattr(engine.TuneTrainer, "_clip_grad_norm", spoil)
    with pytest.raises(ConfigError, match="the gradient is no number"):
        tune(SETTINGS, tmp_path / "run", base=base, stream=tiny_mixture())
    assert all(parameter.isfinite().all() for parameter in base.model.parameters())
    assert not TuneFolder(tmp_path / "run", keep=2).checkpoints()


def test_collapse_of_seg_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    watch = SegWatch()
    state = type("State", (), {"global_step": 5, "is_world_process_zero": True})()
    with caplog.at_level(logging.WARNING):
        for said in (0.05, 0.0, 0.8, 0.9, 0.3, 0.2, 0.9, 0.1):
            watch.on_log(None, state, None, {"seg_said": said})
        watch.on_log(None, state, None, {"loss": 1.0})
    assert [record.message.split(" of the")[0] for record in caplog.records] == [
        "step 5: only 30 %",
        "step 5: only 10 %",
    ]


def test_base_is_prepared_as_the_settings_say() -> None:
    model = tiny_base().model
    bf16 = EngineSettings(precision="bf16", report_to=())
    prepare(model, TuneConfig(trained=("lm_head", "segmenter.mask_decoder"), engine=bf16))
    dtypes = {(p.requires_grad, p.dtype) for p in model.parameters()}
    assert dtypes == {(True, torch.float32), (False, torch.bfloat16)}
    assert all(layer.gradient_checkpointing for layer in model.model.language_model.layers)
    with pytest.raises(ConfigError, match="segmenter.eyes"):
        prepare(model, TuneConfig(trained=("segmenter.eyes",)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trained": ("soul",)}, "trained is 'soul'"),
        ({"batch": 0}, "batch is 0"),
        ({"engine": {"kind": "zero"}}, "engine.kind is 'zero'"),
        ({"engine": {"kind": "deepspeed"}}, "go together"),
    ],
)
def test_impossible_settings_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_tree(TuneConfig, changes, "")


def test_engines_that_are_not_there_are_named(tmp_path: Path) -> None:
    fsdp = replace(SETTINGS, engine=replace(SETTINGS.engine, kind="fsdp2"))
    with pytest.raises(ConfigError, match="torchrun"):
        tune(fsdp, tmp_path / "a", base=tiny_base(), stream=tiny_mixture())
    zero = replace(SETTINGS, engine=replace(SETTINGS.engine, kind="deepspeed", deepspeed_config="zero2.json"))
    with pytest.raises(MissingExtraError, match="pip install deepspeed"):
        tune(zero, tmp_path / "b", base=tiny_base(), stream=tiny_mixture())
    with pytest.raises(ConfigError, match="pip install trackio"):
        tune(
            replace(SETTINGS, engine=replace(SETTINGS.engine, report_to=("trackio",))),
            tmp_path / "c",
            base=tiny_base(),
            stream=tiny_mixture(),
        )


def test_steps_follow_from_epochs() -> None:
    settings = TuneConfig(epochs=2.0, batch=2, accumulation=4)
    assert settings.num_steps(100, 8) == 3
    assert settings.num_steps(100, 1) == 25
    assert replace(settings, steps=7).num_steps(100, 8) == 7


@pytest.mark.slow
def test_adapters_learn_and_are_merged_into_the_model(tmp_path: Path) -> None:
    settings = replace(SETTINGS, steps=2, accumulation=1, trained=(), lora=LoraSettings(rank=2, targets=("q_proj",)))
    result = tune(settings, tmp_path / "run", base=tiny_base(), stream=tiny_mixture())
    kept = weights_of(tmp_path / "run" / "checkpoint-2" / "trained.safetensors")
    assert all(".lora_" in name for name in kept)
    before, after = (
        dict(tiny_base().model.named_parameters()),
        dict(load(result.model, device="cpu").model.named_parameters()),
    )
    assert before.keys() == after.keys()
    moved = [name for name in before if not torch.equal(before[name], after[name])]
    assert moved
    assert all(name.endswith("q_proj.weight") and "language_model" in name for name in moved)
