"""One tracking pass over clips of growing length: peak memory and time per frame should not grow with it.

    python benchmarks/length.py                           # 200 and 2,000 frames, nano-sized model, CPU

Each length runs in a process of its own, on a video file that is decoded as the pass goes; no features are kept behind
it. Weights are random.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoModel

from sama_video.model.presets import preset_config
from sama_video.model.segmenter import Segmenter
from sama_video.model.tracking import Tracker, TrackPrompt
from sama_video.video.reader import open_video
from sama_video.video.writer import write_video

EDGE = 100  # frames at either end whose time is compared


def main() -> None:
    args = parse_arguments()
    if args.video is not None:
        print(json.dumps(one_pass(args)))
        return
    with tempfile.TemporaryDirectory() as folder:
        rows = [in_own_process(args, Path(folder), frames) for frames in args.frames]
    growth = rows[-1]["peak_mib"] / rows[0]["peak_mib"] - 1
    if args.json:
        print(json.dumps({"arguments": vars(args), "rows": rows, "peak_growth": growth}, indent=1))
        return
    print(f"{args.preset}, {args.dtype}, {args.device}, {args.objects} objects")
    print("frames  peak MiB  ms/frame  first and last hundred")
    for row in rows:
        print(
            f"{row['frames']:6d} {row['peak_mib']:9.0f} {row['ms']:9.1f} {row['first_ms']:12.1f} {row['last_ms']:8.1f}"
        )
    print(f"peak memory grows by {growth:.1%}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="nano")
    parser.add_argument("--frames", type=int, nargs="+", default=[200, 2000])
    parser.add_argument("--objects", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--video", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def in_own_process(args: argparse.Namespace, folder: Path, frames: int) -> dict[str, float]:
    video = folder / f"{frames}.mp4"
    write_video(video, moving_square(frames), fps=25)
    command = [sys.executable, __file__, "--video", str(video), "--preset", args.preset, "--objects", str(args.objects)]
    command += ["--device", args.device, "--dtype", args.dtype, "--threads", str(args.threads)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def moving_square(frames: int) -> Iterator[np.ndarray]:
    for idx in range(frames):
        picture = np.full((240, 320, 3), 40, np.uint8)
        left = idx * 3 % 260
        picture[80:140, left : left + 60] = (220, 120, 30)
        yield picture


def one_pass(args: argparse.Namespace) -> dict[str, float]:
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    model = AutoModel.from_config(preset_config(args.preset).segmenter_config)
    model = model.to(args.device, getattr(torch, args.dtype)).eval()
    clip = open_video(args.video)
    prompts = [TrackPrompt(f"obj{i}", 0, points=[(20.0 + 10 * i, 60.0)]) for i in range(args.objects)]
    # On the CPU, time that other processes take must not count: a long run would look slower for their sake.
    clock = time.perf_counter if args.device.startswith("cuda") else time.process_time
    ends = [clock()]
    for _ in Tracker(Segmenter(model), pixel_maker(model)).track(clip, prompts):
        ends.append(clock())
    seconds = np.diff(ends)
    return {
        "frames": clip.num_frames,
        "peak_mib": peak_mib(args.device),
        "ms": float(1000 * seconds.mean()),
        "first_ms": float(1000 * seconds[:EDGE].mean()),
        "last_ms": float(1000 * seconds[-EDGE:].mean()),
    }


def pixel_maker(model: Any) -> Any:
    def to_pixels(frames: np.ndarray) -> Tensor:
        pixels = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255
        side = model.image_size
        return (torch.nn.functional.interpolate(pixels, size=(side, side), mode="bilinear") - 0.5) / 0.25

    return to_pixels


def peak_mib(device: str) -> float:
    """Peak of the process, or of the card where the model lies on one."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
