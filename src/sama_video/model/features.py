"""What SAM 2's image encoder says of frames, and a cache of it within a byte budget."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

HighMaps = tuple[Float[Tensor, "frames fine4 height4 width4"], Float[Tensor, "frames fine8 height8 width8"]]


@dataclass(frozen=True, eq=False)
class FrameFeatures:
    """What SAM 2's image encoder says of some frames.

    Attributes:
        low: The coarsest map, without the no-memory embedding.
        high: Per decoder name, the maps at strides 4 and 8 after that decoder's own projections.
    """

    low: Float[Tensor, "frames dim height width"]
    high: dict[str, tuple[Tensor, Tensor]]

    def __len__(self) -> int:
        return self.low.shape[0]

    def select(self, index: slice | Int[Tensor, " chosen"]) -> "FrameFeatures":
        """The frames at some positions of this batch; a slice gives views, a tensor gives copies."""
        return FrameFeatures(self.low[index], {name: (s4[index], s8[index]) for name, (s4, s8) in self.high.items()})

    def frame(self, position: int) -> "FrameFeatures":
        """One frame as a batch of one, a view of this batch."""
        return self.select(slice(position, position + 1))

    def expand(self, count: int) -> "FrameFeatures":
        """One frame seen as `count` equal ones, without copying."""
        high = {name: (_repeat(s4, count), _repeat(s8, count)) for name, (s4, s8) in self.high.items()}
        return FrameFeatures(_repeat(self.low, count), high)

    def to(self, device: torch.device | str) -> "FrameFeatures":
        """The same features on another device."""
        high = {name: (s4.to(device), s8.to(device)) for name, (s4, s8) in self.high.items()}
        return FrameFeatures(self.low.to(device), high)

    def owned(self) -> "FrameFeatures":
        """The same features in memory of their own, so that keeping one frame does not keep its whole batch."""
        high = {name: (_owned(s4), _owned(s8)) for name, (s4, s8) in self.high.items()}
        return FrameFeatures(_owned(self.low), high)

    @property
    def nbytes(self) -> int:
        """Bytes of all maps together."""
        maps = [self.low, *(level for pair in self.high.values() for level in pair)]
        return sum(level.numel() * level.element_size() for level in maps)

    @staticmethod
    def join(parts: Sequence["FrameFeatures"]) -> "FrameFeatures":
        """Several batches as one, in order."""
        if len(parts) == 1:
            return parts[0]
        high = {
            name: (torch.cat([part.high[name][0] for part in parts]), torch.cat([part.high[name][1] for part in parts]))
            for name in parts[0].high
        }
        return FrameFeatures(torch.cat([part.low for part in parts]), high)


def _repeat(level: Tensor, count: int) -> Tensor:
    return level.expand(count, -1, -1, -1)


def _owned(level: Tensor) -> Tensor:
    return level.clone() if level.untyped_storage().nbytes() > level.numel() * level.element_size() else level


class FeatureCache:
    """Features of one clip's frames, least recently used out first, within a budget of bytes.

    A frame larger than the whole budget is simply not kept.

    Args:
        max_bytes: Budget; 0 keeps nothing.
        device: Where kept features lie; by default where they were made.
    """

    def __init__(self, max_bytes: int, *, device: torch.device | str | None = None) -> None:
        self.max_bytes = max_bytes
        self.device = device
        self.nbytes = 0
        self.hits = 0
        self.misses = 0
        self.frames_encoded = 0
        self._frames: OrderedDict[int, FrameFeatures] = OrderedDict()

    def __len__(self) -> int:
        return len(self._frames)

    def __contains__(self, frame_idx: int) -> bool:
        return frame_idx in self._frames

    def get(self, frame_idx: int) -> FrameFeatures | None:
        """One frame's features, or None; counts as a hit or a miss."""
        features = self._frames.get(frame_idx)
        if features is None:
            self.misses += 1
            return None
        self.hits += 1
        self._frames.move_to_end(frame_idx)
        return features

    def put(self, frame_idx: int, features: FrameFeatures) -> None:
        """Keep a newly encoded frame, dropping the least recently used ones to make room."""
        self.frames_encoded += 1
        if features.nbytes > self.max_bytes:
            return
        self._discard(frame_idx)
        kept = features.owned() if self.device is None else features.to(self.device).owned()
        self._frames[frame_idx] = kept
        self.nbytes += kept.nbytes
        while self.nbytes > self.max_bytes:
            self._discard(next(iter(self._frames)))

    def clear(self) -> None:
        """Drop everything kept; the counters stay."""
        self._frames.clear()
        self.nbytes = 0

    def _discard(self, frame_idx: int) -> None:
        dropped = self._frames.pop(frame_idx, None)
        if dropped is not None:
            self.nbytes -= dropped.nbytes
