"""A stage so small that a whole run takes a second: a line fitted to noisy points."""

import os
import signal
import time
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from sama_video.train.engine import seed_of
from sama_video.train.stages.base import Stage


@dataclass(frozen=True)
class Points:
    x: Tensor
    y: Tensor


class ToyStage(Stage):
    """Stands in for the stage `see`."""

    name: ClassVar[str] = "see"
    products: ClassVar[tuple[str, ...]] = ("line",)
    pause: ClassVar[float] = 0.0

    def __init__(self, run):
        super().__init__(run)
        self.line = nn.Linear(3, 2)
        self.helper = nn.Linear(2, 2)

    def batch(self, rng):
        time.sleep(self.pause)
        x = rng.standard_normal((self.settings.batch, 3)).astype(np.float32)
        return Points(torch.from_numpy(x), torch.from_numpy(x[:, :2] * 2 + 1))

    def forward(self, batch):
        error = (self.helper(self.line(batch.x)) - batch.y).square().mean()
        return error, {"error": error.item()}

    def evaluate(self):
        return {"weight": self.line.weight.sum().item()}


class BothStage(ToyStage):
    """One process that sees what two of them would."""

    count: ClassVar[int] = 0

    def batch(self, rng):
        second = np.random.default_rng(seed_of(self.run.seed, self.name, self.count, 1))
        batches = [super(BothStage, self).batch(each) for each in (rng, second)]
        type(self).count += 1
        return Points(torch.cat([each.x for each in batches]), torch.cat([each.y for each in batches]))


class LaterStage(ToyStage):
    """Stands in for the stage `refer`, which starts from `see`."""

    name: ClassVar[str] = "refer"
    starts_from: ClassVar[tuple[str, ...]] = ("see",)


class BrokenStage(ToyStage):
    """Its loss is no number from the third step on."""

    count: ClassVar[int] = 0

    def forward(self, batch):
        loss, logs = super().forward(batch)
        type(self).count += 1
        return (loss * float("nan") if self.count > 2 else loss), logs


class InterruptedStage(ToyStage):
    """Ctrl-C during the sixth step, passed on by a launcher as well; then, if asked for, once more."""

    count: ClassVar[int] = 0
    number: ClassVar[int] = signal.SIGINT

    def batch(self, rng):
        type(self).count += 1
        if self.count == 6:
            os.kill(os.getpid(), self.number)
            os.kill(os.getpid(), self.number)
        return super().batch(rng)
