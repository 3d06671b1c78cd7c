"""A live session: frames taken in per second while questions are asked, with 0, 1 and 4 objects being followed.

    python benchmarks/live.py

Objects are shown by a mask on the newest frame; from then on each is tracked on every frame as it comes. A question of
words alone comes every 24 frames. Time to the first token counts from the question, with the frames of the window to be
encoded first.
"""

import argparse
import time
from typing import Any

import torch
from harness import arguments, finish, print_table, settler, spread
from models import Script, follow_script, nano, scene_clip

from sama_video.chat.live import LiveSession
from sama_video.chat.loading import LoadedModel
from sama_video.regions.shapes import Mask

ASK_EVERY = 24
QUESTION, ANSWER = "What happens in the video?", "Several things move about, some faster and some slower than others."


def scripted_live(loaded: LoadedModel, script: Script, window_seconds: float) -> LiveSession:
    """A live session whose answers are the script's."""
    live = loaded.live(window_seconds=window_seconds)
    make = live._session

    def session() -> Any:
        made = make()
        made.decoder = script.decoder(made.decoder)  # type: ignore[assignment, method-assign]
        return made

    live._session = session  # type: ignore[method-assign]
    return live


def show_objects(live: LiveSession, script: Script, masks: Any, count: int) -> None:
    """Point at the first `count` objects on the newest frame."""
    newest = live.num_frames - 1
    script.answer = "They are things."
    regions = [Mask(frame=newest, mask=masks[idx, newest]) for idx in range(count)]
    live.ask("What are " + ", ".join(["<region>"] * count) + "?", regions, ground=False)


def one_stream(args: argparse.Namespace, loaded: LoadedModel, apart: bool, count: int) -> dict[str, Any]:
    """Push a clip frame by frame, asking now and then."""
    settle = settler(args.device) or (lambda: None)
    clip, masks, _ = scene_clip(args.warmup + args.frames, 4, args.side)
    script = Script(loaded.processor, apart)
    follow_script(loaded, script)
    live = scripted_live(loaded, script, args.window)
    frames = clip.stream()
    for _ in range(args.warmup):
        live.push(next(frames)[1])
    if count:
        show_objects(live, script, masks, count)
    script.answer = ANSWER
    live.ask(QUESTION, ground=False)
    settle()
    pushed, first, asked = [], [], []
    for number, (_, frame) in enumerate(frames, start=1):
        begun = time.perf_counter()
        masks_now = live.push(frame)
        settle()
        pushed.append(time.perf_counter() - begun)
        if len(masks_now) != count:
            raise SystemExit(f"{len(masks_now)} objects are followed, not {count}")
        if number % ASK_EVERY == 0:
            timing = live.ask(QUESTION, ground=False).timing
            first.append(timing.first_token_seconds)
            asked.append(timing.total_seconds)
    live.close()
    return {
        "objects": count,
        "push_seconds": spread(pushed),
        "frames_per_second": len(pushed) / sum(pushed),
        "frames_per_second_with_questions": len(pushed) / (sum(pushed) + sum(asked)),
        "first_token_seconds": spread(first),
        "answer_seconds": spread(asked),
    }


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--frames", type=int, help="frames pushed and timed (default 240, quick 24)")
    parser.add_argument("--objects", type=int, nargs="+", default=[0, 1, 4])
    parser.add_argument("--side", type=int, default=256, help="height and width of the frames")
    parser.add_argument("--window", type=float, default=2.0, help="seconds that a question looks back")
    parser.add_argument("--random", action="store_true", help="random weights even where the nano is bundled")
    args = parser.parse_args()
    args.frames = args.frames or (ASK_EVERY if args.quick else 240)
    args.warmup = 12 if args.quick else 2 * ASK_EVERY
    torch.set_num_threads(args.threads)
    loaded, kind = nano(args.device, random=args.random)
    rows = [one_stream(args, loaded, not kind.startswith("bundled"), count) for count in args.objects]
    print(f"{kind}, {args.device}, {args.frames} frames of {args.side} x {args.side}, a question every {ASK_EVERY}")
    print_table(
        ("objects", "frames/s pushed", "with questions", "first token ms", "answer ms"),
        [
            (
                row["objects"],
                row["frames_per_second"],
                row["frames_per_second_with_questions"],
                1000 * row["first_token_seconds"]["median"],
                1000 * row["answer_seconds"]["median"],
            )
            for row in rows
        ],
    )
    finish("live", args, {"model": kind, "ask_every": ASK_EVERY, "rows": rows})


if __name__ == "__main__":
    main()
