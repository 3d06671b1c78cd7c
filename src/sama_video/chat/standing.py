"""Where a conversation stands: all that its next answer follows from, and nothing that time can make again."""

from dataclasses import dataclass, field

from sama_video.chat.history import AskedTurn
from sama_video.chat.objects import BookSnapshot
from sama_video.dialogue.turns import Dialogue

TURN_BYTES, CHARACTER_BYTES = 16384, 16
"""What a turn takes beside its words, its session's share included; and a character, its token included; estimates."""


@dataclass(frozen=True)
class Standing:
    """A conversation after some turns, as a value; every part of it is frozen.

    Attributes:
        turns: What the language model read, and its answers' ids.
        dialogue: The same turns as they were said.
        book: The objects known by then, refined and forgotten ones included.
    """

    turns: tuple[AskedTurn, ...]
    dialogue: Dialogue
    book: BookSnapshot


@dataclass
class BookMarks:
    """The objects as they were between turns, by the number of turns held.

    Attributes:
        after: When that many turns had just been held.
        before: When the next turn began; objects may have been refined, forgotten or tracked between.
        told: By which groundings callers know that turn, as `grounding_digest` tells them apart.
    """

    after: dict[int, BookSnapshot] = field(default_factory=lambda: {0: ({}, 0)})
    before: dict[int, BookSnapshot] = field(default_factory=dict)
    told: dict[int, frozenset[str]] = field(default_factory=dict)

    def set(self, num_turns: int, before: BookSnapshot, after: BookSnapshot) -> None:
        """Remember the objects around the turn that has just been held."""
        self.before[num_turns - 1], self.after[num_turns] = before, after

    def drop(self, num_turns: int) -> None:
        """Forget a turn that was undone, after so many that were not."""
        self.before.pop(num_turns, None)
        self.after.pop(num_turns + 1, None)
        self.told.pop(num_turns + 1, None)

    def tell(self, num_turns: int, digest: str) -> None:
        """A caller knows the newest of so many turns by this grounding."""
        self.told[num_turns] = self.told.get(num_turns, frozenset()) | {digest}

    def up_to(self, num_turns: int, book: BookSnapshot) -> "BookMarks":
        """The marks of a conversation that goes on from there, with these objects."""
        after = {count: marked for count, marked in list(self.after.items()) if count <= num_turns}
        before = {count: marked for count, marked in list(self.before.items()) if count < num_turns}
        told = {count: digests for count, digests in list(self.told.items()) if count <= num_turns}
        return BookMarks({**after, num_turns: after.get(num_turns, book)}, before, told)

    @property
    def books(self) -> list[BookSnapshot]:
        """Every state of the objects that is remembered."""
        return [*list(self.after.values()), *list(self.before.values())]


def words_bytes(dialogue: Dialogue) -> int:
    """About how much memory turns take, the ids that were read of them included."""
    return sum(TURN_BYTES + CHARACTER_BYTES * (len(turn.question) + 2 * len(turn.raw)) for turn in dialogue)
