"""Requests to a language model: which turns are wanted of a subject, the first request, its repair, and the critic's.

A subject's plan follows from the mix, the seed and the subject alone, so order and workers change nothing. Shares of
the mix are kept by systematic sampling: each kind's number of turns in one subject is its quota, rounded up or down,
and its mean over subjects is the quota itself.
"""

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from sama_video.annotate import wording
from sama_video.annotate.case import Subject
from sama_video.annotate.drafts import TASK_TYPES, Draft, DraftError, Problem, TaskType
from sama_video.annotate.drawing import Drawing
from sama_video.data.building.draws import Draws
from sama_video.errors import ConfigError
from sama_video.remote.messages import AnswerForm, Message, Picture, Request, Sampling

EVEN_MIX: Final[Mapping[str, float | int]] = {
    "description": 1,
    "dialogue": 3,
    "relation": 2,
    "temporal": 2,
    "counting": 1,
    "reasoning": 2,
    "not_there": 1,
    "hard_negative": 1,
}
"""Shares of the kinds of turns unless the caller says otherwise."""

_NO_OBJECT: Final[tuple[TaskType, ...]] = ("not_there",)
_MANY_OBJECTS: Final[tuple[TaskType, ...]] = ("counting",)
_SCALE: Final = 1 << 30


@dataclass(frozen=True)
class TaskMix:
    """Which turns are wanted, and how many.

    Attributes:
        shares: Of each kind; one that is not named gets none.
        turns_per_object: Turns wanted for each object.
        most_turns: Of one subject.
        descriptions: Whether each object gets a description beside the turns.
    """

    shares: Mapping[str, float | int] = field(default_factory=lambda: dict(EVEN_MIX), hash=False)
    turns_per_object: float | int = 2
    most_turns: int = 8
    descriptions: bool = True

    def __post_init__(self) -> None:
        unknown = [name for name in self.shares if name not in TASK_TYPES]
        if unknown:
            raise ConfigError(f"mix names {', '.join(unknown)}; kinds of turns are {', '.join(TASK_TYPES)}.")
        if any(not 0 <= share < math.inf for share in self.shares.values()) or self.turns_per_object < 0:
            raise ConfigError("mix has a share or turns_per_object that is no number from 0; give 0 or more.")
        wants_turns = self.most_turns > 0 and self.turns_per_object > 0
        if wants_turns and not sum(self.shares.values()):
            raise ConfigError("mix wants turns, but all its shares are 0; give at least one kind of turn a share.")


@dataclass(frozen=True)
class WantedTurn:
    """One turn that a model is to write."""

    task: TaskType
    object_ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class TaskPlan:
    """What is wanted of one subject: texts for these objects, and these turns in order."""

    describe: tuple[str, ...]
    turns: tuple[WantedTurn, ...]


@dataclass(frozen=True)
class AskSettings:
    """How a model is asked.

    Attributes:
        temperature: None leaves it to the server.
        structured: Whether the endpoint is told the JSON schema; not all can hold a model to one.
        language: In English words, such as `German`.
    """

    temperature: float | int | None = 0.7
    max_tokens: int = 4096
    seed: int | None = None
    structured: bool = True
    language: str = "English"

    @property
    def sampling(self) -> Sampling:
        """As a request takes it."""
        return Sampling(temperature=self.temperature, max_tokens=self.max_tokens, seed=self.seed)


def plan_tasks(subject: Subject, mix: TaskMix, seed: int) -> TaskPlan:
    """The turns that are wanted of a subject: kinds by the mix, objects in turn so that each gets its share."""
    names = [thing.object_id for thing in subject.things]
    draws = Draws("plan", seed, subject.subject_id)
    shares = {task: mix.shares.get(task, 0) for task in TASK_TYPES if _is_possible(task, len(names))}
    count = min(round(mix.turns_per_object * len(names)), mix.most_turns) if sum(shares.values()) else 0
    tasks = _ordered(list(_drawn_tasks(shares, count, draws)), draws)
    around = _Round(draws.shuffled(names))
    turns = tuple(WantedTurn(task, _objects_for(task, around, names)) for task in tasks)
    return TaskPlan(tuple(names) if mix.descriptions else (), turns)


def request_for(subject: Subject, drawing: Drawing, plan: TaskPlan, settings: AskSettings = AskSettings()) -> Request:
    """The first request about a subject."""
    text = f"{_subject_text(subject, drawing)}\n{wording.plan_text(plan.describe, _as_pairs(plan.turns))}"
    messages = (
        Message("system", (wording.system_text(settings.language),)),
        Message("user", (text, *map(Picture, drawing.pictures))),
    )
    return Request(messages, wording.ASK_VERSION, settings.sampling, _form("draft", wording.draft_schema(), settings))


def repair_plan(plan: TaskPlan, kept: Draft) -> TaskPlan:
    """What is still wanted after checking: the descriptions and the kinds of turns that are not kept."""
    left = Counter(turn.task for turn in kept.turns)
    missing = []
    for wanted in plan.turns:
        if left[wanted.task]:
            left[wanted.task] -= 1
        else:
            missing.append(wanted)
    room = max(0, len(plan.turns) - len(kept.turns))
    return TaskPlan(tuple(one for one in plan.describe if one not in kept.descriptions), tuple(missing[:room]))


def repair_request(request: Request, reply_text: str, problems: Sequence[Problem], missing: TaskPlan) -> Request:
    """The one request that follows a faulty reply: the same, the reply, and what was wrong with it.

    Args:
        missing: What is to be written again, from `repair_plan`; what comes back joins what was kept.
    """
    text = wording.repair_text(problems, missing.describe, _as_pairs(missing.turns))
    said = Message("assistant", (reply_text or "{}",))
    messages = (*request.messages, said, Message("user", (text,)))
    return replace(request, messages=messages, prompt_version=wording.REPAIR_VERSION)


def critic_request(
    subject: Subject, drawing: Drawing, draft: Draft, settings: AskSettings = AskSettings(temperature=0)
) -> Request:
    """What a second model is asked about a checked draft."""
    text = f"{_subject_text(subject, drawing)}\nTexts:\n{wording.draft_text(draft)}"
    messages = (
        Message("system", (wording.critic_text(settings.language),)),
        Message("user", (text, *map(Picture, drawing.pictures))),
    )
    return Request(
        messages, wording.CRITIC_VERSION, settings.sampling, _form("verdicts", wording.critic_schema(), settings)
    )


def read_critic(text: str, draft: Draft) -> tuple[Problem, ...]:
    """What a critic has against a draft; a place that it says nothing of counts as right.

    Raises:
        DraftError: The reply cannot be read.
    """
    start, end = text.find("{"), text.rfind("}")
    try:
        rows = json.loads(text[start : end + 1], strict=False)["verdicts"]
        verdicts = [(str(row["place"]).strip(), row["true"], str(row.get("why", ""))) for row in rows]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise DraftError("no_json", f"the critic's reply holds no verdicts: {text[:80]!r}.") from None
    places = set(places_of(draft))
    return tuple(
        Problem(place, "critic", " ".join(why.split()) or "the critic gives no reason")
        for place, is_true, why in verdicts
        if place in places and is_true is False
    )


def places_of(draft: Draft) -> Iterator[str]:
    """The place of each text of a draft, as problems name it."""
    yield from (f"description {name}" for name in draft.descriptions)
    yield from (f"turn {place}" for place in range(1, len(draft.turns) + 1))


def without_places(draft: Draft, problems: Sequence[Problem]) -> Draft:
    """A draft less the texts that problems name."""
    places = {problem.place for problem in problems}
    return Draft(
        {name: text for name, text in draft.descriptions.items() if f"description {name}" not in places},
        tuple(turn for place, turn in enumerate(draft.turns, start=1) if f"turn {place}" not in places),
    )


class _Round:
    """Objects in turn, so that each is asked about as often as the others."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names, self._place = names, 0

    def take(self, count: int) -> tuple[str, ...]:
        """The next objects, each once."""
        count = min(count, len(self._names))
        taken = [self._names[(self._place + step) % len(self._names)] for step in range(count)]
        self._place += count
        return tuple(taken)


def _is_possible(task: TaskType, num_objects: int) -> bool:
    return num_objects > 1 if task == "relation" else num_objects > 0


def _drawn_tasks(shares: Mapping[TaskType, float | int], count: int, draws: Draws) -> Iterator[TaskType]:
    """Kinds by systematic sampling: a comb with even teeth and a random start, laid over the shares."""
    if not count:
        return
    total = sum(shares.values())
    order = draws.shuffled(list(shares))
    start, before = draws.below(_SCALE) / _SCALE, 0.0
    for task in order:
        after = float(count) if task == order[-1] else before + shares[task] / total * count
        yield from [task] * (math.floor(after + start) - math.floor(before + start))
        before = after


def _ordered(tasks: list[TaskType], draws: Draws) -> list[TaskType]:
    """Kinds in a mixed order; what carries on from another turn does not come first."""
    mixed = draws.shuffled(tasks)
    first = next((place for place, task in enumerate(mixed) if task != "dialogue"), 0)
    return [mixed[first], *mixed[:first], *mixed[first + 1 :]] if mixed else []


def _objects_for(task: TaskType, around: _Round, names: Sequence[str]) -> tuple[str, ...]:
    if task in _NO_OBJECT:
        return ()
    if task in _MANY_OBJECTS:
        return tuple(names)
    return around.take(2 if task == "relation" else 1)


def _subject_text(subject: Subject, drawing: Drawing) -> str:
    known = {
        thing.object_id: tuple(dict.fromkeys((*([thing.label] if thing.label else []), *thing.expressions[:3])))
        for thing in subject.things
    }
    shown = list(zip(drawing.seconds, drawing.visible, strict=True))
    return wording.subject_text(subject.subject_id, drawing.duration, known, shown)


def _as_pairs(turns: Sequence[WantedTurn]) -> list[tuple[TaskType, Sequence[str]]]:
    return [(turn.task, turn.object_ids) for turn in turns]


def _form(name: str, schema: Mapping[str, Any], settings: AskSettings) -> AnswerForm | None:
    return AnswerForm(name, schema) if settings.structured else None
