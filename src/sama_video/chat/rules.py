"""Rules on the next token: grounding forced, or forbidden."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from sama_video.model.decoding import TokenRule
from sama_video.model.processing_sama import SamaProcessor

Ground = bool | str


def token_rule(ground: Ground, processor: SamaProcessor, max_new_tokens: int) -> TokenRule | None:
    """What `ground` asks for: "auto" leaves all to the model, True forces phrases with masks, False forbids them."""
    if ground == "auto":
        return None
    return ForcedGrounding(processor, max_new_tokens) if ground else NoGrounding(processor)


class NoGrounding:
    """Text only: no phrase marks, no `[SEG]`."""

    def __init__(self, processor: SamaProcessor) -> None:
        ids = processor.grounding_ids
        self.banned = [ids.phrase_open, ids.phrase_close, ids.seg]

    def __call__(self, ids: Sequence[int], logits: Float[Tensor, " vocab"]) -> Float[Tensor, " vocab"]:
        """The logits with every grounding mark ruled out."""
        return logits.index_fill(0, torch.tensor(self.banned, device=logits.device), -torch.inf)


class ForcedGrounding:
    """Every `<p> .. </p>` is followed by exactly one `[SEG]`, and there is at least one.

    Inside a phrase only words and its end may come, and the end only after a word; after it only `[SEG]`. Outside,
    `[SEG]` and `</p>` may not come, nor the end of the answer before the first mask. An answer that nears the token limit
    closes what is open, and opens a phrase if none was.
    """

    def __init__(self, processor: SamaProcessor, max_new_tokens: int) -> None:
        self.marks = processor.grounding_ids
        self.ends = processor.end_ids
        self.max_new_tokens = max_new_tokens

    def __call__(self, ids: Sequence[int], logits: Float[Tensor, " vocab"]) -> Float[Tensor, " vocab"]:
        """The logits with all but the allowed tokens ruled out."""
        marks = self.marks
        last = next(
            (token for token in reversed(ids) if token in (marks.phrase_open, marks.phrase_close, marks.seg)), None
        )
        left = self.max_new_tokens - len(ids)
        if last == marks.phrase_close:
            return _only(logits, marks.seg)
        if last == marks.phrase_open:
            is_empty = ids[-1] == marks.phrase_open
            if left <= 3 and not is_empty:
                return _only(logits, marks.phrase_close)
            banned = [marks.phrase_open, marks.seg, *self.ends, *([marks.phrase_close] if is_empty else [])]
            return _without(logits, banned)
        grounded = marks.seg in ids
        if not grounded and left <= 5:
            return _only(logits, marks.phrase_open)
        banned = [marks.phrase_close, marks.seg]
        if left <= 5:
            banned.append(marks.phrase_open)
        ruled = _without(logits, banned)
        if not grounded and int(ruled.argmax()) in self.ends:
            return _only(logits, marks.phrase_open)
        return ruled if grounded else _without(ruled, self.ends)


def _only(logits: Tensor, token: int) -> Tensor:
    allowed = torch.full_like(logits, -torch.inf)
    allowed[token] = 0.0
    return allowed


def _without(logits: Tensor, tokens: Sequence[int]) -> Tensor:
    return logits.index_fill(0, torch.tensor(list(tokens), device=logits.device), -torch.inf)
