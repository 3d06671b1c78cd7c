"""Measured figures by a name that is theirs alone, and how they are written for people.

Names are unique across modes. A plain name is the `reference` figure, or a `strict` figure of which there is no
`reference` one (`miou`, `miou_over_gt`); what both modes measure is told apart by an ending (`recall` and
`recall/strict`). Where a benchmark has both modes and only `strict` was scored, every name has the ending: a name never
changes its meaning.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sama_video.bench.task import Json, Mode

NOTHING = "—"


@dataclass(frozen=True)
class Figure:
    """One measured figure.

    Attributes:
        name: Unique across modes; see the module.
        metric: As the task calls it.
        subset: Empty for all.
        low, high: Ends of its 95 % interval; None where a bootstrap has no meaning.
        unit: "fraction", or what else it counts.
        missing: Why there is no value.
    """

    name: str
    metric: str
    mode: Mode
    subset: str
    value: float | int | None
    low: float | int | None
    high: float | int | None
    unit: str = "fraction"
    missing: str | None = None

    @property
    def shown(self) -> str:
        """The value as a reader sees it: fractions in per cent."""
        return shown(self.value, self.unit)

    @property
    def interval(self) -> str:
        """Its interval as a reader sees it; empty where there is none."""
        if self.low is None or self.high is None:
            return ""
        return f"{shown(self.low, self.unit)} to {shown(self.high, self.unit)}"

    def to_json(self) -> dict[str, Json]:
        """An entry of report.json."""
        entry: dict[str, Json] = {"value": self.value, "low": self.low, "high": self.high, "mode": self.mode}
        if self.unit != "fraction":
            entry["unit"] = self.unit
        if self.missing is not None:
            entry["missing"] = self.missing
        return entry


def shown(value: float | int | None, unit: str) -> str:
    """A figure as a reader sees it: fractions in per cent, other units as they are.

    >>> shown(0.6454, "fraction"), shown(3.415, "0-5"), shown(None, "fraction")
    ('64.5', '3.42', '—')
    """
    if value is None:
        return NOTHING
    return f"{100 * value:.1f}" if unit == "fraction" else f"{value:.2f}"


def shown_unit(unit: str) -> str:
    """A unit as a reader sees it beside `shown`."""
    return "%" if unit == "fraction" else unit


def read_figures(measures: Sequence[Mapping[str, Any]], modes: Sequence[Mode]) -> tuple[Figure, ...]:
    """Read the figures of scores.json.

    Args:
        modes: Those that the benchmark has, whether they were scored or not.
    """
    reference = reference_names(((measure["name"], measure["mode"]) for measure in measures), modes)
    return tuple(
        Figure(
            name=unique_name(measure["name"], measure["mode"], reference),
            metric=measure["name"],
            mode=measure["mode"],
            subset=measure["subset"],
            value=measure["value"],
            low=measure["low"],
            high=measure["high"],
            unit=measure["unit"],
            missing=measure["missing"],
        )
        for measure in measures
    )


def reference_names(measured: Iterable[tuple[str, Mode]], modes: Sequence[Mode]) -> frozenset[str] | None:
    """Metrics that have a `reference` figure; None where that mode exists, but was not scored."""
    names = frozenset(name for name, mode in measured if mode == "reference")
    return names if names or "reference" not in modes else None


def unique_name(metric: str, mode: Mode, reference: frozenset[str] | None) -> str:
    """A name that no figure of the other mode has.

    >>> names = frozenset({"miou", "recall"})
    >>> unique_name("recall", "strict", names), unique_name("f1", "strict", names), unique_name("f1", "strict", None)
    ('recall/strict', 'f1', 'f1/strict')
    """
    is_apart = reference is not None and metric not in reference
    return metric if mode == "reference" or is_apart else f"{metric}/strict"
