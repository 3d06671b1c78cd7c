"""Killed at any moment, or split over processes, a run comes to the same weights."""

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
from tuning_world import tiny_base

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

SCRIPT = Path(__file__).parent / "tune_me.py"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
KILLED = -signal.SIGKILL


def command(out: Path, base: Path, *options: str, processes: int = 1) -> list[str]:
    launcher = [sys.executable]
    if processes > 1:
        launcher += ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    return [*launcher, str(SCRIPT), str(out), str(base), *options]


def start(out: Path, base: Path, *options: str, processes: int = 1, stops: bool = False) -> int:
    done = subprocess.run(
        command(out, base, *options, processes=processes),
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    if stops:
        assert "stopped at step" in done.stderr, done.stderr
        return done.returncode
    assert done.returncode in (0, KILLED, 1), done.stderr
    if done.returncode == 1:
        assert "Signal 9" in done.stderr, done.stderr  # torchrun tells of a killed process so
    return done.returncode


def figures(out: Path, name: str) -> list[float]:
    return [json.loads(line)[name] for line in (out / "metrics.jsonl").read_text().splitlines()]


def assert_same_weights(one: Path, other: Path) -> None:
    mine, yours = (load_file(out / "model" / "model.safetensors") for out in (one, other))
    assert mine.keys() == yours.keys()
    assert [name for name in mine if not torch.equal(mine[name], yours[name])] == []


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model as a folder, without dropout."""
    folder = tmp_path_factory.mktemp("base")
    made = tiny_base()
    made.model.config.aggregator_config.dropout = 0.0
    made.model.save_pretrained(folder)
    made.processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def unbroken(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing disturbed."""
    out = tmp_path_factory.mktemp("unbroken") / "run"
    assert start(out, base) == 0
    return out


def test_killed_runs_come_to_the_same_weights_bit_by_bit(base: Path, unbroken: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert start(out, base, "die_at=1") == KILLED  # before there is any checkpoint
    assert start(out, base, "--resume", "die_in_save=2") == KILLED
    assert [path.name for path in out.glob("checkpoint-*")] == []
    assert start(out, base, "--resume", "die_at=3", "workers=1") == KILLED
    assert [path.name for path in out.glob("checkpoint-*")] == ["checkpoint-2"]
    assert start(out, base, "--resume", "die_in_save=4") == KILLED
    assert [path.name for path in out.glob("checkpoint-*")] == ["checkpoint-2"]  # the one before is still whole
    assert start(out, base, "--resume", "workers=2") == 0
    assert_same_weights(out, unbroken)
    for name in ("step", "loss", "text_loss", "mask_loss", "dice_loss", "grad_norm", "learning_rate"):
        assert figures(out, name) == figures(unbroken, name)


def test_a_kill_from_outside_at_any_moment(base: Path, unbroken: Path, tmp_path: Path) -> None:
    out, kills = tmp_path / "run", 0
    for pause in (0.3, 1.1, 2.0):
        process = subprocess.Popen(
            command(out, base, "--resume", "every=1"),
            env=ENVIRONMENT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 300
        while not (out / "recipe.yaml").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(pause)
        kills += process.poll() is None
        process.kill()
        process.wait()
    assert kills
    assert start(out, base, "--resume", "every=1") == 0
    assert_same_weights(out, unbroken)


def test_a_run_that_is_asked_to_stop_leaves_a_checkpoint(base: Path, unbroken: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert start(out, base, "stop_at=3", "workers=1", stops=True) != 0
    assert [path.name for path in sorted(out.glob("checkpoint-*"))] == ["checkpoint-2", "checkpoint-3"]
    assert start(out, base, "--resume") == 0
    assert_same_weights(out, unbroken)


def test_two_processes_stop_at_one_step(base: Path, unbroken: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert start(out, base, "accumulation=1", "stop_at=1", "stop_rank=1", processes=2, stops=True) != 0
    assert [path.name for path in out.glob("checkpoint-*")] == ["checkpoint-2"]
    assert start(out, base, "--resume", "accumulation=1", processes=2) == 0
    assert_same_losses(out, unbroken)


# One process adds up the gradients of two micro-steps, two processes average theirs: the same sums in another order.
CLOSE = {"loss": 1e-5, "text_loss": 1e-5, "mask_loss": 1e-4, "dice_loss": 1e-4, "grad_norm": 1e-5}


def assert_same_losses(out: Path, unbroken: Path) -> None:
    assert figures(out, "step") == figures(unbroken, "step")
    for name, tolerance in CLOSE.items():
        assert figures(out, name) == pytest.approx(figures(unbroken, name), rel=tolerance), name


def test_two_processes_have_the_losses_of_one(base: Path, unbroken: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert start(out, base, "accumulation=1", processes=2) == 0
    assert_same_losses(out, unbroken)


def test_two_sharded_processes_have_the_losses_of_one_and_survive_a_kill(
    base: Path, unbroken: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    assert start(out, base, "accumulation=1", "kind=fsdp2", "die_at=3", processes=2) != 0
    assert (out / "checkpoint-2" / "optimizer.bin").is_file()  # as sharded optimisers are kept
    assert start(out, base, "--resume", "accumulation=1", "kind=fsdp2", processes=2) == 0
    assert_same_losses(out, unbroken)
    mine, yours = (load_file(folder / "model" / "model.safetensors") for folder in (out, unbroken))
    # Attention does not depend on a key's bias: its gradient is rounding alone, of which Adam makes whole steps.
    apart = {name: (mine[name] - yours[name]).abs().max() for name in mine if not name.endswith("key.bias")}
    assert max(far for name, far in apart.items() if not name.endswith("k_proj.bias")) < 1e-4
