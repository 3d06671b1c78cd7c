"""How alike two short phrases are, from 0 to 1: without a model, or over any function that turns texts into vectors.

A similarity takes two lists and gives one row for each text of the first, one column for each of the second. All of
them can be sent to worker processes, `embedding_similarity` when the function given to it can.
"""

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, TypeAlias

import numpy as np
from jaxtyping import Float

from sama_video.errors import ConfigError

PhraseSimilarity: TypeAlias = Callable[[Sequence[str], Sequence[str]], list[list[float]]]
Embed: TypeAlias = Callable[[Sequence[str]], Float[np.ndarray, "texts dim"]]

_WORD = re.compile(r"[^\W_]+")
_POSSESSIVE = re.compile(r"['’]s\b")
_ARTICLES: Final = frozenset({"a", "an", "the"})
_VOWEL = re.compile(r"[aeiouy]")
_IRREGULAR: Final = {
    "men": "man", "women": "woman", "children": "child", "people": "person", "feet": "foot", "teeth": "tooth",
    "mice": "mouse", "geese": "goose", "knives": "knife", "wives": "wife", "lives": "life", "leaves": "leaf",
    "wolves": "wolf", "calves": "calf", "halves": "half", "loaves": "loaf", "shelves": "shelf", "scarves": "scarf",
    "hooves": "hoof", "thieves": "thief", "oxen": "ox",
    "ran": "run", "sat": "sit", "stood": "stand", "went": "go", "goes": "go", "gone": "go", "held": "hold",
    "lying": "lie", "lay": "lie", "ate": "eat", "eaten": "eat", "swam": "swim", "flew": "fly", "flown": "fly",
    "wore": "wear", "worn": "wear", "rode": "ride", "ridden": "ride", "threw": "throw", "thrown": "throw",
    "caught": "catch", "took": "take", "taken": "take",
    "is": "be", "are": "be", "was": "be", "were": "be", "been": "be", "being": "be", "has": "have", "had": "have",
}  # fmt: skip


def exact(a: Sequence[str], b: Sequence[str]) -> list[list[float]]:
    """1 where two phrases are the same, blanks at their ends and case aside, else 0.

    >>> exact(["A dog"], [" a dog ", "the dog"])
    [[1.0, 0.0]]
    """
    return [[float(_plain(first) == _plain(second)) for second in b] for first in a]


def overlap(a: Sequence[str], b: Sequence[str]) -> list[list[float]]:
    """Shared words over all words of two phrases, words taken in their base form and articles left out.

    Benchmarks ask for 0.5: "black dog" and "white dog" share 1 word of 3 and fail, "dog" and "white dog" pass. Phrases
    of articles alone are compared as written.

    >>> overlap(["two brown dogs"], ["the brown dog", "a black dog"])
    [[0.6666666666666666, 0.25]]
    """
    others = [_content(text) for text in b]
    return [[_jaccard(_content(text), other) for other in others] for text in a]


def embedding_similarity(embed: Embed) -> PhraseSimilarity:
    """Cosine of vectors that `embed` makes of the texts; a zero vector is like nothing, a negative cosine counts as 0.

    Args:
        embed: One call gets all texts of both lists, each once, so that a model runs in one batch.
    """
    return partial(_cosines, embed)


SIMILARITIES: Final[dict[str, PhraseSimilarity]] = {"exact": exact, "overlap": overlap}
"""Those that need no model, by the name that reports give."""


def similarity_named(name: str) -> PhraseSimilarity:
    """The similarity of that name."""
    if name not in SIMILARITIES:
        raise ConfigError(
            f"no similarity of phrases is named {name!r}; without a model there are: {', '.join(SIMILARITIES)}."
        )
    return SIMILARITIES[name]


def lemma(word: str) -> str:
    """A base form that is the same for the common forms of a word; it need not be a word itself.

    Rules, not a dictionary: irregular forms from a short table, then plural and third person `-s`, then `-ing` and
    `-ed` where a vowel is left before them, a doubled consonant made single, and last a silent `-e`.

    >>> [lemma(word) for word in ("boxes", "running", "moves", "moving", "ponies", "string", "grass")]
    ['box', 'run', 'mov', 'mov', 'pony', 'string', 'grass']
    """
    word = word.lower()
    return _without_e(_IRREGULAR.get(word) or _without_ending(_singular(word)))


def _singular(word: str) -> str:
    if len(word) < 4 or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "shes", "ches", "xes")) or (word.endswith("oes") and len(word) > 5):
        return word[:-2]
    return word[:-1]


def _without_ending(word: str) -> str:
    for ending in ("ing", "ed"):
        stem = word.removesuffix(ending)
        if stem != word and len(stem) > 2 and _VOWEL.search(stem) and not word.endswith("eed"):
            if ending == "ed" and stem.endswith("i") and len(stem) > 3:
                return stem[:-1] + "y"
            return stem[:-1] if stem[-1] == stem[-2] and stem[-1] not in "elosz" else stem
    return word


def _without_e(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("e") and word[-2] != "e" else word


def _plain(text: str) -> str:
    return text.strip().lower()


def _content(text: str) -> frozenset[str]:
    words = _WORD.findall(_POSSESSIVE.sub("", text.lower()))
    return frozenset(lemma(word) for word in words if word not in _ARTICLES) or frozenset(words)


def _jaccard(a: frozenset[str], b: frozenset[str]) -> float:
    return len(a & b) / len(a | b) if a or b else 1.0


def _cosines(embed: Embed, a: Sequence[str], b: Sequence[str]) -> list[list[float]]:
    if not a or not b:
        return [[] for _ in a]
    texts = list(dict.fromkeys([*a, *b]))
    vectors = np.asarray(embed(texts), dtype=np.float64)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    units = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    cosines = np.clip(units @ units.T, 0.0, 1.0)
    rows, columns = ([texts.index(text) for text in side] for side in (a, b))
    return [[float(cosines[row, column]) for column in columns] for row in rows]
