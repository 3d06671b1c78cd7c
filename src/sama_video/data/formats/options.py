"""What a reader is told that its files do not say."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

UNKNOWN_LICENCE: Final = "no licence stated"


@dataclass(frozen=True)
class ReadOptions:
    """Beside the annotation file.

    Attributes:
        media: Folder that the pictures and videos lie in; where the format usually has them if not given.
        source: Name of the data set, where the file has none; the format's name if not given.
        licence: Where the file has none.
    """

    media: Path | None = None
    source: str | None = None
    licence: str = UNKNOWN_LICENCE

    def roots(self, usual: Sequence[Path]) -> tuple[Path, ...]:
        """Folders to look for pictures in."""
        return tuple(dict.fromkeys(usual)) if self.media is None else (self.media,)
