"""`sama bench submit`: a run's masks as the archive that a benchmark's server takes."""

from pathlib import Path

import click

from sama_video.app.cli.output import Output, output_option
from sama_video.errors import ConfigError


@click.command
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="ZIP", help="The archive to write.  [default: DIR/submission.zip]"
)
@click.option("--check", "archive", type=click.Path(path_type=Path), metavar="ZIP", help="An archive to check instead.")
@click.option("--data", type=click.Path(path_type=Path), help="The benchmark's files, to check against them as well.")
@output_option
def command(folder: Path, out: Path | None, archive: Path | None, data: Path | None, output: Output) -> None:
    """Pack the masks of the run in DIR for MeViS valid or Ref-YouTube-VOS valid.

    Every video, expression and frame must be there, at the size of the video, before the archive is written.
    """
    if out is not None and archive is not None:
        raise ConfigError("sama bench submit either packs (--out ZIP) or checks (--check ZIP); give one of the two.")
    from sama_video.bench.store import RunFolder
    from sama_video.bench.submit import check_archive, pack

    run = RunFolder(folder)
    if archive is not None:
        submission = check_archive(run, archive, data)
        output.line(f"{archive} is whole")
    else:
        target = out or folder / "submission.zip"
        submission = pack(run, target, data)
        output.line(f"saved in {target}")
    output.line(
        f"{submission.task}: {submission.pngs} pictures of {submission.expressions} expressions on "
        f"{submission.videos} videos"
    )
    output.line(f"SHA-256 {submission.sha256}")
    output.document(submission.to_json())
