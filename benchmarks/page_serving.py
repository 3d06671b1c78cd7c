"""The page's section about the server, whose parts may be measured one at a time."""

from typing import Any

from page_parts import Result, Section, command, origin, table

OPTIONS = {
    "load": ("sides", "words_only", "clients", "conversations", "frames", "films"),
    "memory": ("conversations_kept", "memory_cache"),
    "soak": ("minutes", "soak_clients", "pause", "frames", "films", "memory_cache"),
}
"""What each part depends on, beside what all do."""


def serving(result: Result) -> list[str]:
    """Load, memory and the soak, as far as they were run, each with how."""
    lines: list[str] = []
    for part, tables in (("load", load), ("memory", memory), ("soak", soak)):
        if part in result:
            made = made_by(result, part)
            lines += [origin(command("serving", arguments(made, part)), made), "", *tables(result[part], made), ""]
    return lines[:-1]


def made_by(result: Result, part: str) -> Result:
    """Day, arguments and machine of a part; those of the whole where all was measured at once."""
    return result.get("made", {}).get(part, result)  # type: ignore[no-any-return]


def arguments(made: Result, part: str) -> dict[str, Any]:
    """The options that make a part again."""
    asked = made["arguments"]
    return {"parts": [part]} | {key: asked[key] for key in ("quick", "threads", *OPTIONS[part]) if key in asked}


def load(rows: list[Result], _made: Result) -> list[str]:
    """Every side under every number of clients."""
    counts = ("clients", "requests", "errors")
    seconds = ("first_token_p50", "first_token_p95", "answer_p50", "answer_p95")
    cells = [
        [
            row["side"],
            *(row[key] for key in counts),
            f"{row['requests_per_second']:.2f}",
            *("-" if row[key] is None else f"{row[key]:.3g}" for key in seconds),
            f"{row['processor_seconds_per_request']:.3g}",
            f"{row['load_average']:.1f}",
        ]
        for row in rows
    ]
    times = ("first token p50 s", "p95 s", "answer p50 s", "p95 s")
    return table(("side", *counts, "requests/s", *times, "CPU s each", "load average"), cells)


def memory(found: Result, _made: Result) -> list[str]:
    """What the process takes early and late."""
    cells = [[row["conversations"], f"{row['memory_mib']:.0f}", row["errors"]] for row in found["rows"]]
    cache = found["cache_bytes"] / 2**20
    return [
        *table(("conversations", "memory MiB", "errors"), cells),
        "",
        f"Memory grows by {found['growth']:.1%}; the cache has {cache:.0f} MiB.",
    ]


def soak(found: Result, made: Result) -> list[str]:
    """The long run in a line."""
    last = found["rows"][-1]
    return [
        f"Soak of {made['arguments']['minutes']:g} minutes: {found['requests']} requests, {found['errors']} "
        f"errors, memory at the end {last['memory_mib']:.0f} MiB, growth {found['growth']:.1%}."
    ]


SERVING = Section(
    "The server",
    """`sama serve` against the server that one writes in an afternoon (`benchmarks/serving_plain.py`): the same
model through `generate` behind FastAPI, one lock, nothing kept, every request from the clip up. Its objects
are followed by our tracker, all in one batch. `one-by-one` is `sama serve --max-together 1`. Conversations
have three turns, of which the second asks for masks; every client sends its next turn when the one before
is answered. Both sides write the same words. The first token counts the time in the queue.

Memory is that of the process, over conversations of two turns about eight clips in turn, with a cache that is full by
the first tenth. The soak has four clients who pause between turns; its growth is that of the last fifth of the minutes
over the second, for the first fills the cache. Aims: memory within 10 %, no error, no growth.""",
    serving,
    by_part=True,
)
