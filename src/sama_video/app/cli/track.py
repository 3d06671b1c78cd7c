"""`sama track`: regions to masklets, without language."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sama_video.app.cli.options import ModelOptions, checked, make_folder, model_options, out_option, parse_region
from sama_video.app.cli.output import Output, by_total, output_option
from sama_video.errors import ConfigError

if TYPE_CHECKING:
    from sama_video.chat.session import ChatSession
    from sama_video.regions.shapes import Region


@click.command
@click.argument("video")
@click.option(
    "--region",
    "regions",
    multiple=True,
    callback=checked(parse_region),
    metavar="JSON",
    help='What to follow, like \'{"frame": 0, "points": [[40, 50]]}\'; may be repeated.',
)
@model_options
@out_option
@output_option
def command(
    video: str, regions: "tuple[Region, ...]", model_options: ModelOptions, out: Path | None, output: Output
) -> None:
    """Follow what the regions show through VIDEO, all at once."""
    if not regions:
        example = '--region \'{"frame": 0, "box": [10, 20, 60, 90]}\''
        raise ConfigError(f"sama track was given no --region; point at something, like {example}.")
    folder = make_folder(out) if out is not None else None
    from sama_video.app.cli.talk import open_session

    session = open_session(video, model_options, output)
    with output.progress("tracking", session.clip.num_frames) as advance:
        session.track(regions, progress=by_total(advance))
    report(session, folder, output)


def report(session: "ChatSession", folder: Path | None, output: Output) -> None:
    """Print where each object is visible, and write the masklets into the folder asked for."""
    masklets = {name: session.masklet(name) for name in session.book.object_ids}
    for name, masklet in masklets.items():
        output.line(f"{name}: visible on {len(masklet.visible_frames)} of {masklet.num_frames} frames")
    if folder is not None:
        from sama_video.app.results import write_tracks

        with output.progress("writing overlay", session.clip.num_frames) as advance:
            write_tracks(session.clip, masklets, folder, advance)
        output.line(f"saved in {folder}")
    output.document({"objects": [masklet.to_json() for masklet in masklets.values()]})
