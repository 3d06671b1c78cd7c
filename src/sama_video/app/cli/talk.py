"""What the commands that run the model share: starting a session about a video, asking and printing, saving."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sama_video.app.cli.options import Ask, ModelOptions
from sama_video.app.cli.output import Output, by_total

if TYPE_CHECKING:
    from sama_video.chat.answer import Answer
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


def print_turn(session: "ChatSession", ask: Ask, output: Output, *, echo: bool = True) -> "Answer":
    """Ask, print the answer as it comes, then what its phrases are bound to.

    Args:
        echo: Whether to print the question first, as nobody typed it just now.
    """
    from sama_video.chat.answer import AnswerReady, TextDelta

    answer = None
    with output.progress("tracking", session.clip.num_frames) as advance:
        for event in session.stream(ask.text, ask.regions, ground=ask.ground, progress=by_total(advance)):
            if echo:  # only now: a question that is refused gets no answer below it
                output.line(f"> {ask.text}")
                echo = False
            if isinstance(event, TextDelta):
                output.piece(event.text)
            elif isinstance(event, AnswerReady):
                answer = event.answer
    output.line()
    assert answer is not None, "a turn ends with its answer"
    for phrase in answer.phrases:
        bound = phrase.object_id or f"no mask: {phrase.reason}"
        output.line(f"    {phrase.text}  ->  {bound}")
    return answer


def save(session: "ChatSession", folder: Path | None, output: Output) -> None:
    """Write the session into the folder asked for, if one was and anything was said or shown."""
    if folder is None or not (session.dialogue.turns or session.book.object_ids):
        return
    from sama_video.app.results import write_session

    with output.progress("writing overlay", session.clip.num_frames) as advance:
        write_session(session, folder, advance)
    output.line(f"saved in {folder}")
