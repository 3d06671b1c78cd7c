"""What is remembered of each object while it is tracked: never more than a fixed number of entries.

Each object keeps its conditioning memories (frames the caller prompted) and, along the direction of travel, the masks
of the last few frames and the object pointers of the last few more.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from sama_video.model.segmenter import Segmenter


@dataclass(frozen=True, eq=False)
class Memory:
    """One object on one frame, as attention will see it."""

    tokens: Float[Tensor, "tokens memory_dim"]
    pointer: Float[Tensor, " dim"]


@dataclass(frozen=True)
class Limits:
    """How much one object may remember.

    Attributes:
        conditioning: Conditioning memories looked at from one frame; -1 for all of them.
        recent_masks: Steps back whose masks are remembered.
        recent_pointers: Steps back whose object pointers are remembered.
    """

    conditioning: int
    recent_masks: int
    recent_pointers: int


@dataclass(frozen=True, eq=False)
class Recall:
    """What one object brings to attention at one frame, and how many steps back each part lies."""

    tokens: list[Tensor]
    ages: tuple[int, ...]
    pointers: list[Tensor]
    pointer_ages: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """Objects whose recalls have one shape can be attended to in one exact batch."""
        return len(self.tokens), len(self.pointers)


@dataclass(eq=False)
class ObjectMemory:
    """The memories of one object."""

    limits: Limits
    conditioning: dict[int, Memory] = field(default_factory=dict)
    masks: dict[int, Tensor] = field(default_factory=dict)
    pointers: dict[int, Tensor] = field(default_factory=dict)

    def remember(self, frame_idx: int, tokens: Tensor, pointer: Tensor) -> None:
        """Add a tracked frame and forget what is now too far back."""
        self.masks[frame_idx] = tokens
        self.pointers[frame_idx] = pointer
        _drop_far(self.masks, frame_idx, self.limits.recent_masks)
        _drop_far(self.pointers, frame_idx, self.limits.recent_pointers)

    def forget_tracked(self, *, since: int | None = None) -> None:
        """Forget tracked frames, all of them or those from one frame on; conditioning memories stay."""
        for kept in (self.masks, self.pointers):
            for frame_idx in [idx for idx in kept if since is None or idx >= since]:
                del kept[frame_idx]

    def recall(self, frame_idx: int, direction: int) -> Recall:
        """What bears on one frame when moving forward (+1) or backward (-1) in time.

        Conditioning memories count wherever they lie, their pointers only once they are behind.
        """
        chosen = nearest_conditioning(tuple(self.conditioning), frame_idx, self.limits.conditioning)
        tokens = [self.conditioning[idx].tokens for idx in chosen]
        ages = [0] * len(chosen)
        for age in range(self.limits.recent_masks, 0, -1):
            idx = frame_idx - direction * age
            past = self.masks.get(idx)
            if past is None and idx in self.conditioning and idx not in chosen:
                past = self.conditioning[idx].tokens
            if past is not None:
                tokens.append(past)
                ages.append(age)
        behind = [(idx, (frame_idx - idx) * direction) for idx in self.conditioning]
        pointers = [(self.conditioning[idx].pointer, age) for idx, age in behind if age >= 0]
        for age in range(1, self.limits.recent_pointers + 1):
            pointer = self.pointers.get(frame_idx - direction * age)
            if pointer is not None:
                pointers.append((pointer, age))
        return Recall(tokens, tuple(ages), [pointer for pointer, _ in pointers], tuple(age for _, age in pointers))

    def tensors(self) -> Iterator[Tensor]:
        """Everything kept, for counting."""
        for memory in self.conditioning.values():
            yield memory.tokens
            yield memory.pointer
        yield from self.masks.values()
        yield from self.pointers.values()


def nearest_conditioning(frames: Sequence[int], frame_idx: int, limit: int) -> tuple[int, ...]:
    """The conditioning frames to look at: the nearest on either side, then the nearest of the rest.

    >>> nearest_conditioning((0, 10, 20, 30), 12, 3)
    (10, 20, 0)
    >>> nearest_conditioning((0, 10), 12, -1)
    (0, 10)
    """
    if limit < 0 or len(frames) <= limit:
        return tuple(frames)
    before = max((idx for idx in frames if idx < frame_idx), default=None)
    after = min((idx for idx in frames if idx >= frame_idx), default=None)
    chosen = [idx for idx in (before, after) if idx is not None]
    rest = sorted((idx for idx in frames if idx not in chosen), key=lambda idx: abs(idx - frame_idx))
    return tuple(chosen + rest[: limit - len(chosen)])


def attend(
    segmenter: Segmenter, low: Float[Tensor, "1 dim height width"], recalls: Sequence[Recall], *, max_pointers: int
) -> Float[Tensor, "objects dim height width"]:
    """A frame in the light of each object's recall, in the order given, one batch for each shape of recall."""
    groups: dict[tuple[int, int], list[int]] = {}
    for position, recall in enumerate(recalls):
        groups.setdefault(recall.shape, []).append(position)
    mixed = [_attend_alike(segmenter, low, [recalls[i] for i in group], max_pointers) for group in groups.values()]
    if len(mixed) == 1:
        return mixed[0]
    order = torch.tensor([position for group in groups.values() for position in group], device=low.device)
    return torch.cat(mixed)[order.argsort()]


def _attend_alike(segmenter: Segmenter, low: Tensor, recalls: Sequence[Recall], max_pointers: int) -> Tensor:
    num_memories, num_pointers = recalls[0].shape
    memories = torch.stack([tokens for recall in recalls for tokens in recall.tokens])
    memories = memories.unflatten(0, (len(recalls), num_memories))
    pointers, pointer_ages = None, None
    if num_pointers:
        pointers = torch.stack([pointer for recall in recalls for pointer in recall.pointers])
        pointers = pointers.unflatten(0, (len(recalls), num_pointers))
        if segmenter.config.enable_temporal_pos_encoding_for_object_pointers:
            pointer_ages = _table([recall.pointer_ages for recall in recalls], low.device).float()
    ages = _table([recall.ages for recall in recalls], low.device)
    return segmenter.condition_on_memory(low, memories, ages, pointers, pointer_ages, max_pointers=max_pointers)


def _table(rows: list[tuple[int, ...]], device: torch.device) -> Tensor:
    """Rows as a tensor, a single one where all are equal."""
    return torch.tensor(rows[:1] if len(set(rows)) == 1 else rows, device=device)


def _drop_far(kept: dict[int, Tensor], frame_idx: int, reach: int) -> None:
    while kept and abs(next(iter(kept)) - frame_idx) >= reach:
        del kept[next(iter(kept))]
