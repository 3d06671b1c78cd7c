"""One pass of SAM 2's memory over a clip: all objects step from frame to frame in one batch."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from sama_video.model.features import FrameFeatures
from sama_video.model.memory_bank import Limits, Memory, ObjectMemory, attend
from sama_video.model.prompts import TrackPrompt, decode_prompts
from sama_video.model.segmenter import Segmenter


@dataclass(frozen=True, eq=False)
class TrackedFrame:
    """The masks of some objects on one frame.

    Attributes:
        frame_idx: Frame of the clip.
        object_ids: Whose masks these are.
        mask_logits: At a quarter of the model's frame side; above 0 is the object.
        object_score: Above 0 where the object is judged present.
    """

    frame_idx: int
    object_ids: tuple[str, ...]
    mask_logits: Float[Tensor, "objects height4 width4"]
    object_score: Float[Tensor, " objects"]


@dataclass(eq=False)
class _Followed:
    """One object: its memories, and its masks on prompted frames."""

    memory: ObjectMemory
    answers: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)


class TrackState:
    """What is known of the objects so far; `prompt` shows them, `step` follows them by one frame, without gradients.

    Args:
        segmenter: The model's parts.
        decoder: Which mask decoder to use.
        num_frames: Length of the clip, which bounds the object pointers in use; None when it has no end yet.
    """

    def __init__(self, segmenter: Segmenter, *, decoder: str = "main", num_frames: int | None = None) -> None:
        config = segmenter.config
        most = config.max_object_pointers_in_encoder
        self.segmenter = segmenter
        self.decoder = decoder
        self.direction = 1
        self.max_pointers = most if num_frames is None else min(num_frames, most)
        self.limits = Limits(config.max_cond_frame_num, config.num_maskmem - 1, self.max_pointers - 1)
        self._objects: dict[str, _Followed] = {}
        self._empty_prompt: tuple[Tensor, Tensor] | None = None

    @property
    def object_ids(self) -> tuple[str, ...]:
        """All objects, in the order they were first shown."""
        return tuple(self._objects)

    def first_prompted(self, object_id: str) -> int:
        """The earliest frame on which an object was shown."""
        return min(self._objects[object_id].memory.conditioning)

    def is_prompted(self, object_id: str, frame_idx: int) -> bool:
        """Whether an object was shown on a frame, so that the frame's features are not needed to follow it."""
        return frame_idx in self._objects[object_id].answers

    @torch.no_grad()
    def prompt(self, frame_idx: int, features: FrameFeatures, prompts: Sequence[TrackPrompt]) -> None:
        """Decode prompts on one frame and remember their masks as conditioning memories."""
        for masks in decode_prompts(self.segmenter, features, prompts, decoder=self.decoder):
            prediction = masks.prediction
            tokens = self.segmenter.encode_memory(
                features.low, masks.memory_logits, prediction.object_score, prompted=True
            )
            for row, position in enumerate(masks.positions):
                followed = self._followed(prompts[position].object_id)
                # Copies: a view would keep the whole batch for as long as this one object is followed.
                memory = Memory(tokens[row].clone(), prediction.object_pointer[row].clone())
                followed.memory.conditioning[frame_idx] = memory
                followed.answers[frame_idx] = (
                    prediction.mask_logits[row].float(),
                    prediction.object_score[row].float(),
                )

    def _followed(self, object_id: str) -> _Followed:
        return self._objects.setdefault(object_id, _Followed(ObjectMemory(self.limits)))

    def turn(self, direction: int) -> None:
        """Start afresh in a direction of time, with nothing but the conditioning memories."""
        self.direction = direction
        self.rewind(self.object_ids)

    def rewind(self, object_ids: Iterable[str], *, since: int | None = None) -> None:
        """Forget the tracked frames of some objects, from one frame on."""
        for object_id in object_ids:
            self._objects[object_id].memory.forget_tracked(since=since)

    def forget(self, object_id: str) -> None:
        """Stop following an object."""
        self._objects.pop(object_id, None)

    def keep_newest_prompts(self, count: int, *, since: int) -> None:
        """Keep at most `count` conditioning memories of each object, and answers of frames from `since` on."""
        for followed in self._objects.values():
            conditioning = followed.memory.conditioning
            for frame_idx in sorted(conditioning)[: max(len(conditioning) - count, 0)]:
                del conditioning[frame_idx]
            for frame_idx in [idx for idx in followed.answers if idx < since]:
                del followed.answers[frame_idx]

    @torch.no_grad()
    def step(self, frame_idx: int, features: FrameFeatures, object_ids: Sequence[str]) -> TrackedFrame:
        """The objects' masks on the next frame; one shown there keeps its prompted mask.

        Args:
            frame_idx: One step on from the last, in the direction of travel.
            features: Of this frame; left unread when every object was shown on it.
            object_ids: Whom to follow.
        """
        answers = {name: self._objects[name].answers.get(frame_idx) for name in object_ids}
        tracked = [name for name in object_ids if answers[name] is None]
        if tracked:
            answers.update(zip(tracked, self._propagate(frame_idx, features, tracked), strict=True))
        pairs = [pair for pair in answers.values() if pair is not None]
        side = self.segmenter.image_size // 4
        masks = torch.stack([mask for mask, _ in pairs]) if pairs else torch.zeros(0, side, side)
        scores = torch.stack([score for _, score in pairs]) if pairs else torch.zeros(0)
        return TrackedFrame(frame_idx, tuple(object_ids), masks, scores)

    def _propagate(
        self, frame_idx: int, features: FrameFeatures, object_ids: Sequence[str]
    ) -> list[tuple[Tensor, Tensor]]:
        segmenter = self.segmenter
        recalls = [self._objects[name].memory.recall(frame_idx, self.direction) for name in object_ids]
        conditioned = attend(segmenter, features.low, recalls, max_pointers=self.max_pointers)
        if self._empty_prompt is None:
            self._empty_prompt = segmenter.embed_prompts()
        sparse, dense = self._empty_prompt
        decoded = segmenter.decode(
            conditioned,
            features,
            None,
            sparse.expand(len(object_ids), -1, -1),
            dense,
            multimask=segmenter.use_multimask(num_points=0, prompted=False),
            decoder=self.decoder,
        )
        chosen = segmenter.choose(decoded)
        tokens = segmenter.encode_memory(features.low, chosen.mask_logits, chosen.object_score, prompted=False)
        for row, name in enumerate(object_ids):
            self._objects[name].memory.remember(frame_idx, tokens[row], chosen.object_pointer[row])
        return list(zip(chosen.mask_logits.float(), chosen.object_score.float(), strict=True))

    def tensors(self) -> list[Tensor]:
        """Everything kept between frames, for counting."""
        kept = [tensor for followed in self._objects.values() for tensor in followed.memory.tensors()]
        answers = [
            tensor for followed in self._objects.values() for pair in followed.answers.values() for tensor in pair
        ]
        return kept + answers
