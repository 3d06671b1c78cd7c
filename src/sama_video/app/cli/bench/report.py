"""`sama bench report`: what a scored run measured, as JSON, Markdown and a page."""

from pathlib import Path

import click

from sama_video.app.cli.output import Output, output_option


@click.command
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--data", type=click.Path(path_type=Path), help="The benchmark's files, for the frames beneath the masks shown."
)
@click.option(
    "--pictures",
    type=click.IntRange(min=0),
    default=12,
    show_default=True,
    help="Questions shown with their masks: half of them the worst, half around the median.",
)
@output_option
def command(folder: Path, data: Path | None, pictures: int, output: Output) -> None:
    """Write report.json, report.md and report.html of the scored run in DIR.

    The page is one file that needs no network: tables with 95 % intervals, scores by turn, pictures, every question.
    """
    from sama_video.bench.report_files import REPORT_HTML, write_report
    from sama_video.bench.store import RunFolder

    with output.progress("reporting"):
        report = write_report(RunFolder(folder), data, pictures)
    if report.banner:
        output.line(report.banner)
    for figure in report.leading:
        spread = f" ({figure.interval})" if figure.interval else ""
        output.line(f"{figure.name}: {figure.shown}{spread}")
    output.line(f"saved in {folder / REPORT_HTML}")
    output.document(report.to_json())
