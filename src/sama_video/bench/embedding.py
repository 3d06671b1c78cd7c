"""Similarity of phrases by a language model: the mean of its last hidden states, compared by cosine.

As the published evaluation has it with `bert-base-uncased` (spec bench, 1.4): every token counts, those at the ends
too, and a text is cut at 512 of them. Each text goes through the model alone, once, so no padding changes a number.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from jaxtyping import Float

from sama_video.errors import CheckpointError
from sama_video.metrics.similarity import PhraseSimilarity, embedding_similarity

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

MOST_TOKENS: Final = 512


def open_similarity(name: str) -> PhraseSimilarity:
    """Similarity under a model of `transformers`.

    Args:
        name: Its folder, or its hub id.

    Raises:
        CheckpointError: There is no such model.
    """
    from transformers import AutoModel, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
        model = AutoModel.from_pretrained(name).eval()
    except (OSError, ValueError, KeyError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(
            f"--similarity {name} is neither exact nor overlap, and no model of transformers ({first}); give one of "
            "those two, a folder, or a hub id."
        ) from error
    return embedding_similarity(MeanPooled(model, tokenizer))


class MeanPooled:
    """Texts to vectors, each made once."""

    def __init__(self, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> None:
        self.model: Any = model
        self.tokenizer: Any = tokenizer
        self._known: dict[str, Float[np.ndarray, " dim"]] = {}

    def __call__(self, texts: Sequence[str]) -> Float[np.ndarray, "texts dim"]:
        """One row a text."""
        for text in texts:
            if text not in self._known:
                self._known[text] = self._embed(text)
        return np.stack([self._known[text] for text in texts])

    def _embed(self, text: str) -> Float[np.ndarray, " dim"]:
        import torch

        inputs = self.tokenizer(text, return_tensors="pt", truncation=True, max_length=MOST_TOKENS)
        with torch.inference_mode():
            states = self.model(**inputs).last_hidden_state  # 1 tokens dim
        pooled: np.ndarray = states[0].float().mean(dim=0).numpy()
        return pooled
