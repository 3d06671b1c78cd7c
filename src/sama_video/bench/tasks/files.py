"""Benchmarks that come as files: where they are, and what a check of them counts."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sama_video.bench.task import CheckReport, Json, Sample, Task, TaskOptions
from sama_video.data.findings import FaultError, Findings
from sama_video.data.sources.pictures import Picture
from sama_video.errors import ConfigError


class FileTask(Task):
    """A benchmark in its official layout.

    Attributes:
        needs: Paths below its folder, of which there must be at least one.
        names: Where the folder may be below what `--data` names, most usual first.
        by_rule: Reasons for which the benchmark itself leaves questions out; any other fault stops a run.
    """

    needs: tuple[str, ...]
    names: tuple[str, ...] = ()
    by_rule: tuple[str, ...] = ()

    @abstractmethod
    def count(self, root: Path, findings: Findings) -> dict[str, Json]:
        """Read everything below the folder, pictures and masks too, and count it."""

    @abstractmethod
    def read(self, root: Path, findings: Findings, options: TaskOptions) -> Iterator[Sample]:
        """Samples; pictures and reference masks are left alone."""

    def check(self, data: Path | None) -> CheckReport:
        root = self.folder(data)
        findings = Findings(base=root)
        try:
            counts = self.count(root, findings)
        except FaultError as error:
            findings.take(error)
            counts = {}
        faults = {reason: count for reason, count in findings.faults.items() if reason not in self.by_rule}
        ruled = {reason: count for reason, count in findings.faults.items() if reason in self.by_rule}
        rows = tuple(row.to_json() for row in findings.rows)
        return CheckReport(self.name, counts, faults, {**findings.notes, **ruled}, rows)

    def samples(self, data: Path | None, options: TaskOptions) -> Iterator[Sample]:
        return self.read(self.folder(data), _Unforgiving(self.by_rule), options)

    def folder(self, data: Path | None) -> Path:
        """The folder that holds the benchmark's files."""
        return find_folder(data, self.title, self.needs, self.names)


class _Unforgiving(Findings):
    """Raises whatever would leave out a question that the benchmark has."""

    def __init__(self, by_rule: Sequence[str]) -> None:
        super().__init__()
        self._by_rule = by_rule

    def take(self, error: FaultError) -> None:
        if error.reason not in self._by_rule:
            raise error
        super().take(error)


def find_folder(data: Path | None, title: str, needs: Sequence[str], names: Sequence[str] = ()) -> Path:
    """The folder that holds a benchmark's files.

    Args:
        data: What `--data` named: that folder, or one that holds it.
        title: The benchmark, for messages.
        needs: Paths below the folder, of which it must have at least one.
        names: Paths from the folder that holds it, most usual first.

    Raises:
        ConfigError: There is none; tells what was looked for, and where.
    """
    if data is None:
        raise ConfigError(f"{title}: no data; give --data the folder that holds {_either(needs)}.")
    if not data.is_dir():
        raise ConfigError(f"{title}: --data {data} is no folder; give the one that holds {_either(needs)}.")
    places = [data, *(data / name for name in names)]
    for place in places:
        if any((place / need).exists() for need in needs):
            return place
    looked = _either([str(place) for place in places])
    raise ConfigError(f"{title}: {_either(needs)} is not in {looked}; give --data the folder that has it.")


def check_picture(picture: Picture, findings: Findings) -> None:
    """Decode a picture."""
    try:
        picture.open()
    except FaultError as error:
        findings.take(error)


def by_subset(counts: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """Counts of all subsets together."""
    totals: dict[str, int] = {}
    for subset in counts.values():
        for name, count in subset.items():
            totals[name] = totals.get(name, 0) + count
    return totals


def _either(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last
