"""ScriptedTransport: a language model that knows synthetic clips by heart, in the place of one behind an address.

    transport = ScriptedTransport(Slips(rate=0.3), seed=0)
    transport.meet(subject)
    model = LanguageModel("scripted", store, transport)

What it says follows from the seed, the subject and the request, whoever asks and in whatever order. It is also what a
server on the loopback can answer with: `reply_to(body)` gives the text alone.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sama_video.annotate.case import Subject
from sama_video.annotate.scripted.answers import Json, Speaker
from sama_video.annotate.scripted.heard import Heard, hear
from sama_video.annotate.scripted.mistakes import HIDDEN_KINDS, KINDS, plant
from sama_video.annotate.scripted.scene import as_text
from sama_video.annotate.scripted.truth import TrueClip, truth_of
from sama_video.annotate.scripted.verdicts import verdicts
from sama_video.data.building.draws import Draws
from sama_video.errors import ConfigError
from sama_video.remote.messages import Reply
from sama_video.remote.transport import EndpointError

MODEL_NAME: Final = "scripted-1"

_CHARACTERS_PER_TOKEN: Final = 4
_TOKENS_PER_PICTURE: Final = 1000
_SCALE: Final = 1 << 30


@dataclass(frozen=True)
class Slips:
    """How often the endpoint makes mistakes.

    Attributes:
        rate: Share of first replies with a mistake.
        repair_rate: The same of replies to a request for repair.
        kinds: Which mistakes, each as often as the others where it fits; all that a check can see by default.
    """

    rate: float | int = 0.0
    repair_rate: float | int = 0.0
    kinds: tuple[str, ...] = tuple(KINDS)

    def __post_init__(self) -> None:
        unknown = [kind for kind in self.kinds if kind not in KINDS and kind not in HIDDEN_KINDS]
        if unknown:
            raise ConfigError(f"mistake {unknown[0]!r} is unknown; choose of {', '.join((*KINDS, *HIDDEN_KINDS))}.")
        if not (0 <= self.rate <= 1 and 0 <= self.repair_rate <= 1):
            raise ConfigError(f"rates of mistakes are {self.rate} and {self.repair_rate}; give 0 to 1.")


@dataclass(frozen=True)
class Planted:
    """A mistake that was made.

    Attributes:
        request: `ask` or `repair`.
        place: `turn 2`, `description obj1`, `draft` or `reply`; two descriptions are parted by a comma.
    """

    subject_id: str
    request: str
    kind: str
    place: str


class ScriptedTransport:
    """A `Transport` that answers from the truth.

    Args:
        slips: Mistakes to make; none by default.
        seed: Chooses wordings and mistakes.
        latency: Seconds that each reply takes, as a real endpoint's would.
        find: Gives the truth of a subject that it has not met; None to know those it met alone.
    """

    limit_name = "max_tokens"

    def __init__(
        self,
        slips: Slips = Slips(),
        seed: int = 0,
        latency: float | int = 0.0,
        find: Callable[[str], TrueClip] | None = None,
    ) -> None:
        self.slips, self.seed, self.latency = slips, seed, latency
        self._truths: dict[str, TrueClip] = {}
        self._planted: dict[tuple[str, str], Planted] = {}
        self._find = find
        self._lock = threading.Lock()

    def meet(self, *subjects: Subject) -> None:
        """Learn what is true of subjects, under the names that their objects have now.

        Raises:
            DataError: A subject is no clip of the diagnostic world.
        """
        for subject in subjects:
            truth = truth_of(subject)
            with self._lock:
                self._truths[subject.subject_id] = truth

    @property
    def planted(self) -> tuple[Planted, ...]:
        """Mistakes made so far, each once, however often it was asked for."""
        with self._lock:
            return tuple(sorted(self._planted.values(), key=lambda one: (one.subject_id, one.request)))

    def send(self, body: Mapping[str, Any], seconds: float | int) -> Reply:
        """The reply, after the latency.

        Raises:
            EndpointError: The request is none that it understands, or the latency is longer than allowed.
        """
        time.sleep(min(self.latency, seconds))
        if self.latency > seconds:
            raise EndpointError("timeout", f"the endpoint did not reply within {seconds:g} s.")
        text = self.reply_to(body)
        return Reply(
            text,
            model=MODEL_NAME,
            prompt_tokens=_tokens(_parts(body)),
            completion_tokens=max(1, len(text) // _CHARACTERS_PER_TOKEN),
        )

    def reply_to(self, body: Mapping[str, Any]) -> str:
        """What it says to a request's body."""
        heard = hear(body)
        if heard is None:
            raise EndpointError("rejected", "the scripted endpoint understands requests for annotation alone.")
        truth = self._truth(heard.subject_id)
        if heard.kind == "critic":
            return as_text(verdicts(heard, truth))
        return self.answer(heard, truth)

    def answer(self, heard: Heard, truth: TrueClip) -> str:
        """The answer to a first request or a repair, with the mistake that chance gives it."""
        true = true_reply(heard, truth, self.seed)
        draws = Draws("slips", self.seed, heard.subject_id, heard.kind, heard.asked_before)
        rate = self.slips.rate if heard.kind == "ask" else self.slips.repair_rate
        if draws.below(_SCALE) < rate * _SCALE:
            for kind in draws.shuffled(self.slips.kinds):
                made = plant(kind, true, truth, draws, heard.duration / truth.num_frames)
                if made is not None:
                    self._remember(Planted(heard.subject_id, heard.kind, kind, made[1]))
                    return made[0]
        return as_text(true)

    def close(self) -> None:
        """Nothing is open."""

    def _truth(self, subject_id: str) -> TrueClip:
        with self._lock:
            known = self._truths.get(subject_id)
        if known is not None:
            return known
        if self._find is None:
            raise EndpointError(
                "rejected", f"the scripted endpoint has not met {subject_id}; let it meet its subjects."
            )
        truth = self._find(subject_id)
        with self._lock:
            return self._truths.setdefault(subject_id, truth)

    def _remember(self, planted: Planted) -> None:
        with self._lock:
            self._planted[planted.subject_id, planted.request] = planted


def true_reply(heard: Heard, truth: TrueClip, seed: int) -> dict[str, Json]:
    """What a model without fault would say."""
    draws = Draws("words", seed, heard.subject_id, heard.kind, heard.asked_before)
    return Speaker(truth, heard.duration, draws).reply(heard)


def _parts(body: Mapping[str, Any]) -> Iterable[Any]:
    for message in body.get("messages", []):
        content = message.get("content")
        yield from content if isinstance(content, list) else [content]


def _tokens(parts: Iterable[Any]) -> int:
    """About what a prompt comes to."""
    count = 0
    for part in parts:
        text = part.get("text") if isinstance(part, Mapping) else part
        count += _TOKENS_PER_PICTURE if text is None else len(str(text)) // _CHARACTERS_PER_TOKEN
    return max(1, count)
