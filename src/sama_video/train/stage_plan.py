"""What a recipe in stages will train, told before anything starts."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from sama_video.train.config import TrainConfig
from sama_video.train.run_folder import RunFolder
from sama_video.train.stages.base import Stage
from sama_video.train.taking_up import origins

_ADAM_BYTES: Final = 16  # float32: the weight, its gradient and AdamW's two moments
_WEIGHT_BYTES: Final = 4


@dataclass(frozen=True)
class StagePart:
    """One part of a stage's model.

    Attributes:
        trained: Of its parameters, how many the stage's optimiser moves.
    """

    name: str
    parameters: int
    trained: int


@dataclass(frozen=True)
class StagePlan:
    """One stage.

    Attributes:
        after: Stages whose results it takes over.
        state_bytes: Weights, gradients and optimiser; activations come on top.
    """

    name: str
    steps: int
    batch: int
    after: tuple[str, ...]
    parts: tuple[StagePart, ...]
    state_bytes: int

    @property
    def trained(self) -> int:
        """Parameters that learn."""
        return sum(part.trained for part in self.parts)

    def to_json(self) -> dict[str, Any]:
        """An entry of `plan` in `sama train nano --dry-run --json`."""
        return {**asdict(self), "records": self.steps * self.batch, "trained": self.trained}

    def lines(self) -> Iterator[str]:
        """The same for people."""
        after = f", after {' and '.join(self.after)}" if self.after else ""
        yield (
            f"  {self.name:<14} {self.steps} steps of {self.batch}, {self.steps * self.batch} records{after}; trains "
            f"{_millions(self.trained)} of {_millions(sum(part.parameters for part in self.parts))} parameters, "
            f"{self.state_bytes / 2**20:.0f} MiB and activations"
        )
        learning = (f"{part.name} {_millions(part.trained)}" for part in self.parts if part.trained)
        yield f"  {'':<14} {', '.join(learning)}"


def plan_stages(run: TrainConfig, stages: Mapping[str, type[Stage]], folder: RunFolder) -> tuple[StagePlan, ...]:
    """Each stage of a recipe, in order; its modules are built, and nothing is written.

    Args:
        folder: Where it would be trained, perhaps after other stages.
    """
    return tuple(_plan_stage(run, stages[name], folder) for name in run.stages)


def _plan_stage(run: TrainConfig, kind: type[Stage], folder: RunFolder) -> StagePlan:
    stage = kind(run)
    moved = {id(parameter) for group in stage.parameter_groups() for parameter in group.parameters}
    sizes, trained = Counter[str](), Counter[str]()
    for name, parameter in stage.named_parameters():
        sizes[_part_of(name)] += parameter.numel()
        trained[_part_of(name)] += parameter.numel() * (id(parameter) in moved)
    parts = tuple(StagePart(name, size, trained[name]) for name, size in sizes.items())
    frozen = sum(part.parameters - part.trained for part in parts)
    num_bytes = _ADAM_BYTES * sum(part.trained for part in parts) + _WEIGHT_BYTES * frozen
    settings = stage.settings
    return StagePlan(kind.name, settings.steps, settings.batch, origins(run, kind, folder), parts, num_bytes)


def _part_of(name: str) -> str:
    """The part of the model, or the stage's own head, that a weight belongs to.

    >>> _part_of("sama.model.aggregator.queries"), _part_of("vision_tower.layers.0.weight")
    ('aggregator', 'vision_tower')
    """
    return name.removeprefix("sama.").removeprefix("model.").split(".")[0]


def _millions(number: int) -> str:
    return f"{number / 1e6:.1f} M" if number >= 100_000 else f"{number / 1e3:.1f} K"
