"""What every benchmark shares: arguments, alternating timed runs, machine facts, tables and the result file."""

import argparse
import datetime
import gc
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any


def arguments(doc: str | None, *, device: bool = True) -> argparse.ArgumentParser:
    """A parser with the options that all benchmarks take."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result there")
    parser.add_argument("--quick", action="store_true", help="a small run that only shows that everything works")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch on the CPU (default 1)")
    if device:
        parser.add_argument("--device", default="cpu", help="cpu (default), cuda, cuda:1")
    return parser


def alternate(
    ways: Mapping[str, Callable[[], Any]], *, repeats: int, warmups: int = 1, settle: Callable[[], None] | None = None
) -> dict[str, dict[str, float]]:
    """Seconds that each way takes, the ways taking turns, so that a busy moment of the machine hits them all."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for round_idx in range(warmups + repeats):
        for name, way in ways.items():
            taken, _ = timed(way, settle)
            if round_idx >= warmups:
                seconds[name].append(taken)
    return {name: spread(taken) for name, taken in seconds.items()}


def timed(way: Callable[[], Any], settle: Callable[[], None] | None = None) -> tuple[float, Any]:
    """Seconds that a call takes, and what it gives; `settle` waits for a device to finish."""
    gc.collect()
    begun = time.perf_counter()
    value = way()
    if settle is not None:
        settle()
    return time.perf_counter() - begun, value


def settler(device: str) -> Callable[[], None] | None:
    """What waits until a device has done everything asked of it."""
    if not device.startswith("cuda"):
        return None
    import torch

    return torch.cuda.synchronize


def spread(values: Sequence[float]) -> dict[str, float]:
    """Shortest and middle of repeated timings."""
    return {"min": min(values), "median": statistics.median(values), "repeats": len(values)}


def peak_rss_mib() -> float | None:
    """Most memory this process has ever held at once; None where the system does not tell."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 1024


def machine(device: str = "cpu") -> dict[str, Any]:
    """What the figures were measured on."""
    import torch
    import transformers

    facts: dict[str, Any] = {
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": _memory_gib(),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "threads": torch.get_num_threads(),
    }
    if device.startswith("cuda"):
        facts["gpu"] = torch.cuda.get_device_name(device)
    if hasattr(os, "getloadavg"):
        facts["load_average"] = round(os.getloadavg()[0], 2)
    return facts


def finish(name: str, args: argparse.Namespace, result: Mapping[str, Any]) -> None:
    """Write the result file that was asked for: the measurements, how and on what they were made."""
    if args.json is None:
        return
    given = {
        key: str(value) if isinstance(value, Path) else value for key, value in vars(args).items() if key != "json"
    }
    document = {
        "benchmark": name,
        "date": datetime.date.today().isoformat(),
        "arguments": given,
        "machine": machine(given.get("device", "cpu")),
        **result,
        "peak_rss_mib": peak_rss_mib(),
    }
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def print_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Columns as wide as their widest entry, numbers to the right."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(len(row[at]) for row in [list(header), *cells]) for at in range(len(header))]
    for row in [list(header), *cells]:
        print(
            "  ".join(
                text.ljust(width) if at == 0 else text.rjust(width)
                for at, (text, width) in enumerate(zip(row, widths, strict=True))
            )
        )


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 100 else f"{value:,.0f}"
    return str(value)


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError, OSError):
        return None
