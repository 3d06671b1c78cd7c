"""What turns gradients into steps: AdamW, and where a recipe asks for it Muon for matrices between hidden states."""

import math
from typing import Any, Final

import torch
from torch import Tensor, nn

from sama_video.train.config import OptimizerConfig
from sama_video.train.stages.base import Stage

_LIKE_ADAMW: Final = "match_rms_adamw"
"""Scales Muon's steps to the size of AdamW's, so that one learning rate serves both (arXiv 2502.16982, section 2.2)."""


class StageOptimizer:
    """AdamW over a stage's parameter groups, matrices decayed and vectors not.

    With `matrices: muon` the matrices between hidden states are Muon's, which makes a momentum's singular values equal
    before it goes that way (Jordan et al., 2024); embeddings, heads, kernels and vectors stay with AdamW.
    """

    def __init__(self, stage: Stage, settings: OptimizerConfig) -> None:
        hidden = hidden_matrices(stage) if settings.matrices == "muon" else frozenset()
        by_adamw: list[dict[str, Any]] = []
        by_muon: list[dict[str, Any]] = []
        for group in stage.parameter_groups():
            for groups, decay, chosen in (
                (by_muon, settings.weight_decay, [p for p in group.parameters if p in hidden]),
                (by_adamw, settings.weight_decay, [p for p in group.parameters if p.ndim >= 2 and p not in hidden]),
                (by_adamw, 0.0, [p for p in group.parameters if p.ndim < 2]),
            ):
                if chosen:
                    groups.append({"params": chosen, "weight_decay": decay, "highest_lr": group.learning_rate})
        self._parts: list[torch.optim.Optimizer] = []
        if by_adamw:
            self._parts.append(torch.optim.AdamW(by_adamw, lr=0.0, betas=settings.betas, fused=True))
        if by_muon:
            self._parts.append(torch.optim.Muon(by_muon, lr=0.0, adjust_lr_fn=_LIKE_ADAMW))

    @property
    def parameters(self) -> list[nn.Parameter]:
        """Everything that is trained."""
        return [p for part in self._parts for group in part.param_groups for p in group["params"]]

    def set_rate(self, share: float) -> None:
        """Set every group's learning rate to a share of its highest one."""
        for part in self._parts:
            for group in part.param_groups:
                group["lr"] = group["highest_lr"] * share

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for part in self._parts:
            part.zero_grad(set_to_none=True)

    def step(self) -> None:
        """One update from the gradients."""
        for part in self._parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs, by the optimiser's name."""
        return {type(part).__name__: part.state_dict() for part in self._parts}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a state.

        Raises:
            KeyError: It is of other optimisers.
            ValueError: It is of other parameters.
        """
        for part in self._parts:
            part.load_state_dict(state[type(part).__name__])


def hidden_matrices(stage: nn.Module) -> frozenset[Tensor]:
    """Weights of linear layers that lead from hidden states to hidden states: all but those of heads."""
    layers = ((name, layer) for name, layer in stage.named_modules() if isinstance(layer, nn.Linear))
    return frozenset(layer.weight for name, layer in layers if not any(p.endswith("head") for p in name.split(".")))


def learning_rate_share(step: int, steps: int, warmup: int) -> float:
    """Share of the highest learning rate at a step: linear rise, then cosine to zero.

    >>> [round(learning_rate_share(step, 10, 2), 2) for step in (0, 1, 2, 6, 10)]
    [0.5, 1.0, 1.0, 0.5, 0.0]
    """
    warmup = min(warmup, steps // 2)
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))
