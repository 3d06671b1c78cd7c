"""Seconds from starting a process to having what was asked for, each time in a fresh process.

python benchmarks/startup.py
"""

import argparse
import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from harness import alternate, arguments, finish, print_table

import sama_video

PACKAGE_ROOT = str(Path(sama_video.__file__).parents[1])
MAIN = "import sys; sys.argv = ['sama', '--help']; from sama_video.app.cli.main import main; sys.exit(main())"


def commands(nano: Path | None) -> dict[str, list[str]]:
    """What is started, by what it is called in the table."""
    script = Path(sys.executable).with_name("sama")
    where = "'nano'" if nano is None else repr(str(nano))
    return {
        "bare Python": [sys.executable, "-c", "pass"],
        "sama --help": [str(script), "--help"] if script.exists() else [sys.executable, "-c", MAIN],
        "import sama_video": [sys.executable, "-c", "import sama_video"],
        "import torch": [sys.executable, "-c", "import torch"],
        "import torch, transformers": [sys.executable, "-c", "import torch, transformers.modeling_utils"],
        "sama.load('nano')": [sys.executable, "-c", f"import sama_video as sama; sama.load({where}, device='cpu')"],
    }


def start(command: list[str]) -> None:
    """Run a command to its end, in an environment that finds this package."""
    path = os.pathsep.join(filter(None, [PACKAGE_ROOT, os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed: {done.stderr.strip().splitlines()[-1:]}")


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Every command in turn."""
    from sama_video.model.presets import BUNDLED_NANO

    with tempfile.TemporaryDirectory() as folder:
        bundled = BUNDLED_NANO.is_dir()
        if not bundled:
            save_random_nano(Path(folder))
        ways = commands(None if bundled else Path(folder))
        seconds = alternate(
            {name: partial(start, it) for name, it in ways.items()},
            repeats=args.repeats,
            warmups=int(not args.quick),
        )
    rows = [{"what": name, "seconds": seconds[name]} for name in ways]
    return {"model": "bundled nano" if bundled else "nano with random weights", "rows": rows}


def save_random_nano(folder: Path) -> None:
    """A folder that loads as the nano would."""
    from models import nano

    loaded, _ = nano(random=True)
    loaded.model.save_pretrained(folder)
    loaded.processor.save_pretrained(folder)


def main() -> None:
    parser = arguments(__doc__, device=False)
    parser.add_argument("--repeats", type=int, help="rounds after the warm-up (default 7, quick 1)")
    args = parser.parse_args()
    args.repeats = args.repeats or (1 if args.quick else 7)
    result = measure(args)
    print_table(
        ("what", "shortest ms", "median ms"),
        [(row["what"], 1000 * row["seconds"]["min"], 1000 * row["seconds"]["median"]) for row in result["rows"]],
    )
    finish("startup", args, result)


if __name__ == "__main__":
    main()
