"""The nano's two tokenizers, learnt from the synthetic languages: the same ones on every machine, in a few seconds."""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

from sama_video.data.synthetic.diagnostic import DiagnosticWorld
from sama_video.data.synthetic.language import corpus
from sama_video.data.synthetic.levels import COLORS, SEEDS, SHAPES, SIZES, TEXTURES
from sama_video.data.synthetic.questions.attributes import plural
from sama_video.data.synthetic.wording import VOCABULARY as PLAIN_VOCABULARY
from sama_video.dialogue.markup import GROUNDING_TOKENS, REGION_TAG, TEMPLATES
from sama_video.model.configuration_sama import SamaConfig
from sama_video.model.nano_tokenizers import build_language_tokenizer, build_question_tokenizer
from sama_video.model.processing_sama import SamaProcessor

VOCABULARY: Final[tuple[str, ...]] = tuple(
    dict.fromkeys(
        (
            *PLAIN_VOCABULARY,
            *COLORS,
            *SHAPES,
            *map(plural, SHAPES),
            *TEXTURES,
            *SIZES,
            *("Answer", "Five", "Four", "Name", "One", "Relative", "Three", "Two", "When"),
            *("above", "after", "again", "appears", "around", "at", "back", "before", "beginning", "below", "by"),
            *("camera", "changes", "collide", "collides", "colors", "come", "comes", "different", "direction"),
            *("directions", "end", "faster", "first", "follow", "followed", "follows", "for", "frame", "from", "go"),
            *("goes", "good", "ground", "hidden", "hides", "into", "its", "keep", "keeps", "last", "later", "leaves"),
            *("like", "moving", "my", "never", "next", "not", "order", "other", "out", "outside", "over", "overtake"),
            *("overtaken", "overtakes", "pan", "pans", "picture", "question", "s", "seconds", "shapes", "sizes"),
            *("slow", "slows", "some", "speed", "speeds", "standing", "start", "starts", "stay", "stop", "stops"),
            *("suddenly", "than", "then", "they", "those", "time", "to", "turn", "turns", "vanishes", "view", "while"),
            *("zoom", "zooms"),
        )
    )
)
"""Every word and mark that either world's language is written in, as `wording.split_words` cuts them."""

_PLAIN_TURNS: Final = 500
_TALKS: Final = 60
_REPEATS: Final = 40
"""How often the closed vocabulary is read out, so that the rarest word outweighs any accident of the turns."""

_SECONDS: Final = 10
_MARKS: Final = re.compile("|".join(re.escape(mark) for mark in (REGION_TAG, *GROUNDING_TOKENS)))


def texts() -> Iterator[str]:
    """What the tokenizers learn from: every word as it stands in texts, seconds, and example turns."""
    for _ in range(_REPEATS):
        for word in VOCABULARY:
            yield word if word[0].isupper() or not word[0].isalpha() else f" {word}"
        yield from (f"{second}.{tenth}" for second in range(_SECONDS) for tenth in range(10))
    template = TEMPLATES["qwen_chat"]
    for question, answer in _turns():
        yield from _MARKS.split(question)
        yield from _MARKS.split(answer)
        yield template.user_prefix.removeprefix("<|im_start|>")
        yield "assistant\n"


def _turns() -> Iterator[tuple[str, str]]:
    world, first = DiagnosticWorld(2), SEEDS["train"].start
    for seed in range(first, first + _TALKS):
        yield from ((turn.text, turn.answer) for turn in world.talk(seed).turns)
    yield from ((turn.question, turn.answer) for turn in corpus(0, _PLAIN_TURNS))


@lru_cache(maxsize=1)
def nano_tokenizers() -> tuple[Any, Any]:
    """The decoder's tokenizer and the aggregator's."""
    lines = list(texts())
    return build_language_tokenizer(lines, whole_seconds=True), build_question_tokenizer(lines)


def make_processor(config: SamaConfig) -> SamaProcessor:
    """The processor of a model that is trained on the synthetic languages."""
    return SamaProcessor.for_config(config, *nano_tokenizers())
