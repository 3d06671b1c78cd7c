"""`sama data preview`: a page of records with their masks drawn."""

from pathlib import Path

import click

from sama_video.app.cli.output import Output, output_option


@click.command
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    default="preview.html",
    show_default=True,
    help="The page.",
)
@click.option(
    "--limit", type=click.IntRange(1, 200), default=12, show_default=True, metavar="N", help="Most records to show."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Chooses the records.")
@output_option
def command(folder: Path, out: Path, limit: int, seed: int, output: Output) -> None:
    """Write one page of N records of DIR, chosen by chance: frames with masks, the dialogue beside them, faults.

    DIR is what `sama data check` reads: official layouts directly below it, one of them itself, or .jsonl records of
    ours. The page is one file, works offline and runs no script.
    """
    from sama_video.data.preview import Preview, choose_records, write_preview

    preview = Preview(out)
    with output.progress("Reading") as advance:
        chosen = choose_records(folder, preview, limit, seed, advance)
    with output.progress("Drawing", len(chosen)) as advance:
        write_preview(folder, chosen, preview, advance)
    output.line(f"{len(preview.shown)} of {preview.records} records, {preview.bytes / 2**20:.1f} MiB, in {out}")
    output.document(preview.to_json())
