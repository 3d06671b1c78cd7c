"""The page of results: a section for each benchmark that has one.

A new benchmark takes a module that makes its `Section`, and one line in `SECTIONS`.
"""

import json
from pathlib import Path

import page_annotate
import page_data
import page_serving
import page_sessions
import page_whole
from page_parts import Result, Section, command, origin

HEAD = """# Benchmarks

Made by `python benchmarks/run_all.py`, which runs each script below in a process of its own, one after the other, and
writes this page from `benchmarks/results/`. Do not edit it by hand.

Ways that are compared take turns within one run, on the same inputs, after a round that only warms up; times are
medians unless a column says otherwise. A ratio above 1 means that the first way is faster. Above each table stand the
command that makes it again, the day, and the machine. Until 2026-11-22 the decoder of the bundled nano had four layers,
now six: figures of days before were taken with the smaller one.
"""

SECTIONS: dict[str, Section] = {
    "turns": page_sessions.TURNS,
    "objects": page_sessions.OBJECTS,
    "length": page_sessions.LENGTH,
    "live": page_sessions.LIVE,
    "decode": page_data.DECODE,
    "jf": page_data.JF,
    "mask_index": page_data.MASK_INDEX,
    "loading": page_data.LOADING,
    "startup": page_whole.STARTUP,
    "training": page_whole.TRAINING,
    "serving": page_serving.SERVING,
    "annotate": page_annotate.ANNOTATE,
    "real_size": page_whole.REAL_SIZE,
    "other_hand": page_whole.OTHER_HAND,
}
"""By the name of the script, in the order of the page."""


def write_page(results: Path, page: Path) -> None:
    """Write the page of all results that are there."""
    parts = [HEAD]
    for name, section in SECTIONS.items():
        found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(results.glob(f"{name}.*.json"))]
        if found:
            parts += [f"## {section.title}\n\n{section.words}\n", *(lines(name, section, result) for result in found)]
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("\n".join(parts), encoding="utf-8")


def lines(name: str, section: Section, result: Result) -> str:
    """One result: how it was made, and its tables."""
    made = origin(command(name, result["arguments"], section.derived), result)
    return "\n".join([*(() if section.by_part else (made, "")), *section.tables(result), ""])
