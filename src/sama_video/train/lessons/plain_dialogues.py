"""Dialogues about the plain world, in its own small language."""

from collections.abc import Mapping
from typing import ClassVar, Final

import numpy as np

from sama_video.data.synthetic.language import KIND_WEIGHTS, SyntheticTurn, name_of, sample_dialogue
from sama_video.data.synthetic.world import Scene, render
from sama_video.model.configuration_sama import SamaConfig
from sama_video.model.frame_choice import context_frames, dense_frames
from sama_video.train.lessons.attributes import attribute_ids
from sama_video.train.lessons.dialogues import Blind, Kinds, Showing, Teller, Told, names_only
from sama_video.train.lessons.worlds import shot_of

REFERRING_KINDS: Final = KIND_WEIGHTS | {"attribute": 3.0, "what": 3.0, "segment_text": 1.5, "segment_region": 1.5}
"""Kinds of turns while the model learns to read regions."""

TALKING_KINDS: Final = {
    "attribute": 2.5,
    "what": 2.5,
    "segment_text": 2.5,
    "segment_region": 2.0,
    "segment_motion": 0.5,
    "direction": 0.8,
    "caption": 0.5,
    "count": 0.4,
    "absent": 1.0,
    "exists": 1.0,
    "compare": 0.5,
}
"""Kinds of turns of the last stage: mostly what a nano can learn, and enough of the rest to keep its form."""

REGION_KINDS: Final = {"attribute": 3.0, "what": 3.0, "segment_region": 1.5, "segment_text": 0.5, "compare": 0.7}
"""Kinds of turns that can be answered from regions and context alone."""

TEXT_KINDS: Final = {"segment_text": 5.0, "caption": 1.0}
"""Kinds of turns without any picture: only the words and prompts of the named object are learnt from them."""

FRAME_COUNTS: Final = (16, 120)
LEAST_AREA: Final = 20
"""Pixels of a 128 x 128 picture that must be seen of an object before anybody points at it."""


class PlainTeller(Teller):
    """Scenes are filmed whole with a random number of frames."""

    usual: ClassVar[Mapping[str, Kinds]] = {
        "refer": REFERRING_KINDS,
        "joint": TALKING_KINDS,
        "region": REGION_KINDS,
        "text": TEXT_KINDS,
        "all": KIND_WEIGHTS,
    }

    def tell(
        self,
        rng: np.random.Generator,
        scene: Scene,
        config: SamaConfig,
        num_turns: int,
        *,
        kinds: Kinds,
        region_only: bool = False,
        late_share: float = 0.0,
    ) -> Told:
        """A dialogue about a scene."""
        is_late = rng.random() < late_share
        count = int(rng.integers(FRAME_COUNTS[0], FRAME_COUNTS[1] + 1))
        context = context_frames(config, count)
        shown = dense_frames(config, context)
        extra = [int(rng.choice([i for i in range(count) if i not in context]))] if is_late else []
        frames = sorted({*context, *extra})
        clip = render(scene, np.asarray(frames) * (scene.seconds / (count - 1)))
        shot = shot_of(clip)
        dense = tuple(frames.index(i) for i in shown)
        turns = sample_dialogue(clip, rng, num_turns, kinds)
        can_point = shot.masks.sum(axis=(2, 3)) >= LEAST_AREA
        specs = Showing(rng, shot, can_point, dense, [frames.index(i) for i in extra], region_only).specs(turns)
        names = names_only(attribute_ids(clip.objects))
        return Told(shot, tuple(frames.index(i) for i in context), dense, names, turns, specs, region_only)

    def tell_blind(self, rng: np.random.Generator, scene: Scene, num_turns: int, kinds: Kinds = TEXT_KINDS) -> Blind:
        """A dialogue about a scene that nobody sees."""
        specs = [item.spec for item in scene.objects]
        turns = sample_dialogue(scene, rng, num_turns, kinds)
        known = tuple(is_named(turn, [name_of(spec) for spec in specs]) for turn in turns)
        return Blind(names_only(attribute_ids(specs)), turns, known)


def is_named(turn: SyntheticTurn, names: list[str]) -> bool:
    """Whether a question already says the name of the one object that its answer shows."""
    return turn.kind == "segment_text" and names[turn.seg_objects[0]] in turn.question
