"""Turns of one conversation, against the same model that keeps nothing between turns or between objects.

    python benchmarks/turns.py                            # 96 frames, the nano, CPU
    python benchmarks/turns.py --device cuda --frames 300

Both sides read the same questions, see the same frames and write the same answers. The side without reuse does what the
published inference does in every turn: all context frames through the vision tower, all frames of the clip resized for
SAM 2, the whole conversation prefilled, and for each `[SEG]` the frames encoded afresh and a propagation of its own
(encoded in batches and tracked by our own tracker, one object at a time, which flatters it).
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from harness import arguments, finish, print_table, settler, spread, timed
from models import Script, follow_script, grounded, nano, scene_clip, scripted_chat
from torch import Tensor

from sama_video.chat.loading import LoadedModel
from sama_video.chat.masks import MaskMaker
from sama_video.chat.objects import KnownObject
from sama_video.chat.session import ChatSession
from sama_video.model.decoding import DecodedRow
from sama_video.model.tracking import Tracker
from sama_video.regions.masklet import Masklet
from sama_video.regions.rle import overlap_areas
from sama_video.video.clip import Clip


@dataclass(frozen=True)
class Asked:
    """One turn of the conversation measured.

    Attributes:
        objects: Ids of the objects the turn is about; those the conversation has not met are grounded in it.
    """

    name: str
    question: str
    answer: str
    objects: tuple[str, ...]
    ground: Any = "auto"


def conversation(names: list[str]) -> list[Asked]:
    """Two objects found, spoken of again, a third found, and a turn of words alone."""
    first, second, third = names
    return [
        Asked("1: two new objects", f"Segment {first} and {second}.", grounded(first, second), ("obj1", "obj2")),
        Asked("2: known objects", "What are <obj1> and <obj2>?", grounded(first, second), ("obj1", "obj2")),
        Asked("3: a new object", f"Segment {third}.", grounded(third), ("obj3",)),
        Asked("4: text only", "What happens in the video?", "Three things move about.", (), False),
    ]


@dataclass
class Cost:
    """What one turn took on one side, over the repeats."""

    seconds: list[float] = field(default_factory=list)
    first_token: list[float] = field(default_factory=list)
    vision_frames: int = 0
    segmenter_frames: int = 0
    prefill_tokens: int = 0
    propagations: int = 0

    def to_json(self) -> dict[str, Any]:
        """Timings summed up, counters of one turn."""
        counters = {
            key: getattr(self, key) for key in ("vision_frames", "segmenter_frames", "prefill_tokens", "propagations")
        }
        return {"seconds": spread(self.seconds), "first_token_seconds": spread(self.first_token), **counters}


class WithReuse:
    """A session as it is."""

    def __init__(self, loaded: LoadedModel, clip: Clip, script: Script) -> None:
        self.session = scripted_chat(loaded, clip, script)

    def ask(self, turn: Asked, cost: Cost) -> dict[str, Masklet]:
        """Ask; the masklets of the turn's objects."""
        untracked = {name for name in turn.objects if name not in self.session.objects}
        answer = self.session.ask(turn.question, ground=turn.ground)
        masklets = dict(answer.masklets)
        if set(masklets) != set(turn.objects):
            raise SystemExit(
                f"turn {turn.name} speaks of {sorted(masklets)}, not of {sorted(turn.objects)}: the model does not "
                "tell these things apart; try --random, which makes sure of that."
            )
        cost.first_token.append(answer.timing.first_token_seconds)
        cost.vision_frames = answer.timing.vision_frames_encoded
        cost.segmenter_frames = answer.timing.segmenter_frames_encoded
        cost.prefill_tokens = answer.timing.prefill_tokens
        cost.propagations = int(bool(untracked))
        return masklets


class WithoutReuse:
    """Every turn from the frames up: a session of its own, told what was said before."""

    def __init__(self, loaded: LoadedModel, clip: Clip, script: Script, reference: ChatSession) -> None:
        self.loaded = loaded
        self.clip = clip
        self.script = script
        self.reference = reference

    def ask(self, turn: Asked, cost: Cost, num_turns: int) -> dict[str, Masklet]:
        """Answer the turn that follows the conversation's first `num_turns`; the masklets of its `[SEG]`s in order."""
        session = scripted_chat(self.loaded, self.clip, self.script, cache_bytes=0)
        session.history.turns = list(self.reference.history.turns[:num_turns])
        session.book.restore(self.reference.book.snapshot())  # the caller brings the masks of known objects
        ready_clip = PreparedClip(self.loaded, self.clip)
        row = self._decode(session, turn, cost)
        frames = session.prompted_frames()
        masklets: dict[str, Masklet] = {}
        encoded = 0
        states = row.seg_states if turn.ground is not False else []
        with torch.inference_mode():
            embeddings = session.model.model.grounding_head(torch.stack(states)) if states else ()
        for name, embedding in zip(turn.objects, embeddings, strict=True):
            tracker = Tracker(self.loaded.segmenter(), ready_clip.to_pixels)
            maker = MaskMaker(tracker, ready_clip.clip, decoder=session.masks.decoder)
            found = maker.ground(embedding[None], frames)[0]
            known = KnownObject(name, {sighting.frame_idx: sighting for sighting in found.sightings})
            masklets.update(maker.track([known]))
            encoded += tracker.frames_encoded
        cost.vision_frames = session.states.frames_encoded
        cost.segmenter_frames = encoded
        cost.propagations = len(masklets)
        return masklets

    def _decode(self, session: ChatSession, turn: Asked, cost: Cost) -> DecodedRow:
        began = session.costs().started
        ready = session.prepare(turn.question)
        decoder = session.decoder(turn.ground)
        state, cost.prefill_tokens = session.history.prefill(decoder, ready.asked)
        row = DecodedRow()
        for step, rows in enumerate(decoder.decode(state)):
            row = rows[0]
            if step == 0:
                cost.first_token.append(session.costs().started - began)
        session.history.close(ready.asked, row.ids, 0)
        return row


class PreparedClip:
    """All frames of a clip made ready for SAM 2 at once, whether or not they will be wanted, as the reference does.

    Its clip has the same size and times, but each picture only says which frame it is, and `to_pixels` looks that up.
    """

    def __init__(self, loaded: LoadedModel, clip: Clip) -> None:
        self.pixels = loaded.processor.segmenter_pixels(clip.frames(range(clip.num_frames)))
        numbers = np.zeros((clip.num_frames, clip.height, clip.width, 3), np.uint8)
        numbers[:, 0, 0] = [(idx >> 16, idx >> 8 & 255, idx & 255) for idx in range(clip.num_frames)]
        self.clip = Clip.from_frames(numbers, times=clip.times)

    def to_pixels(self, frames: np.ndarray) -> Tensor:
        """The pixels of the frames that these pictures stand for."""
        return self.pixels[frames[:, 0, 0].astype(np.int64) @ (1 << 16, 1 << 8, 1)]


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Both sides, turn by turn in alternation."""
    loaded, kind = nano(args.device, random=args.random)
    clip, _, names = scene_clip(args.frames, 3, args.side)
    turns = conversation(names)
    costs = {side: [Cost() for _ in turns] for side in ("reuse", "no_reuse")}
    agreement: list[float] = []
    for repeat in range(args.repeats + 1):
        if repeat == 1:  # the first round only warmed up
            costs = {side: [Cost() for _ in turns] for side in costs}
        agreement += one_round(loaded, clip, turns, costs, not kind.startswith("bundled"), settler(args.device))
    rows = []
    for turn, ours, theirs in zip(turns, costs["reuse"], costs["no_reuse"], strict=True):
        ratio = spread(theirs.seconds)["median"] / spread(ours.seconds)["median"]
        rows.append({"turn": turn.name, "reuse": ours.to_json(), "no_reuse": theirs.to_json(), "ratio": ratio})
    return {
        "model": kind,
        "frames": clip.num_frames,
        "size": [clip.height, clip.width],
        "rows": rows,
        "smallest_mask_iou": min(agreement),
    }


def one_round(
    loaded: LoadedModel,
    clip: Clip,
    turns: list[Asked],
    costs: dict[str, list[Cost]],
    apart: bool,
    settle: Callable[[], None] | None,
) -> list[float]:
    """A whole conversation on both sides; how far the masks of newly found objects agree."""
    script = Script(loaded.processor, apart)
    follow_script(loaded, script)
    ours = WithReuse(loaded, clip, script)
    theirs = WithoutReuse(loaded, clip, script, ours.session)
    agreement = []
    for number, (turn, our_cost, their_cost) in enumerate(zip(turns, costs["reuse"], costs["no_reuse"], strict=True)):
        script.answer = turn.answer
        seconds, masklets = timed(partial(ours.ask, turn, our_cost), settle)
        our_cost.seconds.append(seconds)
        seconds, others = timed(partial(theirs.ask, turn, their_cost, number), settle)
        their_cost.seconds.append(seconds)
        agreement += [overlap(masklets[name], others[name]) for name in others]
    ours.session.close()
    return agreement


def overlap(one: Masklet, other: Masklet) -> float:
    """Intersection over union of two masklets, over all frames; 1 where both are empty."""
    areas = [overlap_areas(a, b) for a, b in zip(one.rles, other.rles, strict=True)]
    union = sum(area for _, area in areas)
    return sum(area for area, _ in areas) / union if union else 1.0


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--frames", type=int, help="length of the clip (default 96, quick 16)")
    parser.add_argument("--side", type=int, default=256, help="height and width of the clip")
    parser.add_argument("--repeats", type=int, help="rounds after the warm-up (default 5, quick 1)")
    parser.add_argument("--random", action="store_true", help="random weights even where the nano is bundled")
    args = parser.parse_args()
    args.frames = args.frames or (16 if args.quick else 96)
    args.repeats = args.repeats or (1 if args.quick else 5)
    torch.set_num_threads(args.threads)
    result = measure(args)
    print(f"{result['model']}, {args.device}, {args.frames} frames; medians of {args.repeats}")
    sides = [(row["turn"], row["reuse"], row["no_reuse"], row["ratio"]) for row in result["rows"]]
    print_table(
        ("turn", "reuse ms", "none ms", "ratio", "ViT frames", "SAM frames", "prefill tokens", "propagations"),
        [
            (
                name,
                1000 * ours["seconds"]["median"],
                1000 * theirs["seconds"]["median"],
                ratio,
                *(
                    f"{ours[key]} / {theirs[key]}"
                    for key in ("vision_frames", "segmenter_frames", "prefill_tokens", "propagations")
                ),
            )
            for name, ours, theirs, ratio in sides
        ],
    )
    print(f"masks of both sides agree: IoU {result['smallest_mask_iou']:.4f} or more")
    finish("turns", args, result)


if __name__ == "__main__":
    main()
