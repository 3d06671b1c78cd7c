"""`sama chat`: questions from the command line, or an interactive prompt."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sama_video.app.cli.options import (
    Ask,
    AskCommand,
    ModelOptions,
    ask_options,
    make_folder,
    model_options,
    out_option,
)
from sama_video.app.cli.output import Output, by_total, output_option
from sama_video.errors import ConfigError

if TYPE_CHECKING:
    from sama_video.chat.answer import Answer
    from sama_video.chat.session import ChatSession


@click.command(cls=AskCommand)
@click.argument("video")
@ask_options
@model_options
@out_option
@output_option
def command(video: str, asks: tuple[Ask, ...], model_options: ModelOptions, out: Path | None, output: Output) -> None:
    """Talk about VIDEO: a file, a folder of frames, an image, or demo.

    Without --ask, an interactive prompt; /help there tells what it understands. With --out, the session so far is saved
    whenever it ends, also by Ctrl-C, and `model.restore(DIR)` in Python goes on with it.
    """
    if not asks and output.as_json:
        raise ConfigError("--json needs at least one --ask; the interactive prompt prints for people.")
    folder = make_folder(out) if out is not None else None
    from sama_video.app.cli.talk import open_session

    session = open_session(video, model_options, output)
    try:
        if asks:
            for ask in asks:
                print_turn(session, ask, output)
        else:
            from sama_video.app.cli.prompt import run_prompt

            run_prompt(session, output, folder)
    finally:
        save(session, folder, output)
    if output.as_json:
        from sama_video.chat.storage import session_json

        output.document(session_json(session))


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
