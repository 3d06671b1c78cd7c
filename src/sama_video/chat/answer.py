"""What a turn gives back: the answer, and the events of one that is still being made."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from sama_video.dialogue.turns import Phrase, Timing, Turn
from sama_video.regions.masklet import Masklet


@runtime_checkable
class MaskletSource(Protocol):
    """Whoever can give an object's masklet, tracking it first when need be."""

    def masklet(self, object_id: str) -> Masklet:
        """The object's masks through the whole clip."""
        ...


class Masklets(Mapping[str, Masklet]):
    """Masklets by object id; one that was only pointed at so far is tracked when it is read."""

    def __init__(self, source: MaskletSource, object_ids: tuple[str, ...]) -> None:
        self._source = source
        self._object_ids = object_ids

    def __getitem__(self, object_id: str) -> Masklet:
        if object_id not in self._object_ids:
            raise KeyError(object_id)
        return self._source.masklet(object_id)

    def __iter__(self) -> Iterator[str]:
        return iter(self._object_ids)

    def __len__(self) -> int:
        return len(self._object_ids)


if TYPE_CHECKING:
    LazyMasklets = Mapping[str, Masklet]
else:
    LazyMasklets = Mapping  # a checker that looked at the values would have them tracked


@dataclass(frozen=True)
class Answer:
    """One turn's answer.

    Attributes:
        turn: Question, text, raw text, phrases and timing as one value.
        masklets: Masks through the clip of every object of the turn, its question's included.
        problems: What was not as it should be, in words; empty for a faultless answer.
        segs: The object of each `[SEG]` of the raw text that was decoded, in order; None where nothing was seen.
    """

    turn: Turn
    masklets: LazyMasklets = field(repr=False)
    problems: tuple[str, ...] = ()
    segs: tuple[str | None, ...] = ()

    @property
    def text(self) -> str:
        """The answer without marks."""
        return self.turn.text

    @property
    def raw(self) -> str:
        """The answer as the model wrote it."""
        return self.turn.raw

    @property
    def phrases(self) -> tuple[Phrase, ...]:
        """Spans of the text and the objects they speak of."""
        return self.turn.phrases

    @property
    def timing(self) -> Timing:
        """What the turn cost."""
        return self.turn.timing


@dataclass(frozen=True)
class TextDelta:
    """The next piece of clean text."""

    text: str


@dataclass(frozen=True)
class MaskletReady:
    """An object that the answer grounds has its masks."""

    object_id: str
    masklet: Masklet = field(repr=False)


@dataclass(frozen=True)
class AnswerReady:
    """The turn is over."""

    answer: Answer


Event = TextDelta | MaskletReady | AnswerReady
