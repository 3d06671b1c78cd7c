"""Every benchmark, each in a process of its own, one after the other; then the page of results.

    python benchmarks/run_all.py                          # all that a CPU can do
    python benchmarks/run_all.py --videos FOLDER          # and decoding of real videos
    python benchmarks/run_all.py --device cuda            # what a card is for; results stand beside the CPU's
    python benchmarks/run_all.py --only turns live        # some
    python benchmarks/run_all.py --page-only              # the page again, from the results that are there

Results are kept in `benchmarks/results/NAME.DEVICE.json`, the page is `docs/benchmarks.md`.
"""

import argparse
import datetime
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from harness import machine
from page import write_page

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
PAGE = HERE.parent / "docs" / "benchmarks.md"


@dataclass(frozen=True)
class Job:
    """One benchmark and how it is run.

    Attributes:
        on_card: Its options on a GPU; None where a GPU changes nothing.
        quick: Its options for a quick look, where it has no `--quick` of its own.
        prints_json: It prints its result instead of writing a file.
        takes_device: It has the option `--device`.
    """

    name: str
    on_card: tuple[str, ...] | None = None
    quick: tuple[str, ...] = ("--quick",)
    prints_json: bool = False
    takes_device: bool = True


LARGE = ("--preset", "sama-1b", "--dtype", "bfloat16", "--frames", "64")
JOBS = (
    Job("startup", takes_device=False),
    Job("decode", takes_device=False),
    Job("jf", takes_device=False),
    Job("mask_index", takes_device=False),
    Job("loading", takes_device=False),
    Job("turns", ()),
    Job("live", ()),
    Job("objects", LARGE, ("--objects", "1", "2", "--frames", "4", "--rounds", "1"), prints_json=True),
    Job("length", None, ("--frames", "8", "16", "--objects", "1"), prints_json=True),
    Job("serving", takes_device=False),
    Job("annotate", takes_device=False),
    Job("other_hand"),
    Job("training", ("--presets", "sama-1b", "--workers", "8", "--updates", "20")),
    Job("real_size", ("--presets", "sama-1b", "sama-4b", "sama-8b", "--compile")),
)


def main() -> None:
    args = parse_arguments()
    if not args.page_only:
        chosen = [job for job in JOBS if not args.only or job.name in args.only]
        failed = [job.name for job in chosen if not run(job, args)]
        if failed:
            print(f"failed: {', '.join(failed)}; the page keeps their earlier results", file=sys.stderr)
    write_page(args.results, args.page)
    print(f"wrote {os.path.relpath(args.page)}")
    if not args.page_only and failed:
        raise SystemExit(1)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=[job.name for job in JOBS])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--videos", type=Path, help="folder of videos for the decoding benchmark")
    parser.add_argument("--quick", action="store_true", help="small runs that only show that everything works")
    parser.add_argument("--page-only", action="store_true")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--page", type=Path, default=PAGE)
    return parser.parse_args()


def run(job: Job, args: argparse.Namespace) -> bool:
    """Run one benchmark and keep its result; whether it went well."""
    on_card = not args.device.startswith("cpu")
    if on_card and job.on_card is None:
        return True
    options = [*(job.quick if args.quick else ()), *((job.on_card or ()) if on_card and not args.quick else ())]
    if job.takes_device:
        options += ["--device", args.device]
    options += ["--threads", str(args.threads)]
    if job.name == "decode" and args.videos:
        options += ["--videos", str(args.videos)]
    target = args.results / f"{job.name}.{'cuda' if on_card else 'cpu'}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    print(f"== {job.name} {' '.join(options)}", flush=True)
    begun = time.perf_counter()
    done = start(job, options, target)
    print(f"   {time.perf_counter() - begun:.0f} s", flush=True)
    return done


def start(job: Job, options: list[str], target: Path) -> bool:
    """One process of one benchmark."""
    package = str(HERE.parent / "src")
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    command = [sys.executable, str(HERE / f"{job.name}.py"), *options]
    command += ["--json"] if job.prints_json else ["--json", str(target)]
    output = subprocess.PIPE if job.prints_json else None
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, stdout=output, text=True, check=False)
    if done.returncode == 0 and job.prints_json:
        result = json.loads(done.stdout[done.stdout.index("{") :])
        device = "cuda" if target.stem.endswith("cuda") else "cpu"
        found = {"benchmark": job.name, "date": datetime.date.today().isoformat(), "machine": machine(device), **result}
        target.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return done.returncode == 0


if __name__ == "__main__":
    main()
