"""`sama chat`: questions from the command line, or an interactive prompt."""

from pathlib import Path

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
from sama_video.app.cli.output import Output, output_option
from sama_video.errors import ConfigError


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
    from sama_video.app.cli.talk import open_session, print_turn, save

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
