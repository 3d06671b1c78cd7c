"""What a training run on records is made of; a recipe says only what differs from these defaults.

The defaults are the published model's (spec model 8.1 to 8.4), on one device.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from sama_video.data.mixture_shares import pass_length
from sama_video.data.stores.opening import open_store
from sama_video.data.stores.store import DEFAULTS, RecordStore, StoreOptions
from sama_video.errors import ConfigError

ENGINES = ("ddp", "fsdp2", "deepspeed")
PRECISIONS = ("bf16", "fp32")
PROTOCOLS = ("consistent", "paper")
AGGREGATORS = ("kept", "new", "pooled")
REPORTERS = ("tensorboard", "wandb", "trackio")
PARTS = (
    "vision_tower",
    "multi_modal_projector",
    "language_model",
    "lm_head",
    "aggregator",
    "region_encoder",
    "grounding_head",
    "segmenter",
)
"""Parts of a model that may be trained; a dot goes deeper, as in `segmenter.mask_decoder`."""


@dataclass(frozen=True)
class SourceSettings:
    """One set of records, as `data.stores.opening.open_store` takes it.

    Attributes:
        path: A record file or a data set's folder; relative to `SAMA_DATA` unless absolute.
        layout: How it lies on disk; "auto" tells by names and files.
        name: Unique in the mixture; the last part of the path by default.
        weight: Its share beside the others.
        root: Folder that the clips of our own records are named relative to; that of the record file by default.
        options: How entries of a published data set become records: its split, turns and expressions per record, ways
            to point, the request for masks; our own records take no notice. A seed of 0 is the run's.
    """

    path: str
    layout: str = "auto"
    name: str = ""
    weight: float = 1.0
    root: str = ""
    options: StoreOptions = DEFAULTS

    def opened(self, data_root: Path, seed: int, *, strict: bool) -> RecordStore:
        """Its records.

        Raises:
            DataError: There is nothing of a known layout, or no record in it.
        """
        options = dataclasses.replace(self.options, seed=self.options.seed or seed)
        return open_store(data_root / self.path, self.layout, options=options, root=self.root or None, strict=strict)


@dataclass(frozen=True)
class DataSettings:
    """The records and how they become rows.

    Attributes:
        sources: What is mixed.
        balance: "equal" shares for the task types, or "none".
        weighting: What a source's weight means: a share of the "draws", or "passes" over it. An epoch is as many draws
            as there are records; with "passes", as many as see each source as often as its weight says.
        protocol: "consistent" lays a dialogue out as a session does, pointed-at frames shown in full; "paper" moves
            every region onto one of the first turn's dense frames, as the published training does.
        max_tokens: A longer dialogue loses its last turns; one turn that is too long makes its record unusable.
        max_objects: `[SEG]`s per record that get masks; more are thinned at random. All of them are learnt as text.
        mask_frames: Frames per `[SEG]` that get masks.
        strict: Stop at the first record that cannot be used, instead of counting it and taking the next.
        workers: Processes that read records; the batches are the same for any number.
    """

    sources: tuple[SourceSettings, ...] = ()
    balance: str = "equal"
    weighting: str = "draws"
    protocol: str = "consistent"
    max_tokens: int = 8192
    max_objects: int = 5
    mask_frames: int = 5
    strict: bool = False
    workers: int = 4
    prefetch: int = 2

    def __post_init__(self) -> None:
        _one_of("data.protocol", self.protocol, PROTOCOLS)
        _one_of("data.balance", self.balance, ("equal", "none"))
        _one_of("data.weighting", self.weighting, ("draws", "passes"))
        for name in ("max_tokens", "max_objects", "mask_frames", "prefetch"):
            _at_least(f"data.{name}", getattr(self, name), 1)
        _at_least("data.workers", self.workers, 0)

    def epoch_length(self, counts: Sequence[int]) -> int:
        """Draws of one epoch.

        Args:
            counts: Records of each source.
        """
        return pass_length(counts, [source.weight for source in self.sources], self.weighting)


@dataclass(frozen=True)
class LossSettings:
    """Weights of the three losses, and how masks are sampled."""

    text_weight: float = 1.0
    mask_weight: float = 2.0
    dice_weight: float = 0.5
    points_per_mask: int = 12544

    def __post_init__(self) -> None:
        _at_least("loss.points_per_mask", self.points_per_mask, 4)


@dataclass(frozen=True)
class LoraSettings:
    """Low-rank adapters on the language model; rank 0 for none.

    Attributes:
        targets: Linear layers of each decoder layer that get one.
    """

    rank: int = 0
    alpha: int = 32
    dropout: float = 0.05
    targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True)
class OptimiserSettings:
    """AdamW, warm-up and cosine to zero; biases and norms do not decay."""

    learning_rate: float = 4e-5
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.05
    clip_norm: float = 1.0
    warmup_share: float = 0.05


@dataclass(frozen=True)
class EngineSettings:
    """How the work is spread and kept.

    Attributes:
        kind: "ddp" (also for one process), "fsdp2", or "deepspeed" with `deepspeed_config`.
        fsdp_offload: Keep sharded parameters in main memory.
        checkpoint_every: Steps.
        keep: How many of the last checkpoints stay.
    """

    kind: str = "ddp"
    deepspeed_config: str = ""
    fsdp_offload: bool = False
    precision: str = "bf16"
    gradient_checkpointing: bool = True
    checkpoint_every: int = 500
    keep: int = 2
    log_every: int = 10
    report_to: tuple[str, ...] = ("tensorboard",)

    def __post_init__(self) -> None:
        _one_of("engine.kind", self.kind, ENGINES)
        _one_of("engine.precision", self.precision, PRECISIONS)
        for name in self.report_to:
            _one_of("engine.report_to", name, REPORTERS)
        for name in ("checkpoint_every", "keep", "log_every"):
            _at_least(f"engine.{name}", getattr(self, name), 1)
        if (self.kind == "deepspeed") != bool(self.deepspeed_config):
            raise ConfigError("engine.kind=deepspeed and engine.deepspeed_config=FILE go together; give both or none.")


@dataclass(frozen=True)
class TuneConfig:
    """One training run on records.

    Attributes:
        model: What to start from: "nano", a folder that `sama convert` or a run wrote, or a hub id.
        aggregator: What becomes of the base's context aggregator: "kept"; "new", untrained, and the region encoder with
            it, as Sa2VA's weights need it, which have neither; or "pooled", the ablation: each frame's mean token.
        qformer: Folder of an InstructBLIP checkpoint, from whose Q-Former a new aggregator starts.
        trained: Parts that learn, by the names of `PARTS`; the rest is frozen.
        batch: Records per device and micro-step.
        accumulation: Micro-steps per update.
        epochs: Epochs of the mixture, as `data.weighting` has them; `steps` above 0 says it directly.
    """

    model: str = "nano"
    aggregator: str = "kept"
    qformer: str = ""
    trained: tuple[str, ...] = (
        "multi_modal_projector",
        "aggregator",
        "region_encoder",
        "grounding_head",
        "segmenter.mask_decoder",
    )
    seed: int = 0
    epochs: float = 1.0
    steps: int = 0
    batch: int = 2
    accumulation: int = 4
    data: DataSettings = field(default_factory=DataSettings)
    loss: LossSettings = field(default_factory=LossSettings)
    lora: LoraSettings = field(default_factory=LoraSettings)
    optimiser: OptimiserSettings = field(default_factory=OptimiserSettings)
    engine: EngineSettings = field(default_factory=EngineSettings)

    def __post_init__(self) -> None:
        for name in ("batch", "accumulation"):
            _at_least(name, getattr(self, name), 1)
        _at_least("steps", self.steps, 0)
        _one_of("aggregator", self.aggregator, AGGREGATORS)
        if self.qformer and self.aggregator != "new":
            raise ConfigError(f"qformer={self.qformer} fills a new aggregator; set aggregator=new, or leave it out.")
        for part in self.trained:
            _one_of("trained", part.split(".")[0], PARTS)

    def num_steps(self, num_records: int, num_processes: int) -> int:
        """Updates of the whole run."""
        if self.steps:
            return self.steps
        return max(1, round(self.epochs * num_records / self.global_batch(num_processes)))

    def global_batch(self, num_processes: int) -> int:
        """Records per update, over all devices."""
        return self.batch * self.accumulation * num_processes


def to_yaml(settings: TuneConfig, version: str) -> str:
    """All settings, defaults included, as a recipe; the version stands in a comment."""
    head = f"# sama-video {version}\n" if version else ""
    return head + yaml.safe_dump(_plain(dataclasses.asdict(settings)), sort_keys=False)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigError(f"{name} is {value!r}; it is one of {', '.join(allowed)}.")


def _at_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise ConfigError(f"{name} is {value}; give {least} or more.")
