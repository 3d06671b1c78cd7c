"""Figures of a stage that talks, gathered answer by answer."""

import numpy as np

from sama_video.data.synthetic.language import SyntheticTurn
from sama_video.train.lessons.attributes import ATTRIBUTES
from sama_video.train.stages.base import Logs


class Scores:
    """Figures that come one by one, to be averaged by name."""

    def __init__(self) -> None:
        self._values: dict[str, list[float]] = {}

    def add(self, name: str, value: float) -> None:
        """One more figure."""
        self._values.setdefault(name, []).append(value)

    def means(self) -> Logs:
        """Mean of each name, in order of the names."""
        return {name: round(float(np.mean(values)), 4) for name, values in sorted(self._values.items())}


def asked_attribute(turn: SyntheticTurn) -> str:
    """Which attribute the answer to an attribute question names."""
    value = turn.answer.rstrip(".").split()[-1]
    return next(name for name, words in ATTRIBUTES.items() if value in words)
