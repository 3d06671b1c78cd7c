"""Frames per second out of `Clip.stream`, against a bare PyAV loop over the same file.

    python benchmarks/decode.py                           # two clips made here
    python benchmarks/decode.py --videos FOLDER           # and every video of a folder

The bare loop decodes and converts each frame to RGB with FFmpeg's threads on, and does nothing else: no exact times, no
rotation, no damage handling. Opening the file is timed apart: a clip reads all packets' times then, PyAV only a header.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
from harness import arguments, finish, print_table, spread

from sama_video.video import open_video, write_video

SUFFIXES = (".mp4", ".mkv", ".webm", ".mov", ".avi")
MADE = (("made 320x240", 240, 320), ("made 1280x720", 720, 1280))


def moving_bars(frames: int, height: int, width: int) -> Iterator[np.ndarray]:
    """Stripes that slide over soft noise."""
    rng = np.random.default_rng(0)
    ground = rng.integers(40, 80, (height // 8, width // 8, 3), dtype=np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    for idx in range(frames):
        picture = ground.copy()
        columns = (np.arange(ground.shape[1]) + 5 * idx) // 40 % 4 == 0
        picture[:, columns] = (200, 120, 40)
        yield picture


def bare_loop(path: Path) -> tuple[float, float, int]:
    """Seconds to open a file with PyAV alone and to get all frames, and their number."""
    begun = time.perf_counter()
    count = 0
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        opened = time.perf_counter()
        for frame in container.decode(stream):
            frame.to_ndarray(format="rgb24")
            count += 1
        ended = time.perf_counter()
    return opened - begun, ended - opened, count


def through_clip(path: Path) -> tuple[float, float, int]:
    """The same through a clip."""
    begun = time.perf_counter()
    clip = open_video(path)
    opened = time.perf_counter()
    count = sum(1 for _ in clip.stream())
    ended = time.perf_counter()
    clip.close()
    return opened - begun, ended - opened, count


def compare(name: str, path: Path, repeats: int) -> dict[str, Any]:
    """Both ways over one file, in alternation; the first round only warms up."""
    rounds = [(through_clip(path), bare_loop(path)) for _ in range(repeats + 1)]
    counts = {way[2] for pair in rounds for way in pair}
    if len(counts) != 1:
        raise SystemExit(f"{name}: the two ways give different numbers of frames, {sorted(counts)}")
    frames = counts.pop()
    ours, bare = (spread([pair[side][1] for pair in rounds[1:]]) for side in (0, 1))
    clip = open_video(path)
    return {
        "clip": name,
        "frames": frames,
        "size": [clip.height, clip.width],
        "clip_seconds": ours,
        "bare_seconds": bare,
        "clip_frames_per_second": frames / ours["median"],
        "bare_frames_per_second": frames / bare["median"],
        "ratio": bare["median"] / ours["median"],
        "ratio_of_shortest": bare["min"] / ours["min"],
        "clip_open_seconds": spread([pair[0][0] for pair in rounds[1:]]),
        "bare_open_seconds": spread([pair[1][0] for pair in rounds[1:]]),
    }


def measure(args: argparse.Namespace) -> list[dict[str, Any]]:
    """All clips."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, height, width in MADE:
            path = Path(folder) / f"{height}.mp4"
            write_video(path, moving_bars(args.frames, height, width), fps=25)
            rows.append(compare(name, path, args.repeats))
    found = sorted(path for path in args.videos.iterdir() if path.suffix in SUFFIXES) if args.videos else []
    rows += [compare(path.name, path, args.repeats) for path in (found[:1] if args.quick else found)]
    return rows


def main() -> None:
    parser = arguments(__doc__, device=False)
    parser.add_argument("--videos", type=Path, help="folder of videos to measure as well")
    parser.add_argument("--frames", type=int, help="length of the clips made (default 250, quick 25)")
    parser.add_argument("--repeats", type=int, help="rounds after the warm-up (default 7, quick 1)")
    args = parser.parse_args()
    args.frames = args.frames or (25 if args.quick else 250)
    args.repeats = args.repeats or (1 if args.quick else 7)
    rows = measure(args)
    print_table(
        (
            "clip",
            "frames",
            "Clip.stream frames/s",
            "PyAV frames/s",
            "ratio",
            "of the shortest",
            "open ms",
            "PyAV open ms",
        ),
        [
            (
                row["clip"],
                row["frames"],
                row["clip_frames_per_second"],
                row["bare_frames_per_second"],
                row["ratio"],
                row["ratio_of_shortest"],
                1000 * row["clip_open_seconds"]["median"],
                1000 * row["bare_open_seconds"]["median"],
            )
            for row in rows
        ],
    )
    if args.videos:
        args.videos = "FOLDER"  # where they lay on this machine is nobody's business
    finish("decode", args, {"pyav": av.__version__, "rows": rows})


if __name__ == "__main__":
    main()
