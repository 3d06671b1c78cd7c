"""A run that is asked to stop does so between two updates, with a checkpoint: on Ctrl-C and on a scheduler's SIGTERM.

In the middle of an update some weights have moved and others have not; what is saved there belongs to no unbroken run.
"""

import logging
import signal
import threading
import time
from types import FrameType
from typing import Any, Final

logger = logging.getLogger(__name__)

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
SAME_REQUEST_SECONDS: Final = 2.0
"""A launcher passes on the Ctrl-C that its processes have seen themselves; so soon, it is no second one."""


class StopRequest:
    """Listens while it is entered; the first signal only asks, and a later one does what it always did.

    Signals reach the main thread alone: entered in another one, this hears nothing.
    """

    def __init__(self) -> None:
        self.is_made = False
        self._made_at = 0.0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            self._before = {one: signal.signal(one, self._ask) for one in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for one, handler in self._before.items():
            signal.signal(one, handler)
        self._before = {}

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if not self.is_made:
            self.is_made, self._made_at = True, time.monotonic()
            logger.warning("stopping after this update, with a checkpoint; interrupt again to stop at once, without")
        elif time.monotonic() - self._made_at > SAME_REQUEST_SECONDS:
            self.__exit__()
            signal.raise_signal(number)


def leave_stopping_to_parent() -> None:
    """For a process that only reads: a Ctrl-C in the terminal reaches it too, and what it reads is still needed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
