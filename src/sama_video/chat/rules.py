"""Rules on the next token: forced grounding."""

from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import islice

import torch
from jaxtyping import Float
from torch import Tensor

from sama_video.dialogue.markup import parse_answer
from sama_video.errors import ConfigError
from sama_video.model.decoding import TokenRule
from sama_video.model.processing_sama import STOP_WINDOW, SamaProcessor

Ground = bool | str

SHORTEST_GROUNDED = 4
"""Tokens of `<p> word </p> [SEG]`."""
FIRST_WORDS = 64
"""How many of the likeliest tokens a phrase may begin with."""


def token_rule(ground: Ground, processor: SamaProcessor, max_new_tokens: int) -> TokenRule | None:
    """What `ground` asks of the next token: True forces phrases with masks; else all is left to the model.

    False rules nothing out. A model that was about to mark a phrase, and may not, goes on with words it never learnt
    to say there; its marks are taken out of the answer instead.
    """
    return ForcedGrounding(processor, max_new_tokens) if ground is True else None


class ForcedGrounding:
    """Every `<p> .. </p>` is followed by exactly one `[SEG]`, and there is at least one.

    Inside a phrase only words and its end may come, and the end only after a word; after it only `[SEG]`. Outside,
    `[SEG]` and `</p>` may not come, nor the end of the answer before the first mask. An answer that nears the token
    limit closes what is open, and opens a phrase if none was.

    Raises:
        ConfigError: The token limit leaves no room for one phrase.
    """

    def __init__(self, processor: SamaProcessor, max_new_tokens: int) -> None:
        if max_new_tokens < SHORTEST_GROUNDED:
            raise ConfigError(
                f"max_new_tokens is {max_new_tokens}, but an answer with a mask needs {SHORTEST_GROUNDED}; give more."
            )
        self.processor = processor
        self.marks = processor.grounding_ids
        self.ends = processor.end_ids
        self.max_new_tokens = max_new_tokens

    def __call__(self, ids: Sequence[int], logits: Float[Tensor, " vocab"]) -> Float[Tensor, " vocab"]:
        """The logits with all but the allowed tokens ruled out."""
        marks = self.marks
        last = next((token for token in reversed(ids) if token in marks), None)
        left = self.max_new_tokens - len(ids)
        if last == marks.phrase_close:
            return _only(logits, [marks.seg])
        if last == marks.phrase_open:
            return self._inside(ids, logits, left)
        ruled = _without(logits, [marks.phrase_close, marks.seg])
        if marks.seg in ids:
            return _without(ruled, [marks.phrase_open]) if left <= SHORTEST_GROUNDED + 1 else ruled
        ends = self._ends(ids)
        if left <= SHORTEST_GROUNDED + 1 or int(ruled.argmax()) in ends:
            return _only(logits, [marks.phrase_open])
        return _without(ruled, ends)

    def _inside(self, ids: Sequence[int], logits: Tensor, left: int) -> Tensor:
        """Words of a phrase; its end once there is one, and at the latest two tokens before the limit."""
        if ids[-1] == self.marks.phrase_open:
            ends = self._ends(ids)
            ranked = logits.argsort(descending=True).tolist()
            likely = (token for token in ranked if token not in ends and self._is_word(token))
            return _only(logits, list(islice(likely, FIRST_WORDS)))
        if left <= 3:
            return _only(logits, [self.marks.phrase_close])
        return _without(logits, [self.marks.phrase_open, self.marks.seg, *self._ends(ids)])

    def _is_word(self, token: int) -> bool:
        return bool(parse_answer(self.processor.tokenizer.decode([token])).text)

    def _ends(self, ids: Sequence[int]) -> list[int]:
        """Tokens that would end the answer here: a whole stop string, its first piece, or what completes a begun one.

        Some templates spell their stop string in several ordinary tokens, which may be cut in more than one way.
        """
        ends = list(self.ends)
        tail = self.processor.tokenizer.decode(list(ids[-STOP_WINDOW:])).replace("\n", "")
        for stop in self.processor.template.stop_strings:
            rests = {stop[begun:] for begun in range(1, len(stop)) if tail.endswith(stop[:begun])}
            if rests:
                ends += [token for token, text in enumerate(self._texts) if text.replace("\n", "") in rests]
        return ends

    @cached_property
    def _texts(self) -> list[str]:
        tokenizer = self.processor.tokenizer
        return [tokenizer.decode([token]) for token in range(len(tokenizer))]


def _only(logits: Tensor, tokens: Iterable[int]) -> Tensor:
    """The logits of just these tokens."""
    kept = torch.tensor(list(tokens), device=logits.device)
    allowed = torch.full_like(logits, -torch.inf)
    allowed[kept] = logits[kept].clamp(min=torch.finfo(logits.dtype).min)
    return allowed


def _without(logits: Tensor, tokens: Iterable[int]) -> Tensor:
    return logits.index_fill(0, torch.tensor(list(tokens), device=logits.device), -torch.inf)
