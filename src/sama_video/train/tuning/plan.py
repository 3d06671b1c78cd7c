"""What a run on records will do, said before it begins: parts, memory, steps, data, disk. Nothing is written."""

import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from sama_video.chat.published import model_type
from sama_video.data.preparing import data_sets
from sama_video.errors import SamaError
from sama_video.model import SamaProcessor
from sama_video.model.configuration_sama import SamaAggregatorConfig, SamaConfig
from sama_video.model.official_layout import read_official_config
from sama_video.model.presets import BUNDLED_NANO, preset_config
from sama_video.model.weight_files import WeightFiles
from sama_video.train.tuning.memory import (
    MemoryEstimate,
    PartSize,
    StepShape,
    estimate_memory,
    meta_model,
    part_sizes,
    typical_shape,
)
from sama_video.train.tuning.own_data import OwnData
from sama_video.train.tuning.settings import SourceSettings, TuneConfig
from sama_video.train.tuning.trainer import checkpoint_bytes, model_bytes

MEASURED_RECORDS: Final = 4
"""So many are read to see how long they are."""

GIB: Final = 1024**3
_SCALE: Final = re.compile(r"(?<![0-9])(1|4|8)b", re.IGNORECASE)


@dataclass(frozen=True)
class BaseModel:
    """What a run starts from, as far as it is known.

    Attributes:
        folder: Where it lies; None where it has to be fetched or made first.
        sizes_from: Where the sizes come from: the model's own configuration, or a preset.
    """

    name: str
    folder: Path | None
    config: SamaConfig
    sizes_from: str


@dataclass(frozen=True)
class SourcePlan:
    """One source of the mixture.

    Attributes:
        records: None where it cannot be opened.
        problem: Why not; empty where it can.
        prepare: Name for `sama data prepare`, where it is a published data set.
    """

    name: str
    path: str
    weight: float
    records: int | None
    problem: str = ""
    prepare: str | None = None


@dataclass(frozen=True)
class DiskPlan:
    """What the run will take of the disk, in bytes, and what there is."""

    folder: str
    checkpoint: int
    checkpoints: int
    model: int
    needed: int
    free: int


@dataclass(frozen=True)
class Plan:
    """A run on records, as it will be.

    Attributes:
        shape: The record that memory is worked out for.
        tokens_per_record: Mean of a few records read, else that of `shape`; `tokens_measured` tells which.
        steps: None while a source is missing and the recipe counts by epochs.
        own_data: What was made of folders of annotations.
    """

    recipe: str
    settings: TuneConfig
    base: BaseModel
    processes: int
    parts: tuple[PartSize, ...]
    memory: MemoryEstimate
    shape: StepShape
    tokens_per_record: int
    tokens_measured: bool
    sources: tuple[SourcePlan, ...]
    steps_per_epoch: int | None
    steps: int | None
    disk: DiskPlan
    own_data: tuple[OwnData, ...]

    @property
    def records_per_step(self) -> int:
        """Over all devices."""
        return self.settings.global_batch(self.processes)

    @property
    def records(self) -> int | None:
        """Of all sources; None while one is missing."""
        counts = self._counts
        return None if counts is None else sum(counts)

    @property
    def records_per_epoch(self) -> int | None:
        """Draws of one epoch, as `data.weighting` has it; None while a source is missing."""
        counts = self._counts
        return None if counts is None else self.settings.data.epoch_length(counts)

    @property
    def _counts(self) -> list[int] | None:
        counts = [source.records for source in self.sources if source.records is not None]
        return counts if counts and len(counts) == len(self.sources) else None

    def problems(self) -> Iterator[str]:
        """What keeps the run from beginning, each one line with what to do."""
        if self.base.folder is None and "/" not in self.base.name.strip("./"):
            yield f"{self.base.name} is no folder here; convert a checkpoint (sama convert SOURCE DEST), or model=nano"
        elif self.base.folder is None and self.base.name.startswith((".", "/", "runs/", "checkpoints/")):
            yield (
                f"the model {self.base.name} is not there; train it first, convert a published checkpoint "
                f"(sama convert SOURCE {self.base.name}), or name another with model="
            )
        if not self.sources:
            yield "there is no data; give data=FOLDER, or data.sources in the recipe"
        for source in self.sources:
            if source.problem:
                how = f"; sama data prepare {source.prepare} says how to get it" if source.prepare else ""
                yield f"data {source.name}: {source.problem.rstrip('.')}{how}"
        if self.disk.free < self.disk.needed:
            yield (
                f"{self.disk.folder} has {gib(self.disk.free)} free, and the run takes {gib(self.disk.needed)}; "
                "free some, lower engine.keep, or choose another --out"
            )

    def to_json(self) -> dict[str, Any]:
        """The document of `sama train RECIPE --dry-run --json`."""
        memory = {**asdict(self.memory), "total": self.memory.total, "measured": False}
        return {
            "schema": "sama-train-plan/1",
            "recipe": self.recipe,
            "model": {
                "name": self.base.name,
                "here": self.base.folder is not None,
                "sizes_from": self.base.sizes_from,
                "parameters": sum(part.parameters for part in self.parts),
                "trained": sum(part.trained for part in self.parts),
                "parts": [asdict(part) for part in self.parts],
            },
            "memory_bytes": memory,
            "processes": self.processes,
            "records": self.records,
            "records_per_epoch": self.records_per_epoch,
            "records_per_step": self.records_per_step,
            "tokens_per_record": self.tokens_per_record,
            "tokens_measured": self.tokens_measured,
            "tokens_per_step": self.tokens_per_record * self.records_per_step,
            "steps_per_epoch": self.steps_per_epoch,
            "steps": self.steps,
            "data": [asdict(source) for source in self.sources],
            "own_data": [asdict(one) for one in self.own_data],
            "disk": asdict(self.disk),
            "problems": list(self.problems()),
        }

    def lines(self) -> Iterator[str]:
        """The same for people."""
        trained, whole = (sum(getattr(part, name) for part in self.parts) for name in ("trained", "parameters"))
        yield f"{self.recipe}: from {self.base.name} (sizes from {self.base.sizes_from})"
        yield f"trained  {_millions(trained)} of {_millions(whole)} parameters"
        for part in self.parts:
            share = "frozen" if not part.trained else _millions(part.trained)
            adapters = " (LoRA)" if part.adapters and part.adapters == part.trained else ""
            yield f"  {part.name:<22} {_millions(part.parameters):>9}  {share}{adapters}"
        yield from self._memory_lines()
        yield from self._data_lines()
        disk = self.disk
        yield (
            f"disk     {disk.folder}: {disk.checkpoints} checkpoints of {gib(disk.checkpoint)} and a model of "
            f"{gib(disk.model)} take {gib(disk.needed)}; {gib(disk.free)} free"
        )

    def _memory_lines(self) -> Iterator[str]:
        memory, engine = self.memory, self.settings.engine
        how = f"{engine.kind}, {self.processes} process{'es' if self.processes > 1 else ''}, {engine.precision}"
        yield f"memory   about {gib(memory.total)} on each device (estimated; {how})"
        yield (
            f"  weights {gib(memory.weights)}, gradients {gib(memory.gradients)}, optimiser {gib(memory.optimiser)}, "
            f"activations {gib(memory.activations)}, the device's own {gib(memory.device)}"
        )
        yield (
            f"  activations with checkpointing {gib(memory.activations_checkpointed)}, without "
            f"{gib(memory.activations_kept)}"
        )

    def _data_lines(self) -> Iterator[str]:
        for one in self.own_data:
            left = f"; left out: {_counted(one.faults)}, such as {one.first_fault}" if one.faults else ""
            yield (
                f"made     {one.records} records with {one.turns} questions about {one.objects} objects in {one.clips} "
                f"clips of {one.folder} ({one.layout}){left}"
            )
        for source in self.sources:
            shown = "missing" if source.records is None else f"{source.records} records"
            yield f"data     {source.name}: {shown}, weight {source.weight:g}, in {source.path}"
        tokens = f"{self.tokens_per_record} tokens a record ({'read' if self.tokens_measured else 'assumed'})"
        each = f"{self.records_per_step} records a step"
        epoch = "?" if self.steps_per_epoch is None else f"{self.steps_per_epoch}"
        draws = "" if self.records_per_epoch is None else f" of {self.records_per_epoch} records"
        yield f"steps    {'?' if self.steps is None else self.steps} of {each}, {epoch} an epoch{draws}; {tokens}"


def make_plan(
    recipe: str,
    settings: TuneConfig,
    out: Path,
    *,
    data_root: Path,
    processes: int = 1,
    own_data: Sequence[OwnData] = (),
) -> Plan:
    """Look at everything a run needs.

    Args:
        settings: With folders of annotations made into records already.
        data_root: What relative paths of sources are relative to.

    Raises:
        ConfigError: The recipe trains a part that the model does not have.
        MissingExtraError: Adapters without peft.
    """
    base = find_base(settings)
    shape = typical_shape(base.config, settings)
    model = meta_model(base.config, settings)
    sources = tuple(
        _source_plan(source, data_root, settings.seed, settings.data.strict) for source in settings.data.sources
    )
    counts = [source.records for source in sources]
    known = [count for count in counts if count is not None]
    records = settings.data.epoch_length(known) if known and len(known) == len(counts) else None
    per_step = settings.global_batch(processes)
    tokens = None if records is None else measured_tokens(settings, base, data_root)
    return Plan(
        recipe=recipe,
        settings=settings,
        base=base,
        processes=processes,
        parts=part_sizes(model),
        memory=estimate_memory(base.config, settings, shape, processes=processes),
        shape=shape,
        tokens_per_record=shape.tokens(base.config) if tokens is None else tokens,
        tokens_measured=tokens is not None,
        sources=sources,
        steps_per_epoch=None if records is None else max(1, round(records / per_step)),
        steps=settings.num_steps(records or 0, processes) if settings.steps or records is not None else None,
        disk=disk_plan(out, checkpoint_bytes(model), model_bytes(model), settings.engine.keep),
        own_data=tuple(own_data),
    )


def find_base(settings: TuneConfig) -> BaseModel:
    """The model a run starts from, without reading its weights; where it is not here, a preset of the same scale.

    Raises:
        CheckpointError: A folder is there, and is no model.
    """
    name = settings.model
    folder = BUNDLED_NANO if name == "nano" else Path(name).expanduser()
    if folder.is_dir():
        if model_type(folder) == SamaConfig.model_type:
            config = SamaConfig.from_pretrained(folder)
        else:
            config = read_official_config(folder, WeightFiles(folder).specs)
        return BaseModel(name, folder, _with_aggregator(config, settings), "its own configuration")
    found = _SCALE.findall(name)
    preset = f"sama-{found[-1]}b" if found else "sama-1b"
    return BaseModel(name, None, _with_aggregator(preset_config(preset), settings), f"the preset {preset}")


def measured_tokens(settings: TuneConfig, base: BaseModel, data_root: Path) -> int | None:
    """Mean tokens of the first records; None where the model's words are not here yet."""
    from sama_video.train.tuning.examples import ExampleMaker
    from sama_video.train.tuning.reading import ExampleData, open_stream

    if base.folder is None or settings.aggregator != "kept":
        return None
    processor = SamaProcessor.from_pretrained(base.folder, local_files_only=True)
    maker = ExampleMaker(base.config, processor, settings.data)
    data = ExampleData(open_stream(settings.data, settings.seed, root=data_root), maker, MEASURED_RECORDS)
    lengths = [len(data[position].example.row.input_ids) for position in range(MEASURED_RECORDS)]
    return round(sum(lengths) / len(lengths))


def disk_plan(out: Path, checkpoint: int, model: int, keep: int) -> DiskPlan:
    """What the run's folder will hold at its fullest: one checkpoint more than are kept, and the model."""
    there = out.absolute()
    while not there.exists():
        there = there.parent
    needed = (keep + 1) * checkpoint + model
    return DiskPlan(str(out), checkpoint, keep + 1, model, needed, shutil.disk_usage(there).free)


def data_set_of(path: str) -> str | None:
    """The published data set that usually lies at a path below the data folder, by its name in `sama data prepare`.

    >>> data_set_of("video_datas/mevis"), data_set_of("video_datas/Ref-SAV.json"), data_set_of("mine")
    ('mevis', 'ref-sav', None)
    """
    for name, one in data_sets().items():
        for part in one.parts:
            needs = {f"{folder}/{need}" for folder in part.folders for need in part.needs}
            if path in part.folders or path in needs:
                return name
    return None


def gib(num_bytes: int) -> str:
    """Bytes as people read them.

    >>> gib(3 * 1024**3 // 2), gib(2 * 1024**2)
    ('1.5 GiB', '2 MiB')
    """
    return f"{num_bytes / GIB:.1f} GiB" if num_bytes >= GIB // 10 else f"{num_bytes / 1024**2:.0f} MiB"


def _with_aggregator(config: SamaConfig, settings: TuneConfig) -> SamaConfig:
    if config.aggregator_config is None and settings.aggregator != "kept":
        config.aggregator_config = SamaAggregatorConfig()
    return config


def _source_plan(source: SourceSettings, data_root: Path, seed: int, strict: bool) -> SourcePlan:
    path = data_root / source.path
    name = source.name or path.name
    prepare = data_set_of(source.path)
    records, problem = None, ""
    if not path.exists():
        problem = f"{path} is not there"
    else:
        try:
            records = len(source.opened(data_root, seed, strict=strict))
        except SamaError as error:
            problem = str(error)
    return SourcePlan(name, str(path), source.weight, records, problem, prepare)


def _millions(count: int) -> str:
    return f"{count / 1e6:.1f} M" if count < 1e9 else f"{count / 1e9:.2f} G"


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in counts.items())
