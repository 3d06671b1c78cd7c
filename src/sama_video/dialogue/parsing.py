"""How a marked answer is read and written, whatever its marks look like; `markup` says how they are spelt."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from sama_video.errors import DialogueError

_SPACES = re.compile(r"\s+(?=\s)")  # all but the last of a run of white space, which then becomes a blank
_SPACE = re.compile(r"\s")
_BLANK_BY_PUNCTUATION = re.compile(r" (?=[.,;:!?)])|(?<=\() ")
_BLANK_AT_END = re.compile(r"^ | $")


@dataclass(frozen=True)
class Marks:
    """The spelling of an answer's marks, and of tokens that have no business in one."""

    start: str
    end: str
    seg: str
    noise: tuple[str, ...]

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Finds any of them."""
        return re.compile("|".join(re.escape(mark) for mark in self.all))

    @property
    def all(self) -> tuple[str, ...]:
        """Every spelling."""
        return (self.start, self.end, self.seg, *self.noise)


@dataclass(frozen=True)
class ParsedPhrase:
    """A phrase of an answer: where it is in the clean text, and which mask token speaks for it."""

    text: str
    start: int
    end: int
    seg: int | None
    problem: str | None = None


@dataclass(frozen=True)
class ParsedAnswer:
    """An answer taken apart.

    `loose_segs` are mask tokens that belong to no phrase. `problems` names all that was not as it should be, those of
    the phrases first; it is empty for a faultless answer.
    """

    text: str
    phrases: tuple[ParsedPhrase, ...]
    num_seg: int
    loose_segs: tuple[int, ...] = ()
    problems: tuple[str, ...] = ()


class PhraseSpan(NamedTuple):
    """A phrase to be marked in clean text: `text[start:end]`, with a mask token or without."""

    start: int
    end: int
    grounded: bool = True


@dataclass
class _Phrase:
    """A phrase while it is being read. Positions are those of the text without marks."""

    start: int
    end: int | None = None
    seg: int | None = None
    seg_at: int = 0
    faults: tuple[str, ...] = ()


class _Reader:
    """Takes marks in order; knows the phrase being read and the one that waits for its mask token."""

    def __init__(self, marks: Marks) -> None:
        self.phrases: list[_Phrase] = []
        self.loose_segs: list[int] = []
        self.strays: list[str] = []
        self.num_seg = 0
        self._marks = marks
        self._open: _Phrase | None = None
        self._waiting: _Phrase | None = None

    def take(self, mark: str, position: int) -> None:
        """Go past one mark that stands at `position` of the text."""
        if mark == self._marks.start:
            self._start(position)
        elif mark == self._marks.end:
            self._end(position)
        elif mark == self._marks.seg:
            self._seg(position)

    def finish(self, position: int) -> None:
        """Come to the end of the text."""
        self._leave_open(position)
        for phrase in self.phrases:
            if phrase.seg is None:
                phrase.faults += (f"phrase without {self._marks.seg}",)

    def _start(self, position: int) -> None:
        self._leave_open(position)
        self._waiting = None
        self._open = _Phrase(position)
        self.phrases.append(self._open)

    def _end(self, position: int) -> None:
        phrase, self._open = self._open, None
        if phrase is None:
            self.strays.append(f"{self._marks.end} without {self._marks.start}")
            return
        phrase.end = position
        if phrase.seg is None:
            self._waiting = phrase
        else:
            phrase.faults += (f"{self._marks.seg} before {self._marks.end}",)

    def _seg(self, position: int) -> None:
        phrase = self._open if self._open is not None else self._waiting
        if phrase is None or phrase.seg is not None:
            self.loose_segs.append(self.num_seg)
            self.strays.append(f"{self._marks.seg} without phrase")
        else:
            phrase.seg, phrase.seg_at = self.num_seg, position
        self.num_seg += 1

    def _leave_open(self, position: int) -> None:
        """End a phrase that was never closed: at its mask token if it has one, else where the next thing begins."""
        if self._open is not None:
            self._open.end = position if self._open.seg is None else self._open.seg_at
            self._open.faults += (f"unclosed {self._marks.start}",)
        self._open = None


def parse(raw: str, marks: Marks) -> ParsedAnswer:
    """Take an answer apart. Never fails: whatever a model writes has a reading, and what is wrong in it is named."""
    reader = _Reader(marks)
    parts: list[str] = []
    position = begin = 0
    for found in marks.pattern.finditer(raw):
        parts.append(raw[begin : found.start()])
        position += found.start() - begin
        begin = found.end()
        reader.take(found[0], position)
    parts.append(raw[begin:])
    reader.finish(position + len(raw) - begin)
    places: list[int] = []
    text = _clean("".join(parts), marks, places)
    phrases = tuple(_located(phrase, text, places) for phrase in reader.phrases)
    problems = (*(phrase.problem for phrase in phrases if phrase.problem), *reader.strays)
    return ParsedAnswer(text, phrases, reader.num_seg, tuple(reader.loose_segs), problems)


def settled(raw_so_far: str, marks: Marks) -> str:
    """The clean text of an unfinished answer, less an end that could still turn out to be a mark."""
    text = _clean(marks.pattern.sub("", raw_so_far), marks)
    longest = max(len(mark) for mark in marks.all) - 1
    length = longest
    while length > 0:
        tail = text[-length:]
        if tail and any(mark.startswith(tail) for mark in marks.all):
            text, length = text[: -len(tail)].rstrip(" "), longest
        else:
            length -= 1
    return text


def render(text: str, spans: Iterable[PhraseSpan | tuple[int, int]], marks: Marks) -> str:
    """Write clean text with its phrases marked, so that `parse` reads the same text and phrases back."""
    if _clean(text, marks) != text:
        raise DialogueError(f"answer text {text!r} is not clean; give it without marks and with single blanks.")
    parts: list[str] = []
    done = 0
    for span in (PhraseSpan(*span) for span in spans):
        words = text[span.start : span.end]
        if not done <= span.start < span.end <= len(text) or words != words.strip():
            raise DialogueError(
                f"phrase {span.start}-{span.end} does not fit an answer of {len(text)} characters; "
                "phrases follow each other, cover words and have no blank at their ends."
            )
        parts += [text[done : span.start], _marked(text, span, marks)]
        done = span.end
    return "".join(parts) + text[done:]


def _marked(text: str, span: PhraseSpan, marks: Marks) -> str:
    """One phrase with its marks, and blanks around them wherever reading takes them out again."""
    start, end, grounded = span
    before = " " if start == 0 or text[start - 1] in " (" else ""
    after = " " if end == len(text) or text[end] in " .,;:!?)" else ""
    return f"{marks.start}{before}{text[start:end]}{after}{marks.end}" + (f"{after}{marks.seg}" if grounded else "")


def _clean(text: str, marks: Marks, places: list[int] | None = None) -> str:
    """Text without marks, white space collapsed, no blank before punctuation.

    Args:
        text: Taken from between the marks.
        marks: Taking marks out may have brought others together; they go as well.
        places: If given, an empty list; gets the new position of each old one, the end of the text included.
    """
    if places is not None:
        places += range(len(text) + 1)
    while marks.pattern.search(text):
        text = _without(marks.pattern, text, places)
    text = _SPACE.sub(" ", _without(_SPACES, text, places))
    return _without(_BLANK_AT_END, _without(_BLANK_BY_PUNCTUATION, text, places), places)


def _without(pattern: re.Pattern[str], text: str, places: list[int] | None) -> str:
    """Delete every match; `places`, which point into the text, move along with it."""
    if places is None:
        return pattern.sub("", text)
    moved: list[int] = []
    kept: list[str] = []
    begin = new = 0
    for found in pattern.finditer(text):
        start, end = found.span()
        kept.append(text[begin:start])
        moved += range(new, new + start - begin)
        new += start - begin
        moved += [new] * (end - start)
        begin = end
    moved += range(new, new + len(text) - begin + 1)
    places[:] = [moved[place] for place in places]
    return "".join(kept) + text[begin:]


def _located(phrase: _Phrase, text: str, places: list[int]) -> ParsedPhrase:
    start = places[phrase.start]
    end = start if phrase.end is None else places[phrase.end]
    words = text[start:end]
    start += len(words) - len(words.lstrip())
    words = words.strip()
    faults = phrase.faults if words else ("empty phrase", *phrase.faults)
    return ParsedPhrase(words, start, start + len(words), phrase.seg, "; ".join(faults) or None)
