"""The page of results, and the result file whose parts are measured one at a time."""

import argparse
import importlib
import json
from pathlib import Path
from typing import Any

import pytest

MACHINE = {"cpu": "abacus", "cores": 2, "threads": 1, "python": "3", "torch": "2", "transformers": "5"}
MEMORY = {"rows": [{"conversations": 10, "memory_mib": 500.4, "errors": 0}], "growth": 0.031, "cache_bytes": 1 << 25}
SOAK = {"rows": [{"memory_mib": 510.0}], "requests": 77, "errors": 0, "growth": 0.0}


@pytest.fixture(autouse=True)
def benchmarks_on_path(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(repository / "benchmarks"))


def result(day: str, **parts: Any) -> dict[str, Any]:
    asked = {"threads": 1, "quick": False, "parts": ["all"], "minutes": 30.0, "pause": 4.0, "memory_cache": 1 << 25}
    return {
        "benchmark": "serving",
        "date": day,
        "arguments": asked,
        "machine": MACHINE | {"load_average": 0.5},
        **parts,
    }


def page_of(folder: Path, document: dict[str, Any]) -> str:
    (folder / "serving.cpu.json").write_text(json.dumps(document))
    importlib.import_module("page").write_page(folder, folder / "page.md")
    return (folder / "page.md").read_text()


def test_every_section_has_a_script_and_every_kept_result_a_section(repository: Path) -> None:
    sections = importlib.import_module("page").SECTIONS
    assert [name for name in sections if not (repository / "benchmarks" / f"{name}.py").is_file()] == []
    kept = {path.name.split(".")[0] for path in (repository / "benchmarks" / "results").glob("*.json")}
    assert kept <= set(sections)


def test_parts_measured_at_once_are_shown(tmp_path: Path) -> None:
    text = page_of(tmp_path, result("2030-01-02", memory=MEMORY, soak=SOAK))
    assert "`python benchmarks/serving.py --parts memory --threads 1 --memory-cache 33554432`, 2030-01-02" in text
    assert "| 10 | 500 | 0 |" in text
    assert "Memory grows by 3.1%; the cache has 32 MiB." in text
    assert "Soak of 30 minutes: 77 requests, 0 errors, memory at the end 510 MiB, growth 0.0%." in text


def test_a_part_measured_later_leaves_the_others_with_their_own_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving = importlib.import_module("serving")

    def finish(name: str, args: argparse.Namespace, found: dict[str, Any]) -> None:
        args.json.write_text(json.dumps(result(args.day, **found)))

    monkeypatch.setattr(serving, "finish", finish)
    target = tmp_path / "serving.json"
    for day, part, found in (("1", "memory", MEMORY), ("2", "soak", SOAK), ("3", "memory", MEMORY | {"growth": 0.5})):
        serving.keep(argparse.Namespace(json=target, day=f"2030-01-0{day}"), part, found)
    document = json.loads(target.read_text())
    assert {part: made["date"] for part, made in document["made"].items()} == {"soak": "2030-01-02"}
    text = page_of(tmp_path, document)
    assert "--parts memory --threads 1 --memory-cache 33554432`, 2030-01-03" in text
    assert "Memory grows by 50.0%" in text
    assert "--memory-cache 33554432`, 2030-01-02, abacus, 2 cores" in text
    assert "Soak of 30 minutes" in text
