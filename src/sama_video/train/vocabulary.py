"""The nano's two tokenizers, learnt from the synthetic language: the same ones on every machine, in a second or two."""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

from sama_video.data.synthetic.language import corpus
from sama_video.data.synthetic.wording import VOCABULARY
from sama_video.dialogue.markup import GROUNDING_TOKENS, REGION_TAG, TEMPLATES
from sama_video.model.configuration_sama import SamaConfig
from sama_video.model.nano_tokenizers import build_language_tokenizer, build_question_tokenizer
from sama_video.model.processing_sama import SamaProcessor

_TURNS: Final = 2000
_REPEATS: Final = 20
"""How often the closed vocabulary is read out, so that the rarest word outweighs any accident of the turns."""

_MARKS: Final = re.compile("|".join(re.escape(mark) for mark in (REGION_TAG, *GROUNDING_TOKENS)))


def texts() -> Iterator[str]:
    """What the tokenizers learn from: every word at the start and inside of a text, frame times, and example turns."""
    for _ in range(_REPEATS):
        for word in VOCABULARY:
            yield word
            yield f" {word}"
        yield from (f"{seconds}.{tenth}s " for seconds in range(10) for tenth in range(10))
    template = TEMPLATES["qwen_chat"]
    for turn in corpus(0, _TURNS):
        yield from _MARKS.split(turn.question)
        yield from _MARKS.split(turn.answer)
        yield template.user_prefix.removeprefix("<|im_start|>")
        yield "assistant\n"


@lru_cache(maxsize=1)
def nano_tokenizers() -> tuple[Any, Any]:
    """The decoder's tokenizer and the aggregator's."""
    lines = list(texts())
    return build_language_tokenizer(lines), build_question_tokenizer(lines)


def make_processor(config: SamaConfig) -> SamaProcessor:
    """The processor of a model that is trained on the synthetic language."""
    return SamaProcessor.for_config(config, *nano_tokenizers())
