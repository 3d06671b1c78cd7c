"""Free text -> what it claims: the closed vocabulary of the diagnostic world with its usual synonyms.

Any wording counts that names the right word and no other of its group. What a text does not say is None, which a scorer
counts as wrong and lists apart.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, TypeAlias

from sama_video.dialogue.markup import parse_answer

Json: TypeAlias = Any

VOCABULARY: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "color": {
        "red": ("red", "crimson", "scarlet"),
        "orange": ("orange",),
        "yellow": ("yellow", "gold", "golden"),
        "green": ("green", "lime"),
        "cyan": ("cyan", "turquoise", "teal", "aqua", "light blue", "light-blue", "sky blue"),
        "blue": ("blue", "dark blue"),
        "purple": ("purple", "violet", "magenta", "lilac"),
        "white": ("white",),
    },
    "shape": {
        "circle": ("circle", "circles", "circular", "disc", "discs", "disk", "disks", "ball", "balls", "round"),
        "square": ("square", "squares", "rectangle", "rectangles", "cube", "cubes"),
        "triangle": ("triangle", "triangles", "triangular", "pyramid"),
        "star": ("star", "stars", "star-shaped"),
        "cross": ("cross", "crosses", "plus", "plus sign", "cross-shaped"),
        "ring": ("ring", "rings", "ring-shaped", "donut", "donuts", "doughnut", "hoop", "annulus"),
        "diamond": ("diamond", "diamonds", "rhombus", "rhombuses", "diamond-shaped"),
        "heart": ("heart", "hearts", "heart-shaped"),
    },
    "texture": {
        "plain": ("plain", "solid", "uniform", "smooth", "untextured", "no texture", "no pattern", "single-colored"),
        "striped": ("striped", "stripes", "stripe", "stripy", "lined", "bands", "banded"),
        "dotted": ("dotted", "dots", "spotted", "spots", "polka dot", "polka dots", "polka-dotted"),
        "checkered": ("checkered", "chequered", "checked", "checkerboard", "chequerboard", "checks", "check"),
    },
    "size": {
        "small": ("small", "smaller", "smallest", "little", "tiny"),
        "large": ("large", "larger", "largest", "big", "bigger", "biggest", "huge"),
    },
    "direction": {
        "left": ("left", "leftward", "leftwards", "left side"),
        "right": ("right", "rightward", "rightwards", "right side"),
        "up": ("up", "upward", "upwards", "top"),
        "down": ("down", "downward", "downwards", "bottom"),
    },
    "rest": {
        "still": ("still", "stationary", "motionless", "static", "at rest", "no movement", "not moving"),
        "not moving": ("does not move", "doesn't move", "never moves", "not move"),
    },
    "pace": {
        "faster": ("faster", "speeds up", "speed up", "speeding up", "accelerates", "accelerating", "accelerate"),
        "slower": ("slower", "slows down", "slow down", "slowing down", "decelerates", "decelerating", "decelerate"),
        "even": (
            *("same speed", "keeps its speed", "keeps the same speed", "constant", "steady", "steadily"),
            *("even", "evenly", "unchanged", "same"),
        ),
    },
    "camera": {
        "pan": ("pan", "pans", "panning", "panned"),
        "zoom in": ("zoom in", "zooms in", "zooming in", "zoomed in"),
        "zoom out": ("zoom out", "zooms out", "zooming out", "zoomed out"),
        "still": ("still", "static", "stationary", "fixed", "not move", "stays", "motionless"),
    },
}
NUMBERS: Final = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")

_NEGATION: Final = (
    r"no|not|none|nothing|never|neither|nowhere|without|cannot|unable|absent|missing|\w+n't|doesnt|isnt|cant"
)
_ASKS: Final = (
    r"which|do you mean|did you mean|ambiguous|unclear|not clear|several|multiple|clarify|specify|more than one"
)
_DECIMAL: Final = re.compile(r"(?<![\w.])\d+(?:\.\d+)?")
_WHOLE: Final = re.compile(r"(?<![\w.])\d+(?![\w]|\.\d)")
_PACE_VERBS: Final = re.compile(r"\b(?:speed|slow)\w*\s+(?:up|down)\b", re.IGNORECASE)
_ANY: Final = {"not moving": "still"}


def named(text: str, group: str) -> list[str]:
    """Words of a group in the order a text names them, each time it does, synonyms by their usual word.

    >>> named("A violet disc, not a light blue one", "color")
    ['purple', 'cyan']
    """
    return [_meaning(group)[found[0]] for found in _pattern(group).finditer(_plain(text))]


def denies(text: str) -> bool:
    """Whether a text says that something is not so."""
    return re.search(rf"\b(?:{_NEGATION})\b", _plain(text)) is not None


def asks_back(text: str, options: Sequence[str]) -> bool:
    """Whether a text says that a question can mean several things: it asks back, or names all the options."""
    plain = _plain(text)
    names_all = bool(options) and all(re.search(rf"\b{re.escape(option)}\b", plain) for option in options)
    return "?" in plain or names_all or re.search(rf"\b(?:{_ASKS})\b", plain) is not None


def yes_or_no(text: str) -> bool | None:
    """What a text answers: by its first "yes" or "no", else no where it denies anything; None where it does neither."""
    plain = _plain(text)
    found = re.search(r"\b(yes|no)\b", plain)
    if found:
        return found[1] == "yes"
    return False if denies(plain) else None


def number(text: str) -> int | None:
    """The one number that a text names, in digits or words; None for none or for several.

    >>> number("There are two red objects."), number("No object moves."), number("One or two.")
    (2, 0, None)
    """
    plain = _plain(text)
    found = {int(digits) for digits in _WHOLE.findall(plain)}
    found |= {NUMBERS.index(word) for word in re.findall(rf"\b(?:{'|'.join(NUMBERS)})\b", plain)}
    if not found and re.search(r"\b(?:no|none|nothing)\b", plain):
        return 0
    return found.pop() if len(found) == 1 else None


def interval(text: str) -> tuple[float, float] | None:
    """The stretch of time that a text names: its first two numbers, in seconds; None for fewer.

    >>> interval("It moves from 1.2 s to 2.8 s.")
    (1.2, 2.8)
    """
    numbers = [
        float(digits) for digits in _DECIMAL.findall(re.sub(r"(?<=\d)\s*(?:s|sec|seconds?)\b", " ", _plain(text)))
    ]
    return (min(numbers[:2]), max(numbers[:2])) if len(numbers) > 1 else None


def interval_overlap(text: str, first: float | int, last: float | int) -> float | None:
    """Intersection over union of the stretch that a text names and the true one; None where it names none."""
    said = interval(text)
    if said is None:
        return None
    shared = max(0.0, min(said[1], last) - max(said[0], first))
    united = max(said[1], last) - min(said[0], first)
    return shared / united if united > 0 else 1.0


def judge(text: str, expect: Mapping[str, Json]) -> float | None:
    """How right a text is by a question's rule, from 0 to 1; None where it says nothing that the rule could read.

    The rules that are about masks, "mask" and the masks of "absent", are the benchmark's own.
    """
    rule, want = expect["rule"], expect["want"]
    if rule == "words":
        return _words(text, want, expect.get("free", {}))
    if rule == "sequence":
        return _sequence(text, want)
    if rule == "yes":
        answer = yes_or_no(text)
        return None if answer is None else float(answer == want)
    if rule == "number":
        count = number(text)
        return None if count is None else float(count == want)
    if rule == "interval":
        return interval_overlap(text, *want)
    if rule == "text":
        return float(all(re.search(rf"\b{re.escape(word)}\b", _plain(text)) for word in want)) if text.strip() else None
    if rule == "absent":
        return float(denies(text) == want) if text.strip() else None
    if rule == "ask back":
        return float(asks_back(text, expect["options"]) == want) if text.strip() else None
    if rule == "caption":
        return caption_facts(text, want)[2]
    raise ValueError(f"unknown rule {rule!r}")


def caption_facts(text: str, objects: Sequence[Mapping[str, Json]]) -> tuple[float, float, float]:
    """Precision, recall and F1 of the objects that a text mentions; one counts by its colour and shape side by side.

    A mention is a shape word with the attribute words just before it, as far as the last shape word; a sprite is
    mentioned by its name. Mentions of the same object count once.
    """
    true = {(item.get("color"), item["shape"]) for item in objects}
    sprites = {item["shape"] for item in objects if item.get("color") is None}
    said = set(_mentions(text)) | {
        (None, name) for name in sprites if re.search(rf"\b{re.escape(name)}\b", _plain(text))
    }
    right = len(said & true)
    if not said or not true:
        return 0.0, 0.0, 0.0
    precision, recall = right / len(said), right / len(true)
    return precision, recall, 2 * right / (len(said) + len(true))


def word_overlap(text: str, reference: str) -> float:
    """F1 of the words of two texts, each counted as often as it occurs in both."""
    said, meant = (re.findall(r"[a-z0-9.']+", _plain(words).replace(".", " ")) for words in (text, reference))
    rest = list(meant)
    shared = 0
    for word in said:
        if word in rest:
            rest.remove(word)
            shared += 1
    return 2 * shared / (len(said) + len(meant)) if said or meant else 0.0


def _mentions(text: str) -> list[tuple[str, str]]:
    """Colour and shape of each shape word that has a colour close before it, in the same sentence."""
    plain, mentions, start = _plain(text), [], 0
    for found in _pattern("shape").finditer(plain):
        before = re.split(r"[.;:!?]", plain[start : found.start()])[-1]
        colors = named(before, "color")
        if colors:
            mentions.append((colors[-1], _meaning("shape")[found[0]]))
        start = found.end()
    return mentions


def _words(text: str, want: Mapping[str, Sequence[str]], free: Mapping[str, Sequence[str]]) -> float | None:
    """Whether a text names all that is wanted and nothing else of those groups but what is free to be named."""
    said = {group: set(named(text, group)) for group in want}
    if not any(said.values()):
        return None
    return float(all(set(want[g]) <= said[g] <= {*want[g], *free.get(g, ())} for g in want))


def _sequence(text: str, want: Sequence[str]) -> float | None:
    """Directions in order, a repeated one once; standing still is the empty sequence."""
    said: list[str] = []
    for word in named(_PACE_VERBS.sub(" ", text), "direction"):
        if not said or said[-1] != word:
            said.append(word)
    if not said and not named(text, "rest"):
        return None
    return float(said == list(want))


def _plain(text: str) -> str:
    """A text without marks and tags, in lower case."""
    clean = re.sub(r"<[^<>]*>", " ", parse_answer(text).text)
    return clean.lower().replace("’", "'").replace("colour", "color")


@lru_cache(maxsize=16)
def _meaning(group: str) -> dict[str, str]:
    return {spelling: _ANY.get(word, word) for word, spellings in VOCABULARY[group].items() for spelling in spellings}


@lru_cache(maxsize=16)
def _pattern(group: str) -> re.Pattern[str]:
    spellings = sorted(_meaning(group), key=len, reverse=True)
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, spellings))})\b")
