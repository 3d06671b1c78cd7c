"""A lock between processes that ends with its holder, however that ends."""

import contextlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from sama_video.errors import ConfigError

WAIT_SECONDS = 0.05


@contextlib.contextmanager
def hold_lock(path: Path, refusal: str | None = None) -> Iterator[None]:
    """Hold a file's lock; wait for it, or refuse with a message when another process has it.

    The file stays behind: whoever deleted it could take the lock from under another process.
    """
    with path.open("a+b") as file:
        while not _try_lock(file):
            if refusal is not None:
                raise ConfigError(refusal)
            time.sleep(WAIT_SECONDS)
        try:
            yield
        finally:
            _unlock(file)


if sys.platform == "win32":
    import msvcrt

    def _try_lock(file: IO[bytes]) -> bool:
        file.seek(0)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock(file: IO[bytes]) -> None:
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _try_lock(file: IO[bytes]) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)
