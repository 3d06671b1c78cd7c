"""The bundled clip: what is asked about it, and its ground truth."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sama_video.regions.masklet import Masklet
from sama_video.regions.rle import decode
from sama_video.regions.shapes import Points

DEMO_FOLDER = Path(__file__).parent / "assets" / "demo"


@dataclass(frozen=True)
class DemoTurn:
    """One question of the demonstration, and where it points.

    Attributes:
        expected: Words that a right answer holds, checked by the tests, never by the demonstration itself.
    """

    question: str
    regions: tuple[Points, ...]
    expected: tuple[str, ...]


@dataclass(frozen=True)
class Demo:
    """The questions, and the true masks of everything in the clip by its name, such as `red star`."""

    turns: tuple[DemoTurn, ...]
    truth: Mapping[str, Masklet]

    def true_masklet(self, object_id: str, called: str | None, turns: tuple[tuple[str, Points], ...]) -> Masklet | None:
        """The ground truth of a session's object: what was pointed at, else what its phrase names.

        Args:
            called: What the dialogue calls it.
            turns: Every click of the session and the object it became.
        """
        for name, masklet in self.truth.items():
            for pointed_id, click in turns:
                x, y = click.xy[0]
                rle = masklet.rles[click.frame or 0]
                if pointed_id == object_id and rle is not None and decode(rle)[int(y), int(x)]:
                    return _renamed(masklet, object_id)
            if called is not None and set(name.split()) <= set(called.lower().split()):
                return _renamed(masklet, object_id)
        return None


def load_demo() -> Demo:
    """Read the bundled questions and ground truth."""
    script = json.loads((DEMO_FOLDER / "script.json").read_text(encoding="utf-8"))
    turns = tuple(
        DemoTurn(
            turn["question"],
            tuple(Points(frame=click["frame"], xy=[tuple(click["point"])]) for click in turn["clicks"]),
            tuple(turn["expected"]),
        )
        for turn in script["turns"]
    )
    paths = sorted((DEMO_FOLDER / "truth").glob("*.json"))
    truth = [Masklet.from_json(json.loads(path.read_text(encoding="utf-8"))) for path in paths]
    return Demo(turns, {masklet.object_id: masklet for masklet in truth})


def _renamed(masklet: Masklet, object_id: str) -> Masklet:
    return Masklet(object_id, masklet.height, masklet.width, masklet.rles, masklet.scores)
