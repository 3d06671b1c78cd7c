"""How well a finished model talks about clips it never saw, measured through the same sessions everybody uses.

`python -m sama_video.train.evaluate MODEL --clips 200 --level 2 --out FOLDER` asks, prints a table with 95 % intervals,
and writes both. Killed at any moment, the same command goes on where it was; more `--clips` adds to the folder.
"""

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import click

from sama_video.chat.loading import LoadedModel, load
from sama_video.data.synthetic.diagnostic import WORLD_VERSION, DiagnosticWorld
from sama_video.data.synthetic.levels import seeds_of
from sama_video.errors import ConfigError
from sama_video.metrics.intervals import Interval, interval, mean_over_questions
from sama_video.train.examination import Examination, Outcome

PARTS: Final = {"all": (False, True), "known pairs": (False,), "new pairs": (True,)}
"""Every figure over all questions, over those about colours and shapes that training showed together, and the rest."""


@dataclass(frozen=True)
class Asked:
    """One clip's outcomes."""

    seed: int
    seconds: float
    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Attributes:
        count: How many questions were asked.
    """

    name: str
    part: str
    interval: Interval
    count: int


def evaluate(
    model: LoadedModel,
    world: DiagnosticWorld,
    seeds: Iterable[int],
    known: Sequence[Asked] = (),
    keep: Callable[[Asked], None] | None = None,
) -> list[Asked]:
    """The outcomes of clips, in the order of their seeds.

    Args:
        known: Clips that were asked about before; they are not asked again.
        keep: Told every clip as it is done.
    """
    before = {asked.seed: asked for asked in known}
    rows = []
    for seed in seeds:
        if seed not in before:
            began = time.monotonic()
            outcomes = tuple(Examination(model, world, seed).outcomes())
            before[seed] = Asked(seed, round(time.monotonic() - began, 2), outcomes)
            if keep is not None:
                keep(before[seed])
        rows.append(before[seed])
    return rows


def figures_of(rows: Sequence[Asked]) -> list[Figure]:
    """Every figure with its interval over clips."""
    flat = [(str(row.seed), outcome) for row in rows for outcome in row.outcomes]
    names = dict.fromkeys(outcome.name for _, outcome in flat)
    return [figure for name in sorted(names) for figure in _figures(name, [o for o in flat if o[1].name == name])]


def _figures(name: str, asked: Sequence[tuple[str, Outcome]]) -> Iterable[Figure]:
    for part, kinds in PARTS.items():
        own = [(clip, outcome.score) for clip, outcome in asked if outcome.is_new in kinds]
        if own:
            clips, scores = zip(*own, strict=True)
            yield Figure(name, part, interval(mean_over_questions(clips, scores)), len(own))


def table(figures: Sequence[Figure]) -> str:
    """The figures as a Markdown table: a line for each name, a column for each part."""
    lines = [f"| figure | {' | '.join(PARTS)} | asked |", f"| --- | {' | '.join('---' for _ in PARTS)} | --- |"]
    for name in dict.fromkeys(figure.name for figure in figures):
        own = {figure.part: figure for figure in figures if figure.name == name}
        cells = [_cell(own[part].interval) if part in own else "" for part in PARTS]
        lines.append(f"| {name} | {' | '.join(cells)} | {own['all'].count} |")
    return "\n".join(lines)


def _cell(found: Interval) -> str:
    if found.low is None or found.high is None:
        return f"{found.value:.3f}"
    return f"{found.value:.3f} ({found.low:.3f}-{found.high:.3f})"


class Answers:
    """The folder of an evaluation: its settings, a line for every clip that is done, and the figures.

    Raises:
        ConfigError: The folder holds an evaluation of something else, or cannot be written.
    """

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self.folder = folder
        self.lines = folder / "outcomes.jsonl"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            kept = folder / "settings.json"
            if not kept.is_file():
                kept.write_text(json.dumps(settings) + "\n")
        except OSError as error:
            raise ConfigError(f"cannot write to {folder}: {error.strerror}; choose another --out.") from error
        if json.loads(kept.read_text()) != settings:
            raise ConfigError(f"{folder} holds an evaluation of other settings; repeat them, or choose another --out.")

    def read(self) -> list[Asked]:
        """The clips that are done; a line that a kill cut short is asked again."""
        rows = []
        whole = self.lines.read_text().splitlines(keepends=True) if self.lines.is_file() else []
        for line in whole:
            if line.endswith("\n"):
                row = json.loads(line)
                rows.append(Asked(row["seed"], row["seconds"], tuple(Outcome(**each) for each in row["outcomes"])))
        if len(rows) < len(whole):
            self.lines.write_text("".join(whole[: len(rows)]))
        return rows

    def add(self, row: Asked) -> None:
        """Keep one more clip."""
        with self.lines.open("a") as file:
            file.write(json.dumps(asdict(row)) + "\n")

    def conclude(self, figures: Sequence[Figure]) -> None:
        """Write the figures."""
        (self.folder / "figures.json").write_text(json.dumps([asdict(each) for each in figures], indent=1) + "\n")
        (self.folder / "figures.md").write_text(table(figures) + "\n")


@click.command
@click.argument("model")
@click.option("--clips", type=click.IntRange(min=1), default=200, show_default=True)
@click.option("--level", type=click.IntRange(1, 3), default=2, show_default=True)
@click.option("--side", type=click.IntRange(min=64), default=256, show_default=True, help="Pixels of the clips.")
@click.option("--seed", type=int, default=0, show_default=True, help="Which run of clips of the split for tests.")
@click.option("--out", type=click.Path(path_type=Path), help="A folder for outcomes and figures, to go on from later.")
def command(model: str, clips: int, level: int, side: int, seed: int, out: Path | None) -> None:
    """Ask MODEL (a name, folder or hub id) about held-out clips of the diagnostic world."""
    loaded = load(model)
    settings = {"revision": loaded.revision, "level": level, "side": side, "seed": seed, "world": WORLD_VERSION}
    world, seeds = DiagnosticWorld(level, (side, side)), seeds_of("test", seed, clips)
    if out is None:
        figures = figures_of(evaluate(loaded, world, seeds))
    else:
        answers = Answers(out, settings)
        figures = figures_of(evaluate(loaded, world, seeds, answers.read(), answers.add))
        answers.conclude(figures)
    click.echo(table(figures))


if __name__ == "__main__":
    command()
