"""A model's JSON answer read into text, phrases and regions: forgiving about its wrapping, strict about what it says.

JSON may stand in a fenced block or among other words, under a few other names that models were trained to write. But
every box and point has to make sense where the model was told to count; nothing is guessed or moved. Whatever cannot be
read gives no mask, and a reason.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sama_video.bench.models.picture_prompts import View
from sama_video.dialogue.markup import parse_answer, render_answer
from sama_video.errors import RegionError, SamaError
from sama_video.regions.shapes import Box, Points

NO_JSON: Final = "the reply holds no JSON object with an answer"

_ALIASES: Final = {"bbox": "box", "bbox_2d": "box", "point_2d": "point", "label": "phrase", "frame_idx": "frame"}
_START = re.compile(r"[{\[]")
_FENCE = re.compile(r"```[A-Za-z]*\s*\n(.*?)```", re.DOTALL)
_MOST_STARTS: Final = 200


@dataclass(frozen=True)
class Pointed:
    """A phrase and where on one frame the things are that it speaks of."""

    phrase: str
    regions: tuple[Box | Points, ...]


@dataclass(frozen=True)
class RegionAnswer:
    """What a reply says.

    Attributes:
        text: The answer as plain text; the whole reply where it cannot be read otherwise.
        pointed: What it points at, in its order.
        problems: What could not be read, and why.
    """

    text: str
    pointed: tuple[Pointed, ...] = ()
    problems: tuple[str, ...] = ()


def read_answer(reply: str, view: View) -> RegionAnswer:
    """Read a reply to a question that wanted regions; never fails."""
    document = _document(reply)
    if document is None:
        return RegionAnswer(plain_text(reply), (), (NO_JSON,))
    answer, rows = document.get("answer", ""), document.get("objects", [])
    problems = []
    if not isinstance(answer, str):
        answer = ""
        problems.append("the answer is no text")
    if not isinstance(rows, list):
        rows = []
        problems.append("the objects are no list")
    pointed = []
    for place, row in enumerate(rows, start=1):
        try:
            pointed.append(_pointed(row, view))
        except SamaError as error:
            problems.append(f"object {place}: {error}")
    return RegionAnswer(plain_text(answer), tuple(pointed), tuple(problems))


def mark_phrases(text: str, pointed: Sequence[Pointed]) -> tuple[str, tuple[Pointed, ...]]:
    """The text with its phrases marked, and what they point at in the order of the marks.

    The same phrase again means its next place in the text, or more of the same things where there is none. A phrase
    that the text does not hold comes last, without a mark.
    """
    places: list[tuple[tuple[int, int], Pointed]] = []
    loose: list[Pointed] = []
    for one in pointed:
        taken = [span for span, _ in places]
        span = _next_place(text, one.phrase, taken)
        again = [*(found for _, found in places), *loose]
        same = next((found for found in reversed(again) if _plain(found.phrase) == _plain(one.phrase)), None)
        if span is not None:
            places.append((span, one))
        elif same is not None:
            joined = Pointed(same.phrase, same.regions + one.regions)
            places = [(where, joined if found is same else found) for where, found in places]
            loose = [joined if found is same else found for found in loose]
        else:
            loose.append(one)
    places.sort(key=lambda row: row[0])
    marked = render_answer(text, [span for span, _ in places])
    return marked, (*(found for _, found in places), *loose)


def plain_text(text: str) -> str:
    """Text without anything that is a mark to us."""
    return parse_answer(text).text


def _document(reply: str) -> Mapping[str, Any] | None:
    """The last JSON object that answers; a list of objects alone counts as one without words."""
    found: Mapping[str, Any] | None = None
    for source in (*_FENCE.findall(reply), reply):
        for value in _values(source):
            if isinstance(value, dict) and ("answer" in value or "objects" in value):
                found = value
            elif isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
                found = {"answer": "", "objects": value}
        if found is not None:
            return found
    return None


def _values(text: str) -> Iterator[Any]:
    """Every JSON object or list in a text that is not inside another."""
    decoder = json.JSONDecoder()
    place = tries = 0
    while (start := _START.search(text, place)) is not None and tries < _MOST_STARTS:
        tries += 1
        try:
            value, place = decoder.raw_decode(text, start.start())
        except (ValueError, RecursionError):
            place = start.end()
        else:
            yield value


def _pointed(row: Any, view: View) -> Pointed:
    """One entry of the list."""
    if not isinstance(row, dict):
        raise RegionError("it is no JSON object")
    entry = {_ALIASES.get(str(key), str(key)): value for key, value in row.items()}
    phrase = entry.get("phrase", "")
    if not isinstance(phrase, str) or not plain_text(phrase):
        raise RegionError("it has no phrase")
    frame = _frame(entry, view)
    boxes = [_box(numbers, frame, view) for numbers in _rows(entry, "box", "boxes", 4)]
    if boxes:
        return Pointed(plain_text(phrase), tuple(boxes))
    points = [_point(numbers, view) for numbers in _rows(entry, "point", "points", 2)]
    if not points:
        raise RegionError("it has neither a box nor a point")
    # Each point stands for a thing of its own: the form asks for one where there is no box.
    return Pointed(plain_text(phrase), tuple(Points(frame=frame, xy=[xy]) for xy in points))


def _frame(entry: Mapping[str, Any], view: View) -> int:
    frame = entry.get("frame", view.frames[0] if len(view.frames) == 1 else None)
    if isinstance(frame, bool) or not isinstance(frame, int) or frame not in view.frames:
        raise RegionError(f"its frame is {_shown(frame)}, which is none of those shown")
    return frame


def _rows(entry: Mapping[str, Any], one: str, many: str, length: int) -> list[list[float | int]]:
    """Lists of so many numbers, given as one or as several."""
    if one not in entry and many not in entry:
        return []
    value = entry[many] if many in entry else [entry[one]]
    if isinstance(value, list) and value and not any(isinstance(row, list) for row in value):
        value = [value]  # one where several were asked for
    if not isinstance(value, list):
        raise RegionError(f"its {many} are {_shown(value)}")
    for row in value:
        if not isinstance(row, list) or len(row) != length or not all(map(_is_number, row)):
            raise RegionError(f"its {one} is {_shown(row)} instead of {length} numbers")
    return value


def _box(numbers: Sequence[float | int], frame: int, view: View) -> Box:
    return Box(frame=frame, xyxy=view.read(numbers))


def _point(numbers: Sequence[float | int], view: View) -> tuple[float, float]:
    x, y = view.read(numbers)
    # The far edge belongs to the last pixel.
    return min(x, view.width - 1.0), min(y, view.height - 1.0)


def _next_place(text: str, phrase: str, taken: Sequence[tuple[int, int]]) -> tuple[int, int] | None:
    """Where a phrase stands next in the text as whole words, apart from what is taken and after its own last place."""
    words = re.compile(rf"(?<!\w){re.escape(phrase)}(?!\w)", re.IGNORECASE)
    for found in words.finditer(text):
        start, end = found.span()
        if all(end <= first or last <= start for first, last in taken):
            return start, end
    return None


def _plain(phrase: str) -> str:
    return phrase.strip().lower()


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
