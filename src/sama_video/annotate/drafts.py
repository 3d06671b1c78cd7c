"""Draft: what a language model wrote about one subject, read from its reply exactly, and still to be checked.

A reply is one JSON object; a fence of Markdown or a sentence around it does no harm. What cannot be read gives a
DraftError with a reason; one turn that has not its parts is left out and told, and the others are kept.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, TypeAlias, get_args

from sama_video.errors import DataError, SamaError

TaskType: TypeAlias = Literal[
    "description", "dialogue", "relation", "temporal", "counting", "reasoning", "not_there", "hard_negative"
]
"""What a turn asks for: a thing's looks and doings; a talk that goes on; how two things relate; when; how many; why;
whether something is there that is not; something untrue of a thing that is there."""

TASK_TYPES: Final[tuple[TaskType, ...]] = get_args(TaskType)

_SHOWN: Final = 80
_DECODER: Final = json.JSONDecoder(strict=False, object_pairs_hook=lambda pairs: _Row(pairs))
_REFUSAL: Final = re.compile(
    r"\bi(?:['’]m| am) (?:very |truly )?(?:sorry|unable|not able)\b|\bi apologi[sz]e\b|^\W*sorry\b"
    r"|\bi (?:can(?:['’]t|not| not)|could(?:n['’]t| not)|won['’]t|will not|do(?:n['’]t| not)) (?!\w+ed\b)\w+"
    r"|\bas an? (?:ai|(?:large )?language model|assistant)\b"
    r"|\b(?:against|violates?) (?:my|our|the) (?:\w+ )?(?:guidelines|polic)|\b(?:my )?apologies\b"
    r"|\b(?:i|we) (?:must |have to |would )?(?:decline|refuse)\b|\bi am (?:just|only) an?\b|\binappropriate for me\b",
    re.IGNORECASE,
)


class DraftError(SamaError):
    """A reply from which no draft can be read.

    Attributes:
        reason: One of `reasons.REASONS`.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Problem:
    """Something that is wrong with a draft.

    Attributes:
        place: `turn 3`, `description obj2`, `draft`, or `reply turn 3` for one that could not be read.
        reason: One of `reasons.REASONS`.
        detail: What was found there.
    """

    place: str
    reason: str
    detail: str

    def to_json(self) -> dict[str, str]:
        """As a ledger keeps it."""
        return {"place": self.place, "reason": self.reason, "detail": self.detail}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "Problem":
        """Read what a ledger kept."""
        return cls(str(row["place"]), str(row["reason"]), str(row["detail"]))


@dataclass(frozen=True)
class DraftTurn:
    """One question and its answer in the tag language of `tags`.

    Attributes:
        spans: Stretches of the clip that the turn is about, start and end in seconds.
    """

    question: str
    answer: str
    task: TaskType
    spans: tuple[tuple[float | int, float | int], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The form of one entry of a draft's `turns`."""
        row: dict[str, Any] = {"task": self.task, "question": self.question, "answer": self.answer}
        return row | {"spans": [list(span) for span in self.spans]}


@dataclass(frozen=True)
class Draft:
    """Descriptions and a dialogue about one subject.

    Attributes:
        descriptions: Text by object id.
        faults: Parts of the reply that could not be read.
    """

    descriptions: Mapping[str, str]
    turns: tuple[DraftTurn, ...]
    faults: tuple[Problem, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """The form that `from_json` reads, and a reviewer may change."""
        row: dict[str, Any] = {
            "descriptions": [{"object": name, "text": text} for name, text in self.descriptions.items()],
            "turns": [turn.to_json() for turn in self.turns],
        }
        return row | {"faults": [fault.to_json() for fault in self.faults]} if self.faults else row

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "Draft":
        """Read a draft that was kept.

        Raises:
            DataError: It has not the form of `to_json`.
        """
        draft = _draft_of(row)
        if draft.faults:
            raise DataError(
                f"draft: {draft.faults[0].place}: {draft.faults[0].detail}; give the form of Draft.to_json."
            )
        return replace(draft, faults=tuple(Problem.from_json(fault) for fault in row.get("faults", ())))

    def joined(self, other: "Draft") -> "Draft":
        """This draft with what another one adds: descriptions that it lacks, and all turns behind its own."""
        return Draft({**other.descriptions, **self.descriptions}, (*self.turns, *other.turns), other.faults)


class _Row(dict[str, Any]):
    """A JSON object that knows which keys came twice."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.repeated = sorted({key for key, _ in pairs if sum(key == other for other, _ in pairs) > 1})


def is_refusal(text: str) -> bool:
    """Whether a text is one in which a model speaks of what it will not or cannot do."""
    return _REFUSAL.search(text) is not None


def read_draft(text: str, finish_reason: str = "stop", refusal: str | None = None) -> Draft:
    """Read a model's reply.

    Args:
        text: What it said.
        finish_reason: Why it ended; `length` or `content_filter` explains what is cut off.
        refusal: What the endpoint tells apart as one.

    Raises:
        DraftError: `refusal`, `empty_reply`, `cut_json`, `no_json` or `wrong_form`.
    """
    if refusal or finish_reason == "content_filter":
        raise DraftError("refusal", f"the model refused: {_shown(refusal or finish_reason)}.")
    if not text.strip():
        raise DraftError("empty_reply", "the model replied with nothing.")
    draft = _draft_of(_find_object(text, finish_reason))
    if not draft.turns and not draft.descriptions and not draft.faults:
        raise DraftError("wrong_form", "the reply has neither turns nor descriptions.")
    return draft


def _find_object(text: str, finish_reason: str) -> Mapping[str, Any]:
    """The first JSON object of a reply that has what a draft is made of."""
    broken: json.JSONDecodeError | None = None
    start = text.find("{")
    while start >= 0:
        try:
            value, end = _DECODER.raw_decode(text, start)
        except json.JSONDecodeError as error:
            broken = broken or error
            break
        except RecursionError:
            raise DraftError("wrong_form", "the reply is nested too deeply to be a draft.") from None
        if isinstance(value, _Row) and {"turns", "descriptions"} & set(value):
            if value.repeated:
                raise DraftError("wrong_form", f"the reply has {', '.join(value.repeated)} twice.")
            return value
        start = text.find("{", end)
    if broken is not None:
        raise _broken(text, broken, finish_reason)
    if is_refusal(text):
        raise DraftError("refusal", f"the model refused: {_shown(text)}.")
    raise DraftError("no_json", f"the reply holds no JSON object with turns or descriptions: {_shown(text)}.")


def _broken(text: str, error: json.JSONDecodeError, finish_reason: str) -> DraftError:
    """JSON that ends before its end, or that is wrong in the middle."""
    is_cut = finish_reason == "length" or error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string")
    if is_cut:
        return DraftError("cut_json", f"the reply's JSON breaks off after {len(text)} characters.")
    return DraftError("no_json", f"the reply's JSON is wrong at character {error.pos}: {error.msg}.")


def _draft_of(row: Mapping[str, Any]) -> Draft:
    faults: list[Problem] = []
    descriptions = _descriptions(row.get("descriptions", []), faults)
    turns = row.get("turns", [])
    if not isinstance(turns, list):
        raise DraftError("wrong_form", f"turns is a {type(turns).__name__}, not a list.")
    read = [_turn(item, f"reply turn {place}", faults) for place, item in enumerate(turns, start=1)]
    return Draft(descriptions, tuple(turn for turn in read if turn is not None), tuple(faults))


def _descriptions(value: object, faults: list[Problem]) -> dict[str, str]:
    """Texts by object id, from a list of objects or one mapping; brackets around an id do no harm."""
    if isinstance(value, Mapping):
        value = [{"object": key, "text": text} for key, text in value.items()]
    if not isinstance(value, list):
        raise DraftError("wrong_form", f"descriptions is a {type(value).__name__}, not a list.")
    texts: dict[str, str] = {}
    for place, item in enumerate(value, start=1):
        name, text = (item.get("object"), item.get("text")) if isinstance(item, Mapping) else (None, None)
        if not isinstance(name, str) or not isinstance(text, str):
            faults.append(Problem(f"reply description {place}", "wrong_form", "it has not the texts object and text"))
            continue
        name = name.strip().strip("<>")
        if name in texts:
            faults.append(Problem(f"description {name}", "repeated_turn", "the object is described twice"))
            continue
        texts[name] = text.strip()
    return texts


def _turn(value: object, place: str, faults: list[Problem]) -> DraftTurn | None:
    row = value if isinstance(value, Mapping) else {}
    question, answer, task = (row.get(key) for key in ("question", "answer", "task"))
    if not isinstance(question, str) or not isinstance(answer, str):
        faults.append(Problem(place, "wrong_form", "it has not the texts question and answer"))
        return None
    known: TaskType | None = next((one for one in TASK_TYPES if one == (task or "dialogue")), None)
    spans = _spans(row.get("spans") or [])
    if known is None or spans is None:
        wrong = f"the task {task!r} is none of ours" if known is None else "spans are no pairs of seconds"
        faults.append(Problem(place, "wrong_form", wrong))
        return None
    return DraftTurn(question.strip(), answer.strip(), known, spans)


def _spans(value: object) -> tuple[tuple[float, float], ...] | None:
    """Pairs of seconds, as lists or as objects with start and end; None where they are neither."""
    if not isinstance(value, list):
        return None
    spans = []
    for item in value:
        ends = [item.get("start"), item.get("end")] if isinstance(item, Mapping) else item
        if not isinstance(ends, list) or len(ends) != 2:
            return None
        if not all(isinstance(end, int | float) and not isinstance(end, bool) and math.isfinite(end) for end in ends):
            return None
        spans.append((float(ends[0]), float(ends[1])))
    return tuple(spans)


def _shown(text: str) -> str:
    line = " ".join(text.split())
    return repr(line if len(line) <= _SHOWN else line[:_SHOWN] + "…")
