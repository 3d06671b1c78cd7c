"""Clips with dialogues about them, laid out as a conversation would show them to the model.

Frames are chosen, shown and pointed at as a chat session does it: context frames in every turn, dense frames once, and
a frame that a question points at joins the dense ones of its turn. What is said is a teller's matter, one for each
world: `plain_dialogues` and `level_dialogues`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int
from torch import Tensor

from sama_video.data.synthetic.language import SyntheticTurn
from sama_video.model.configuration_sama import SamaConfig
from sama_video.model.inputs import VideoInputs
from sama_video.model.processing_sama import PlacedRegion, SamaProcessor, TrainingInputs, TurnSpec
from sama_video.train.lessons.attributes import UNSAID
from sama_video.train.lessons.scenes import Shot, filled_box

Kinds = Mapping[str, float]
"""Weights of kinds of turns."""

_IGNORED: Final = -100
_ANY_FRAME_SHARE: Final = 0.1


@dataclass(frozen=True, eq=False)
class Told:
    """A clip, what is said of it, and what the model is shown.

    Attributes:
        shot: The frames the model sees, in order of time.
        context: Which of them are context frames.
        dense: Those that the first turn shows in full, whatever is pointed at; the prompted frames of `[SEG]`.
        names: Class numbers of the colour and shape by which each object is named, the rest unsaid.
        specs: The turns as the processor takes them.
        region_only: Nothing is shown in full.
    """

    shot: Shot
    context: tuple[int, ...]
    dense: tuple[int, ...]
    names: Int[np.ndarray, "objects 4"]
    turns: tuple[SyntheticTurn, ...]
    specs: tuple[TurnSpec, ...]
    region_only: bool

    @property
    def seg_objects(self) -> tuple[int, ...]:
        """The object of every `[SEG]` of the dialogue, in order."""
        return seg_objects(self.turns)

    @property
    def region_objects(self) -> tuple[int, ...]:
        """The object of every region of the dialogue, in order."""
        return tuple(i for turn in self.turns for i in turn.region_objects)

    @property
    def region_looks(self) -> Int[np.ndarray, "regions 4"]:
        """What the object of every region looks like on the frame where it is pointed at."""
        frames = [region.frame_position for spec in self.specs for region in spec.regions]
        looks: np.ndarray = self.shot.looks[list(self.region_objects), frames].reshape(-1, self.shot.looks.shape[2])
        return looks


@dataclass(frozen=True, eq=False)
class Blind:
    """A dialogue about a clip that nobody sees.

    Attributes:
        names: As in `Told`.
        known: Turns whose answers follow from their questions; of the others only `[SEG]` prompts are learnt.
    """

    names: Int[np.ndarray, "objects 4"]
    turns: tuple[SyntheticTurn, ...]
    known: tuple[bool, ...]


class Teller(ABC):
    """Makes dialogues about the scenes of one world."""

    usual: ClassVar[Mapping[str, Kinds]]
    """Weights of kinds of turns: of the stages `refer` and `joint`, of dialogues from regions alone ("region") and
    without pictures ("text"), and for scores ("all")."""

    @abstractmethod
    def tell(
        self,
        rng: np.random.Generator,
        scene: Any,
        config: SamaConfig,
        num_turns: int,
        *,
        kinds: Kinds,
        region_only: bool = False,
        late_share: float = 0.0,
    ) -> Told:
        """A dialogue about a clip of a scene.

        Args:
            late_share: How often a frame that would not be shown is pointed at.
        """

    @abstractmethod
    def tell_blind(self, rng: np.random.Generator, scene: Any, num_turns: int, kinds: Kinds) -> Blind:
        """A dialogue about a scene without pictures."""


def seg_objects(turns: Sequence[SyntheticTurn]) -> tuple[int, ...]:
    """The object of every `[SEG]` of some turns, in order."""
    return tuple(i for turn in turns for i in turn.seg_objects)


def names_only(looks: Int[np.ndarray, "objects 4"]) -> Int[np.ndarray, "objects 4"]:
    """Colour and shape alone."""
    names = looks.copy()
    names[:, 2:] = UNSAID
    return names


def encode_told(processor: SamaProcessor, told: Told) -> TrainingInputs:
    """The dialogue as a training row."""
    return processor.encode_dialogue(told.shot.frames, told.context, told.specs)


def encode_blind(processor: SamaProcessor, blind: Blind) -> TrainingInputs:
    """A dialogue without pictures as a training row; answers that only a look could tell are not learnt by heart."""
    side = processor.settings["image_side"]
    specs = [TurnSpec(turn.question, answer=turn.answer) for turn in blind.turns]
    row = processor.encode_dialogue(np.zeros((1, side, side, 3), np.uint8), (), specs)
    known = torch.tensor(blind.known)
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


def centre_targets(
    told: Told, objects: Sequence[int], count: int
) -> tuple[Float32[np.ndarray, "objects frames 2"], Float32[np.ndarray, "objects frames"]]:
    """Where objects are in the dense frames, in sides of the picture, and whether it can be told."""
    objects, dense = list(objects), list(told.dense)[:count]
    centres = np.zeros((len(objects), count, 2), np.float32)
    weights = np.zeros((len(objects), count), np.float32)
    if objects and not told.region_only:
        centres[:, : len(dense)] = told.shot.centers[objects][:, dense] / told.shot.frames.shape[1]
        weights[:, : len(dense)] = told.shot.visible[objects][:, dense]
    return centres, weights


def _grown(mask: Bool[np.ndarray, "height width"]) -> Bool[np.ndarray, "height width"]:
    padded = np.pad(mask, 1)
    grown: np.ndarray = mask | padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]
    return grown


class Showing:
    """Places regions on frames and keeps account of what has been shown.

    Args:
        can_point: Whether enough of an object shows on each frame to point at it.
        extra: Frames that are shown only where they are pointed at.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        shot: Shot,
        can_point: Bool[np.ndarray, "objects frames"],
        dense: Sequence[int],
        extra: Sequence[int],
        region_only: bool,
    ) -> None:
        self.rng = rng
        self.shot = shot
        self.dense = set(dense)
        self.extra = extra
        self.region_only = region_only
        self.shown: set[int] = set()
        self.can_point = can_point

    def specs(self, turns: Sequence[SyntheticTurn]) -> tuple[TurnSpec, ...]:
        """Every turn with its regions and the frames it shows."""
        pointing = [i for i, turn in enumerate(turns) if self._fits_extra(turn)]
        late = pointing[int(self.rng.integers(len(pointing)))] if pointing else -1
        return tuple(self._spec(turn, index == 0, index == late) for index, turn in enumerate(turns))

    def _spec(self, turn: SyntheticTurn, is_first: bool, is_late: bool) -> TurnSpec:
        places = [self._place(i, is_late) for i in turn.region_objects]
        regions = [
            PlacedRegion(frame, pointed_mask(self.rng, self.shot.masks[i, frame]))
            for i, frame in zip(turn.region_objects, places, strict=True)
        ]
        fresh: list[int] = []
        if not self.region_only:
            fresh = sorted(((self.dense if is_first else set()) | set(places)) - self.shown)
            self.shown.update(fresh)
        times = tuple(float(self.shot.times[frame]) for frame in fresh)
        return TurnSpec(turn.question, tuple(regions), tuple(fresh), times, turn.answer)

    def _place(self, object_idx: int, is_late: bool) -> int:
        seen = [int(i) for i in np.flatnonzero(self.can_point[object_idx])]
        if not seen:
            seen = [int(self.shot.masks[object_idx].sum(axis=(1, 2)).argmax())]
        for wanted in (self.extra if is_late else (), self.dense | self.shown):
            choices = [i for i in seen if i in wanted]
            if choices and (is_late or self.rng.random() >= _ANY_FRAME_SHARE):
                return choices[int(self.rng.integers(len(choices)))]
        usual = [i for i in seen if i not in self.extra] or seen
        return usual[int(self.rng.integers(len(usual)))]

    def _fits_extra(self, turn: SyntheticTurn) -> bool:
        return any(self.can_point[i, frame] for i in turn.region_objects for frame in self.extra)
