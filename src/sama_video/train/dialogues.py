"""Synthetic clips with dialogues about them, laid out as a conversation would show them to the model.

Frames are chosen, shown and pointed at as a chat session does it: context frames in every turn, dense frames once, and
a frame that a question points at joins the dense ones of its turn.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Float32
from torch import Tensor

from sama_video.data.synthetic.language import (
    KIND_WEIGHTS,
    SyntheticTurn,
    name_of,
    sample_dialogue,
)
from sama_video.data.synthetic.world import Scene, SyntheticClip, render
from sama_video.model.configuration_sama import SamaConfig
from sama_video.model.frame_choice import context_frames, dense_frames
from sama_video.model.inputs import VideoInputs
from sama_video.model.processing_sama import PlacedRegion, SamaProcessor, TrainingInputs, TurnSpec
from sama_video.train.scenes import filled_box

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

_IGNORED: Final = -100
_ANY_FRAME_SHARE: Final = 0.1


@dataclass(frozen=True, eq=False)
class Told:
    """A clip, what is said of it, and what the model is shown.

    Attributes:
        clip: The frames the model sees, in order of time.
        context: Which of them are context frames.
        dense: Those that the first turn shows in full, whatever is pointed at; the prompted frames of `[SEG]`.
        specs: The turns as the processor takes them.
        region_only: Nothing is shown in full.
    """

    clip: SyntheticClip
    context: tuple[int, ...]
    dense: tuple[int, ...]
    turns: tuple[SyntheticTurn, ...]
    specs: tuple[TurnSpec, ...]
    region_only: bool

    @property
    def seg_objects(self) -> tuple[int, ...]:
        """The object of every `[SEG]` of the dialogue, in order."""
        return tuple(i for turn in self.turns for i in turn.seg_objects)

    @property
    def region_objects(self) -> tuple[int, ...]:
        """The object of every region of the dialogue, in order."""
        return tuple(i for turn in self.turns for i in turn.region_objects)


def tell(
    rng: np.random.Generator,
    scene: Scene,
    config: SamaConfig,
    num_turns: int,
    *,
    kinds: Mapping[str, float] = KIND_WEIGHTS,
    region_only: bool = False,
    late_share: float = 0.0,
) -> Told:
    """A dialogue about a scene, filmed whole with a random number of frames.

    Args:
        late_share: How often a frame that would not be shown is pointed at.
    """
    is_late = rng.random() < late_share
    count = int(rng.integers(FRAME_COUNTS[0], FRAME_COUNTS[1] + 1))
    context = context_frames(config, count)
    shown = dense_frames(config, context)
    extra = [int(rng.choice([i for i in range(count) if i not in context]))] if is_late else []
    frames = sorted({*context, *extra})
    clip = render(scene, np.asarray(frames) * (scene.seconds / (count - 1)))
    dense = tuple(frames.index(i) for i in shown)
    turns = sample_dialogue(clip, rng, num_turns, kinds)
    specs = _Showing(rng, clip, dense, [frames.index(i) for i in extra], region_only).specs(turns)
    return Told(clip, tuple(frames.index(i) for i in context), dense, turns, specs, region_only)


def tell_without_pictures(
    rng: np.random.Generator, scene: Scene, num_turns: int, kinds: Mapping[str, float] = TEXT_KINDS
) -> tuple[SyntheticTurn, ...]:
    """A dialogue about a scene that nobody sees."""
    return sample_dialogue(scene, rng, num_turns, kinds)


def encode_told(processor: SamaProcessor, told: Told) -> TrainingInputs:
    """The dialogue as a training row."""
    return processor.encode_dialogue(told.clip.frames, told.context, told.specs)


def encode_text(processor: SamaProcessor, scene: Scene, turns: Sequence[SyntheticTurn]) -> TrainingInputs:
    """A dialogue without pictures as a training row; answers that only a look could tell are not learnt by heart."""
    side = processor.settings["image_side"]
    specs = [TurnSpec(turn.question, answer=turn.answer) for turn in turns]
    row = processor.encode_dialogue(np.zeros((1, side, side, 3), np.uint8), (), specs)
    known = torch.tensor([_is_named(scene, turn) for turn in turns])
    turn_of_token = turns_of(row.labels)
    labels = torch.where((turn_of_token >= 0) & known[turn_of_token.clamp(min=0)], row.labels, _IGNORED)
    return TrainingInputs(row.input_ids, labels, VideoInputs(row.video.pixel_values[:0], (), ()))


def turns_of(labels: Tensor) -> Tensor:
    """Which answer each token of a row belongs to, -1 for none."""
    inside = labels != _IGNORED
    begins = inside & ~torch.cat([inside.new_zeros(1), inside[:-1]])
    return torch.where(inside, begins.cumsum(0) - 1, -1)


def pad_rows(rows: Sequence[TrainingInputs], pad_id: int) -> tuple[Tensor, Tensor]:
    """Ids and labels of several rows, padded on the right; what stands there is seen by nothing before it."""
    ids = torch.nn.utils.rnn.pad_sequence([row.input_ids for row in rows], True, pad_id)
    labels = torch.nn.utils.rnn.pad_sequence([row.labels for row in rows], True, _IGNORED)
    return ids, labels


def pointed_mask(rng: np.random.Generator, mask: Bool[np.ndarray, "height width"]) -> Bool[np.ndarray, "height width"]:
    """An object's mask as a session might know it: true, a little too small or large, or only its box."""
    style = rng.random()
    if style < 0.5:
        return filled_box(mask)
    if style < 0.7:
        return mask
    changed = ~_grown(~mask) if style < 0.85 else _grown(mask)
    return changed if changed.any() else mask


def centre_targets(told: Told, count: int) -> tuple[Float32[np.ndarray, "regions frames 2"], np.ndarray]:
    """Where each region's object is in the dense frames, in sides of the picture, and whether it can be told."""
    objects, dense = list(told.region_objects), list(told.dense)[:count]
    centres = np.zeros((len(objects), count, 2), np.float32)
    weights = np.zeros((len(objects), count), np.float32)
    if objects and not told.region_only:
        centres[:, : len(dense)] = told.clip.centers[objects][:, dense] / told.clip.frames.shape[1]
        weights[:, : len(dense)] = told.clip.visible[objects][:, dense]
    return centres, weights


def _is_named(scene: Scene, turn: SyntheticTurn) -> bool:
    return turn.kind == "segment_text" and name_of(scene.objects[turn.seg_objects[0]].spec) in turn.question


def _grown(mask: Bool[np.ndarray, "height width"]) -> Bool[np.ndarray, "height width"]:
    padded = np.pad(mask, 1)
    grown: np.ndarray = mask | padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]
    return grown


class _Showing:
    """Places regions on frames and keeps account of what has been shown."""

    def __init__(
        self,
        rng: np.random.Generator,
        clip: SyntheticClip,
        dense: Sequence[int],
        extra: Sequence[int],
        region_only: bool,
    ) -> None:
        self.rng = rng
        self.clip = clip
        self.dense = set(dense)
        self.extra = extra
        self.region_only = region_only
        self.shown: set[int] = set()
        self.can_point = clip.masks.sum(axis=(2, 3)) >= LEAST_AREA

    def specs(self, turns: Sequence[SyntheticTurn]) -> tuple[TurnSpec, ...]:
        """Every turn with its regions and the frames it shows."""
        pointing = [i for i, turn in enumerate(turns) if self._fits_extra(turn)]
        late = pointing[int(self.rng.integers(len(pointing)))] if pointing else -1
        return tuple(self._spec(turn, index == 0, index == late) for index, turn in enumerate(turns))

    def _spec(self, turn: SyntheticTurn, is_first: bool, is_late: bool) -> TurnSpec:
        places = [self._place(i, is_late) for i in turn.region_objects]
        regions = [
            PlacedRegion(frame, pointed_mask(self.rng, self.clip.masks[i, frame]))
            for i, frame in zip(turn.region_objects, places, strict=True)
        ]
        fresh: list[int] = []
        if not self.region_only:
            fresh = sorted(((self.dense if is_first else set()) | set(places)) - self.shown)
            self.shown.update(fresh)
        times = tuple(float(self.clip.times[frame]) for frame in fresh)
        return TurnSpec(turn.question, tuple(regions), tuple(fresh), times, turn.answer)

    def _place(self, object_idx: int, is_late: bool) -> int:
        seen = [int(i) for i in np.flatnonzero(self.can_point[object_idx])]
        if not seen:
            seen = [int(self.clip.masks[object_idx].sum(axis=(1, 2)).argmax())]
        for wanted in (self.extra if is_late else (), self.dense | self.shown):
            choices = [i for i in seen if i in wanted]
            if choices and (is_late or self.rng.random() >= _ANY_FRAME_SHARE):
                return choices[int(self.rng.integers(len(choices)))]
        usual = [i for i in seen if i not in self.extra] or seen
        return usual[int(self.rng.integers(len(usual)))]

    def _fits_extra(self, turn: SyntheticTurn) -> bool:
        return any(self.can_point[i, frame] for i in turn.region_objects for frame in self.extra)
