"""What is known of a subject's objects beforehand, and whether words fit the object at whose tag they stand.

Labels and expressions of a data set name colours and kinds. A phrase is held against the head of its words only ("the
brown dog" of "the brown dog behind the man"), for what follows may be about other things. Words that nobody used of any
object prove nothing: they may be another name for it.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sama_video.annotate.case import Subject, Thing


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


COLOURS: Final = _set(
    "red orange yellow green cyan blue purple pink white black brown gray beige gold silver maroon navy"
)
_SAME: Final = {
    "grey": "gray",
    "violet": "purple",
    "magenta": "purple",
    "turquoise": "cyan",
    "teal": "cyan",
    "golden": "gold",
    "crimson": "red",
    "scarlet": "red",
    "people": "person",
    "men": "man",
    "women": "woman",
    "children": "child",
    "mice": "mouse",
    "feet": "foot",
    "geese": "goose",
}
_DETERMINERS: Final = _set(
    "the a an this that these those its his her their my your our some any each both all another other same first "
    "second third last one two three four five six seven eight nine ten pair"
)
_ARTICLES: Final = _set("the a an this that these those its his her their my your our")
_ENDS: Final = _set(
    "of that which who whose whom with without in on at near next behind beside besides under over above below between "
    "from to and or but is are was were be been by while as for before after towards toward into onto across along "
    "through around where when then than like wearing holding moving standing sitting walking running it they does do "
    "did has have had can will not if because so past against among inside outside off up down left right"
)
_GENERIC: Final = _set("object thing item figure shape one entity element subject")
_PREPOSITIONS: Final = _set(
    "of with in on at near to behind beside under over above below between from by past around towards toward into "
    "like than against and or"
)
_WORD: Final = re.compile(r"[a-z]+(?:-[a-z]+)*")
_OWNER: Final = re.compile(r"^.*['’]s\s")
_LONGEST_NAME: Final = 6


@dataclass(frozen=True)
class Verdict:
    """Why words do not fit: a reason of `reasons.REASONS`, and the finding."""

    reason: str
    detail: str


class Knowledge:
    """The words that are known of each object.

    Args:
        subject: Its things' labels and expressions are read.
        labels: Names of kinds that exclude each other: a thing of one kind is of no other.
    """

    def __init__(self, subject: Subject, labels: Sequence[str] = ()) -> None:
        self.words: Mapping[str, frozenset[str]] = {thing.object_id: _known_words(thing) for thing in subject.things}
        self.nouns: Mapping[str, frozenset[str]] = {thing.object_id: _known_nouns(thing) for thing in subject.things}
        self.labels = frozenset(head[-1] for head in map(head_words, labels) if head)

    @property
    def vocabulary(self) -> frozenset[str]:
        """All words that are known of any object."""
        return frozenset().union(*self.words.values())

    def judge(self, words: str, object_ids: Collection[str]) -> Verdict | None:
        """Whether a name fits the objects that are tagged with it; None where nothing speaks against it."""
        return self._judge(head_words(words), object_ids)

    def judge_beginning(self, text: str, object_id: str) -> Verdict | None:
        """The same for the thing that a description begins with, as far as its first known name."""
        head = head_words(text)
        nouns = frozenset().union(*self.nouns.values())
        place = next((place for place, word in enumerate(head) if word in nouns), None)
        return None if place is None else self._judge(head[: place + 1], (object_id,))

    def judge_before_tag(self, words: str, object_id: str) -> Verdict | None:
        """The same for the words before a question's tag; what follows a preposition may be about another thing."""
        name = _last_name(words)
        return None if name is None else self._judge(head_words(name), (object_id,))

    def fitting(self, words: Collection[str]) -> list[str]:
        """Objects of which all of these words are known."""
        return [object_id for object_id, known in self.words.items() if known and known.issuperset(words)]

    def _judge(self, head: Sequence[str], object_ids: Collection[str]) -> Verdict | None:
        said = frozenset(head) - _GENERIC
        own = frozenset().union(*(self.words.get(object_id, frozenset()) for object_id in object_ids))
        if not said or not own:
            return None
        for other, known in self.words.items():
            theirs = said & (known - own)
            if other not in object_ids and theirs and not said & (own - known):
                return Verdict(
                    "swapped_objects", f"{_listed(theirs)} is known of {other}, not of {_listed(object_ids)}"
                )
        strange = (said & COLOURS) - own
        if strange and own & COLOURS:
            return Verdict(
                "contradicts_known", f"{_listed(object_ids)} is {_listed(own & COLOURS)}, not {_listed(strange)}"
            )
        kinds = frozenset().union(*(self.nouns[object_id] for object_id in object_ids if object_id in self.nouns))
        if head[-1] in self.labels - kinds and kinds & self.labels:
            return Verdict("contradicts_known", f"{_listed(object_ids)} is {_listed(kinds)}, not {head[-1]}")
        return None


def head_words(words: str) -> tuple[str, ...]:
    """The words that name a thing: without articles before it and clauses behind it, in the singular.

    >>> head_words("The two brown dogs behind the man")
    ('brown', 'dog')
    """
    tokens = [_SAME.get(word, word) for word in _WORD.findall(_OWNER.sub("", words.lower()))]
    while tokens and tokens[0] in _DETERMINERS:
        tokens = tokens[1:]
    head: list[str] = []
    for token in tokens:
        if token in _ENDS or token in _ARTICLES:
            break
        head.append(_singular(token))
    return tuple(head)


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "xes", "sses", "zes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 3:
        return word[:-1]
    return word


def _last_name(words: str) -> str | None:
    """The name at the end of some words, from its article on; None where it hangs on a preposition."""
    tokens = words.lower().split()
    starts = [place for place, token in enumerate(tokens) if token in _DETERMINERS]
    if not starts or len(tokens) - starts[-1] > _LONGEST_NAME:
        return None
    start = starts[-1]
    while start > 0 and tokens[start - 1] in _DETERMINERS:
        start -= 1
    before = tokens[start - 1] if start else ""
    return None if before in _PREPOSITIONS else " ".join(tokens[start:])


def _texts(thing: Thing) -> list[str]:
    return [*([thing.label] if thing.label else []), *thing.expressions]


def _known_words(thing: Thing) -> frozenset[str]:
    return frozenset(word for text in _texts(thing) for word in head_words(text)) - _GENERIC


def _known_nouns(thing: Thing) -> frozenset[str]:
    heads = (head_words(text) for text in _texts(thing))
    return frozenset(head[-1] for head in heads if head) - _GENERIC - COLOURS


def _listed(words: Collection[str]) -> str:
    return ", ".join(sorted(words))
