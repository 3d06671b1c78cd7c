"""Makes the bundled clip, its ground truth and its questions from one seed of the synthetic world.

    python tools/make_demo.py SEED

The questions are fixed by the scene, not by what a model answers: what is at a click on the first object, and where the
second and the third are. `tests/app/test_demo.py` says whether the bundled model answers them rightly.
"""

import json
import sys
from pathlib import Path

import numpy as np

from sama_video.app.demo import DEMO_FOLDER
from sama_video.data.synthetic.language import name_of
from sama_video.data.synthetic.world import SyntheticClip, World
from sama_video.regions.masklet import Masklet
from sama_video.video.bundled import DEMO_CLIP
from sama_video.video.writer import write_video

FPS, SECONDS, SIDE = 24.0, 4.0, 256


def demo_clip(seed: int) -> SyntheticClip:
    """The scene of a seed as the demonstration shows it."""
    frames = int(FPS * SECONDS)
    return World.sample(seed, side=SIDE, num_frames=frames, fps=FPS, seconds=SECONDS, num_objects=(3, 3), level="easy")


def click_on(mask: np.ndarray) -> tuple[int, int]:
    """The pixel of a mask that lies nearest its centre, as (x, y)."""
    ys, xs = np.nonzero(mask)
    nearest = int(np.argmin((ys - ys.mean()) ** 2 + (xs - xs.mean()) ** 2))
    return int(xs[nearest]), int(ys[nearest])


def script(clip: SyntheticClip) -> dict:
    """Three turns about three objects: point at one, name the others."""
    first, second, third = (name_of(spec) for spec in clip.objects)
    click = [{"frame": 0, "point": list(click_on(clip.masks[0, 0]))}]
    return {
        "turns": [
            {"question": "What is <region>?", "clicks": click, "expected": first.split()},
            {"question": f"Segment the {second}.", "clicks": [], "expected": second.split()},
            {"question": f"Where is the {third}?", "clicks": [], "expected": third.split()},
        ]
    }


def main(seed: int) -> None:
    """Write the clip, the true masks and the questions into the package."""
    clip = demo_clip(seed)
    DEMO_CLIP.parent.mkdir(parents=True, exist_ok=True)
    write_video(DEMO_CLIP, iter(clip.frames), fps=FPS)
    truth = DEMO_FOLDER / "truth"
    truth.mkdir(parents=True, exist_ok=True)
    for stale in truth.glob("*.json"):
        stale.unlink()
    for spec, masks in zip(clip.objects, clip.masks, strict=True):
        masklet = Masklet.from_masks(name_of(spec), masks)
        path = Path(truth) / f"{name_of(spec).replace(' ', '_')}.json"
        path.write_text(json.dumps(masklet.to_json()), encoding="utf-8")
    (DEMO_FOLDER / "script.json").write_text(json.dumps(script(clip), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(int(sys.argv[1]))
