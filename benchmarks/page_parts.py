"""What the page's sections are made of."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Result = Mapping[str, Any]


@dataclass(frozen=True)
class Section:
    """One benchmark on the page.

    Attributes:
        words: What its figures mean, true whatever they are.
        tables: Its lines, made of a result.
        derived: Arguments that its script fills in by itself, which are no options.
        by_part: Its parts may have been measured one at a time; its lines tell for each how that was done.
    """

    title: str
    words: str
    tables: Callable[[Result], list[str]]
    derived: tuple[str, ...] = ()
    by_part: bool = False


def origin(command: str, result: Result) -> str:
    """How a result was made: the command, the day and the machine."""
    return f"`{command}`, {result['date']}, {place(result['machine'])}"


def command(script: str, arguments: Mapping[str, Any], derived: Sequence[str] = ()) -> str:
    """The command that makes a result again."""
    words = ["python", f"benchmarks/{script}.py"]
    for key, value in arguments.items():
        if value is None or value is False or key in derived or key == "json":
            continue
        flag = f"--{key.replace('_', '-')}"
        given = value if isinstance(value, list) else [] if value is True else [value]
        words += [flag, *map(str, given)]
    return " ".join(words)


def place(machine: Result) -> str:
    """The machine in a line."""
    gpu = f"{machine['gpu']}, " if "gpu" in machine else ""
    memory = f", {machine['memory_gib']} GiB" if machine.get("memory_gib") else ""
    threads = f"{machine['threads']} thread" + ("s" if machine["threads"] != 1 else "")
    return (
        f"{gpu}{machine['cpu']}, {machine['cores']} cores{memory}, {threads}, Python {machine['python']}, "
        f"torch {machine['torch']}, transformers {machine['transformers']}; "
        f"load average {machine.get('load_average', '-')}."
    )


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """A Markdown table, all columns but the first to the right."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return ["| " + " | ".join(map(str, row)) + " |" for row in (head, rule, *rows)]


def ms(seconds: Mapping[str, float]) -> str:
    """The median in milliseconds."""
    return f"{1000 * seconds['median']:,.3g}" if seconds["median"] < 0.1 else f"{1000 * seconds['median']:,.0f}"


def capital(text: str) -> str:
    """The text as a sentence begins."""
    return text[:1].upper() + text[1:]
