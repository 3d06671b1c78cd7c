"""Ctrl-C where replies are under way that are paid for: the first one waits for them, the second one does not."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED = 130
_WAITS = b"\nwaiting for the replies that are under way, which are paid for; Ctrl-C again leaves them\n"


@contextmanager
def patient_interrupts() -> Iterator[None]:
    """Let a second Ctrl-C end the process at once, for the first is followed by as long a wait as a reply takes.

    Only for work that a kill at any moment cannot harm. Where somebody else looks after interrupts, or they are
    ignored, nothing changes.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler or threading.current_thread() is not threading.main_thread():
        yield
        return
    count = 0

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        nonlocal count
        count += 1
        # A handler may run in the middle of somebody's print, so it writes past the streams.
        if count > 1:
            os.write(2, b"interrupted\n")
            os._exit(INTERRUPTED)
        if sys.stderr.isatty():
            os.write(2, _WAITS)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
