"""The processes of a run as `torchrun` started them: which one this is, and how what they have comes together."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


def num_processes() -> int:
    """Processes of the run; 1 without `torchrun`."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def process_number() -> int:
    """Which of them this one is, from 0."""
    return int(os.environ.get("RANK", "0"))


def is_first_process() -> bool:
    """Whether this one writes."""
    return process_number() == 0


def wait_for_all() -> None:
    """Until every process has come here."""
    if dist.is_initialized():
        dist.barrier()


def summed(value: Tensor) -> Tensor:
    """A tensor added up over all processes."""
    if not dist.is_initialized():
        return value
    total = value.clone()
    dist.all_reduce(total)
    return total


def is_so_in_any(is_so: bool, device: torch.device) -> bool:
    """Whether it is so in one of the processes; all of them must ask."""
    return bool(summed(torch.tensor(float(is_so), device=device)).item() > 0)


def merged_counts(counts: Mapping[str, int]) -> Counter[str]:
    """Counts added up over all processes."""
    total: Counter[str] = Counter()
    for part in gathered(dict(counts)):
        total.update(part)
    return total


def gathered(value: Any) -> list[Any]:
    """A small plain value of every process, in order of rank."""
    if not dist.is_initialized():
        return [value]
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


@torch.no_grad()
def share_weights(module: nn.Module) -> None:
    """Give every process the first one's weights and buffers."""
    if dist.is_initialized():
        for value in module.state_dict().values():
            dist.broadcast(value, src=0)


def average_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Replace gradients by their means over the processes; what a batch did not reach counts as zero."""
    if dist.is_initialized():
        own = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        mean = summed(torch.cat([each.flatten() for each in own])) / num_processes()
        for parameter, part in zip(parameters, mean.split([p.numel() for p in parameters]), strict=True):
            parameter.grad = part.view_as(parameter).clone()
