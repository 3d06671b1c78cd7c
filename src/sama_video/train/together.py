"""Several processes that train one stage: each on clips of its own, all with the mean of their gradients."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


class Together:
    """The processes of a run as `torchrun` started them; one alone without it.

    Their weights are the same after every update, so the first of them writes for all.

    Args:
        accelerator: Accelerate's view of them.
    """

    def __init__(self, accelerator: Any) -> None:
        self.accelerator = accelerator

    @property
    def count(self) -> int:
        """How many there are."""
        return int(self.accelerator.num_processes)

    @property
    def number(self) -> int:
        """Which of them this one is, from 0."""
        return int(self.accelerator.process_index)

    @property
    def is_first(self) -> bool:
        """Whether this one writes."""
        return self.number == 0

    def wait(self) -> None:
        """Until every process has come here."""
        self.accelerator.wait_for_everyone()

    @torch.no_grad()
    def share_weights(self, module: nn.Module) -> None:
        """Give every process the first one's weights and buffers."""
        if self.count > 1:
            for value in module.state_dict().values():
                torch.distributed.broadcast(value, src=0)

    def average_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Replace gradients by their means over the processes; what a batch did not reach counts as zero."""
        if self.count > 1:
            own = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
            mean: Tensor = self.accelerator.reduce(torch.cat([each.flatten() for each in own]), reduction="mean")
            for parameter, part in zip(parameters, mean.split([p.numel() for p in parameters]), strict=True):
                parameter.grad = part.view_as(parameter).clone()

    def any(self, is_so: bool) -> bool:
        """Whether it is so in one of the processes; all of them must ask."""
        if self.count == 1:
            return is_so
        flag = torch.tensor(float(is_so), device=self.accelerator.device)
        return bool(self.accelerator.reduce(flag, reduction="sum").item() > 0)
