"""What a model makes of six clips of the garden that no training saw: names told at a click, masks found by a name.

python examples/own_video/measure.py nano
python examples/own_video/measure.py out/own/model
"""

import sys

import numpy as np
from make import CLIPS, FPS, paint_clip

import sama_video
from sama_video.regions.rle import decode
from sama_video.regions.shapes import Points
from sama_video.video.clip import Clip


def main(model_name: str) -> None:
    model = sama_video.load(model_name)
    named, overlaps = [], []
    for seed in range(CLIPS + 1, CLIPS + 7):
        frames, masks, animals = paint_clip(seed)
        with model.chat(Clip.from_frames(frames, fps=FPS)) as session:
            for truth, (_, kind) in zip(masks, animals, strict=True):
                rows, columns = np.nonzero(truth[0])
                middle = int(np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2))
                click = Points(0, xy=[(float(columns[middle]) + 0.5, float(rows[middle]) + 0.5)])
                told = session.another().ask("What is <region>?", [click]).text
                named.append(kind in told)
                answer = session.another().ask(f"Segment the {kind}.", ground=True)
                found = np.zeros_like(truth)
                for idx, rle in enumerate(next(iter(answer.masklets.values())).rles if answer.masklets else ()):
                    found[idx] = decode(rle) if rle is not None else False
                overlaps.append((found & truth).sum() / (found | truth).sum())
                print(f"{kind}: {told} IoU {overlaps[-1]:.2f}")
    print(f"{sum(named)} of {len(named)} animals named, mean IoU by name {np.mean(overlaps):.2f}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "nano")
