"""What watches a run: figures on disk and to the caller, and a warning when `[SEG]` is no longer said."""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from transformers import TrainerCallback

logger = logging.getLogger(__name__)

COLLAPSED_SHARE: Final = 0.5
"""Of the best share of grounded answers that said `[SEG]`; below, it counts as collapsed."""
TRUSTED_SHARE: Final = 0.2
"""A run that never said it more often has nothing to lose yet."""


@dataclass(frozen=True)
class TuneProgress:
    """Where a run is, and its last figures."""

    step: int
    steps: int
    seconds: float
    figures: Mapping[str, float]


Report = Callable[[TuneProgress], None]


class FigureLog(TrainerCallback):
    """Appends every logged step to `metrics.jsonl`; steps that a kill undid are dropped, so that none is told twice."""

    def __init__(self, path: Path, report: Report | None) -> None:
        self.path = path
        self.report = report

    def begin(self, step: int) -> None:
        """Forget figures of later steps."""
        if self.path.is_file():
            kept = [line for line in self.path.read_text().splitlines() if _step_of(line) <= step]
            self.path.write_text("".join(f"{line}\n" for line in kept))

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Write one line."""
        if not state.is_world_process_zero or "text_loss" not in (logs or {}):
            return
        row = {"step": state.global_step, **{key: round(value, 7) for key, value in logs.items()}}
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        logger.info("step %d/%d  %s", state.global_step, state.max_steps, _shown(logs))
        if self.report is not None:
            self.report(TuneProgress(state.global_step, state.max_steps, logs["seconds"], dict(logs)))


class SegWatch(TrainerCallback):
    """Warns once when answers that should hold masks stop saying `[SEG]`: text has won over grounding."""

    def __init__(self) -> None:
        self.best = 0.0
        self.is_collapsed = False

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Compare with the best so far."""
        said = (logs or {}).get("seg_said")
        if said is None:
            return
        self.best = max(self.best, said)
        collapsed = self.best >= TRUSTED_SHARE and said < COLLAPSED_SHARE * self.best
        if collapsed and not self.is_collapsed and state.is_world_process_zero:
            logger.warning(
                "step %d: only %.0f %% of the answers that should hold a mask say [SEG], after %.0f %% at best; lower "
                "optimiser.learning_rate, or raise the share of records with masks.",
                state.global_step,
                100 * said,
                100 * self.best,
            )
        self.is_collapsed = collapsed


def _shown(logs: Mapping[str, float]) -> str:
    names = ("text_loss", "mask_loss", "dice_loss", "seg_rate", "grad_norm", "records_per_second", "tokens_per_second")
    return "  ".join(f"{name} {logs[name]:.4g}" for name in names if name in logs)


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError):
        return float("inf")  # a line that a kill cut short
