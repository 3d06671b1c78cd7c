"""`sama convert`: checkpoints between the published layout and ours."""

from pathlib import Path

import click

from sama_video.app.cli.output import Output, output_option


@click.command
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("dest", type=click.Path(path_type=Path))
@click.option(
    "--to", type=click.Choice(["sama", "official"]), default="sama", show_default=True, help="Layout of DEST."
)
@click.option(
    "--sam2", type=click.Path(path_type=Path), metavar="CKPT", help="SAM 2 checkpoint whose mask decoder to add."
)
@click.option(
    "--qformer-vocab",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="vocab.txt of uncased BERT, which published checkpoints do not hold.",
)
@output_option
def command(source: Path, dest: Path, to: str, sam2: Path | None, qformer_vocab: Path | None, output: Output) -> None:
    """Write SOURCE in the other layout as DEST, strictly: every weight has one place, or nothing is written."""
    from sama_video.model.convert_sama_weights import convert_checkpoint

    report = convert_checkpoint(source, dest, to=to, sam2=sam2, qformer_vocab=qformer_vocab)  # type: ignore[arg-type]
    output.line(report.to_text())
    output.document(report.to_json())
