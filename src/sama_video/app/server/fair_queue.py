"""A bounded queue that takes clients in turn, so that one with many requests does not keep the others waiting."""

from collections import OrderedDict, deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Item = TypeVar("Item")


@dataclass
class _Waiting(Generic[Item]):
    """One thing in the queue, and which worker has what it needs at hand."""

    item: Item
    home: int


@dataclass
class FairQueue(Generic[Item]):
    """Things that wait, by client. Not locked: its user locks.

    Attributes:
        bound: How many may wait.
    """

    bound: int
    _lines: OrderedDict[str, deque[_Waiting[Item]]] = field(default_factory=OrderedDict)
    _length: int = 0

    def __len__(self) -> int:
        return self._length

    def put(self, client: str, item: Item, home: int = 0) -> Item | None:
        """Join the queue; gives back whoever has to leave for it, which may be the newcomer itself.

        In a full queue the client with the longest line loses its last place to one whose line would still be shorter.

        Args:
            home: The worker that has what it needs at hand.
        """
        leaving = None
        if self._length >= self.bound:
            longest = max(self._lines, key=lambda name: len(self._lines[name]), default=None)
            own = len(self._lines.get(client, ()))
            if longest is None or len(self._lines[longest]) <= own + 1:
                return item
            leaving = self._lines[longest].pop().item
            self._shrunk(longest)
        self._lines.setdefault(client, deque()).append(_Waiting(item, home))
        self._length += 1
        return leaving

    def take(
        self, worker: int, *, only: Callable[[Item], bool] | None = None, idle: Collection[int] = ()
    ) -> Item | None:
        """The next for a worker: of the clients in turn, first one whose home it is, else one of another worker.

        Args:
            idle: Workers from whom nothing is taken away, since they have nothing else to do.
            only: Take the next for whom this is home, if it is of this kind; none otherwise, so that nobody overtakes.
        """
        for wanted in (worker, None) if only is None else (worker,):
            for client, line in self._lines.items():
                for place, waiting in enumerate(line):
                    if waiting.home == worker or (wanted is None and waiting.home not in idle):
                        if only is not None and not only(waiting.item):
                            return None
                        del line[place]
                        self._lines.move_to_end(client)
                        self._shrunk(client)
                        return waiting.item
        return None

    def remove(self, item: Item) -> bool:
        """Leave the queue; False for one that is not in it."""
        for client, line in self._lines.items():
            for place, waiting in enumerate(line):
                if waiting.item is item:
                    del line[place]
                    self._shrunk(client)
                    return True
        return False

    def _shrunk(self, client: str) -> None:
        self._length -= 1
        if not self._lines[client]:
            del self._lines[client]
