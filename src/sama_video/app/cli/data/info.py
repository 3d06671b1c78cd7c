"""`sama data info`: what a folder holds, with counts and licences."""

from pathlib import Path

import click

from sama_video.app.cli.output import Output, output_option


@click.command
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@output_option
def command(folder: Path, output: Output) -> None:
    """Tell what DIR holds: records, videos, turns, descriptions, tracks and frames of each source, and its licence.

    No frame is opened and no mask unpacked; `sama data check` does that. What breaks a rule of the record files is left
    out of the counts, and its number is given at the end.
    """
    from sama_video.data.describing import describe
    from sama_video.data.findings import Findings

    findings = Findings(base=folder)
    parts = []
    with output.progress("Counting") as advance:
        for part in describe(folder, findings):
            parts.append(part)
            advance(1)
    for part in parts:
        counts = ", ".join(f"{count} {what}" for what, count in part.counts.items())
        output.line(f"{part.layout}, {part.name}: {counts}")
        output.line(f"  licence: {part.licence}")
    left_out = sum(findings.faults.values())
    if left_out:
        output.line(f"{left_out} faults left out of the counts; sama data check {folder} names them")
    output.document(
        {"parts": [part.to_json() for part in parts], "faults": dict(sorted(findings.faults.items()))},
    )
