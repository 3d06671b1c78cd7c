"""Where a command's words go: lines for people, or one JSON document; progress only on a terminal."""

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol, runtime_checkable

import click

RATE_SECONDS = 600
"""How far back the time left is estimated from: questions about long videos take a minute each."""


@runtime_checkable
class Stream(Protocol):
    """What `print` can write to."""

    def write(self, text: str, /) -> object:
        """Take a text."""

    def flush(self) -> object:
        """Let the reader have what was taken."""


class Output:
    """What a command writes: to people as it goes along, to programs once, at the end.

    Args:
        stdout: The process's true standard output, which libraries that print cannot reach when `as_json` is set.
        as_json: Whether the caller asked for one JSON document and nothing else.
    """

    def __init__(self, stdout: Stream, *, as_json: bool) -> None:
        self.stdout = stdout
        self.as_json = as_json

    def line(self, text: str = "") -> None:
        """Write a line for people; with `--json`, nothing."""
        if not self.as_json:
            print(text, file=self.stdout, flush=True)

    def piece(self, text: str) -> None:
        """Write part of a line for people, seen at once, as a streamed answer needs; with `--json`, nothing."""
        if not self.as_json:
            print(text, end="", file=self.stdout, flush=True)

    def document(self, value: object) -> None:
        """Write the command's one JSON document; without `--json`, nothing."""
        if self.as_json:
            print(json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False), file=self.stdout, flush=True)

    @contextlib.contextmanager
    def progress(self, label: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """Show a bar on stderr, if that is a terminal, and give the function that moves it on by some steps."""
        if not sys.stderr.isatty():
            yield lambda steps: None
            return
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(file=sys.stderr), transient=True, redirect_stdout=False) as bar:
            task = bar.add_task(label, total=total)
            yield lambda steps: bar.advance(task, steps)

    @contextlib.contextmanager
    def tally(self, label: str) -> Iterator[Callable[[int, int], None]]:
        """Show done, total, rate and time left on stderr, if that is a terminal, and give the function that tells them.

        What is done when it is told first was done before, and says nothing of the rate.
        """
        if not sys.stderr.isatty():
            yield lambda done, total: None
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        rate = TextColumn("{task.fields[rate]}")
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), rate, TimeRemainingColumn())
        console = Console(file=sys.stderr)
        with Progress(*columns, console=console, redirect_stdout=False, speed_estimate_period=RATE_SECONDS) as bar:
            began, before = 0.0, 0

            def tell(done: int, total: int) -> None:
                nonlocal began, before
                if not bar.task_ids:
                    began, before = time.monotonic(), done
                    bar.add_task(label, total=total, completed=done, rate="")
                per_minute = 60 * (done - before) / max(time.monotonic() - began, 1e-9)
                shown = f"{per_minute:.1f}/min" if done > before else ""
                bar.update(bar.task_ids[0], completed=done, total=total, rate=shown)

            yield tell


def by_total(advance: Callable[[int], None]) -> Callable[[int, int], None]:
    """Turn a bar that moves by steps into a report of how much is done in all."""
    seen = 0

    def report(done: int, _total: int) -> None:
        nonlocal seen
        advance(done - seen)
        seen = done

    return report


def output_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--json` to a command, which gets an `Output` as the argument `output`."""

    def make_output(ctx: click.Context, _param: click.Parameter, as_json: bool) -> Output:
        stdout = ctx.find_root().obj
        return Output(stdout if stdout is not None else sys.stdout, as_json=as_json)

    return click.option(
        "--json", "output", is_flag=True, callback=make_output, help="Print one JSON document and nothing else."
    )(function)
