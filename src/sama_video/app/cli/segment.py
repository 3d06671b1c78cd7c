"""`sama segment`: a referring expression to masklets; none when it names nothing in the video."""

from pathlib import Path

import click

from sama_video.app.cli.options import ModelOptions, make_folder, model_options, out_option
from sama_video.app.cli.output import Output, output_option


@click.command
@click.argument("video")
@click.argument("text")
@model_options
@out_option
@output_option
def command(video: str, text: str, model_options: ModelOptions, out: Path | None, output: Output) -> None:
    """Find what TEXT names in VIDEO and follow it; nothing is forced where the model says it is not there."""
    folder = make_folder(out) if out is not None else None
    from sama_video.app.cli.talk import open_session
    from sama_video.app.cli.track import report
    from sama_video.dialogue.markup import ask_to_segment

    session = open_session(video, model_options, output)
    answer = session.ask(ask_to_segment(text, session.model.config.segmentation_request))
    output.line(answer.text)
    report(session, folder, output)
