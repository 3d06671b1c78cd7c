"""What it takes to open a mask dictionary of 100,000 annotations, and to read tracks out of it.

    python benchmarks/mask_index.py
    python benchmarks/mask_index.py --annotations 600000 --frames 80        # the size of SA-V's, some 10 GB

Each row is a process of its own, so that its memory is its own. `index` opens the file for the first time and makes the
index, `open` opens it again, `tracks` reads tracks at random, `json.load` parses the whole file, as one would without.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from harness import arguments, finish, peak_rss_mib, print_table

from sama_video.data.findings import Findings
from sama_video.data.mask_files import MaskFile, open_mask_file
from sama_video.regions.rle import encode

SIZE = (120, 160)
VARIANTS = 64


def write_dictionary(path: Path, annotations: int, frames: int) -> None:
    """Discs, a few variants of them, in the form of the official files; every ninth entry is null."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    masks = []
    for number in range(VARIANTS):
        disc = (rows - 60) ** 2 + (columns - 30 - number) ** 2 < (20 + number % 9) ** 2
        masks.append(json.dumps(dict(encode(disc))))
    with path.open("w", encoding="utf-8") as out:
        for number in range(annotations):
            track = ",".join(
                masks[(number + idx) % VARIANTS] if (number + idx) % 9 else "null" for idx in range(frames)
            )
            out.write(f'{"," if number else "{"}"{number}":[{track}]')
        out.write("}")


def opened(path: Path) -> MaskFile:
    return open_mask_file(path, Findings(strict=True), index_above=0)


def read_tracks(path: Path, annotations: int, count: int) -> int:
    masks, draw = opened(path), random.Random(0)
    return sum(len(masks.track(str(draw.randrange(annotations)), SIZE)) for _ in range(count))


def one_step(step: str, path: Path, annotations: int, count: int) -> dict[str, Any]:
    """Do one thing and tell how long it took and how much memory it left behind."""
    before = peak_rss_mib()
    begun = time.perf_counter()
    if step in ("index", "open"):
        assert len(opened(path)) == annotations
    elif step == "tracks":
        read_tracks(path, annotations, count)
    else:
        assert len(json.loads(path.read_bytes())) == annotations
    seconds = time.perf_counter() - begun
    after = peak_rss_mib()
    grown = None if after is None or before is None else after - before
    return {"step": step, "seconds": seconds, "memory_mib": grown}


def in_own_process(step: str, path: Path, args: argparse.Namespace) -> dict[str, Any]:
    words = [step, str(path), str(args.annotations), str(args.tracks)]
    done = subprocess.run([sys.executable, __file__, "--step", *words], check=True, capture_output=True, text=True)
    row: dict[str, Any] = json.loads(done.stdout)
    return row


def main() -> None:
    parser = arguments(__doc__, device=False)
    parser.add_argument("--annotations", type=int, help="tracks in the dictionary (default 100000, quick 300)")
    parser.add_argument("--frames", type=int, default=20, help="entries of a track (default 20)")
    parser.add_argument("--tracks", type=int, help="tracks read at random (default 2000, quick 20)")
    parser.add_argument("--step", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.step:
        step, path, annotations, count = args.step
        print(json.dumps(one_step(step, Path(path), int(annotations), int(count))))
        return
    del args.step
    args.annotations = args.annotations or (300 if args.quick else 100_000)
    args.tracks = args.tracks or (20 if args.quick else 2000)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "masks.json"
        write_dictionary(path, args.annotations, args.frames)
        size = path.stat().st_size
        rows = [in_own_process(step, path, args) for step in ("index", "open", "tracks", "json.load")]
        index_bytes = sum(file.stat().st_size for file in Path(folder).glob("*.sama-index"))
    rows[0]["bytes_per_second"] = size / rows[0]["seconds"]
    rows[2]["tracks_per_second"] = args.tracks / rows[2]["seconds"]
    print(
        f"{args.annotations} annotations of {args.frames} frames: {size / 1e6:.0f} MB, index {index_bytes / 1e6:.1f} MB"
    )
    print_table(("step", "seconds", "memory MiB"), [(row["step"], row["seconds"], row["memory_mib"]) for row in rows])
    finish("mask_index", args, {"file_bytes": size, "index_bytes": index_bytes, "rows": rows})


if __name__ == "__main__":
    main()
