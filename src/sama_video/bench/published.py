"""Figures that others published, each with its source: shown beside ours as quotations, never among the measured."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

HEADING = "Quoted from others, not measured here"
NOTE = (
    "Nobody ran these models under this harness. Reported values of one model differ by up to 4.6 J&F between papers, "
    "mostly from frame sampling and tracker settings: a difference below that is no result without a rerun. "
    "◇ marks figures taken second-hand, from a transcription or a table in another paper."
)
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Quotation:
    """One published figure, in the unit its source gives.

    Attributes:
        task: Our name of the benchmark; None where this harness does not run it.
        value: None where no source that could be read gives one.
        second_hand: Whether the source quotes it from elsewhere.
    """

    task: str | None
    benchmark: str
    split: str
    metric: str
    unit: str
    model: str
    value: float | int | None
    source: str
    second_hand: bool = False
    note: str = ""

    @property
    def shown(self) -> str:
        """The value as a reader sees it."""
        if self.value is None:
            return UNKNOWN
        return f"{self.value:.2f}" if self.unit == "0-5" else f"{self.value:.1f}"

    @property
    def cited(self) -> str:
        """The source, with ◇ where it is second-hand."""
        if self.value is None:
            return "—"
        return f"{self.source} ◇" if self.second_hand else self.source

    def to_json(self) -> dict[str, Any]:
        """For the part of report.json that holds quotations."""
        fields = ("model", "benchmark", "split", "metric", "unit", "value", "source", "second_hand", "note")
        return {name: getattr(self, name) for name in fields}


@lru_cache(maxsize=1)
def quotations() -> tuple[Quotation, ...]:
    """Every published figure that is known, in the order of the file."""
    document = yaml.safe_load((Path(__file__).parent / "published.yaml").read_text(encoding="utf-8"))
    unknown = [
        Quotation(model=model, value=None, source="", **table)
        for table in _distinct([*document["unknown_benchmarks"], *document["tables"]])
        for model in document["unknown_everywhere"]
    ]
    found = [
        Quotation(**{key: table[key] for key in _TABLE}, **row)
        for table in document["tables"]
        for row in table["values"]
    ]
    return (*unknown, *found)


def quotations_for(task: str) -> tuple[Quotation, ...]:
    """What others published on one of our benchmarks; models without a figure come first."""
    return tuple(quotation for quotation in quotations() if quotation.task == task)


_TABLE = ("task", "benchmark", "split", "metric", "unit")


def _distinct(tables: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The head of each table that belongs to a benchmark of ours, the first of each benchmark."""
    heads = {table["task"]: {key: table[key] for key in _TABLE} for table in reversed(tables) if table["task"]}
    return list(reversed(heads.values()))
