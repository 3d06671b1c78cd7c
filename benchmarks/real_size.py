"""The published sizes, filled with random weights: two turns about a small clip, and the tracker by itself.

    python benchmarks/real_size.py                                                 # sama-1b in bfloat16, CPU, 8 frames
    python benchmarks/real_size.py --device cuda --presets sama-1b sama-4b sama-8b --frames 32 --objects 1 16 --compile

Turn 1 finds two objects, turn 2 speaks of them again. The tracker is that of SAM 2.1 hiera-large; it encodes each
frame in the same pass. What is compiled is compiled before the clock starts.
"""

import argparse
import contextlib
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from harness import arguments, finish, print_table, settler, spread, timed
from models import PRESENT_BIAS, Script, fill, follow_script, grounded, random_model, scene_clip, scripted_chat
from transformers import AutoModel
from transformers.initialization import no_init_weights

from sama_video.model.presets import hiera_large, preset_config
from sama_video.model.segmenter import Segmenter
from sama_video.model.tracking import Tracker, TrackPrompt
from sama_video.video.clip import Clip

WARM_FRAMES = 24
"""Until then the memory fills up, and with it the shapes that are compiled for."""

RECOMPILES = 256


def two_turns(args: argparse.Namespace, preset: str) -> dict[str, Any]:
    """Latency of the first turn and of one that follows up, on one model."""
    built, loaded = timed(lambda: random_model(preset, args.device, getattr(torch, args.dtype)))
    clip, _, names = scene_clip(args.frames, 2, args.side)
    turns = [
        ("1: two new objects", f"Segment {names[0]} and {names[1]}."),
        ("2: known objects", "What are <obj1> and <obj2>?"),
    ]
    seconds: list[list[float]] = [[], []]
    first_tokens: list[list[float]] = [[], []]
    counters: list[dict[str, int]] = [{}, {}]
    for repeat in range(args.repeats + args.warmups):
        script = Script(loaded.processor, apart=True, answer=grounded(*names))
        follow_script(loaded, script)
        with contextlib.closing(scripted_chat(loaded, clip, script)) as session:
            for at, (_, question) in enumerate(turns):
                taken, answer = timed(partial(session.ask, question), settler(args.device))
                if repeat >= args.warmups:
                    seconds[at].append(taken)
                    first_tokens[at].append(answer.timing.first_token_seconds)
                timing = answer.timing
                counters[at] = {
                    "vision_frames": timing.vision_frames_encoded,
                    "segmenter_frames": timing.segmenter_frames_encoded,
                    "prefill_tokens": timing.prefill_tokens,
                    "generated_tokens": timing.generated_tokens or 0,
                }
            if len(session.objects) != len(names):
                raise SystemExit(f"{preset} knows {len(session.objects)} objects, not {len(names)}")
    rows = [
        {"turn": name, "seconds": spread(taken), "first_token_seconds": spread(first), **counts}
        for (name, _), taken, first, counts in zip(turns, seconds, first_tokens, counters, strict=True)
    ]
    parameters = sum(parameter.numel() for parameter in loaded.model.parameters())
    return {
        "preset": preset,
        "parameters": parameters,
        "build_seconds": built,
        "rows": rows,
        **device_memory(args.device),
    }


def device_memory(device: str) -> dict[str, float]:
    """Most memory of the card held so far; the count starts anew."""
    if not device.startswith("cuda"):
        return {}
    peak = torch.cuda.max_memory_allocated() / 2**30
    torch.cuda.reset_peak_memory_stats()
    return {"device_peak_gib": peak}


def segmenter_model(args: argparse.Namespace) -> Any:
    """SAM 2.1 with random weights."""
    if args.segmenter == "nano":
        config = preset_config("nano").segmenter_config
    else:
        config = hiera_large()
        config.enable_occlusion_spatial_embedding = True
        config.enable_temporal_pos_encoding_for_object_pointers = True
    with torch.device(args.device), no_init_weights():
        model = AutoModel.from_config(config, dtype=getattr(torch, args.dtype))
    model = model.to(args.device).eval()
    fill(model, torch.Generator(args.device).manual_seed(0))
    model.mask_decoder.pred_obj_score_head.proj_out.bias.data.add_(PRESENT_BIAS)
    return model


def tracker_rows(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Frames per second with each number of objects, as it is and compiled."""
    model = segmenter_model(args)
    ways: list[tuple[str, Segmenter]] = [("eager", Segmenter(model))]
    if args.compile:
        ways.append(("compiled", compiled(Segmenter(model))))
    rows = []
    for name, segmenter in ways:
        for count in args.objects:
            rows.append({"way": name, "objects": count, **track(args, segmenter, count)})
    return rows


def compiled(segmenter: Segmenter) -> Segmenter:
    """The same parts, compiled."""
    torch._dynamo.config.recompile_limit = RECOMPILES
    torch._dynamo.config.accumulated_recompile_limit = 4 * RECOMPILES
    for part in ("encode", "encode_memory", "decode"):
        setattr(segmenter, part, torch.compile(getattr(segmenter, part), dynamic=False))
    # The memory grows over the first frames; one program serves all its sizes.
    segmenter.condition_on_memory = torch.compile(  # type: ignore[method-assign]
        segmenter.condition_on_memory, dynamic=True
    )
    return segmenter


def track(args: argparse.Namespace, segmenter: Segmenter, count: int) -> dict[str, Any]:
    """One pass over a clip; the time per frame once the memory is full, and the time of every part before that."""
    side = segmenter.image_size
    warm = min(WARM_FRAMES, args.track_frames // 2)
    clip = noise_clip(args.track_frames, side)
    prompts = [TrackPrompt(f"obj{i}", 0, points=[((i + 0.5) * side / count, side / 2)]) for i in range(count)]
    tracker = Tracker(segmenter, pixel_maker(args.device), encode_batch=args.encode_batch)
    settle = settler(args.device) or (lambda: None)
    best: list[float] = []
    for repeat in range(args.warmups + args.repeats):
        stamps = list(stamped(tracker, clip, prompts, settle, warm))
        if repeat >= args.warmups:
            best.append((stamps[-1] - stamps[0]) / (clip.num_frames - 1 - warm))
    seconds = spread(best)
    return {"seconds_per_frame": seconds, "frames_per_second": 1 / seconds["median"], **device_memory(args.device)}


def stamped(
    tracker: Tracker, clip: Clip, prompts: list[TrackPrompt], settle: Callable[[], None], warm: int
) -> Iterator[float]:
    """When the memory was full, and when all was done; nothing waits for the device in between."""
    for number, _ in enumerate(tracker.track(clip, prompts)):
        if number == warm:
            settle()
            yield time.perf_counter()
    settle()
    yield time.perf_counter()


def noise_clip(num_frames: int, side: int) -> Clip:
    """Coarse random patches, a few different ones in turn, so that long clips cost little memory."""
    coarse = np.random.default_rng(0).integers(0, 256, (8, side // 16, side // 16, 3), dtype=np.uint8)
    patches = coarse.repeat(16, axis=1).repeat(16, axis=2)
    return Clip.from_frames(patches[np.arange(num_frames) % len(patches)], fps=24)


def pixel_maker(device: str) -> Callable[[np.ndarray], torch.Tensor]:
    """Frames of the right size to normalised pixels, on the device they are used on."""

    def to_pixels(frames: np.ndarray) -> torch.Tensor:
        pixels = torch.from_numpy(np.ascontiguousarray(frames)).to(device).permute(0, 3, 1, 2)
        return (pixels.float() / 255 - 0.45) / 0.225

    return to_pixels


def defaults(args: argparse.Namespace) -> None:
    """Fill in what was not given: little on a CPU, more on a card, next to nothing for a quick look."""
    on_card = args.device.startswith("cuda")
    if args.presets is None:
        args.presets = ["nano"] if args.quick else ["sama-1b"]
    args.segmenter = "nano" if args.quick else "large"
    args.frames = args.frames or (32 if on_card and not args.quick else 8)
    if args.objects is None:
        args.objects = [1, 16] if on_card else [1, 2]
    args.track_frames = args.track_frames or (6 if args.quick else 128 if on_card else 4)
    args.repeats = args.repeats or (3 if on_card and not args.quick else 1)
    args.warmups = int(args.compile or (on_card and not args.quick))
    args.encode_batch = args.encode_batch or (8 if on_card else 1)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--presets", nargs="*", help="models to talk with (default sama-1b; none: tracker only)")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--frames", type=int, help="frames of the clip talked about (default 8, on a card 32)")
    parser.add_argument("--side", type=int, default=256, help="height and width of that clip")
    parser.add_argument(
        "--objects", type=int, nargs="*", help="objects tracked (default 1 2, on a card 1 16; none: no tracker)"
    )
    parser.add_argument("--track-frames", type=int, help="frames tracked (default 4, on a card 128)")
    parser.add_argument("--encode-batch", type=int, help="frames encoded together (default 1, on a card 8)")
    parser.add_argument("--compile", action="store_true", help="measure the tracker compiled as well")
    parser.add_argument("--repeats", type=int, help="rounds (default 1; on a card 3 after a warm-up)")
    args = parser.parse_args()
    defaults(args)
    torch.set_num_threads(args.threads)
    chats = []
    for preset in args.presets:
        chats.append(two_turns(args, preset))
        if args.device.startswith("cuda"):
            torch.cuda.empty_cache()
    tracks = tracker_rows(args) if args.objects else []
    print(f"{args.device}, {args.dtype}, random weights; clip of {args.frames} frames")
    print_table(
        ("model", "turn", "seconds", "first token s", "ViT frames", "SAM frames", "prefill tokens"),
        [
            (
                chat["preset"],
                row["turn"],
                row["seconds"]["median"],
                row["first_token_seconds"]["median"],
                row["vision_frames"],
                row["segmenter_frames"],
                row["prefill_tokens"],
            )
            for chat in chats
            for row in chat["rows"]
        ],
    )
    print_table(
        ("tracker", "objects", "frames/s", "ms/frame"),
        [
            (row["way"], row["objects"], row["frames_per_second"], 1000 * row["seconds_per_frame"]["median"])
            for row in tracks
        ],
    )
    finish("real_size", args, {"chats": chats, "tracks": tracks})


if __name__ == "__main__":
    main()
