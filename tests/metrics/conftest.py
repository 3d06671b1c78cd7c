"""One scorer of captions for all tests of metrics: METEOR takes seconds to start."""

import json
from collections.abc import Iterator

import pytest
import shared_folders

from sama_video.metrics.caption import CaptionScorer, cut_text
from sama_video.metrics.caption_programs import find_java

# What the tests of one's own score, known beforehand so that a single tokenizer process serves all of them.
OWN_TEXTS = (
    "A state-of-the-art bag and/or box.",
    "You can't (see) [it] {now} ||| a.b",
    "Two lines\nof one\r\ncaption\u2028here\x85end",
    "a dog runs",
    "a dog sleeps",
    "the cat sits on a red mat",
    "a cat sits on the mat",
    "...",
    "café",
    "lone \ud800 surrogate",
    "",
)


@pytest.fixture(scope="session")
def caption_scorer() -> Iterator[CaptionScorer]:
    """Knows the tokens of every golden text and of `OWN_TEXTS`; skipped where there is no Java."""
    if find_java() is None:
        pytest.skip("Java is not installed")
    pytest.importorskip("pycocoevalcap.bleu.bleu")
    with CaptionScorer() as scorer:
        scorer.tokens([*OWN_TEXTS, *_golden_texts()])
        yield scorer


def _golden_texts() -> list[str]:
    folder = shared_folders.find_folder(*shared_folders.GOLDEN_METRICS)
    path = folder / "captions.json" if folder else None
    if path is None or not path.is_file():
        return []
    golden = json.loads(path.read_text(encoding="utf-8"))
    pairs = [text for pair in golden["pairs"] for text in (pair["ref"], pair["cand"])]
    several = [text for pair in golden["multi_reference"] for text in (*pair["refs"], pair["cand"])]
    return [cut_text(text) for text in (*pairs, *several)]
