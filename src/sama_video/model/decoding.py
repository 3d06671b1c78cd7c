"""Token-by-token decoding over a kept cache, with the states that `[SEG]` tokens leave behind.

`generate` of `transformers` serves everybody else. A session needs three things it does not give: the final state at
chosen tokens without keeping every layer of every step, tokens as they come, and a cache that stays exact when a turn
is cut short.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import LogitsProcessorList
from transformers.cache_utils import DynamicCache
from transformers.generation.logits_process import TemperatureLogitsWarper, TopPLogitsWarper

from sama_video.errors import ConfigError
from sama_video.model.modeling_sama import SamaForConditionalGeneration

StopTest = Callable[[Sequence[int]], bool]
TokenRule = Callable[[Sequence[int], Tensor], Tensor]


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen: the likeliest by default, drawn from the seeded generator otherwise."""

    max_new_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise ConfigError(f"max_new_tokens is {self.max_new_tokens}; an answer needs at least 1.")
        if not self.temperature >= 0:
            raise ConfigError(f"temperature is {self.temperature}; give 0 for the likeliest token, or more.")
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"top_p is {self.top_p}; give a share above 0 and up to 1.")


@dataclass
class DecodedRow:
    """What one dialogue of a batch has got so far.

    Attributes:
        ids: New tokens, the stopping one included.
        seg_states: State at each `[SEG]` of `ids` that was read by the decoder, in order.
        finished: Whether a stop rule ended it, rather than the token limit.
    """

    ids: list[int] = field(default_factory=list)
    seg_states: list[Float[Tensor, " dim"]] = field(default_factory=list)
    finished: bool = False


@dataclass
class DecodeState:
    """A cache and the rows that grow on it.

    Attributes:
        cache: Keys and values of everything read.
        attention_mask: Which cached positions are real; `None` when no row is padded.
        next_logits: For the next token of each row.
        next_positions: Position index of the next token of each row.
    """

    cache: DynamicCache
    attention_mask: Bool[Tensor, "batch tokens"] | None
    next_logits: Float[Tensor, "batch vocab"]
    next_positions: Int[Tensor, " batch"]


@dataclass(frozen=True, eq=False)
class Unread:
    """Tokens that were chosen, one for each row, and must be read before the rows can grow on.

    Attributes:
        wanted: Whether they must; not once every row has ended.
    """

    decoder: "Decoder"
    state: DecodeState
    chosen: list[int]
    rows: list[DecodedRow]
    wanted: bool

    def read(self) -> None:
        """Read them into the cache."""
        self.decoder.read(self.state, self.chosen, self.rows)


class Decoder:
    """Reads prompts into a cache and grows answers on it.

    Args:
        stop: Says of a row's new ids whether they end the answer.
        rule: Changes a row's logits given its new ids so far; for forced grounding.
        num_tokens: Tokens the tokenizer knows; rows of the head beyond them are never chosen.
        banned: Tokens that are never chosen, such as placeholders of pictures.
    """

    def __init__(
        self,
        model: SamaForConditionalGeneration,
        *,
        stop: StopTest,
        num_tokens: int,
        rule: TokenRule | None = None,
        sampling: Sampling | None = None,
        banned: Sequence[int] = (),
    ) -> None:
        self.model = model
        self.stop = stop
        self.rule = rule
        self.num_tokens = num_tokens
        self.sampling = sampling or Sampling()
        self.banned = list(banned)
        self.seg_id = model.config.seg_token_id

    @torch.inference_mode()
    def prefill(
        self,
        embeds: Float[Tensor, "batch tokens dim"],
        *,
        cache: DynamicCache | None = None,
        padding: Sequence[int] | None = None,
    ) -> DecodeState:
        """Read embedded prompts, on top of what the cache holds.

        Args:
            padding: For each row, how many of its first positions are padding; only with an empty cache.
        """
        cache = DynamicCache(config=self.model.config.text_config) if cache is None else cache
        start = cache.get_seq_length()
        batch, tokens = embeds.shape[:2]
        positions = torch.arange(start, start + tokens, device=embeds.device).expand(batch, -1)
        mask = None
        if padding is not None and any(padding):
            offsets = torch.tensor(padding, device=embeds.device)[:, None]
            mask = positions >= offsets
            positions = (positions - offsets).clamp(min=0)
        logits, _ = self._step(embeds, positions, mask, cache)
        return DecodeState(cache, mask, logits, positions[:, -1] + 1)

    def decode(self, state: DecodeState) -> Iterator[list[DecodedRow]]:
        """Grow every row until its stop rule or the token limit, yielding the rows after each step.

        Every chosen token is read into the cache, but for the one that ends a row. So a `[SEG]` at the token limit has
        a state too.
        """
        for unread in self.steps(state):
            yield unread.rows
            if unread.wanted:
                unread.read()

    @torch.inference_mode()
    def steps(self, state: DecodeState) -> Iterator[Unread]:
        """As `decode`, but what was chosen is read by the caller, who may do so for several caches at once."""
        rows = [DecodedRow() for _ in range(len(state.next_logits))]
        # One for each row, so that a row is drawn as it would be alone.
        generators = [torch.Generator(device="cpu").manual_seed(self.sampling.seed) for _ in rows]
        for _ in range(self.sampling.max_new_tokens):
            chosen = self._choose(state.next_logits, rows, generators)
            for row, token in zip(rows, chosen, strict=True):
                if not row.finished:
                    row.ids.append(token)
                    row.finished = self.stop(row.ids)
            goes_on = not all(row.finished for row in rows)
            yield Unread(self, state, chosen, rows, goes_on)
            if not goes_on:
                break

    @torch.inference_mode()
    def read_states(
        self, state: DecodeState, ids: Sequence[int]
    ) -> tuple[list[Float[Tensor, " dim"]], Float[Tensor, "tokens vocab"]]:
        """Read given tokens into a single-row cache: the states at their `[SEG]`s, and the logits after each.

        What forced answers and the tail of an answer go through.
        """
        tokens = torch.tensor([list(ids)], device=state.next_positions.device)
        embeds = self.model.get_input_embeddings()(tokens)
        steps = torch.arange(len(ids), device=tokens.device)
        positions = state.next_positions[:, None] + steps
        outputs = self.model(inputs_embeds=embeds, position_ids=positions, past_key_values=state.cache, use_cache=True)
        state.next_positions = state.next_positions + len(ids)
        state.next_logits = outputs.logits[:, -1]
        states = [outputs.last_hidden_state[0, at] for at, token in enumerate(ids) if token == self.seg_id]
        return states, outputs.logits[0]

    def _step(
        self, embeds: Tensor, positions: Tensor, mask: Tensor | None, cache: DynamicCache
    ) -> tuple[Tensor, Tensor]:
        outputs = self.model(
            inputs_embeds=embeds,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        return outputs.logits[:, -1], outputs.last_hidden_state

    @torch.inference_mode()
    def read(self, state: DecodeState, chosen: list[int], rows: list[DecodedRow]) -> None:
        """Read a token for each row into the cache, and note the states at `[SEG]`s."""
        tokens = torch.tensor(chosen, device=state.next_positions.device)[:, None]
        if state.attention_mask is not None:
            ones = state.attention_mask.new_ones(len(rows), 1)
            state.attention_mask = torch.cat([state.attention_mask, ones], dim=1)
        embeds = self.model.get_input_embeddings()(tokens)
        state.next_logits, states = self._step(embeds, state.next_positions[:, None], state.attention_mask, state.cache)
        state.next_positions = state.next_positions + 1
        for index, (row, token) in enumerate(zip(rows, chosen, strict=True)):
            if token == self.seg_id and not row.finished:
                row.seg_states.append(states[index, -1])

    def _choose(
        self, logits: Float[Tensor, "batch vocab"], rows: list[DecodedRow], generators: list[torch.Generator]
    ) -> list[int]:
        logits = logits.float().clone()
        logits[:, self.num_tokens :] = -torch.inf
        logits[:, self.banned] = -torch.inf
        if self.rule is not None:
            logits = torch.stack([self.rule(row.ids, line) for row, line in zip(rows, logits, strict=True)])
        if self.sampling.temperature == 0:
            return logits.argmax(-1).tolist()
        warpers = LogitsProcessorList([TemperatureLogitsWarper(self.sampling.temperature)])
        if self.sampling.top_p < 1:
            warpers.append(TopPLogitsWarper(self.sampling.top_p))
        probabilities = warpers(torch.LongTensor(), logits).softmax(-1).cpu()
        drawn = zip(probabilities, generators, strict=True)
        return [int(torch.multinomial(line, 1, generator=generator)) for line, generator in drawn]
