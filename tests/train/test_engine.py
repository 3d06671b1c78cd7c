"""A run can stop anywhere and go on as if it had not."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from sama_video.errors import CheckpointError, ConfigError
from sama_video.train.config import load_recipe
from sama_video.train.engine import StageRun, seed_of, train
from sama_video.train.run_folder import RunFolder
from sama_video.train.stopping import StopRequest

_spec = importlib.util.spec_from_file_location("toy_stage", Path(__file__).with_name("toy_stage.py"))
toy = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(toy)

SHORT = ["stages=[see]", "see.steps=12", "see.batch=4", "see.evaluate_every=4", "log_every=2"]
TOYS = {"see": toy.ToyStage, "refer": toy.LaterStage}


def _train(out, *settings, resume=False, stages=None):
    train(load_recipe("nano", [*SHORT, *settings]), out, stages or TOYS, version="test", resume=resume)
    return load_file(out / "stages" / "see" / "final.safetensors")


def _rows(out):
    return [json.loads(line) for line in (out / "stages" / "see" / "metrics.jsonl").read_text().splitlines()]


def _same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_run_leaves_weights_figures_recipe_and_log(tmp_path):
    weights = _train(tmp_path)
    assert set(weights) == {"line.weight", "line.bias"}
    rows = _rows(tmp_path)
    assert [row["step"] for row in rows if "evaluation" in row] == [4, 8, 12]
    assert rows[-2]["train"]["loss"] < rows[0]["train"]["loss"]
    assert "see 12/12" in (tmp_path / "stages" / "see" / "log.txt").read_text()
    assert load_recipe(tmp_path / "recipe.yaml") == load_recipe("nano", SHORT)


def test_the_same_seed_gives_the_same_weights_and_another_does_not(tmp_path):
    first = _train(tmp_path / "a")
    assert _same(first, _train(tmp_path / "b"))
    assert not _same(first, _train(tmp_path / "c", "seed=1"))


@pytest.mark.parametrize(("number", "matrices"), [(signal.SIGINT, "adamw"), (signal.SIGTERM, "muon")])
def test_a_run_asked_to_stop_resumes_to_the_same_bits(tmp_path, monkeypatch, caplog, number, matrices):
    setting = f"optimizer.matrices={matrices}"
    unbroken = _train(tmp_path / "whole", setting)
    monkeypatch.setattr(toy.InterruptedStage, "count", 0)
    monkeypatch.setattr(toy.InterruptedStage, "number", number)
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt):
        _train(tmp_path / "cut", setting, stages={"see": toy.InterruptedStage})
    assert signal.getsignal(number) is before
    assert "stopped at step 6 of 12 of see; --resume goes on" in caplog.text
    checkpoint = torch.load(tmp_path / "cut" / "stages" / "see" / "checkpoint.pt", weights_only=True)
    assert checkpoint["step"] == 6
    assert not (tmp_path / "cut" / "stages" / "see" / "final.safetensors").exists()
    assert _same(unbroken, _train(tmp_path / "cut", setting, resume=True))
    steps = [row["step"] for row in _rows(tmp_path / "cut") if "train" in row]
    assert steps == [row["step"] for row in _rows(tmp_path / "whole") if "train" in row]


def test_a_second_interrupt_stops_at_once(monkeypatch):
    monkeypatch.setattr("sama_video.train.stopping.SAME_REQUEST_SECONDS", 0.0)
    # A runner in the background hands down an ignored SIGINT; a terminal does not.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with StopRequest() as stop:
            signal.raise_signal(signal.SIGINT)
            assert stop.is_made
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_damaged_files_are_told_in_one_line(tmp_path):
    _train(tmp_path)
    checkpoint = tmp_path / "stages" / "see" / "checkpoint.pt"
    final = tmp_path / "stages" / "see" / "final.safetensors"
    for damaged, left in ((checkpoint, 100), (final, 20)):
        damaged.write_bytes(damaged.read_bytes()[:left])
    with pytest.raises(CheckpointError, match="final.safetensors is damaged"):
        RunFolder(tmp_path).result("see")
    final.unlink()
    with pytest.raises(CheckpointError, match=r"checkpoint\.pt is damaged .* begin stage see anew"):
        _train(tmp_path, resume=True)
    checkpoint.unlink()
    assert _same(_train(tmp_path, resume=True), _train(tmp_path, resume=True))


def test_figures_of_steps_that_a_kill_undid_are_dropped(tmp_path):
    run = load_recipe("nano", SHORT)
    folder = RunFolder(tmp_path)
    folder.open(run, "test", resume=False)
    going = StageRun(run, toy.ToyStage, folder)
    going.train_step()
    going.save_checkpoint()
    (tmp_path / "stages" / "see" / "metrics.jsonl").write_text('{"step": 1, "x": 1}\n{"step": 9, "x": 1}\n{"step": 1')
    _train(tmp_path, resume=True)
    assert _rows(tmp_path)[0] == {"step": 1, "x": 1}
    assert 9 not in [row["step"] for row in _rows(tmp_path)]


def test_resuming_a_finished_stage_does_nothing(tmp_path):
    first = _train(tmp_path)
    assert _same(first, _train(tmp_path, resume=True))


def test_a_used_folder_is_refused_without_resume(tmp_path):
    _train(tmp_path)
    with pytest.raises(ConfigError, match="--resume"):
        _train(tmp_path)


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("irreplaceable")
    with pytest.raises(ConfigError, match="not empty"):
        _train(tmp_path)


def test_a_stage_is_not_resumed_with_other_settings(tmp_path):
    _train(tmp_path)
    with pytest.raises(ConfigError, match="other settings"):
        _train(tmp_path, "seed=4", resume=True)


def test_an_unwritable_folder_is_refused_at_the_start(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot write"):
        _train(tmp_path / "file" / "out")


def test_a_second_process_may_run_other_stages_in_the_same_folder(tmp_path):
    first = _train(tmp_path)
    _train(tmp_path, "stages=[refer]", "refer.steps=3")
    later = load_file(tmp_path / "stages" / "refer" / "final.safetensors")
    assert later.keys() == first.keys()


def test_a_stage_starts_from_what_an_earlier_one_learnt(tmp_path):
    first = _train(tmp_path)
    run = load_recipe("nano", [*SHORT, "stages=[refer]"])
    going = StageRun(run, toy.LaterStage, RunFolder(tmp_path))
    assert _same(dict(going.stage.result()), first)


def test_a_stage_without_its_predecessor_says_which_to_run(tmp_path):
    with pytest.raises(CheckpointError, match=r"stages=\[see\]"):
        _train(tmp_path, "stages=[refer]")


def test_a_loss_that_is_no_number_stops_with_the_batch_saved(tmp_path):
    with pytest.raises(ConfigError, match="step 2"):
        _train(tmp_path, stages={"see": toy.BrokenStage})
    saved = torch.load(tmp_path / "stages" / "see" / "bad_batch.pt", weights_only=True)
    assert set(saved) == {"x", "y"}


def test_no_two_steps_or_stages_share_a_seed():
    seeds = {seed_of(seed, stage, step) for seed in (0, 1) for stage in ("see", "speak") for step in range(-1, 50)}
    assert len(seeds) == 2 * 2 * 51


@pytest.mark.slow
def test_a_killed_process_resumes_to_the_same_bits(tmp_path):
    script = [sys.executable, str(Path(__file__).with_name("kill_me.py"))]
    source = str(Path(__file__).parents[2] / "src")
    quiet = {"env": {**os.environ, "PYTHONPATH": source, "OMP_NUM_THREADS": "1"}, "check": True}
    subprocess.run([*script, tmp_path / "whole"], **quiet)
    for _ in range(3):
        resume = ["--resume"] if (tmp_path / "cut").exists() else []
        process = subprocess.Popen([*script, tmp_path / "cut", *resume], env=quiet["env"])
        _wait_for_steps(tmp_path / "cut", 40)
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run([*script, tmp_path / "cut", "--resume"], **quiet)
    results = [load_file(tmp_path / name / "stages" / "see" / "final.safetensors") for name in ("whole", "cut")]
    assert _same(*results)
    steps = [row["step"] for row in _rows(tmp_path / "cut") if "train" in row]
    assert steps == list(range(1, 301))


@pytest.mark.slow
def test_two_processes_train_one_stage_with_both_their_batches(tmp_path):
    script = str(Path(__file__).with_name("kill_me.py"))
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", script]
    source = str(Path(__file__).parents[2] / "src")
    environment = {**os.environ, "PYTHONPATH": source, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([*command, tmp_path / "two"], env=environment, start_new_session=True)
    _wait_for_steps(tmp_path / "two", 40)
    os.killpg(process.pid, signal.SIGTERM)
    process.wait()
    cut = [row["step"] for row in _rows(tmp_path / "two") if "train" in row]
    assert 40 <= len(cut) < 300
    subprocess.run([*command, tmp_path / "two", "--resume"], env=environment, check=True)
    assert [row["step"] for row in _rows(tmp_path / "two") if "train" in row] == list(range(1, 301))
    run = load_recipe("nano", ["stages=[see]", "see.steps=300", "see.batch=4"])
    train(run, tmp_path / "one", {"see": toy.BothStage}, version="test")
    two, one = (load_file(tmp_path / name / "stages" / "see" / "final.safetensors") for name in ("two", "one"))
    assert all(torch.allclose(two[name], one[name], rtol=1e-4, atol=1e-6) for name in one)
    train(run, tmp_path / "alone", {"see": toy.ToyStage}, version="test")
    alone = load_file(tmp_path / "alone" / "stages" / "see" / "final.safetensors")
    assert not any(torch.allclose(alone[name], one[name], rtol=1e-4, atol=1e-6) for name in one)


def _wait_for_steps(out, more):
    path = out / "stages" / "see" / "metrics.jsonl"

    def lines():
        return len(path.read_text().splitlines()) if path.exists() else 0

    began, deadline = lines(), time.monotonic() + 60
    while lines() < began + more and time.monotonic() < deadline:
        time.sleep(0.02)
