"""Next tokens of several conversations read in one pass of the decoder, though each has a cache of its own."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers.cache_utils import DynamicCache, DynamicLayer

from sama_video.model.decoding import DecodeState, Unread


class JointReader:
    """Reads for a company of conversations of one model.

    While the company stays the same, its caches lie side by side in one, padded on the left. The conversations' own
    caches stay as they were, and get what was read when somebody joins or leaves; so one that is given up has only to
    forget what it shared.
    """

    def __init__(self) -> None:
        self._states: list[DecodeState] = []
        self._joint: DecodeState | None = None
        self._num_read = 0

    def read(self, unread: Sequence[Unread]) -> None:
        """Read each conversation's next token."""
        states = [one.state for one in unread]
        if len(states) < 2 or not all(map(_can_join, states)):
            self._part()
            for one in unread:
                one.read()
            return
        if len(states) != len(self._states) or any(a is not b for a, b in zip(states, self._states, strict=True)):
            self._part()
            self._join(states)
        assert self._joint is not None
        chosen = [token for one in unread for token in one.chosen]
        unread[0].decoder.read(self._joint, chosen, [row for one in unread for row in one.rows])
        self._num_read += 1
        for index, state in enumerate(states):
            state.next_logits = self._joint.next_logits[index : index + 1]
            state.next_positions = self._joint.next_positions[index : index + 1]

    def leave(self, state: DecodeState, *, keep: bool = True) -> None:
        """A conversation reads no more with the others.

        Args:
            keep: Give it what was read for it; not when its turn is undone.
        """
        if any(state is other for other in self._states):
            self._part(None if keep else state)

    @torch.inference_mode()
    def _join(self, states: list[DecodeState]) -> None:
        lengths = [state.cache.get_seq_length() for state in states]
        longest, device = max(lengths), states[0].next_positions.device
        cache = DynamicCache()
        for index in range(len(states[0].cache.layers)):
            layers: list[Any] = [state.cache.layers[index] for state in states]
            keys = [_padded(layer.keys, longest) for layer in layers]
            values = [_padded(layer.values, longest) for layer in layers]
            cache.update(torch.cat(keys), torch.cat(values), index)
        padding = torch.tensor([longest - length for length in lengths], device=device)
        mask = torch.arange(longest, device=device) >= padding[:, None]
        logits = torch.cat([state.next_logits for state in states])
        positions = torch.cat([state.next_positions for state in states])
        self._states, self._num_read = list(states), 0
        self._joint = DecodeState(cache, mask, logits, positions)

    @torch.inference_mode()
    def _part(self, forgotten: DecodeState | None = None) -> None:
        """Give everybody what was read for them, but for one."""
        joint, states, num_read = self._joint, self._states, self._num_read
        self._joint, self._states, self._num_read = None, [], 0
        if joint is None or not num_read:
            return
        for row, state in enumerate(states):
            if state is forgotten:
                continue
            for index, layer in enumerate(joint.cache.layers):
                assert isinstance(layer, DynamicLayer)
                state.cache.update(_tail(layer.keys, row, num_read), _tail(layer.values, row, num_read), index)
            state.next_logits, state.next_positions = state.next_logits.clone(), state.next_positions.clone()


def _can_join(state: DecodeState) -> bool:
    """Whether it is one row, unpadded, in a cache that keeps everything."""
    plain = all(type(layer) is DynamicLayer and layer.is_initialized for layer in state.cache.layers)
    return plain and state.attention_mask is None and len(state.next_positions) == 1


def _padded(part: Tensor, longest: int) -> Tensor:
    return F.pad(part, (0, 0, longest - part.shape[-2], 0))


def _tail(part: Tensor | None, row: int, count: int) -> Tensor:
    assert part is not None, "a layer that was read into holds something"
    return part[row : row + 1, :, -count:]
