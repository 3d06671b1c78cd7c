"""transformers' `Trainer` for `TuningModel`: losses over a whole update, exact resumption, whole checkpoints."""

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.utils.data import Sampler
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from sama_video.errors import ConfigError
from sama_video.model.weight_files import save_weights
from sama_video.train import processes
from sama_video.train.engine import plain, seed_of
from sama_video.train.stopping import StopRequest, leave_stopping_to_parent
from sama_video.train.tuning import distributed
from sama_video.train.tuning.collate import Collate, TuneBatch
from sama_video.train.tuning.folder import WEIGHTS_FILE, TuneFolder
from sama_video.train.tuning.model_step import SUMS, TuningModel, averages
from sama_video.train.tuning.reading import ExampleData, InOrder, RecordStream
from sama_video.train.tuning.settings import TuneConfig

BAD_BATCH = "bad_batch.pt"


class TuneTrainer(Trainer):
    """The engine of a run.

    What it changes of `Trainer`: a loss is a share of the whole update's mean, so neither ranks nor micro-steps matter;
    a checkpoint holds the trained weights alone, and appears under its name only when it is whole; a loss or gradient
    that is no number ends the run before it reaches a weight.

    Args:
        identity: What a resumed run must agree in.
        checkpoint_bytes: Room a checkpoint takes, for the message when there is none.
    """

    def __init__(
        self,
        model: TuningModel,
        arguments: TrainingArguments,
        data: ExampleData,
        *,
        settings: TuneConfig,
        folder: TuneFolder,
        identity: dict[str, Any],
        checkpoint_bytes: int,
        callbacks: Sequence[TrainerCallback],
    ) -> None:
        self.settings = settings
        self.folder = folder
        self.identity = identity
        self.checkpoint_bytes = checkpoint_bytes
        self.tuned = model
        self.data = data
        self.left_out: Counter[str] = Counter()
        self.figures: dict[str, float] = {}
        self._recent: list[TuneBatch] = []
        self._window = _Window(arguments.device)
        self.stop_request = StopRequest()
        self.is_stopping = False
        super().__init__(
            model=model,
            args=arguments,
            train_dataset=data,
            data_collator=Collate(_pad_id(data)),
            callbacks=[*callbacks, _GradientGuard(self), _Stopper(self)],
        )
        self.remove_callback(PrinterCallback)  # only `app` prints
        self.model_accepts_loss_kwargs = True  # the loss is scaled for the whole update already

    @property
    def stream(self) -> RecordStream:
        """The records."""
        return self.data.stream

    @property
    def records_per_step(self) -> int:
        """Records of an update."""
        return self.settings.global_batch(self.args.world_size)

    def create_accelerator_and_postprocess(self) -> None:
        """As `Trainer` does, but sharding also works without cards, and adds up gradients in float32."""
        super().create_accelerator_and_postprocess()
        if self.settings.engine.kind == "fsdp2":
            if self.args.device.type == "cpu":
                distributed.shard_on_cpu(self.accelerator, self.args.fsdp_plugin_args)
                self.is_fsdp_enabled = True
            distributed.set_shard_precision(self.accelerator.state.fsdp_plugin, self.settings.engine.precision)

    # data

    def get_train_dataloader(self) -> Any:
        """As `Trainer` makes it, with readers that outlive a Ctrl-C."""
        loader: Any = super().get_train_dataloader()
        reads = getattr(loader, "base_dataloader", loader)  # accelerate's own is wrapped around the one that reads
        reads.worker_init_fn = _Reader(reads.worker_init_fn)
        return loader

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        return InOrder(len(self.data))

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], Tensor]:
        """The micro-steps of an update, and how many labels and masks they hold over all ranks."""
        began = time.perf_counter()
        samples, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        self._window.waited += time.perf_counter() - began
        batches = [sample["batch"] for sample in samples]
        self._recent = batches
        for batch in batches:
            self.stream.count(batch.refused)
            self.left_out.update(batch.left_out)
        own = [sum(batch.num_labels for batch in batches), sum(batch.num_prompts for batch in batches)]
        # With what is added up anyway goes whether any process was asked to stop, so that all stop at one step.
        own.append(int(self.stop_request.is_made))
        totals = processes.summed(torch.tensor(own, dtype=torch.float32, device=device))
        self.is_stopping = bool(totals[2] > 0)
        return samples, totals[:2]

    # one micro-step

    def compute_loss(
        self, model: nn.Module, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """This micro-step's share of the update's loss.

        Raises:
            ConfigError: It is no number; the update's records are saved beside the checkpoints.
        """
        batch = inputs["batch"]
        self._seed(batch)
        outputs = model(batch, num_items_in_batch[0], num_items_in_batch[1])
        loss = outputs["loss"]
        if not math.isfinite(loss.item()):
            self.stop(f"the loss is {loss.item()}")
        self._window.sums += outputs["sums"].double()
        # Engines average gradients over ranks, but the shares of all ranks are to be added.
        loss = loss * self.args.world_size
        return (loss, outputs) if return_outputs else loss

    def stop(self, why: str) -> None:
        """End the run with the records of this update saved for inspection."""
        suffix = f".rank{self.args.process_index}" if self.args.world_size > 1 else ""
        path = self.folder.path / f"{BAD_BATCH}{suffix}"
        torch.save([plain(batch.to("cpu")) for batch in self._recent], path)
        records = ", ".join(name for batch in self._recent for name in batch.record_ids)
        raise ConfigError(
            f"step {self.state.global_step}: {why}; records {records}; their batches are in {path}; mend the data or "
            "lower optimiser.learning_rate, and go on with --resume."
        )

    def _seed(self, batch: TuneBatch) -> None:
        """Tie dropout to the step, so that nothing hangs on what was drawn before it."""
        micro = next(place for place, other in enumerate(self._recent) if other is batch)
        torch.manual_seed(seed_of(self.settings.seed, f"{self.args.process_index}/{micro}", self.state.global_step))

    # figures

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the figures of the steps since the last line, over all ranks."""
        if "loss" in logs:
            sums = processes.summed(self._window.sums)
            waited = self._window.waited
            elapsed = max(time.perf_counter() - self._window.began, 1e-9)
            by_name = dict(zip(SUMS, sums.tolist(), strict=True))
            logs |= averages(sums, self.settings.loss)
            logs |= {
                "records_per_second": by_name["records"] / elapsed,
                "tokens_per_second": by_name["tokens"] / elapsed,
                "data_wait_share": waited / elapsed,
                "seconds": time.perf_counter() - self._window.started,
                "records_refused": float(sum(processes.merged_counts(self.refused()).values())),
                "turns_left_out": float(sum(processes.merged_counts(self.left_out).values())),
            }
            self.figures = dict(logs)
            self._window.restart()
        super().log(logs, start_time)

    def refused(self) -> Counter[str]:
        """This process's records that could not be used, by part and reason."""
        drops = self.stream.state().get("drops", {})
        return Counter({f"{part}: {why}": n for part, reasons in drops.items() for why, n in reasons.items()})

    # checkpoints

    def _get_output_dir(self, trial: Any) -> str:
        return str(self.folder.staging)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        position = self.state.global_step * self.records_per_step
        drops = [state.get("drops", {}) for state in processes.gathered(self.stream.state(position))]
        left_out = dict(processes.merged_counts(self.left_out))
        try:
            super()._save_checkpoint(model, trial)
            processes.wait_for_all()
            if self.args.should_save:
                stream = {**self.stream.state(position), "drops": added_drops(drops)}
                state = {**self.identity, "stream": stream, "left_out": left_out}
                self.folder.publish(self.state.global_step, state)
        except (OSError, RuntimeError, SafetensorError) as error:
            self.folder.discard_unfinished()
            raise ConfigError(
                f"step {self.state.global_step}: the checkpoint cannot be written to {self.folder.path} "
                f"({str(error).splitlines()[0]}); it takes about {self.checkpoint_bytes / 2**20:.0f} MiB. Make room, "
                "and go on with --resume from the one before."
            ) from error
        processes.wait_for_all()

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """The trained weights alone; the rest is the base's."""
        weights = distributed.whole_weights(list(self.tuned.trained()))
        if self.args.should_save:
            target = Path(output_dir or self.folder.staging)
            target.mkdir(parents=True, exist_ok=True)
            save_weights(weights, target / WEIGHTS_FILE)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if not self.is_fsdp_enabled:
            super()._save_optimizer_and_scheduler(output_dir)
            return
        # As `Trainer` does, less the whole model with its frozen weights, which the base holds.
        from accelerate.utils import save_fsdp_optimizer
        from transformers.trainer import SCHEDULER_NAME

        plugin = self.accelerator.state.fsdp_plugin
        save_fsdp_optimizer(plugin, self.accelerator, self.optimizer, self.model, output_dir)
        if self.args.should_save and self.lr_scheduler is not None:
            torch.save(self.lr_scheduler.state_dict(), Path(output_dir) / SCHEDULER_NAME)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        """Nothing: the weights were filled in before the model was spread out."""


class _Window:
    """What is added up between two lines of figures."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.started = time.perf_counter()
        self.restart()

    def restart(self) -> None:
        """Begin anew."""
        self.sums = torch.zeros(len(SUMS), dtype=torch.float64, device=self.device)
        self.waited = 0.0
        self.began = time.perf_counter()


class _GradientGuard(TrainerCallback):
    """Ends the run before a gradient that is no number reaches a weight."""

    def __init__(self, trainer: TuneTrainer) -> None:
        self.trainer = trainer

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Look at this process's share of the gradients, which are clipped by now."""
        own = [p.grad for _, p in self.trainer.tuned.trained() if p.grad is not None]
        local = [grad.to_local() if hasattr(grad, "to_local") else grad for grad in own]
        if local and not torch.stack([grad.sum().float() for grad in local]).isfinite().all():
            self.trainer.stop("the gradient is no number")


class _Stopper(TrainerCallback):
    """Ends the run with a checkpoint where somebody asked for it."""

    def __init__(self, trainer: TuneTrainer) -> None:
        self.trainer = trainer

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Several processes agree when the next update begins; one alone need not wait."""
        if args.world_size == 1:
            self.trainer.is_stopping = self.trainer.stop_request.is_made
        if self.trainer.is_stopping:
            control.should_save = control.should_training_stop = True


@dataclass(frozen=True)
class _Reader:
    """What a reading process does first; a class, so that it can be sent to one."""

    then: Callable[[int], None] | None

    def __call__(self, worker: int) -> None:
        leave_stopping_to_parent()
        if self.then is not None:
            self.then(worker)


def added_drops(parts: Sequence[dict[str, dict[str, int]]]) -> dict[str, dict[str, int]]:
    """Counts of several processes, by source and reason, added up."""
    total: dict[str, Counter[str]] = {}
    for drops in parts:
        for source, reasons in drops.items():
            total.setdefault(source, Counter()).update(reasons)
    return {source: dict(sorted(reasons.items())) for source, reasons in sorted(total.items())}


def _pad_id(data: ExampleData) -> int:
    tokenizer = data.maker.processor.tokenizer
    return int(tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id)
