"""Metrics of captions as COCO computes them: BLEU-1 to 4, METEOR, ROUGE-L, CIDEr, and SPICE where it can run.

Words come from the PTB tokenizer and METEOR from its own program, so both need Java: one short process for all texts
that are new, and one METEOR process for as long as the scorer lives. What is counted once for a caption serves every
corpus that it belongs to, so scoring by video and over the whole benchmark costs little more than one of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, TypeAlias

import numpy as np

from sama_video.errors import DeviceError
from sama_video.metrics.caption_programs import (
    MeteorProcess,
    Programs,
    find_java,
    find_package,
    ptb_tokens,
    spice_scores,
)

METRICS: Final = ("Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "METEOR", "ROUGE_L", "CIDEr", "SPICE")
MAX_WORDS: Final = 300
MAX_CHARACTERS: Final = 2000

Items: TypeAlias = Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class CaptionPair:
    """A caption and what it should have said."""

    candidate: str
    references: tuple[str, ...]


@dataclass(frozen=True)
class CorpusScores:
    """Scores of one corpus: as a whole, and of each of its captions; a metric that is missing has no entry."""

    corpus: Mapping[str, float] = field(default_factory=dict)
    items: Items = field(default_factory=dict)


@dataclass(frozen=True)
class CaptionScores:
    """Scores of every corpus that was asked for, and for each metric that could not be had, why."""

    corpora: tuple[CorpusScores, ...]
    missing: Mapping[str, str]


def first_words(text: str, max_words: int = MAX_WORDS) -> str:
    """The text's first words, joined by blanks; unchanged when it has no more than that.

    >>> first_words("one  two three", 2), first_words("one  two", 2)
    ('one two', 'one  two')
    """
    words = text.split()
    return " ".join(words[:max_words]) if len(words) > max_words else text


def cut_text(text: str) -> str:
    """A text as SAMA-Bench scores it: its first 300 words, and of those the first 2,000 characters."""
    return first_words(text)[:MAX_CHARACTERS]


class CaptionScorer:
    """Scores captions, with at most one METEOR process alive for the whole run.

    Nothing starts before the first score. Use it in a `with` block, or close it.

    Args:
        java: The program that runs Java; found by itself if not given.
        timeout_seconds: A Java program that says nothing for so long is given up.
        spice: Whether to try SPICE, whose models must be there; when it fails it is missing, and the rest stays.
    """

    def __init__(self, *, java: str | None = None, timeout_seconds: float | int = 300, spice: bool = False) -> None:
        self._java = java
        self._timeout = timeout_seconds
        self._wants_spice = spice
        self._meteor: MeteorProcess | None = None
        self._tokens: dict[str, str] = {}
        self._counted: dict[CaptionPair, str] = {}
        self._rouge: dict[CaptionPair, float] = {}

    def __enter__(self) -> "CaptionScorer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the METEOR process; a later score would start another."""
        if self._meteor is not None:
            self._meteor.close()
            self._meteor = None

    def unavailable(self) -> str | None:
        """Why no caption can be scored on this machine; None if it can."""
        if find_package() is None:
            return "pycocoevalcap is not installed; run: pip install 'sama-video[bench]'"
        if self._java is None and find_java() is None:
            return "Java is not installed, but the PTB tokenizer and METEOR are Java programs; install Java 8 or newer"
        return None

    def tokens(self, texts: Sequence[str]) -> tuple[str, ...]:
        """Words of each text, joined by blanks; what was asked before is not asked again.

        Raises:
            DeviceError: Java failed, or is not there.
        """
        new = [text for text in dict.fromkeys(texts) if text not in self._tokens]
        if new:
            self._tokens.update(zip(new, ptb_tokens(new, self._programs()), strict=True))
        return tuple(self._tokens[text] for text in texts)

    def score(self, pairs: Sequence[CaptionPair], corpora: Sequence[Sequence[int]] | None = None) -> CaptionScores:
        """Score captions as one corpus, or as several that each name some of the pairs.

        Corpora matter: BLEU pools its counts, and CIDEr weighs words by how many references of the corpus have them, so
        that it is 0 in a corpus of one. An empty caption scores 0, whatever its reference.

        Args:
            pairs: Texts as they are to be compared; nothing is cut here, see `cut_text`.
            corpora: Positions in `pairs`, none of them empty; one corpus of all pairs if not given.

        Raises:
            DeviceError: A Java program died or hung, although it is installed.
        """
        if corpora is None:
            corpora = [range(len(pairs))] if pairs else []
        reason = self.unavailable()
        if reason is not None:
            return CaptionScores(tuple(CorpusScores() for _ in corpora), dict.fromkeys(METRICS, reason))
        if not corpora:
            return CaptionScores((), {})
        self._start_meteor()  # loads its tables while the tokenizer works
        words = self._tokenized(pairs)
        spice, missing = self._spice(words)
        scored = [self._corpus([words[place] for place in corpus]) for corpus in corpora]
        if spice is not None:
            places = zip(scored, corpora, strict=True)
            scored = [_with_spice(one, [spice[place] for place in corpus]) for one, corpus in places]
        return CaptionScores(tuple(scored), missing)

    def _tokenized(self, pairs: Sequence[CaptionPair]) -> list[CaptionPair]:
        self.tokens([text for pair in pairs for text in (pair.candidate, *pair.references)])
        return [CaptionPair(self.tokens([pair.candidate])[0], self.tokens(pair.references)) for pair in pairs]

    def _corpus(self, pairs: Sequence[CaptionPair]) -> CorpusScores:
        corpus, items = _bleu(pairs)
        corpus["METEOR"], items["METEOR"] = self._meteor_scores(pairs)
        for pair in pairs:
            if pair not in self._rouge:
                self._rouge[pair] = _rouge(pair)
        items["ROUGE_L"] = tuple(self._rouge[pair] for pair in pairs)
        items["CIDEr"] = _cider(pairs)
        for name in ("ROUGE_L", "CIDEr"):
            corpus[name] = float(np.mean(items[name]))
        return CorpusScores(corpus, items)

    def _meteor_scores(self, pairs: Sequence[CaptionPair]) -> tuple[float, tuple[float, ...]]:
        meteor = self._start_meteor()
        for pair in pairs:
            if pair not in self._counted:
                self._counted[pair] = meteor.statistics(pair.candidate, pair.references)
        return meteor.evaluate([self._counted[pair] for pair in pairs])

    def _spice(self, pairs: Sequence[CaptionPair]) -> tuple[list[float] | None, dict[str, str]]:
        if not self._wants_spice:
            return None, {"SPICE": "SPICE was not asked for; it needs models that pycocoevalcap does not bring"}
        try:
            return spice_scores([(pair.candidate, pair.references) for pair in pairs], self._programs()), {}
        except DeviceError as error:
            return None, {"SPICE": str(error)}

    def _start_meteor(self) -> MeteorProcess:
        if self._meteor is None:
            self._meteor = MeteorProcess(self._programs())
        return self._meteor

    def _programs(self) -> Programs:
        reason, package, java = self.unavailable(), find_package(), self._java or find_java()
        if package is None or java is None:
            raise DeviceError(f"captions cannot be scored: {reason}.")
        return Programs(java, package, self._timeout)


def _bleu(pairs: Sequence[CaptionPair]) -> tuple[dict[str, float], dict[str, tuple[float, ...]]]:
    from pycocoevalcap.bleu.bleu import Bleu

    corpus, items = Bleu(4).compute_score(*_as_coco(pairs), verbose=0)
    names = METRICS[:4]
    return (
        {name: float(value) for name, value in zip(names, corpus, strict=True)},
        {name: tuple(float(value) for value in values) for name, values in zip(names, items, strict=True)},
    )


def _rouge(pair: CaptionPair) -> float:
    from pycocoevalcap.rouge.rouge import Rouge

    # It splits an empty text into one empty word, which an empty reference would have too.
    return float(Rouge().calc_score([pair.candidate], list(pair.references))) if pair.candidate else 0.0


def _cider(pairs: Sequence[CaptionPair]) -> tuple[float, ...]:
    from pycocoevalcap.cider.cider import Cider

    if not any(text for pair in pairs for text in pair.references):
        return tuple(0.0 for _ in pairs)  # it has no largest document frequency then, and stops
    _, items = Cider().compute_score(*_as_coco(pairs))
    return tuple(float(value) for value in items)


def _as_coco(pairs: Sequence[CaptionPair]) -> tuple[dict[int, list[str]], dict[int, list[str]]]:
    references = {place: list(pair.references) for place, pair in enumerate(pairs)}
    return references, {place: [pair.candidate] for place, pair in enumerate(pairs)}


def _with_spice(scores: CorpusScores, values: Sequence[float]) -> CorpusScores:
    return CorpusScores({**scores.corpus, "SPICE": float(np.mean(values))}, {**scores.items, "SPICE": tuple(values)})
