"""Objects tracked together, against the same model's own inference session, side by side in one run.

    python benchmarks/objects.py                          # nano-sized model, CPU
    python benchmarks/objects.py --preset sama-1b --dtype bfloat16 --device cuda --frames 64

Two baselines: one session per object, which is what following objects one by one costs (each session encodes the clip
anew), and one session that holds all objects (frames are encoded once, objects are still stepped one by one).
Weights are random; speed does not depend on them.
"""

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoModel
from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

from sama_video.model.presets import preset_config
from sama_video.model.segmenter import Segmenter
from sama_video.model.tracking import Tracker, TrackPrompt
from sama_video.video.clip import Clip


def main() -> None:
    args = parse_arguments()
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    model = AutoModel.from_config(preset_config(args.preset).segmenter_config)
    model = model.to(args.device, getattr(torch, args.dtype)).eval()
    side = model.image_size
    pixels = np.random.default_rng(0).integers(0, 256, (args.frames, side, side, 3), dtype=np.uint8)
    clip = Clip.from_frames(pixels, fps=10)
    rows = [measure(model, clip, count, args.rounds) for count in args.objects]
    if args.json:
        print(json.dumps({"arguments": vars(args), "device": device_name(args.device), "rows": rows}, indent=1))
        return
    print(f"{args.preset}, {args.dtype}, {device_name(args.device)}, {args.frames} frames; milliseconds per frame")
    print("objects  together  session per object (ratio)  one session (ratio)")
    for row in rows:
        each, shared = row["sessions_ms"], row["one_session_ms"]
        print(
            f"{row['objects']:7d} {row['together_ms']:9.1f} {each:14.1f} ({each / row['together_ms']:4.1f}x)"
            f" {shared:16.1f} ({shared / row['together_ms']:4.1f}x)"
        )


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="nano")
    parser.add_argument("--objects", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def device_name(device: str) -> str:
    return torch.cuda.get_device_name() if device.startswith("cuda") else f"CPU, {torch.get_num_threads()} threads"


def to_pixels(frames: np.ndarray) -> Tensor:
    return (torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.25


def clicks(side: int, count: int) -> list[tuple[float, float]]:
    return [((i + 0.5) * side / count, side / 2) for i in range(count)]


def track_in_sessions(model: Any, clip: Clip, points: list[tuple[float, float]]) -> None:
    for point in points:
        track_in_session(model, clip, [point])


def measure(model: Any, clip: Clip, count: int, rounds: int) -> dict[str, float]:
    points = clicks(model.image_size, count)
    ways: dict[str, Callable[[], None]] = {
        "together_ms": lambda: track_together(model, clip, points),
        "sessions_ms": lambda: track_in_sessions(model, clip, points),
        "one_session_ms": lambda: track_in_session(model, clip, points),
    }
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(rounds + 1):  # the ways take turns, so that a busy moment hits all; the first round only warms up
        for name, way in ways.items():
            best[name] = min(best[name], timed(way, model.device))
    return {"objects": count, **{name: 1000 * seconds / clip.num_frames for name, seconds in best.items()}}


def timed(way: Callable[[], None], device: torch.device) -> float:
    begun = time.perf_counter()
    way()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - begun


def track_together(model: Any, clip: Clip, points: list[tuple[float, float]]) -> None:
    prompts = [TrackPrompt(f"obj{i}", 0, points=[point]) for i, point in enumerate(points)]
    for _ in Tracker(Segmenter(model), to_pixels).track(clip, prompts):
        pass


def track_in_session(model: Any, clip: Clip, points: list[tuple[float, float]]) -> None:
    session = Sam2VideoInferenceSession(
        video=to_pixels(clip.frames(range(clip.num_frames))),
        inference_device=model.device,
        inference_state_device=model.device,
        dtype=model.dtype,
    )
    for number, point in enumerate(points):
        given = {
            "point_coords": torch.tensor([[[point]]]),
            "point_labels": torch.ones(1, 1, 1, dtype=torch.int32),
        }
        session.add_point_inputs(session.obj_id_to_idx(number), 0, given)
    session.obj_with_new_inputs = list(range(len(points)))
    for _ in model.propagate_in_video_iterator(session, start_frame_idx=0):
        pass


if __name__ == "__main__":
    main()
