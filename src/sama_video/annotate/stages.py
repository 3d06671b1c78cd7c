"""What a stage is to the ledger: a name, a version, the settings it depends on, and a result for each subject."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

Json: TypeAlias = Any

KEY_BYTES = 16


@dataclass(frozen=True)
class Kept:
    """A subject goes on.

    Attributes:
        payload: What the stage found out, as plain JSON values.
    """

    payload: Json = None


@dataclass(frozen=True)
class Dropped:
    """A subject ends here.

    Attributes:
        reason: A short stable name, which is counted.
        detail: One line for people.
    """

    reason: str
    detail: str = ""


Result: TypeAlias = Kept | Dropped


@dataclass(frozen=True)
class Stage:
    """One step of the way.

    Attributes:
        version: Raised when the same input would give another result.
        settings: What of the settings the result depends on; another value, and the stage is done again.
    """

    name: str
    version: int = 1
    settings: Json = field(default=None, hash=False)

    def key(self, subject_id: str, before: bytes) -> bytes:
        """Under what the ledger keeps the result for a subject that came here under the key `before`."""
        return digest([self.name, self.version, plain(self.settings), subject_id, before.hex()])


def digest(value: Json) -> bytes:
    """A short hash of plain JSON values, the same on every machine."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode("ascii"), digest_size=KEY_BYTES).digest()


def plain(value: Json) -> Json:
    """Dataclasses, tuples and paths as plain JSON values.

    >>> plain((1, Path("a")))
    [1, 'a']
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {one.name: plain(getattr(value, one.name)) for one in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in (sorted(value) if isinstance(value, set | frozenset) else value)]
    return value.as_posix() if isinstance(value, Path) else value
