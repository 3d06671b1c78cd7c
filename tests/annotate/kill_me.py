"""Annotates in a child process for each line it reads, so that a test can kill one after another without new imports.

Each line names a folder; the child's number is written when it begins, and its exit code when it has ended.
"""

import os
import sys
from pathlib import Path

import sama_video.annotate.review.writing  # noqa: F401  what a run would import by and by, before the first child
from sama_video.annotate.pipeline import Annotation
from sama_video.annotate.settings import read_settings
from sama_video.remote.transport import Endpoint, OpenAITransport

OpenAITransport(Endpoint("http://127.0.0.1:9/v1")).close()
settings = read_settings(Path(sys.argv[1]))
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        with Annotation(settings, Path(line.strip())) as annotation:
            annotation.run()
        os._exit(0)
    print(child, flush=True)
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
