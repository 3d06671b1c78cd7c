"""The scripted endpoint as a critic: it holds colours, shapes, ways and patterns in a text against the truth."""

import re
from collections.abc import Iterator
from typing import Any, Final, TypeAlias

from sama_video.annotate.scripted.heard import Heard
from sama_video.annotate.scripted.truth import TrueClip, TrueThing
from sama_video.data.synthetic.levels import COLORS, SHAPES, TEXTURES
from sama_video.dialogue.markup import PHRASE_END, PHRASE_START

Json: TypeAlias = Any

_PHRASE: Final = re.compile(f"{PHRASE_START}([^<]*){PHRASE_END}((?:<obj[0-9]+>)+)")
_MARKS: Final = re.compile(f"{PHRASE_START}|{PHRASE_END}|<obj[0-9]+>")
_ONE_NAMED: Final = re.compile(r"<(obj[0-9]+)>")
_WAY: Final = re.compile(r"\bmoves ((?:(?:left|right|up|down|and|then|stops)\s*)+)")
_WAYS: Final = ("left", "right", "up", "down")


def verdicts(heard: Heard, truth: TrueClip) -> dict[str, Json]:
    """A verdict on each text of a request."""
    return {
        "verdicts": [
            {"place": place, "true": not wrong, "why": wrong[0] if wrong else "it is as the clip shows it"}
            for place, text in heard.texts.items()
            for wrong in [list(_wrong_in(place, text, truth))]
        ]
    }


def _wrong_in(place: str, text: str, truth: TrueClip) -> Iterator[str]:
    things = {thing.object_id: thing for thing in truth.things}
    answer = text.split(" A: ", 1)[-1]
    for words, tags in _PHRASE.findall(answer):
        for object_id in _ONE_NAMED.findall(tags):
            if object_id in things:
                yield from _wrong_name(words, things[object_id])
    named = set(_ONE_NAMED.findall(answer)) or {place.removeprefix("description ")}
    about = [things[object_id] for object_id in named if object_id in things]
    if len(about) == 1:
        yield from _wrong_deeds(_MARKS.sub(" ", answer), about[0])


def _wrong_name(words: str, thing: TrueThing) -> Iterator[str]:
    said = words.lower().split()
    truths = ((COLORS, thing.color), (SHAPES, thing.kind), (TEXTURES, thing.texture))
    for group, true in truths:
        strange = [word for word in said if word in group and word != true]
        if strange and true is not None:
            yield f"it is {true}, not {strange[0]}"


def _wrong_deeds(text: str, thing: TrueThing) -> Iterator[str]:
    """Patterns and ways of one thing, where the text denies nothing."""
    if re.search(r"\b(?:not|no|never|instead)\b", text):
        return
    patterns = [word for word in re.findall(r"\w+", text) if word in TEXTURES]
    if thing.texture and any(word != thing.texture for word in patterns):
        yield f"it is {thing.texture}"
    found = _WAY.search(text)
    ways = [word for word in found[1].split() if word in _WAYS] if found else []
    if any(way not in thing.ways for way in ways):
        yield f"it goes {' and '.join(thing.ways) or 'nowhere'}"
