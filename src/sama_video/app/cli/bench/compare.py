"""`sama bench compare`: whether two runs of one benchmark differ."""

import json
from pathlib import Path

import click

from sama_video.app.cli.options import make_folder, out_option
from sama_video.app.cli.output import Output, output_option


@click.command
@click.argument("a", type=click.Path(path_type=Path))
@click.argument("b", type=click.Path(path_type=Path))
@click.option(
    "--captions/--no-captions", default=True, help="Whether metrics of captions, which need Java, are compared."
)
@out_option
@output_option
def command(a: Path, b: Path, captions: bool, out: Path | None, output: Output) -> None:
    """Compare the scored runs in A and B: every figure's difference with a 95 % interval, on the videos both have.

    Both must be of one benchmark, with the same data and options, scored in the same way. With --out, the tables are
    written as comparison.md and comparison.json.
    """
    from sama_video.bench.compare import compare
    from sama_video.bench.lines import write_whole
    from sama_video.bench.store import RunFolder

    comparison = compare(RunFolder(a), RunFolder(b), captions=captions)
    text, document = comparison.to_markdown(), comparison.to_json()
    output.line(text.rstrip("\n"))
    if out is not None:
        folder = make_folder(out)
        write_whole(folder / "comparison.md", text)
        write_whole(folder / "comparison.json", json.dumps(document, ensure_ascii=False, indent=2) + "\n")
        output.line(f"saved in {folder}")
    output.document(document)
