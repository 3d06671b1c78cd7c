"""The tag language of drafts: `<obj1>` after a thing in a question, `<p>phrase</p><obj1>` in an answer.

A phrase may stand for several things at once: `<p>the two dogs</p><obj1><obj2>`. Reading never fails: whatever a model
writes has a reading, and what is wrong in it is named by a reason of `reasons.REASONS`.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from sama_video.dialogue.markup import PHRASE_END, PHRASE_START

_OBJECT: Final = re.compile(r"<(obj[0-9]+)>")
_TOKEN: Final = re.compile(f"({re.escape(PHRASE_START)})|({re.escape(PHRASE_END)})|<(obj[0-9]+)>")
_SPACES: Final = re.compile(r"\s+")
_BLANK_BY_PUNCTUATION: Final = re.compile(r" (?=[.,;:!?)])|(?<=\() ")


@dataclass(frozen=True)
class TaggedPhrase:
    """Words of an answer and the objects whose tags follow them."""

    words: str
    object_ids: tuple[str, ...]


@dataclass(frozen=True)
class TaggedText:
    """An answer taken apart.

    Attributes:
        text: Its words without marks and tags.
        phrases: In order, also those that are not as they should be.
        faults: Reason and detail of what is wrong with the marks.
    """

    text: str
    phrases: tuple[TaggedPhrase, ...]
    faults: tuple[tuple[str, str], ...]

    @property
    def object_ids(self) -> tuple[str, ...]:
        """Objects of all phrases, as often as they are named."""
        return tuple(object_id for phrase in self.phrases for object_id in phrase.object_ids)


class _Reader:
    """Takes marks in order; knows the phrase that is open, and the one whose tags may still come."""

    def __init__(self) -> None:
        self.phrases: list[tuple[str, list[str]]] = []
        self.faults: list[tuple[str, str]] = []
        self.open: list[str] | None = None
        self.takes_tags = False

    def words(self, text: str) -> None:
        """Go past words between marks."""
        if self.open is not None:
            self.open.append(text)
        elif text.strip():
            self.takes_tags = False

    def start(self) -> None:
        """Go past the start of a phrase."""
        if self.open is not None:
            self.faults.append(("nested_phrase", f"a phrase begins within {_shown(self.open)}"))
        else:
            self.open = []
        self.takes_tags = False

    def end(self) -> None:
        """Go past the end of a phrase."""
        if self.open is None:
            self.faults.append(("unclosed_phrase", f"{PHRASE_END} without {PHRASE_START}"))
            return
        words = plain(" ".join(self.open))
        if not words:
            self.faults.append(("empty_phrase", "a phrase without words"))
        self.phrases.append((words, []))
        self.open, self.takes_tags = None, True

    def tag(self, object_id: str) -> None:
        """Go past an object's tag."""
        if self.takes_tags and self.open is None:
            self.phrases[-1][1].append(object_id)
        else:
            self.faults.append(("bare_tag", f"<{object_id}> does not follow a phrase"))

    def finish(self) -> None:
        """Come to the end of the text."""
        if self.open is not None:
            self.faults.append(("unclosed_phrase", f"{_shown(self.open)} is never closed"))
        for words, object_ids in self.phrases:
            if not object_ids:
                self.faults.append(("phrase_without_object", f"no tag follows {words!r}"))


def read_answer(answer: str) -> TaggedText:
    """Take an answer apart.

    >>> read_answer("<p>The dog</p><obj1> runs.").phrases
    (TaggedPhrase(words='The dog', object_ids=('obj1',)),)
    """
    reader, done = _Reader(), 0
    for found in _TOKEN.finditer(answer):
        reader.words(answer[done : found.start()])
        done = found.end()
        if found[1]:
            reader.start()
        elif found[2]:
            reader.end()
        else:
            reader.tag(found[3])
    reader.words(answer[done:])
    reader.finish()
    phrases = tuple(TaggedPhrase(words, tuple(object_ids)) for words, object_ids in reader.phrases)
    return TaggedText(plain(_TOKEN.sub("", answer)), phrases, tuple(reader.faults))


def question_objects(question: str) -> tuple[str, ...]:
    """Objects whose tags a question has, in order and as often as it has them."""
    return tuple(_OBJECT.findall(question))


def named_things(question: str) -> tuple[tuple[str, str], ...]:
    """The words before each tag of a question, back to the tag before it, and the tag's object.

    >>> named_things("Does the dog <obj1> see the cat <obj2>?")
    (('Does the dog', 'obj1'), ('see the cat', 'obj2'))
    """
    pieces = _OBJECT.split(question)
    return tuple((plain(words), object_id) for words, object_id in zip(pieces[::2], pieces[1::2], strict=False))


def without_tags(text: str) -> str:
    """Text without tags and phrase marks.

    >>> without_tags("Is the dog <obj1> asleep?")
    'Is the dog asleep?'
    """
    return plain(_TOKEN.sub("", text))


def write_phrase(words: str, object_ids: Sequence[str]) -> str:
    """A phrase of an answer, as drafts have it."""
    return f"{PHRASE_START}{words}{PHRASE_END}{tags_of(object_ids)}"


def tags_of(object_ids: Iterable[str]) -> str:
    """The tags of some objects."""
    return "".join(f"<{object_id}>" for object_id in object_ids)


def plain(text: str) -> str:
    """Text with single blanks and none before punctuation."""
    return _BLANK_BY_PUNCTUATION.sub("", _SPACES.sub(" ", text).strip())


def _shown(words: Sequence[str]) -> str:
    text = plain(" ".join(words))
    return repr(text if len(text) <= 40 else text[:40] + "…")
