"""`sama data check`: everything below a folder read, each fault and each note reported."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sama_video.app.cli.output import Output, output_option

if TYPE_CHECKING:
    from sama_video.data.checking import CheckReport

ROWS_SHOWN = 20


@click.command
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--strict", is_flag=True, help="Stop at the first fault.")
@output_option
def command(folder: Path, strict: bool, output: Output) -> None:
    """Read everything below DIR: every frame is decoded, every mask track unpacked, every rule applied.

    DIR holds one or more official layouts directly below it (sama239k_data/, sama_bench/, video_datas/*, ref_seg/*,
    glamm_data/, llava_data/, osprey-724k/, videorefer_700k/, vidstg/), or is one; or it holds records of ours (.jsonl
    files, Parquet or tar shards), or annotations of another tool. Where there are several, all are read and counted
    together. Nothing deeper is searched, but for the shards of a data set that sama data annotate made. A fault is what
    loading drops or stops on: exit code 2. A note is accepted: exit code 0.
    """
    from sama_video.data.checking import CheckReport, check_folder
    from sama_video.data.findings import FaultError, Findings
    from sama_video.errors import DataError

    report = CheckReport(Findings(strict, base=folder))
    # Strict findings end the reading at their first fault, which is in the report then.
    with output.progress("Reading") as advance, contextlib.suppress(FaultError):
        check_folder(folder, report, advance)
    _show(report, output)
    output.document(report.to_json())
    if report.findings.faults:
        total = sum(report.findings.faults.values())
        reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(report.findings.faults.items()))
        raise DataError(
            f"{folder} has {total} fault{'s' if total > 1 else ''} ({reasons}); correct the files named, or train "
            "without what they concern."
        )


def _show(report: "CheckReport", output: Output) -> None:
    found = report.findings
    output.line(f"{report.records} records, {report.turns_kept} turns kept, {report.descriptions} descriptions")
    for title, counts, is_fault in (("fault", found.faults, True), ("note", found.notes, False)):
        for reason, count in sorted(counts.items()):
            output.line(f"{title}: {reason} {count}")
        for row in [row for row in found.rows if row.is_fault is is_fault][:ROWS_SHOWN]:
            place = row.file if row.record is None else f"{row.file}, {row.record}"
            output.line(f"  {place}: {row.detail} ({row.reason})")
        left = sum(counts.values()) - ROWS_SHOWN
        if left > 0:
            output.line(f"  and {left} more; --json lists them")
