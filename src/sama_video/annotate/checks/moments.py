"""Times that a text names: stretches of the clip, and how long things last."""

import re
from dataclasses import dataclass
from typing import Final

_NAMES: Final = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
)
_VALUES: Final = {name: float(value) for value, name in enumerate(_NAMES.split())} | {
    "thirty": 30.0,
    "forty": 40.0,
    "fifty": 50.0,
    "sixty": 60.0,
}
_NUMBER: Final = rf"(?:\d+(?:\.\d+)?|\b(?:{'|'.join(_VALUES)})\b)"
_UNIT: Final = r"(?:\s*(?:s|secs?|seconds?)\b|-second\b)"
_CLOCK: Final = r"\d{1,2}:\d{2}(?:\.\d+)?"
_RANGE: Final = re.compile(
    rf"({_CLOCK})\s*(?:-|–|to|and|until|till)\s*({_CLOCK})"
    rf"|({_NUMBER}){_UNIT}?\s*(?:-|–|\bto\b|\band\b|\buntil\b|\btill\b)\s*({_NUMBER}){_UNIT}",
    re.IGNORECASE,
)
_MOMENT: Final = re.compile(rf"({_CLOCK})|({_NUMBER}){_UNIT}|\bseconds?\s+({_NUMBER})\b", re.IGNORECASE)
_LENGTH_BEFORE: Final = re.compile(
    r"\b(?:for|lasts?|lasting|takes?|took|within|every|another)\s+(?:\w+\s+){0,2}$", re.IGNORECASE
)
_LASTS_AFTER: Final = re.compile(r"\s*(?:later|long|earlier|afterwards|after|before|in all|in total)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Moments:
    """What a text says of time, in seconds.

    Attributes:
        spans: Stretches, and moments as stretches without length.
        lengths: How long something lasts.
    """

    spans: tuple[tuple[float, float], ...]
    lengths: tuple[float, ...]


def moments_in(text: str) -> Moments:
    """The times that a text names.

    >>> moments_in("It hides from 1.2 s to 2.8 s, for 1.6 seconds.")
    Moments(spans=((1.2, 2.8),), lengths=(1.6,))
    """
    spans, lengths, rest = [], [], text
    for found in _RANGE.finditer(text):
        first, last = [part for part in found.groups() if part is not None]
        spans.append((_seconds(first), _seconds(last)))
        rest = rest[: found.start()] + " " * len(found[0]) + rest[found.end() :]
    for found in _MOMENT.finditer(rest):
        value = _seconds(next(part for part in found.groups() if part is not None))
        is_length = _LENGTH_BEFORE.search(rest[: found.start()]) or _LASTS_AFTER.match(rest, found.end())
        if is_length and found[1] is None:
            lengths.append(value)
        else:
            spans.append((value, value))
    return Moments(tuple(spans), tuple(lengths))


def without_moments(text: str) -> str:
    """A text with its times taken out, so that numbers left in it count things."""
    return _MOMENT.sub(" ", _RANGE.sub(" ", text))


def _seconds(written: str) -> float:
    """A number of seconds, or minutes and seconds.

    >>> _seconds("1:05")
    65.0
    """
    if written.lower() in _VALUES:
        return _VALUES[written.lower()]
    minutes, colon, rest = written.partition(":")
    return 60 * float(minutes) + float(rest) if colon else float(written)
