"""Checks of what is said: times, numbers of things, denials, and names that belong to another object."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from sama_video.annotate.case import Subject
from sama_video.annotate.checks.knowledge import Knowledge, head_words
from sama_video.annotate.checks.moments import moments_in, without_moments
from sama_video.annotate.checks.texts import Finding
from sama_video.annotate.drafts import DraftTurn
from sama_video.annotate.tags import named_things, question_objects, read_answer, without_tags
from sama_video.dialogue.markup import PHRASE_END, PHRASE_START

_NUMBERS: Final = "zero one two three four five six seven eight nine ten eleven twelve"
_VALUES: Final = {word: value for value, word in enumerate(_NUMBERS.split())} | {"both": 2, "no": 0, "none": 0}
_NUMBER: Final = re.compile(rf"\b({'|'.join(_VALUES)}|[0-9]{{1,3}})\b", re.IGNORECASE)
_PHRASE_NUMBER: Final = re.compile(
    r"^(?:the|these|those|all|its|their)?\s*(two|three|four|five|six|seven|eight|nine|ten|both|[2-9])\b(?!\s*(?:s|sec))",
    re.IGNORECASE,
)
_HOW_MANY: Final = re.compile(
    r"\bhow many ([a-z -]+?)(?:\s+(?:are|is|do|does|can|appear|move|there|in|have|has)\b|\?|$)", re.IGNORECASE
)
_ABSENCE: Final = re.compile(
    r"\b(?:hid|hides?|hidden|hiding|disappear\w*|vanish\w*|leav\w*|left the|gone|behind|absent|unseen|covered|covers|"
    r"reappear\w*|out of (?:view|sight)|off[- ]screen|no longer|not (?:visible|seen|in|there)|before it|comes? back|"
    r"returns?|blocks?|blocked|occlud\w*|obscur\w*|enters?|appears?)\b",
    re.IGNORECASE,
)
_DENIAL: Final = re.compile(
    r"\b(?:no|none|never|nothing|nobody|neither|nowhere|without|absent|missing|\w+n['’]t|cannot)\b|^\W*not\b"
    r"|\b(?:is|are|was|were|do|does|did|can|could|has|have|had|will|would|but|and|there|it|they) not\b",
    re.IGNORECASE,
)
_SENTENCE_END: Final = re.compile(r"(?<=[.!?;])\s+")


@dataclass(frozen=True)
class Facts:
    """What is known of a subject before anything is said of it.

    Attributes:
        times: When each frame appears, in seconds; None where nobody knows, and nothing about time is checked.
        slack: Seconds by which a time may be off.
    """

    subject: Subject
    knowledge: Knowledge
    times: tuple[float, ...] | None
    slack: float | int

    @cached_property
    def duration(self) -> float:
        """About when the last frame ends; 0 where times are not known."""
        if not self.times:
            return 0.0
        step = (self.times[-1] - self.times[0]) / max(1, len(self.times) - 1)
        return self.times[-1] + (step or 1 / 24)

    def is_visible(self, object_id: str, span: tuple[float | int, float | int]) -> bool:
        """Whether an object is seen at some moment of a stretch of time."""
        thing = self.subject.thing(object_id)
        if thing is None or thing.masklet is None or self.times is None:
            return True
        frames = [
            frame
            for frame, time in enumerate(self.times)
            if span[0] - self.slack - 1e-6 <= time <= span[1] + self.slack + 1e-6
        ]
        return any(thing.masklet.rles[frame] is not None for frame in frames)


def check_names(turn: DraftTurn, facts: Facts) -> Iterator[Finding]:
    """Names at the tags of objects that they do not fit."""
    for phrase in read_answer(turn.answer).phrases:
        verdict = facts.knowledge.judge(phrase.words, phrase.object_ids)
        if verdict is not None:
            yield verdict.reason, f"{phrase.words!r}: {verdict.detail}"
    for words, object_id in named_things(turn.question):
        verdict = facts.knowledge.judge_before_tag(words, object_id)
        if verdict is not None:
            yield verdict.reason, f"{words!r}: {verdict.detail}"


def check_beginning(object_id: str, text: str, facts: Facts) -> Iterator[Finding]:
    """A description that begins with the name of another object."""
    verdict = facts.knowledge.judge_beginning(text, object_id)
    if verdict is not None:
        yield verdict.reason, verdict.detail


def check_times(turn: DraftTurn, facts: Facts) -> Iterator[Finding]:
    """Times that the clip has not, or at which an object that is spoken of is not visible."""
    said = moments_in(without_tags(turn.answer))
    if turn.task == "temporal" and not (said.spans or said.lengths or turn.spans):
        yield "no_time", "the answer names no seconds"
    if facts.times is None:
        return
    asked = moments_in(without_tags(turn.question))
    for span in (*turn.spans, *said.spans, *asked.spans):
        if span[0] > span[1] or span[1] > facts.duration + facts.slack:
            yield "time_outside_clip", f"{span[0]:g} to {span[1]:g} s, but the clip lasts {facts.duration:.2f} s"
            return
    if any(length > facts.duration + facts.slack for length in said.lengths):
        yield "time_outside_clip", f"{max(said.lengths):g} s, but the clip lasts {facts.duration:.2f} s"
        return
    yield from _unseen(turn, facts)


def check_description_times(text: str, object_id: str, facts: Facts) -> Iterator[Finding]:
    """The same for a description."""
    yield from check_times(DraftTurn("", f"{text}<{object_id}>", "description"), facts)


def check_counts(turn: DraftTurn, facts: Facts) -> Iterator[Finding]:
    """Numbers of things that differ from the number of objects that are tagged."""
    tagged = read_answer(turn.answer)
    for phrase in tagged.phrases:
        found = _PHRASE_NUMBER.match(phrase.words)
        if found and phrase.object_ids and _value(found[1]) != len(phrase.object_ids):
            yield "wrong_count", f"{phrase.words!r} is tagged as {len(phrase.object_ids)}"
            return
    if turn.task != "counting":
        return
    outside = re.sub(rf"{PHRASE_START}.*?(?:{PHRASE_END}|$)", " ", turn.answer, flags=re.DOTALL)
    found = _NUMBER.search(without_moments(without_tags(outside)))
    count = len(set(tagged.object_ids))
    if found and tagged.object_ids and _value(found[1]) != count:
        yield "wrong_count", f"{found[0]!r}, but {count} objects are tagged"
        return
    asked = _HOW_MANY.search(without_tags(turn.question))
    words = frozenset(head_words(asked[1])) if asked else frozenset()
    least = len(facts.knowledge.fitting(words)) if words else 0
    if found and _value(found[1]) < least:
        yield "wrong_count", f"{found[0]!r}, but {least} are known"


def check_denial(turn: DraftTurn, facts: Facts, *, in_english: bool) -> Iterator[Finding]:
    """Turns about what is not there or not so: the answer says so, and what it denies is not known to be there."""
    if turn.task not in ("not_there", "hard_negative"):
        return
    if in_english and not _DENIAL.search(without_tags(turn.answer)):
        yield "no_denial", f"{without_tags(turn.answer)[:60]!r} denies nothing"
    if turn.task == "not_there" and not question_objects(turn.question):
        there = _things_asked_for(turn.question, facts.knowledge)
        if there and not read_answer(turn.answer).object_ids:
            yield "denies_what_is_there", f"{there} fits the question"


def _things_asked_for(question: str, knowledge: Knowledge) -> str | None:
    """An object of which all the words of a question's thing are known; None where it has a word of its own."""
    words: list[str] = re.findall(r"[a-z-]+", question.lower())
    for place, word in enumerate(words):
        if word not in ("a", "an", "any", "the"):
            continue
        head = head_words(" ".join(words[place:]))
        nouns = frozenset().union(*knowledge.nouns.values())
        end = next((at for at, one in enumerate(head) if one in nouns), None)
        fitting = knowledge.fitting(head[: end + 1]) if end is not None else []
        if fitting:
            return fitting[0]
    return None


def _unseen(turn: DraftTurn, facts: Facts) -> Iterator[Finding]:
    """Objects that are not visible at any moment of the time that is named with them."""
    everyone = tuple(dict.fromkeys((*question_objects(turn.question), *read_answer(turn.answer).object_ids)))
    for sentence in _SENTENCE_END.split(turn.answer):
        spans = moments_in(without_tags(sentence)).spans
        if not spans or _ABSENCE.search(without_tags(sentence)):
            continue
        objects = tuple(dict.fromkeys(re.findall(r"<(obj[0-9]+)>", sentence))) or _only(everyone)
        for object_id in objects:
            if not any(facts.is_visible(object_id, span) for span in spans):
                yield "not_visible_then", f"{object_id} is not visible {_told(spans)}"
                return


def _only(objects: Sequence[str]) -> tuple[str, ...]:
    return tuple(objects) if len(objects) == 1 else ()


def _told(spans: Sequence[tuple[float, float]]) -> str:
    return ", ".join(f"at {a:g} s" if a == b else f"from {a:g} to {b:g} s" for a, b in spans)


def _value(word: str) -> int:
    return int(word) if word.isdigit() else _VALUES[word.lower()]
