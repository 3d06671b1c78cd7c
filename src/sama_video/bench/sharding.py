"""Which part of a benchmark a process answers: videos by the hash of their name, so that any number of parts works.

Parts count from 0: `0/4`, `1/4`, `2/4` and `3/4` are the whole. A part can be cut again, and the pieces are parts of
the whole: the two halves of `1/4` are `1/8` and `5/8`.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from sama_video.errors import ConfigError


@dataclass(frozen=True)
class Shard:
    """Part `index` of `count`, counted from 0."""

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise ConfigError(
                f"shard {self.index}/{self.count} does not exist; parts count from 0, so of {self.count} the last is "
                f"{self.count - 1}/{self.count}."
            )

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Read `i/n`.

        >>> Shard.parse("1/4")
        Shard(index=1, count=4)
        """
        match = re.fullmatch(r"\s*(\d{1,6})\s*/\s*(\d{1,6})\s*", text)
        if match is None or int(match[2]) == 0:
            raise ConfigError(f"shard {text!r} is not i/n; write 0/4 for the first of four parts.")
        return cls(int(match[1]), int(match[2]))

    def holds(self, video: str) -> bool:
        """Whether a video's questions belong to this part."""
        digest = hashlib.sha256(video.encode()).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.index

    def piece(self, index: int, count: int) -> "Shard":
        """One of `count` equal pieces of this part.

        >>> Shard(1, 4).piece(1, 2)
        Shard(index=5, count=8)
        """
        inner = Shard(index, count)
        return Shard(self.index + self.count * inner.index, self.count * inner.count)

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


def launched(environment: Mapping[str, str]) -> tuple[Shard, int | None]:
    """This process's part and its number on this machine, as `torchrun` tells them; all of it without a launcher."""
    try:
        rank, world = int(environment["RANK"]), int(environment["WORLD_SIZE"])
        local = int(environment.get("LOCAL_RANK", rank))
    except KeyError:
        return Shard(), None
    except ValueError as error:
        raise ConfigError(f"RANK, WORLD_SIZE and LOCAL_RANK must be numbers ({error}); start with torchrun.") from error
    return Shard(rank, world), local
