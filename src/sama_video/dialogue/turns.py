"""Turn, Dialogue and their parts as values, with the JSON of a `sama-session/1` file both ways."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields

from sama_video.dialogue.markup import ObjectTag, split_question
from sama_video.errors import DialogueError
from sama_video.regions.shapes import ObjectRef, Region, region_from_json, region_to_json
from sama_video.regions.sheet import SpokenTurn, Words
from sama_video.regions.wire import checked_keys


@dataclass(frozen=True)
class Phrase:
    """A span of an answer's text, `text[start:end]`, and the object it speaks of.

    Without an object, `reason` says why; with one, it may say what was not as it should be.
    """

    text: str
    start: int
    end: int
    object_id: str | None = None
    reason: str | None = None

    def to_json(self) -> dict[str, object]:
        """The form of a session file; `reason` is left out when there is none."""
        row: dict[str, object] = {"text": self.text, "start": self.start, "end": self.end, "object": self.object_id}
        return row if self.reason is None else row | {"reason": self.reason}

    @classmethod
    def from_json(cls, value: object, name: str = "phrase") -> "Phrase":
        """Read the form of a session file."""
        row = checked_keys(
            value, name, required=("text", "start", "end", "object"), optional=("reason",), error=DialogueError
        )
        return cls(
            _text(row["text"], f"{name}: text"),
            _count(row["start"], f"{name}: start"),
            _count(row["end"], f"{name}: end"),
            None if row["object"] is None else _text(row["object"], f"{name}: object"),
            None if row.get("reason") is None else _text(row["reason"], f"{name}: reason"),
        )


@dataclass(frozen=True)
class RegionPrompt:
    """A region that a question points at, and the name that the session gave to what is there."""

    region: Region
    object_id: str

    def __post_init__(self) -> None:
        if isinstance(self.region, ObjectRef) and self.region.object != self.object_id:
            raise DialogueError(f"region refers to {self.region.object}, but is named {self.object_id}; give one name.")

    def to_json(self) -> dict[str, object]:
        """The region's wire form and the object's name."""
        return region_to_json(self.region) | {"object": self.object_id}

    @classmethod
    def from_json(cls, value: object, name: str = "region") -> "RegionPrompt":
        """Read the form of a session file; an object's name alone is a reference to it."""
        if not isinstance(value, Mapping) or "object" not in value:
            raise DialogueError(f"{name} has no object; in a session each region names the object it became.")
        object_id = _text(value["object"], f"{name}: object")
        shape = {key: item for key, item in value.items() if key != "object"}
        return cls(region_from_json(shape) if shape else ObjectRef(object_id), object_id)


@dataclass(frozen=True)
class Timing:
    """What a turn cost: seconds, tokens, and frames that went through an encoder or were tracked.

    The last two are left out of a session file where they were not counted.
    """

    first_token_seconds: float = 0.0
    total_seconds: float = 0.0
    prefill_tokens: int = 0
    reused_tokens: int = 0
    vision_frames_encoded: int = 0
    segmenter_frames_encoded: int = 0
    generated_tokens: int | None = None
    frames_tracked: int | None = None

    def to_json(self) -> dict[str, object]:
        """The form of a session file."""
        row = {field.name: getattr(self, field.name) for field in fields(self)}
        return {key: value for key, value in row.items() if value is not None}

    @classmethod
    def from_json(cls, value: object, name: str = "timing") -> "Timing":
        """Read the form of a session file."""
        names = tuple(field.name for field in fields(cls))
        row = checked_keys(value, name, required=names[:6], optional=names[6:], error=DialogueError)
        first, total = (_seconds(row[key], f"{name}: {key}") for key in names[:2])
        return cls(first, total, **{key: _count(row[key], f"{name}: {key}") for key in names[2:] if key in row})


@dataclass(frozen=True)
class Turn:
    """One question and its answer.

    `raw` is what the model wrote, marks and all; `text` is the same without marks, and phrases point into it.
    """

    question: str
    regions: tuple[RegionPrompt, ...]
    text: str
    raw: str
    phrases: tuple[Phrase, ...]
    timing: Timing = Timing()

    def __post_init__(self) -> None:
        for phrase in self.phrases:
            in_range = 0 <= phrase.start <= phrase.end <= len(self.text)
            if not in_range or self.text[phrase.start : phrase.end] != phrase.text:
                raise DialogueError(
                    f"phrase {phrase.text!r} is not at {phrase.start}-{phrase.end} of the text {self.text!r}; "
                    "start and end count characters of the clean text."
                )

    @property
    def object_ids(self) -> tuple[str, ...]:
        """Objects of this turn, each once, in the order they are met: the question's regions, then the phrases."""
        named = [prompt.object_id for prompt in self.regions] + [phrase.object_id for phrase in self.phrases]
        return tuple(dict.fromkeys(object_id for object_id in named if object_id is not None))

    def spoken(self) -> SpokenTurn:
        """The turn as it is to be read: tags replaced by objects' names, phrases tied to their objects."""
        answer: list[Words] = []
        done = 0
        for phrase in sorted(self.phrases, key=lambda phrase: phrase.start):
            if phrase.start < done or not phrase.text:
                continue
            answer += [Words(self.text[done : phrase.start]), Words(phrase.text, phrase.object_id, phrase.reason)]
            done = phrase.end
        answer.append(Words(self.text[done:]))
        return SpokenTurn(tuple(self._spoken_question()), tuple(words for words in answer if words.text))

    def _spoken_question(self) -> Iterator[Words]:
        for piece in split_question(self.question):
            if isinstance(piece, str):
                yield Words(piece)
            elif isinstance(piece, ObjectTag):
                yield Words(piece.object_id, piece.object_id)
            elif piece.region_idx < len(self.regions):
                name = self.regions[piece.region_idx].object_id
                yield Words(name, name)

    def to_json(self) -> dict[str, object]:
        """The form of one entry of a session file's `turns`."""
        return {
            "question": self.question,
            "regions": [prompt.to_json() for prompt in self.regions],
            "text": self.text,
            "raw": self.raw,
            "phrases": [phrase.to_json() for phrase in self.phrases],
            "timing": self.timing.to_json(),
        }

    @classmethod
    def from_json(cls, value: object, name: str = "turn") -> "Turn":
        """Read one entry of a session file's `turns`."""
        row = checked_keys(
            value, name, required=("question", "regions", "text", "raw", "phrases", "timing"), error=DialogueError
        )
        regions = enumerate(_list(row["regions"], f"{name}: regions"), start=1)
        phrases = enumerate(_list(row["phrases"], f"{name}: phrases"), start=1)
        return cls(
            _text(row["question"], f"{name}: question"),
            tuple(RegionPrompt.from_json(item, f"{name}: region {place}") for place, item in regions),
            _text(row["text"], f"{name}: text"),
            _text(row["raw"], f"{name}: raw"),
            tuple(Phrase.from_json(item, f"{name}: phrase {place}") for place, item in phrases),
            Timing.from_json(row["timing"], f"{name}: timing"),
        )


@dataclass(frozen=True)
class Dialogue:
    """The turns about one clip, in order."""

    turns: tuple[Turn, ...] = ()

    def __len__(self) -> int:
        return len(self.turns)

    def __iter__(self) -> Iterator[Turn]:
        return iter(self.turns)

    def __getitem__(self, turn_idx: int) -> Turn:
        return self.turns[turn_idx]

    def and_then(self, turn: Turn) -> "Dialogue":
        """The dialogue with one more turn at its end."""
        return Dialogue((*self.turns, turn))

    @property
    def object_ids(self) -> tuple[str, ...]:
        """Objects of all turns, each once, in the order they are met."""
        return tuple(dict.fromkeys(object_id for turn in self.turns for object_id in turn.object_ids))

    def to_json(self) -> list[dict[str, object]]:
        """The form of a session file's `turns`."""
        return [turn.to_json() for turn in self.turns]

    @classmethod
    def from_json(cls, value: object) -> "Dialogue":
        """Read the form of a session file's `turns`."""
        turns = enumerate(_list(value, "turns"), start=1)
        return cls(tuple(Turn.from_json(item, f"turn {place}") for place, item in turns))


def _list(value: object, name: str) -> list[object]:
    if not isinstance(value, list):
        raise DialogueError(f"{name} is a {type(value).__name__}; give a list.")
    return value


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise DialogueError(f"{name} is {value!r}; give text.")
    return value


def _count(value: object, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise DialogueError(f"{name} is {value!r}; give a whole number from 0.")
    return value


def _seconds(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise DialogueError(f"{name} is {value!r}; give seconds from 0.")
    return float(value)
