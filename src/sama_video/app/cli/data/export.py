"""`sama data export`: records of ours, or saved sessions, in the annotation formats of other tools."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sama_video.app.cli.options import out_option
from sama_video.app.cli.output import Output, output_option
from sama_video.errors import ConfigError

if TYPE_CHECKING:
    from sama_video.data.findings import Findings
    from sama_video.data.formats import Format

FORMAT_NAMES = ("coco", "youtube-vis", "davis", "cvat", "label-studio")
ROWS_SHOWN = 20


@click.command
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--to", "form", type=click.Choice(FORMAT_NAMES), required=True, help="The format to write.")
@out_option
@click.option(
    "--media",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="A session's video, or its folder, if it has moved.",
)
@click.option("--pictures/--no-pictures", default=True, show_default=True, help="Write the frames as well.")
@click.option("--strict", is_flag=True, help="Stop at the first fault.")
@output_option
def command(
    folder: Path, form: str, out: Path | None, media: Path | None, pictures: bool, strict: bool, output: Output
) -> None:
    """Write the clips and masks of DIR for other tools.

    DIR is a folder of .jsonl records of ours, a saved session (answers.json), or a folder of saved sessions. Objects
    get the labels that they were imported with, else what the dialogue calls them. What cannot be used is left out,
    counted and named.
    """
    if out is None:
        raise ConfigError("sama data export was given no --out; name a folder for the files, like --out coco.")
    from sama_video.data.findings import Findings
    from sama_video.data.formats.exporting import clips_below, export_clips

    findings, chosen = Findings(strict, base=folder), format_named(form)
    clips = clips_below(folder, findings, media)
    with output.progress("Exporting") as advance:
        counts = export_clips(clips, chosen, out, findings, advance, pictures=pictures)
    output.line(f"{counts.clips} clips with {counts.objects} objects ({chosen.title}), in {out}")
    show_findings(findings, output)
    output.document({"format": chosen.name, "out": str(out)} | counts.to_json() | findings_json(findings))


def format_named(name: str) -> "Format":
    """The format that a command line calls so."""
    from sama_video.data.formats import FORMATS

    return FORMATS["cvat-video" if name == "cvat" else name]


def findings_json(findings: "Findings") -> dict[str, Any]:
    """Faults and notes, as `sama data check --json` has them."""
    return {
        "faults": dict(sorted(findings.faults.items())),
        "notes": dict(sorted(findings.notes.items())),
        "rows": [row.to_json() for row in findings.rows],
    }


def show_findings(findings: "Findings", output: Output) -> None:
    """Tell people what was left out and what is odd."""
    for title, counts, is_fault in (("left out", findings.faults, True), ("note", findings.notes, False)):
        for reason, count in sorted(counts.items()):
            output.line(f"{title}: {reason} {count}")
        for row in [row for row in findings.rows if row.is_fault is is_fault][:ROWS_SHOWN]:
            place = row.file if row.record is None else f"{row.file}, {row.record}"
            output.line(f"  {place}: {row.detail} ({row.reason})")
        if sum(counts.values()) > ROWS_SHOWN:
            output.line(f"  and {sum(counts.values()) - ROWS_SHOWN} more; --json lists them")
