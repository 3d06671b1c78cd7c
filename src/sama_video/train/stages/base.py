"""What every stage of training is: a module whose forward is its loss, with its own source of batches."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from sama_video.errors import CheckpointError
from sama_video.train.config import StageConfig, TrainConfig
from sama_video.train.lessons.worlds import World, world_of

Logs = dict[str, float]
Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters with their own highest learning rate."""

    learning_rate: float
    parameters: Sequence[nn.Parameter]


class Stage(nn.Module, ABC):
    """One stage: its modules, its batches, its loss, its evaluation.

    Everything random in a step is drawn in `batch`, from a generator that the engine makes of the run's seed, the
    stage's name and the step; so a resumed run sees what the unbroken one would have seen, and no generator has a state
    to save.
    """

    name: ClassVar[str]
    starts_from: ClassVar[tuple[str, ...]] = ()
    products: ClassVar[tuple[str, ...]]
    """Names of the submodules whose weights are the stage's result."""

    def __init__(self, run: TrainConfig) -> None:
        super().__init__()
        self.run = run

    @classmethod
    def predecessors(cls, run: TrainConfig) -> tuple[str, ...]:
        """Stages of a recipe whose results this one takes over, the later ones over the earlier ones."""
        return cls.starts_from

    @property
    def world(self) -> World[Any]:
        """Where clips come from."""
        return world_of(self.run.world)

    @property
    def settings(self) -> StageConfig:
        """The stage's part of the recipe."""
        return self.run.stage(self.name)

    @abstractmethod
    def batch(self, rng: np.random.Generator) -> Any:
        """The next batch: a frozen dataclass of tensors."""

    @abstractmethod
    def forward(self, batch: Any) -> tuple[Tensor, Logs]:
        """The loss of a batch, and figures for the log."""

    @abstractmethod
    def evaluate(self) -> Logs:
        """Scores on held-out scenes, always the same ones."""

    def start(self, results: Mapping[str, Weights]) -> None:
        """Take over what earlier stages learnt: every submodule that one of them produced.

        Args:
            results: Weights by stage, in the order of `predecessors`.
        """
        for weights in results.values():
            self.take_over(weights)

    def take_over(self, weights: Weights) -> None:
        """Load each submodule that these weights hold."""
        for name, module in self.named_children():
            part = part_of(weights, name)
            if part:
                load_strictly(module, part, name)

    def parameter_groups(self) -> list[ParameterGroup]:
        """What is trained; by default everything that asks for a gradient, at the stage's rate."""
        return [ParameterGroup(self.settings.learning_rate, [p for p in self.parameters() if p.requires_grad])]

    def result(self) -> dict[str, Tensor]:
        """The weights this stage hands on."""
        wanted = tuple(f"{name}." for name in self.products)
        return {key: value.contiguous() for key, value in self.state_dict().items() if key.startswith(wanted)}


def part_of(weights: Weights, name: str) -> dict[str, Tensor]:
    """What these weights hold of one submodule, by the names it has there."""
    return {key.removeprefix(f"{name}."): value for key, value in weights.items() if key.startswith(f"{name}.")}


def load_strictly(module: nn.Module, weights: Weights, name: str) -> None:
    """Load every weight of a module.

    Raises:
        CheckpointError: A weight is missing, unknown or of another shape.
    """
    try:
        module.load_state_dict(dict(weights), strict=True)
    except RuntimeError as error:
        raise CheckpointError(f"weights do not fit {name}: {' '.join(str(error).split())[:300]}") from error


def low_precision(device: torch.device) -> torch.autocast:
    """bfloat16 for encoders and the decoder of words; masks and losses stay outside, in float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16)
