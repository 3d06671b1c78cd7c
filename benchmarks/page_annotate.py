"""The page's section about making data."""

from page_parts import Result, Section, table


def annotate(result: Result) -> list[str]:
    """Each back end, then the ledger."""
    rows = [
        [
            row["backend"],
            row["requests"],
            f"{row['clips_per_hour']:,.0f}",
            f"{row['outside_waiting_seconds_per_clip']:.2f}",
            f"{row['cpu_seconds_per_clip']:.2f}",
            *("-" if row[key] is None else f"{row[key]:,.0f}" for key in ("memory_mib", "worker_memory_mib")),
        ]
        for row in result["rows"]
    ]
    head = ("back end", "requests", "clips/hour", "s/clip not waiting", "CPU s/clip", "memory MiB", "of a worker MiB")
    ledger, given = result["ledger"], result["arguments"]
    steps = [
        [name, *(f"{ledger[name][key]:,.0f}" for key in ("seconds", "cpu_seconds", "memory_mib"))]
        for name in ("fill", "resume")
    ]
    size = ledger["fill"]["file_bytes"] / 1e6
    return [
        f"{given['clips']} drawn clips of 128 x 128; {given['requests_at_once']} request at a time.",
        "",
        *table(head, rows),
        "",
        f"A ledger of {ledger['jobs']:,} clips has {size:,.0f} MB.",
        "",
        *table(("ledger", "seconds", "CPU seconds", "memory MiB"), steps),
    ]


ANNOTATE = Section(
    "Making data",
    """`sama data annotate` from clips with masklets to a published data set, against an endpoint on the loopback that
answers after 50 ms and plants a mistake in three texts of ten, so that some clips are asked about twice. Starting up is
not counted. `here` is one process, `ray-1` and `ray-2` a local Ray cluster with one and two workers, which probe, draw
and check while one process asks. Not waiting is the time in which no request was under way.

The ledger is filled with what the stages said of real clips, over and over. Resuming is what a run does before it can
ask the first new thing: the list, and what each of the seven stages knows of each clip.""",
    annotate,
)
