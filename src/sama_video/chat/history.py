"""What the language model has read of a conversation, and the cache of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer

from sama_video.chat.frames import FrameStates, TurnFrames
from sama_video.errors import DialogueError
from sama_video.model.decoding import Decoder, DecodeState
from sama_video.model.modeling_sama import SamaForConditionalGeneration
from sama_video.model.processing_sama import PlacedRegion, SamaProcessor, TurnSpec
from sama_video.regions.rle import Rle, decode
from sama_video.video.clip import Clip


@dataclass(frozen=True)
class AskedTurn:
    """One question as the model reads it; with its answer's ids, a turn that is over.

    Attributes:
        question: With `<region>` tags only.
        regions: Frame and mask of each region, in order of the tags.
        frames: What the turn shows.
        answer_ids: The answer and its end mark; `None` while it is open.
    """

    question: str
    regions: tuple[tuple[int, Rle], ...]
    frames: TurnFrames
    answer_ids: tuple[int, ...] | None = None


class History:
    """The conversation as token ids, read into a key-value cache once.

    A new turn reads only its own tokens. The cache can be dropped at any time: it is made again from the turns.

    Args:
        clip: What the language model looks at.
        regionless_bias: Factor of the constant that the published inference adds to a question without regions.
        one_block: The frames are tiles of one image.
    """

    def __init__(
        self,
        model: SamaForConditionalGeneration,
        processor: SamaProcessor,
        clip: Clip,
        states: FrameStates,
        *,
        regionless_bias: float = 0.0,
        one_block: bool = False,
    ) -> None:
        self.one_block = one_block
        self.model = model
        self.processor = processor
        self.clip = clip
        self.states = states
        self.regionless_bias = regionless_bias
        self.turns: list[AskedTurn] = []
        self._cache: DecodeState | None = None
        self._read: list[int] = []

    @property
    def shown(self) -> tuple[int, ...]:
        """Dense frames of all turns, in the order they were shown."""
        return tuple(frame for turn in self.turns for frame in turn.frames.dense)

    @property
    def num_read(self) -> int:
        """Tokens in the cache."""
        return len(self._read)

    def unread(self, turn: AskedTurn) -> tuple[list[int], Tensor]:
        """Ids that must be read before this turn's answer, and what stands at their placeholders.

        Raises:
            DialogueError: The conversation no longer fits the model's positions.
        """
        turns = self._ids_by_turn()
        ids = [token for past in turns for token in past]
        if self._read != ids[: len(self._read)]:
            raise AssertionError("the cache holds other tokens than the history")
        fresh = ids[len(self._read) :] + self._turn_ids(turn, first=not self.turns)
        # A question is read whole or not at all, so a turn of which anything was read has its pictures in the cache.
        begins = [0, *accumulate(map(len, turns))]
        unseen = [past for past, begin in zip(self.turns, begins, strict=False) if begin >= len(self._read)]
        placeholders = [self._placeholders(shown) for shown in (*unseen, turn)]
        limit = self.model.config.text_config.max_position_embeddings
        total = len(self._read) + len(fresh)
        if total >= limit:
            raise DialogueError(
                f"the conversation has {total} tokens, but the model reads at most {limit}; start a new one, or use "
                "fewer dense frames (dense_frames=, max_frames=)."
            )
        return fresh, torch.cat(placeholders)

    def prefill(self, decoder: Decoder, turn: AskedTurn) -> tuple[DecodeState, int]:
        """Read a turn on top of the cache; also how many tokens that took."""
        fresh, placeholders = self.unread(turn)
        device = placeholders.device
        with torch.inference_mode():
            embeds = self.model.model.embed_tokens(torch.tensor([fresh], device=device), placeholders)
        cache = None if self._cache is None else self._cache.cache
        self._cache = decoder.prefill(embeds, cache=cache)
        self._read += fresh
        return self._cache, len(fresh)

    def close(self, turn: AskedTurn, answer_ids: Sequence[int], num_answer_read: int) -> None:
        """Add a finished turn, of whose answer the cache has read the first ids."""
        suffix = self.processor.token_ids(self.processor.template.answer_suffix)
        if not self.processor.stops(answer_ids):
            answer_ids = [*answer_ids, *suffix]
        self.turns.append(AskedTurn(turn.question, turn.regions, turn.frames, tuple(answer_ids)))
        if self._cache is not None:
            self._read += answer_ids[:num_answer_read]

    def rewind(self, num_turns: int, num_read: int) -> None:
        """Go back to an earlier state, in which the cache had read `num_read` tokens."""
        del self.turns[num_turns:]
        if self._cache is None:
            return
        layers: list[Any] = list(self._cache.cache.layers)
        lengths = [layer.get_seq_length() for layer in layers]
        if num_read == 0 or min(lengths) < num_read:
            self.drop_cache()
            return
        # Layer by layer: a turn cut short may have reached only some of them.
        for layer, length in zip(layers, lengths, strict=True):
            if length > num_read:
                layer.crop(num_read - length)
        del self._read[num_read:]

    def drop_cache(self) -> None:
        """Forget keys and values; the next turn reads the conversation again."""
        self._cache = None
        self._read = []

    @property
    def nbytes(self) -> int:
        """Bytes of memory that the cache holds, those of views counted whole."""
        return 0 if self._cache is None else _bytes_of(self._cache)

    def copy_cache(self, other: "History") -> None:
        """Take over what the other's cache has read of this conversation, in memory of its own.

        Both conversations begin alike, and neither is in a turn. A cache that cannot be cut is left: the next turn
        then reads the conversation again.
        """
        ids = self._closed_ids()
        num_shared = min(len(ids), len(other._read))
        if other._cache is None or not num_shared or ids[:num_shared] != other._read[:num_shared]:
            return
        layers: list[Any] = list(other._cache.cache.layers)
        if not all(type(layer) is DynamicLayer for layer in layers):
            return
        cache = DynamicCache(config=self.model.config.text_config)
        with torch.inference_mode():
            for index, layer in enumerate(layers):
                cache.update(layer.keys[..., :num_shared, :], layer.values[..., :num_shared, :], index)
        self._cache, self._read = replace(other._cache, cache=cache), ids[:num_shared]

    def _closed_ids(self) -> list[int]:
        return [token for turn in self._ids_by_turn() for token in turn]

    def _ids_by_turn(self) -> list[list[int]]:
        return [
            self._turn_ids(turn, first=index == 0) + list(turn.answer_ids or ())
            for index, turn in enumerate(self.turns)
        ]

    def _turn_ids(self, turn: AskedTurn, *, first: bool) -> list[int]:
        separator = [] if first else self.processor.token_ids(self.processor.template.separator)
        text = self.processor.turn_text(self._spec(turn), self._num_context(turn), one_block=self.one_block)
        return separator + self.processor.token_ids(text, first=first)

    def _num_context(self, turn: AskedTurn) -> int:
        return len(turn.frames.context) if self.model.config.has_aggregator else 0

    def _spec(self, turn: AskedTurn, place: Callable[[int], int] = int) -> TurnSpec:
        return TurnSpec(
            turn.question,
            tuple(PlacedRegion(place(frame), decode(mask)) for frame, mask in turn.regions),
            tuple(place(frame) for frame in turn.frames.dense),
            tuple(float(self.clip.times[frame]) for frame in turn.frames.dense),
        )

    @torch.inference_mode()
    def _placeholders(self, turn: AskedTurn) -> Tensor:
        frames = sorted({*turn.frames.context, *turn.frames.dense, *(frame for frame, _ in turn.regions)})
        place = {frame: position for position, frame in enumerate(frames)}
        spec = self._spec(turn, place.__getitem__)
        features = self.states.tokens(frames)
        inputs = self.processor.turn_inputs(spec).to(features.device)
        return self.model.model.turn_embeddings(
            features,
            self.states.spatial(turn.frames.context),
            [place[frame] for frame in turn.frames.context],
            [inputs],
            regionless_bias=self.regionless_bias,
        )[0]


def _bytes_of(state: DecodeState) -> int:
    layers: list[Any] = list(state.cache.layers)
    tensors: list[Tensor] = [state.next_logits, state.next_positions]
    tensors += [part for layer in layers if layer.is_initialized for part in (layer.keys, layer.values)]
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    return sum(storages.values())
