"""What the commands that run the model share: opening a video, loading the model, starting a session."""

import sys
from typing import TYPE_CHECKING

from sama_video.app.cli.options import ModelOptions
from sama_video.app.cli.output import Output

if TYPE_CHECKING:
    from sama_video.chat.session import ChatSession


def open_session(video: str, options: ModelOptions, output: Output) -> "ChatSession":
    """A session about a video on the model asked for. The video is opened first: its mistakes show at once."""
    from sama_video.chat.loading import load, open_clip

    clip = open_clip(video)
    if not sys.stderr.isatty():
        from transformers.utils import logging

        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    with output.progress(f"loading {options.model}"):
        model = load(options.model, **options.load_arguments())  # type: ignore[arg-type]
    return model.chat(clip, **options.chat_arguments())  # type: ignore[arg-type]
