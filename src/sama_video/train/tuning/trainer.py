"""`tune`: the run of a recipe on records, from the base model to the trained one."""

import importlib.util
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import TrainingArguments

from sama_video.errors import ConfigError, MissingExtraError
from sama_video.model import SamaForConditionalGeneration
from sama_video.train import processes
from sama_video.train.engine import seed_of
from sama_video.train.tuning import distributed
from sama_video.train.tuning.base import Base, choose_trained, layer_classes, load_base, prepare
from sama_video.train.tuning.callbacks import FigureLog, Report, SegWatch, TuneProgress
from sama_video.train.tuning.engine import TuneTrainer
from sama_video.train.tuning.examples import ExampleMaker
from sama_video.train.tuning.folder import WEIGHTS_FILE, TuneFolder, read_state
from sama_video.train.tuning.model_step import PAPER_BIAS, TuningModel
from sama_video.train.tuning.reading import ExampleData, RecordStream, open_stream
from sama_video.train.tuning.settings import TuneConfig, to_yaml

logger = logging.getLogger(__name__)

__all__ = ["TuneProgress", "TuneResult", "tune"]


@dataclass(frozen=True)
class TuneResult:
    """What a finished run left.

    Attributes:
        model: Folder that `sama_video.load` reads, adapters merged.
        figures: The last ones logged; none when the run was finished before.
        dropped: Records refused and turns left out by this process, by reason.
    """

    model: Path
    steps: int
    figures: Mapping[str, float]
    dropped: Mapping[str, int]


def tune(
    settings: TuneConfig,
    out: Path,
    *,
    resume: bool = False,
    stream: RecordStream | None = None,
    base: Base | None = None,
    data_root: Path | None = None,
    device: str = "auto",
    version: str = "",
    report: Report | None = None,
) -> TuneResult:
    """Train, and write the model into `out/model`.

    Called by every process of a `torchrun`; only the first writes. The run folder holds `recipe.yaml`, `metrics.jsonl`,
    `runs/` for TensorBoard, `checkpoint-N/` (whole or not there at all) and, at the end, `model/`.

    Args:
        resume: Go on from the last checkpoint, or from the start where there is none yet.
        stream: The records; by default the mixture that `settings.data` describes.
        base: The model to start from, which is then trained in place; by default `load_base(settings)`.
        data_root: What relative paths of `settings.data` are relative to.
        device: "auto", or "cpu" on a machine with a card.
        version: Of the package, written beside the settings.
        report: Called at every logged step.

    Raises:
        ConfigError: The folder cannot be used, the disk is too small, or settings, data or base changed since the
            run began; or the loss became no number.
        CheckpointError: The last checkpoint is damaged.
        KeyboardInterrupt: Somebody asked to stop, and the checkpoint is written.
    """
    _need_extras(settings)
    is_rounded = base is None and settings.engine.precision == "bf16"
    base = base or load_base(settings)
    torch.manual_seed(seed_of(settings.seed, "adapters", 0))
    prepare(base.model, settings)
    stream = stream if stream is not None else open_stream(settings.data, settings.seed, root=data_root)
    arguments = make_arguments(settings, out, layers=layer_classes(base.model), num_records=len(stream), device=device)
    model = tuning_model(base.model, settings)
    folder = TuneFolder(out, keep=settings.engine.keep)
    num_bytes = checkpoint_bytes(base.model)
    if arguments.should_save:
        needed = (folder.keep + 1) * num_bytes + model_bytes(base.model)
        folder.open(to_yaml(settings, version), resume=resume, num_bytes=needed)
    processes.wait_for_all()
    last = folder.checkpoints()[-1] if folder.checkpoints() else None
    per_step = settings.global_batch(arguments.world_size)
    identity = {"fingerprint": base.fingerprint, "records_per_step": per_step}
    left_out = {} if last is None else restore(last, model, stream, identity, is_first=arguments.process_index == 0)
    config: Any = base.model.config
    maker = ExampleMaker(config, base.processor, settings.data)
    data = ExampleData(stream, maker, arguments.max_steps * per_step)
    figures = FigureLog(out / "metrics.jsonl", report)
    if arguments.should_save:
        figures.begin(0 if last is None else read_state(last, check=False)["step"])
    trainer = TuneTrainer(
        model,
        arguments,
        data,
        settings=settings,
        folder=folder,
        identity=identity,
        checkpoint_bytes=num_bytes,
        callbacks=[figures, SegWatch()],
    )
    trainer.left_out.update(left_out)
    with trainer.stop_request:
        trainer.train(resume_from_checkpoint=None if last is None else str(last))
    if trainer.state.global_step < arguments.max_steps:
        if arguments.should_save:
            logger.warning("stopped at step %d of %d; --resume goes on", trainer.state.global_step, arguments.max_steps)
        raise KeyboardInterrupt
    write_model(trainer, base, settings, reload=is_rounded)
    dropped = {**trainer.refused(), **{f"turns: {why}": count for why, count in trainer.left_out.items()}}
    return TuneResult(folder.model, arguments.max_steps, trainer.figures, dropped)


def make_arguments(
    settings: TuneConfig, out: Path, *, layers: list[str], num_records: int, device: str
) -> TrainingArguments:
    """The settings as the engine takes them.

    Args:
        layers: Names of the classes that FSDP shards one by one.
        num_records: Of one pass.
    """
    steps = settings.num_steps(num_records, processes.num_processes())
    optimiser, engine = settings.optimiser, settings.engine
    on_card = device != "cpu" and torch.cuda.is_available()
    return TrainingArguments(
        output_dir=str(out),
        max_steps=steps,
        per_device_train_batch_size=settings.batch,
        gradient_accumulation_steps=settings.accumulation,
        learning_rate=optimiser.learning_rate,
        adam_beta1=optimiser.betas[0],
        adam_beta2=optimiser.betas[1],
        weight_decay=optimiser.weight_decay,
        max_grad_norm=optimiser.clip_norm,
        warmup_steps=math.ceil(optimiser.warmup_share * steps),
        lr_scheduler_type="cosine",
        optim="adamw_torch_fused" if on_card and engine.kind != "deepspeed" else "adamw_torch",
        bf16=engine.precision == "bf16",
        seed=settings.seed,
        use_cpu=not on_card,
        logging_steps=engine.log_every,
        logging_first_step=True,
        logging_nan_inf_filter=False,
        save_steps=engine.checkpoint_every,
        report_to=list(engine.report_to) or "none",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_num_workers=settings.data.workers,
        dataloader_prefetch_factor=settings.data.prefetch if settings.data.workers else None,
        dataloader_drop_last=True,
        dataloader_pin_memory=on_card,
        **distributed.engine_arguments(engine, layers),
    )


def tuning_model(model: SamaForConditionalGeneration, settings: TuneConfig) -> TuningModel:
    """A prepared model with its losses."""
    bias = PAPER_BIAS if settings.data.protocol == "paper" else 0.0
    return TuningModel(
        model,
        settings.loss,
        regionless_bias=bias,
        bf16=settings.engine.precision == "bf16",
        always_looks=settings.engine.kind != "ddp",
    )


def checkpoint_bytes(model: SamaForConditionalGeneration) -> int:
    """Room that a checkpoint takes: the trained weights and AdamW's two moments of each."""
    return sum(3 * 4 * p.numel() for p in model.parameters() if p.requires_grad)


def model_bytes(model: SamaForConditionalGeneration) -> int:
    """Room that the finished model takes."""
    return sum(p.numel() * p.element_size() for p in model.parameters())


def restore(
    checkpoint: Path, model: TuningModel, stream: RecordStream, identity: Mapping[str, Any], *, is_first: bool
) -> dict[str, int]:
    """Fill in a checkpoint's weights and counts; what it knew of turns left out.

    Args:
        is_first: Only the first process goes on with the counts, which are those of all.

    Raises:
        ConfigError: It belongs to another base or another number of records per update.
        DataError: It belongs to other data.
    """
    state = read_state(checkpoint, check=is_first)
    for key, now in identity.items():
        if state[key] != now:
            raise ConfigError(
                f"{checkpoint} has {key} {state[key]!r}, but this run has {now!r}; go on with the same base model, and "
                "with the same product of batch, accumulation and processes."
            )
    own = state["stream"] if is_first else {**state["stream"], "drops": {}}
    stream.restore(own)
    distributed.load_whole(list(model.trained()), load_file(checkpoint / WEIGHTS_FILE))
    left_out: dict[str, int] = state["left_out"] if is_first else {}
    return left_out


def write_model(trainer: TuneTrainer, base: Base, settings: TuneConfig, *, reload: bool) -> None:
    """The trained model as a folder that `sama_video.load` reads; adapters are merged.

    Args:
        reload: Put it together from a fresh copy of its base, whose frozen weights training had rounded; a model that
            is spread over processes is always put together so.
    """
    reload = reload or trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled
    weights = distributed.whole_weights(list(trainer.tuned.trained())) if reload else {}
    if trainer.args.should_save:
        if reload:
            base = load_base(settings)
            choose_trained(base.model, settings)
            for _, parameter in _trained(base.model):
                parameter.data = parameter.data.float()
            distributed.load_whole(_trained(base.model), weights)
        if settings.lora.rank:
            from sama_video.train.tuning.lora import merge_adapters

            merge_adapters(base.model)
        target = trainer.folder.staging / trainer.folder.model.name
        base.model.save_pretrained(target)
        base.processor.save_pretrained(target)
        trainer.folder.publish_model()
    processes.wait_for_all()


def _trained(model: SamaForConditionalGeneration) -> list[tuple[str, torch.nn.Parameter]]:
    return [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]


def _need_extras(settings: TuneConfig) -> None:
    for package in ("accelerate", *settings.engine.report_to):
        if importlib.util.find_spec(package) is None:
            if package in ("wandb", "trackio"):
                raise ConfigError(
                    f"engine.report_to names {package}, which is not installed; run: pip install {package}"
                )
            raise MissingExtraError(package, "train")
