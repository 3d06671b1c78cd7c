"""What a conversion did with every weight, to print or to keep."""

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class MappedKeys:
    """Weights that went together: names read, names written, and what was done to them."""

    group: str
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    transform: str
    num_parameters: int


@dataclass(frozen=True)
class GroupCount:
    """How much of one part of the model was carried over."""

    num_sources: int
    num_targets: int
    num_parameters: int


@dataclass(frozen=True)
class KeyReport:
    """What mapped where.

    Attributes:
        to: Layout that was written, `sama` or `official`.
        mapped: Every weight read or written, once.
        absent_groups: Parts that this checkpoint does not have; a model that has them starts them new.
        left_behind: Weights read that the written layout has no place for.
        notes: What else a reader of the new checkpoint should know.
    """

    source: str
    dest: str
    to: str
    mapped: tuple[MappedKeys, ...]
    absent_groups: tuple[str, ...] = ()
    left_behind: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def groups(self) -> dict[str, GroupCount]:
        """Counts of each part, in the order in which they came."""
        return {name: self._count(name) for name in dict.fromkeys(keys.group for keys in self.mapped)}

    @property
    def transforms(self) -> dict[str, int]:
        """How often each kind of change was made."""
        return dict(Counter(keys.transform for keys in self.mapped))

    def to_text(self) -> str:
        """A table for people."""
        rows = [("part", "read", "written", "parameters")]
        rows += [
            (name, f"{count.num_sources:,}", f"{count.num_targets:,}", f"{count.num_parameters:,}")
            for name, count in self.groups.items()
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        lines = [f"{self.source} -> {self.dest} ({self.to} layout)"]
        for first, *numbers in rows:
            aligned = [number.rjust(width) for number, width in zip(numbers, widths[1:], strict=True)]
            lines.append("  ".join([first.ljust(widths[0]), *aligned]))
        lines.append("changes: " + "; ".join(f"{name} {count:,}" for name, count in self.transforms.items()))
        if self.absent_groups:
            lines.append(f"absent, new when trained: {', '.join(self.absent_groups)}")
        if self.left_behind:
            lines.append(f"left behind: {len(self.left_behind):,} weights, {self.left_behind[0]} and so on")
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])

    def to_json(self) -> dict[str, Any]:
        """Everything, each weight included, as plain JSON values."""
        counts = {name: asdict(count) for name, count in self.groups.items()}
        return {**asdict(self), "groups": counts, "transforms": self.transforms}

    def _count(self, group: str) -> GroupCount:
        members = [keys for keys in self.mapped if keys.group == group]
        return GroupCount(
            sum(len(keys.sources) for keys in members),
            sum(len(keys.targets) for keys in members),
            sum(keys.num_parameters for keys in members),
        )
