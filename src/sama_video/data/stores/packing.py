"""Many small values kept as bytes: parsed once, shared by all workers, and made anew each time one is asked for.

A list of a hundred thousand objects costs every worker process its own copy sooner or later, because looking at an
object writes to its reference count. Here the objects are one block of bytes that nobody writes to. What they have in
common, such as an open mask dictionary, is kept once and put back in when one is asked for.
"""

import io
import pickle
from array import array
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")


class PackedItems(Generic[Item]):
    """A list that cannot change.

    Args:
        items: Taken one at a time.
        shared: Types of which one object may belong to many items: kept as it is, and compared by identity.
        inspect: Told of each item, and its number, before it is packed.
    """

    def __init__(
        self, items: Iterable[Item], shared: tuple[type, ...] = (), inspect: Callable[[int, Item], None] | None = None
    ) -> None:
        self._shared: list[Any] = []
        self._ends = array("q", [0])
        buffer = io.BytesIO()
        packer = _Packer(buffer, shared, self._shared)
        for number, item in enumerate(items):
            if inspect is not None:
                inspect(number, item)
            packer.dump(item)
            packer.clear_memo()
            self._ends.append(buffer.tell())
        self._content = buffer.getvalue()

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, number: int) -> Item:
        if not 0 <= number < len(self):
            raise IndexError(number)
        stored = memoryview(self._content)[self._ends[number] : self._ends[number + 1]]
        item: Item = _Unpacker(io.BytesIO(stored), self._shared).load()
        return item

    @property
    def num_bytes(self) -> int:
        """Memory of the items."""
        return len(self._content)


class _Packer(pickle.Pickler):
    def __init__(self, stream: io.BytesIO, kinds: tuple[type, ...], shared: list[Any]) -> None:
        super().__init__(stream, protocol=pickle.HIGHEST_PROTOCOL)
        self._kinds = kinds
        self._shared = shared
        self._numbers: dict[int, int] = {}

    def persistent_id(self, obj: Any) -> int | None:
        if not isinstance(obj, self._kinds):
            return None
        if id(obj) not in self._numbers:
            self._numbers[id(obj)] = len(self._shared)
            self._shared.append(obj)  # which keeps it alive, so that its id stays its own
        return self._numbers[id(obj)]


class _Unpacker(pickle.Unpickler):
    """Reads what `_Packer` wrote in this process or its parent, never a file."""

    def __init__(self, stream: io.BytesIO, shared: list[Any]) -> None:
        super().__init__(stream)
        self._shared = shared

    def persistent_load(self, pid: Any) -> Any:
        return self._shared[pid]
