"""The loop: seeded batches in, checkpoints and figures out, the same whether or not it was interrupted."""

import dataclasses
import json
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sama_video.errors import CheckpointError, ConfigError, MissingExtraError
from sama_video.train.config import TrainConfig
from sama_video.train.optimizer import StageOptimizer, learning_rate_share
from sama_video.train.processes import (
    average_gradients,
    is_first_process,
    is_so_in_any,
    process_number,
    share_weights,
    wait_for_all,
)
from sama_video.train.run_folder import RunFolder, first_line, write_whole, write_with
from sama_video.train.stages.base import Logs, Stage
from sama_video.train.starting_model import config_of, processor_of
from sama_video.train.stopping import StopRequest
from sama_video.train.taking_up import clips_of, origins, take_up

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Progress:
    """Where a stage is."""

    stage: str
    step: int
    steps: int
    seconds: float
    figures: Logs


Report = Callable[[Progress], None]


def train(
    run: TrainConfig,
    out: Path,
    stages: dict[str, type[Stage]],
    *,
    version: str,
    resume: bool = False,
    device: str = "cpu",
    report: Report | None = None,
) -> None:
    """Run a recipe's stages in order, each to its result; under `torchrun`, all processes train each stage together.

    Args:
        stages: Every stage by name.
        resume: Go on from the last checkpoints; finished stages are skipped.
        report: Called every few steps.
    """
    folder = RunFolder(out)
    make_accelerator(device)  # joins the other processes
    if is_first_process():
        if run.start_from:
            processor_of(run, config_of(run))  # refuses what no stage could go on from, before the folder is claimed
        folder.open(run, version, resume=resume)
        if run.start_from:
            take_up(run, folder)
    wait_for_all()
    for name in run.stages:
        if folder.has(name):
            logger.info("stage %s is finished", name)
            continue
        StageRun(run, stages[name], folder, device=device, report=report).run()


class StageRun:
    """One stage on its way: the module, its optimiser, and the step it has reached.

    Args:
        make: Makes the stage, where its class alone does not.
    """

    def __init__(
        self,
        run: TrainConfig,
        kind: type[Stage],
        folder: RunFolder,
        *,
        make: Callable[[TrainConfig], Stage] | None = None,
        device: str = "cpu",
        report: Report | None = None,
    ) -> None:
        self.config = run
        self.folder = folder
        self.path = folder.stage(kind.name)
        self.report = report
        self.clips = clips_of(run, kind, folder)
        self.step = 0
        self.seconds = 0.0
        self.accelerator = make_accelerator(device)
        results = {name: folder.result(name) for name in origins(run, kind, folder)}
        torch.manual_seed(seed_of(run.seed, kind.name, -1))
        stage = (make or kind)(run)
        stage.start(results)
        self.stage: Stage = stage.to(self.accelerator.device)
        self.optimizer = StageOptimizer(self.stage, run.optimizer)
        self.path.mkdir(parents=True, exist_ok=True)
        if self.checkpoint_path.is_file():
            self._restore()
        share_weights(self.stage)

    @property
    def checkpoint_path(self) -> Path:
        """The last checkpoint; replaced whole, so a kill leaves the one before."""
        return self.path / "checkpoint.pt"

    def run(self) -> None:
        """Train to the last step and leave the result.

        Raises:
            KeyboardInterrupt: Somebody asked to stop, and the checkpoint is written.
        """
        if is_first_process():
            self._drop_later_figures()
        with StopRequest() as stop:
            is_stopped = self._train(stop)
            steps = self.stage.settings.steps
            if is_first_process():
                self.save_checkpoint()
                if self.step == steps:
                    self.folder.write(self.stage.name, self.stage.result())
            wait_for_all()
            if is_stopped:
                logger.warning("stopped at step %d of %d of %s; --resume goes on", self.step, steps, self.stage.name)
                raise KeyboardInterrupt

    def _train(self, stop: StopRequest) -> bool:
        """Step by step, to the last one or until somebody asks one of the processes to stop: then it is true."""
        settings, saved_at = self.stage.settings, time.monotonic()
        window: list[Logs] = []
        while not (is_stopped := is_so_in_any(stop.is_made, self.accelerator.device)) and self.step < settings.steps:
            window.append(self.train_step())
            if not is_first_process():
                continue
            if self.step % self.config.log_every == 0 or self.step == settings.steps:
                self._write_figures({"train": _mean(window)})
                window = []
            every = settings.evaluate_every
            if self.step == settings.steps or (every and self.step % every == 0):
                self._evaluate()
            if time.monotonic() - saved_at >= self.config.checkpoint_seconds:
                self.save_checkpoint()
                saved_at = time.monotonic()
        return is_stopped

    def train_step(self) -> Logs:
        """One update.

        Raises:
            ConfigError: The loss or its gradient is no number; the batch is saved beside the checkpoint.
        """
        began = time.monotonic()
        settings = self.stage.settings
        self.optimizer.set_rate(learning_rate_share(self.step, settings.steps, self.config.optimizer.warmup_steps))
        rng = np.random.default_rng(seed_of(self.config.seed, self.clips, self.step, process_number()))
        batch = self.stage.batch(rng)
        loss, logs = self.stage(on_device(batch, self.accelerator.device))
        self.optimizer.zero_grad()
        self.accelerator.backward(loss)
        trained = self.optimizer.parameters
        average_gradients(trained)
        norm = self.accelerator.clip_grad_norm_(trained, self.config.optimizer.clip_norm)
        value = loss.item()
        if not math.isfinite(value) or not math.isfinite(norm.item()):
            self._stop_at(batch, value)
        self.optimizer.step()
        self.step += 1
        self.seconds += time.monotonic() - began
        return {"loss": value, "gradient_norm": norm.item()} | logs

    def save_checkpoint(self) -> None:
        """Write everything the rest of the stage depends on; generators have no state, see `Stage`."""
        state = {
            "step": self.step,
            "seconds": self.seconds,
            "weights": self.stage.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        write_with(self.checkpoint_path, lambda path: torch.save(state, path))

    def _restore(self) -> None:
        try:
            state = torch.load(self.checkpoint_path, weights_only=True, map_location="cpu")
            self.stage.load_state_dict(state["weights"], strict=True)
            self.optimizer.load_state_dict(state["optimizer"])
            self.step, self.seconds = state["step"], state["seconds"]
        except (OSError, EOFError, RuntimeError, UnpicklingError, KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{self.checkpoint_path} is damaged or of another model ({first_line(error)}); remove it to begin "
                f"stage {self.stage.name} anew with --resume."
            ) from error

    def _evaluate(self) -> None:
        self.stage.eval()
        scores = self.stage.evaluate()
        self.stage.train()
        self._write_figures({"evaluation": scores})

    def _write_figures(self, figures: dict[str, Logs]) -> None:
        row = {"step": self.step, "seconds": round(self.seconds, 2), **figures}
        with open(self.path / "metrics.jsonl", "a") as file:
            file.write(json.dumps(row) + "\n")
        (kind, values), *_ = figures.items()
        shown = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
        line = f"{self.stage.name} {self.step}/{self.stage.settings.steps}  {kind}: {shown}"
        logger.info(line)
        with open(self.path / "log.txt", "a") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {line}\n")
        if self.report is not None:
            self.report(Progress(self.stage.name, self.step, self.stage.settings.steps, self.seconds, values))

    def _drop_later_figures(self) -> None:
        """Forget figures of steps that a kill undid, so that no step is told twice."""
        path = self.path / "metrics.jsonl"
        if path.is_file():
            kept = [line for line in path.read_text().splitlines() if _step_of(line) <= self.step]
            write_whole(path, "".join(f"{line}\n" for line in kept).encode())

    def _stop_at(self, batch: Any, loss: float) -> None:
        path = self.path / ("bad_batch.pt" if is_first_process() else f"bad_batch.{process_number()}.pt")
        write_with(path, lambda target: torch.save(plain(batch), target))
        raise ConfigError(
            f"stage {self.stage.name}, step {self.step}: loss {loss} or its gradient is no number; batch in {path}; "
            f"lower {self.stage.name}.learning_rate and go on with --resume."
        )


def make_accelerator(device: str) -> Any:
    """Accelerate's view of the machine: where the stage lies, and how gradients flow back.

    Raises:
        MissingExtraError: Accelerate is not installed.
    """
    try:
        from accelerate import Accelerator
    except ImportError as error:
        raise MissingExtraError("accelerate", "train") from error
    return Accelerator(cpu=device == "cpu")


def seed_of(seed: int, stage: str, step: int, process: int = 0) -> int:
    """The seed of one step's batch in one process, or with step -1 of a stage's first weights."""
    words = f"{seed}/{stage}/{step}" + (f"/{process}" if process else "")
    return int.from_bytes(blake2b(words.encode(), digest_size=7).digest())


def on_device(value: Any, device: torch.device) -> Any:
    """The same batch with every tensor on a device."""
    if isinstance(value, Tensor):
        return value.to(device)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: on_device(getattr(value, f.name), device) for f in dataclasses.fields(value)}
        return dataclasses.replace(value, **fields)
    if isinstance(value, dict):
        return {key: on_device(item, device) for key, item in value.items()}
    return type(value)(on_device(item, device) for item in value) if isinstance(value, list | tuple) else value


def plain(value: Any) -> Any:
    """A batch as dicts, lists and tensors, readable without this package."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def _mean(window: list[Logs]) -> Logs:
    names = dict.fromkeys(name for logs in window for name in logs)
    columns = {name: [logs[name] for logs in window if name in logs] for name in names}
    return {name: round(sum(values) / len(values), 6) for name, values in columns.items()}


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError):
        return math.inf  # a line that a kill cut short
