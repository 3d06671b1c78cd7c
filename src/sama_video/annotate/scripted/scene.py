"""A true reply that is about to get a mistake, and the ways to change it in one place."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from sama_video.annotate.scripted.truth import TrueClip
from sama_video.data.building.draws import Draws
from sama_video.dialogue.markup import PHRASE_END, PHRASE_START

Json: TypeAlias = Any

PHRASE: Final = re.compile(f"{re.escape(PHRASE_START)}([^<]*){re.escape(PHRASE_END)}<(obj[0-9]+)>")
TAG: Final = re.compile(r"<(obj[0-9]+)>")
TIME: Final = re.compile(r"[0-9]+\.[0-9]+ s\b")


@dataclass
class Scene:
    """A reply that is about to get a mistake.

    Attributes:
        reply: May be changed in place.
        second: How long a frame lasts.
        text: The reply as it is sent, once a mistake has made it something else than its JSON.
    """

    reply: dict[str, Json]
    truth: TrueClip
    draws: Draws
    second: float | int
    text: str | None = None

    @property
    def turns(self) -> list[dict[str, Json]]:
        """The turns of the reply."""
        turns: list[dict[str, Json]] = self.reply["turns"]
        return turns

    @property
    def descriptions(self) -> list[dict[str, str]]:
        """The descriptions of the reply."""
        descriptions: list[dict[str, str]] = self.reply["descriptions"]
        return descriptions

    def some_turn(self, fits: Callable[[dict[str, Json]], bool] = lambda turn: True) -> int | None:
        """One of the turns for which something holds."""
        fitting = [place for place, turn in enumerate(self.turns) if fits(turn)]
        return self.draws.choice(fitting) if fitting else None

    def change_answer(self, pattern: re.Pattern[str], new: Callable[[re.Match[str]], str]) -> str | None:
        """Replace one find of a pattern in one of the answers that have it."""
        place = self.some_turn(lambda turn: pattern.search(turn["answer"]) is not None)
        if place is None:
            return None
        turn = self.turns[place]
        found = self.draws.choice(list(pattern.finditer(turn["answer"])))
        turn["answer"] = turn["answer"][: found.start()] + new(found) + turn["answer"][found.end() :]
        return f"turn {place + 1}"

    def other_than(self, object_id: str) -> str | None:
        """Another object of the clip."""
        others = [thing.object_id for thing in self.truth.things if thing.object_id != object_id]
        return self.draws.choice(others) if others else None


def as_text(reply: Mapping[str, Json]) -> str:
    """A reply as it is sent."""
    return json.dumps(reply, ensure_ascii=False, indent=1)
