"""What a judge is asked on each scale, under a version that is part of the judge's name.

The published scales come with sentences, models and temperatures of their own (spec bench, 1.6 and 3.1). These are
other sentences at temperature 0, so a figure from here never stands as the published one; it carries the judge's name.
Whoever changes a sentence changes the version: a test holds each to its hash.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from sama_video.bench import parsing, wording
from sama_video.errors import ConfigError
from sama_video.remote.messages import Message, Reply, Request, Sampling

CLAIR: Final = "clair"
VIDEOREFER_D: Final = "videorefer-d"

_TASK_SCALES: Final = {"videorefer-d": VIDEOREFER_D}
_MOST_SCORE: Final = 5.0


@dataclass(frozen=True)
class Reading:
    """What a reply comes to.

    Attributes:
        value: One figure from 0 to 1; None where the reply has no score.
        dimensions: The scores by name, on their own scale.
        reason: The judge's, or why there is no value.
    """

    value: float | None
    dimensions: Mapping[str, float]
    reason: str | None


@dataclass(frozen=True)
class Scale:
    """One way to judge an answer.

    Attributes:
        version: Name and number of the wording.
        dimensions: What it gives a score for.
        most_tokens: Longest reply.
    """

    name: str
    version: str
    dimensions: tuple[str, ...]
    most_tokens: int
    messages: Callable[[str, str], tuple[Message, ...]]
    read: Callable[[str], Reading]

    def request(self, reference: str, prediction: str) -> Request:
        """What is asked of the judge."""
        return Request(self.messages(reference, prediction), self.version, Sampling(max_tokens=self.most_tokens))

    def read_reply(self, reply: Reply) -> Reading:
        """What the judge said, if it said anything; a refusal with a number in it is no score."""
        if reply.refusal is not None:
            return Reading(None, {}, "the judge refused")
        if reply.finish_reason == "content_filter":
            return Reading(None, {}, "the judge's reply was filtered")
        if not reply.text.strip():
            return Reading(None, {}, "the judge's reply is empty")
        return self.read(reply.text)


def scale_named(name: str) -> Scale:
    """The scale of that name."""
    if name not in SCALES:
        raise ConfigError(f"no scale of a judge is named {name!r}; there are: {', '.join(SCALES)}.")
    return SCALES[name]


def scale_of_task(task: str) -> Scale:
    """The scale that a benchmark's answers are judged on, unless told otherwise."""
    return SCALES[_TASK_SCALES.get(task, CLAIR)]


def _clair_messages(reference: str, prediction: str) -> tuple[Message, ...]:
    prompt = wording.clair_prompt([prediction], [reference], subject="video")
    return Message("system", (wording.JUDGE_SYSTEM,)), Message("user", (prompt,))


def _read_clair(reply: str) -> Reading:
    found = parsing.clair_strict(reply)
    if found.score is None:
        return Reading(None, {}, found.problem)
    return Reading(found.score, {CLAIR: found.score}, found.reason)


def _videorefer_messages(reference: str, prediction: str) -> tuple[Message, ...]:
    prompt = wording.videorefer_judge_user(reference, prediction)
    return Message("system", (wording.videorefer_judge_system(),)), Message("user", (prompt,))


def _read_videorefer(reply: str) -> Reading:
    """The dimensions that are there count each for itself; one figure over them needs all four."""
    found = parsing.videorefer_scores_strict(reply)
    missing = [name for name in parsing.VIDEOREFER_DIMENSIONS if name not in found]
    if missing:
        return Reading(None, found, f"the reply has no score for {', '.join(missing)}")
    return Reading(sum(found.values()) / len(found) / _MOST_SCORE, found, None)


SCALES: Final[dict[str, Scale]] = {
    CLAIR: Scale(CLAIR, "clair-sama-1", (CLAIR,), 300, _clair_messages, _read_clair),
    VIDEOREFER_D: Scale(
        VIDEOREFER_D,
        "videorefer-d-sama-1",
        parsing.VIDEOREFER_DIMENSIONS,
        800,
        _videorefer_messages,
        _read_videorefer,
    ),
}
