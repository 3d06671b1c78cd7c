"""What the server remembers of one conversation, and what conversations about one clip share."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from sama_video.chat.session import ChatSession
from sama_video.chat.standing import Standing
from sama_video.dialogue.turns import Dialogue
from sama_video.model.features import FeatureCache, FrameFeatures


class SharedFeatures(FeatureCache):
    """A feature cache that several threads may use."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__(max_bytes)
        self._lock = threading.RLock()

    def get(self, frame_idx: int) -> FrameFeatures | None:
        """One frame's features, or None."""
        with self._lock:
            return super().get(frame_idx)

    def put(self, frame_idx: int, features: FrameFeatures) -> None:
        """Keep a frame's features."""
        with self._lock:
            super().put(frame_idx, features)

    def clear(self) -> None:
        """Drop everything kept."""
        with self._lock:
            super().clear()


@dataclass(eq=False)
class Room:
    """One key's conversations about one clip under one set of options.

    Attributes:
        first: A session in which nothing is ever said; the others share its frames.
    """

    scope: bytes
    clip_id: str
    first: ChatSession
    size: int = 0
    members: int = 0

    @property
    def is_idle(self) -> bool:
        """Whether it may be dropped."""
        return not self.members


@dataclass(eq=False)
class Entry:
    """One remembered conversation.

    Attributes:
        chain: By number of turns, a hash of all that was said until then.
        standing: Where it stood when it was handed out or last replayed a turn; others may go on from there.
    """

    room: Room
    session: ChatSession
    chain: list[bytes]
    standing: Standing
    in_use: bool = True
    size: int = 0

    @property
    def is_idle(self) -> bool:
        """Whether it may be dropped."""
        return not self.in_use

    def knows(self, digests: Sequence[str | None]) -> bool:
        """Whether these groundings are of its turns."""
        told = self.session.marks.told
        return all(
            digest is None or digest in told.get(count, frozenset()) for count, digest in enumerate(digests, start=1)
        )

    def num_grounded(self, num_turns: int) -> int:
        """How many of its first turns brought masks."""
        return sum(bool(self.session.marks.told.get(count)) for count in range(1, num_turns + 1))

    def standing_after(self, num_turns: int) -> Standing | None:
        """Where it stood then, from values alone; `None` if that is not remembered."""
        standing, before = self.standing, self.session.marks.before
        if num_turns == len(standing.turns):
            return standing
        if num_turns not in before:
            return None
        return Standing(standing.turns[:num_turns], Dialogue(standing.dialogue.turns[:num_turns]), before[num_turns])

    def worth(self, num_turns: int) -> tuple[int, bool, bool]:
        """How good it is to go on from: with masks, not in use, standing just there."""
        return self.num_grounded(num_turns), not self.in_use, len(self.chain) == num_turns + 1
