"""`sama data import`: annotations of other tools as records of ours."""

from pathlib import Path

import click

from sama_video.app.cli.data.export import FORMAT_NAMES, findings_json, format_named, show_findings
from sama_video.app.cli.options import out_option
from sama_video.app.cli.output import Output, output_option
from sama_video.errors import ConfigError


@click.command
@click.argument("path", metavar="PATH", type=click.Path(path_type=Path))
@click.option(
    "--from",
    "form",
    type=click.Choice([*FORMAT_NAMES, "auto"]),
    default="auto",
    show_default=True,
    help="What PATH is; auto looks inside.",
)
@out_option
@click.option(
    "--media", type=click.Path(path_type=Path), metavar="PATH", help="Where pictures or the video are, if not beside."
)
@click.option("--source", metavar="NAME", help="Name of the data set, where the files have none.")
@click.option("--licence", metavar="TEXT", help="Terms of the data set, where the files have none.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Draws the order of turns.")
@click.option("--max-turns", type=click.IntRange(min=1), default=8, show_default=True, help="Most turns of a record.")
@click.option("--strict", is_flag=True, help="Stop at the first fault.")
@output_option
def command(
    path: Path,
    form: str,
    out: Path | None,
    media: Path | None,
    source: str | None,
    licence: str | None,
    seed: int,
    max_turns: int,
    strict: bool,
    output: Output,
) -> None:
    """Make records of annotations of another tool: short grounded turns from labels, texts and regions.

    PATH is the annotation file, or the folder that holds it. --out gets records.jsonl and copies of the clips, so that
    it stands by itself; `sama data preview` shows it. What cannot be used is left out, counted and named.
    """
    if out is None:
        raise ConfigError("sama data import was given no --out; name a folder for the records, like --out mine.")
    from sama_video.data.findings import Findings
    from sama_video.data.formats import detect
    from sama_video.data.formats.importing import import_clips
    from sama_video.data.formats.options import UNKNOWN_LICENCE, ReadOptions

    found = detect(path) if form == "auto" else format_named(form)
    findings = Findings(strict)
    clips = found.read(path, findings, ReadOptions(media, source, licence or UNKNOWN_LICENCE))
    with output.progress("Importing") as advance:
        counts = import_clips(clips, out, findings, advance, seed=seed, max_turns=max_turns)
    output.line(
        f"{counts.records} records with {counts.turns} turns, of {counts.clips} clips with {counts.objects} objects "
        f"({found.title}), in {out}"
    )
    show_findings(findings, output)
    output.document({"format": found.name, "out": str(out)} | counts.to_json() | findings_json(findings))
