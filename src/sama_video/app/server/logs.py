"""The server's log: one JSON document a line, of what happened and when, never of what was said, named or shown."""

import json
import logging
import sys
import time
import traceback
from typing import Any

OWN = "sama_video.app.server"


class JsonLines(logging.Formatter):
    """Writes a record as one line of JSON. Of an exception only its kind and places in the code are told."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        row: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{record.msecs:03.0f}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "told", {}),
        }
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            frames = traceback.extract_tb(error.__traceback__)[-8:]
            row["error"] = type(error).__name__
            row["where"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        return json.dumps(row)


def configure_logs(level: int = logging.INFO) -> None:
    """Send our own and uvicorn's messages to stderr as JSON lines; requests are told by us, so not by uvicorn."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.captureWarnings(True)
    for name in (OWN, "uvicorn", "uvicorn.error", "py.warnings"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(level)
        logger.propagate = False
    logging.getLogger("uvicorn.access").disabled = True
