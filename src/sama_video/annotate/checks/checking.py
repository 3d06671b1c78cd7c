"""What a model wrote, held against the rules: turns and descriptions are dropped one by one, each with its reasons.

    checked = check_draft(draft, subject, CheckRules(), plan=plan, times=times)
    checked.kept, checked.problems

Rules see what can be seen without looking at the clip: form, wording, and what contradicts labels, expressions and
masklets. A statement that is wrong but could be true passes; `agreement` and a critic look for those.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from sama_video.annotate.asking import TaskPlan
from sama_video.annotate.case import Subject
from sama_video.annotate.checks.facts import (
    Facts,
    check_beginning,
    check_counts,
    check_denial,
    check_description_times,
    check_names,
    check_times,
)
from sama_video.annotate.checks.knowledge import Knowledge
from sama_video.annotate.checks.texts import Finding, check_answer, check_description, check_question, check_wording
from sama_video.annotate.drafts import Draft, DraftTurn, Problem, TaskType
from sama_video.annotate.tags import question_objects, read_answer, without_tags
from sama_video.errors import ConfigError

_GENERAL: Final[tuple[TaskType, ...]] = ("not_there", "counting")
"""Kinds of turns whose question may be about no object."""

_UNGROUNDED: Final[tuple[TaskType, ...]] = ("not_there", "hard_negative")
"""Kinds of turns whose answer may ground nothing."""

_ALIKE: Final = 0.9  # of the words of two questions, from which on they are the same question
_FEW_WORDS: Final = 4


@dataclass(frozen=True)
class CheckRules:
    """What is asked of a draft.

    Attributes:
        fewest_turns: What a draft needs where no plan says how many were wanted.
        most_turns: None for as many as were wanted.
        question_words, answer_words, description_words: Fewest and most.
        phrase_words: Most words of one phrase.
        language: As the model was told; see `languages`.
        time_slack: Seconds by which a time may be off.
        labels: Names of kinds that exclude each other, so that a thing of one is never called another.
    """

    fewest_turns: int = 1
    most_turns: int | None = None
    question_words: tuple[int, int] = (3, 60)
    answer_words: tuple[int, int] = (1, 160)
    description_words: tuple[int, int] = (6, 220)
    phrase_words: int = 12
    language: str = "English"
    time_slack: float | int = 0.25
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("question_words", "answer_words", "description_words"):
            fewest, most = getattr(self, name)
            if not 0 <= fewest <= most:
                raise ConfigError(f"{name} is {fewest} to {most}; give the fewest first, from 0.")


@dataclass(frozen=True)
class Checked:
    """A draft after checking.

    Attributes:
        kept: What has no problem.
        problems: All that was found, in the order of the draft; what concerns the whole comes last.
    """

    kept: Draft
    problems: tuple[Problem, ...]


@dataclass
class _Kept:
    """What has passed so far."""

    turns: list[DraftTurn] = field(default_factory=list)
    descriptions: dict[str, str] = field(default_factory=dict)


def check_draft(
    draft: Draft,
    subject: Subject,
    rules: CheckRules = CheckRules(),
    *,
    plan: TaskPlan | None = None,
    times: tuple[float, ...] | None = None,
) -> Checked:
    """Hold a draft against the rules.

    Args:
        plan: What was asked for; None where nobody knows, and a description of each object is expected.
        times: When each frame of the clip appears, in seconds; None where nobody knows.
    """
    facts = Facts(subject, Knowledge(subject, rules.labels), times, rules.time_slack)
    kept, problems = _Kept(), list(draft.faults)
    for object_id, text in draft.descriptions.items():
        found = _told(f"description {object_id}", _description_findings(object_id, text, facts, rules, kept))
        problems += found
        if not found:
            kept.descriptions[object_id] = text
    most = rules.most_turns if rules.most_turns is not None else None if plan is None else len(plan.turns)
    for place, turn in enumerate(draft.turns, start=1):
        found = _told(f"turn {place}", _turn_findings(turn, facts, rules, kept, most))
        problems += found
        if not found:
            kept.turns.append(turn)
    problems += _told("draft", _whole_findings(kept, subject, rules, plan))
    return Checked(Draft(kept.descriptions, tuple(kept.turns)), tuple(problems))


def _told(place: str, findings: Iterable[Finding]) -> list[Problem]:
    return [Problem(place, reason, detail) for reason, detail in dict.fromkeys(findings)]


def _description_findings(object_id: str, text: str, facts: Facts, rules: CheckRules, kept: _Kept) -> Iterator[Finding]:
    if facts.subject.thing(object_id) is None:
        yield "unknown_object", f"{object_id} is no object of this clip"
    yield from check_description(text)
    yield from check_wording(text, rules.description_words, rules.language, facts.knowledge.vocabulary)
    yield from check_beginning(object_id, text, facts)
    yield from check_description_times(text, object_id, facts)
    twin = next((name for name, other in kept.descriptions.items() if _bare(other) == _bare(text)), None)
    if twin is not None:
        yield "repeated_turn", f"{twin} is described in the same words"


def _turn_findings(
    turn: DraftTurn, facts: Facts, rules: CheckRules, kept: _Kept, most: int | None
) -> Iterator[Finding]:
    known = [thing.object_id for thing in facts.subject.things]
    vocabulary = facts.knowledge.vocabulary
    yield from check_question(turn.question, known)
    yield from check_answer(turn.answer, known, rules.phrase_words)
    yield from check_wording(turn.question, rules.question_words, rules.language, vocabulary)
    yield from check_wording(turn.answer, rules.answer_words, rules.language, vocabulary)
    if turn.task not in _GENERAL and not question_objects(turn.question):
        yield "no_object_in_question", f"a question of the kind {turn.task} names no object"
    if turn.task not in _UNGROUNDED and not read_answer(turn.answer).phrases:
        yield "ungrounded_answer", f"an answer of the kind {turn.task} has no phrase"
    yield from check_names(turn, facts)
    yield from check_times(turn, facts)
    yield from check_counts(turn, facts)
    yield from check_denial(turn, facts, in_english=rules.language == "English")
    yield from _repetition(turn, kept.turns)
    if most is not None and len(kept.turns) >= most:
        yield "too_many_turns", f"{most} were asked for"


def _repetition(turn: DraftTurn, earlier: list[DraftTurn]) -> Iterator[Finding]:
    asked, said = _bare(without_tags(turn.question)), _bare(without_tags(turn.answer))
    if asked and (asked == said or (len(asked.split()) >= _FEW_WORDS and asked in said)):
        yield "echo", "the answer repeats the question"
    for place, other in enumerate(earlier, start=1):
        if _are_alike(turn.question, other.question):
            yield "repeated_turn", f"the question repeats that of kept turn {place}"
            return


def _are_alike(one: str, other: str) -> bool:
    """Whether two questions ask the same: about the same objects, in nearly the same words."""
    if sorted(question_objects(one)) != sorted(question_objects(other)):
        return False
    words, others = (set(_bare(without_tags(text)).split()) for text in (one, other))
    if words == others:
        return True
    enough = min(len(words), len(others)) > _FEW_WORDS
    return enough and len(words & others) >= _ALIKE * len(words | others)


def _whole_findings(kept: _Kept, subject: Subject, rules: CheckRules, plan: TaskPlan | None) -> Iterator[Finding]:
    wanted = [thing.object_id for thing in subject.things] if plan is None else plan.describe
    missing = [object_id for object_id in wanted if object_id not in kept.descriptions]
    if missing:
        yield "missing_description", f"{', '.join(missing)} has none that can be kept"
    fewest = rules.fewest_turns if plan is None else len(plan.turns)
    if len(kept.turns) < fewest:
        yield "too_few_turns", f"{len(kept.turns)} can be kept, {fewest} are wanted"


def _bare(text: str) -> str:
    """Words alone, in lower case."""
    return " ".join(re.findall(r"\w+", text.lower()))
