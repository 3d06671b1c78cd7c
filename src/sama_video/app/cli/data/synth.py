"""`sama data synth`: clips of the diagnostic world with dialogues, exact masks and an exam; resumed at will."""

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sama_video.app.cli.options import checked, make_folder, out_option
from sama_video.app.cli.output import Output, output_option
from sama_video.errors import ConfigError

if TYPE_CHECKING:
    from sama_video.data.synthetic.export import Format
    from sama_video.data.synthetic.levels import Split
    from sama_video.data.synthetic.painting import Assets


def parse_frame_size(text: str) -> tuple[int, int]:
    """Read a frame's size, one number or width x height, as (height, width).

    >>> parse_frame_size("160x120")
    (120, 160)
    """
    match = re.fullmatch(r"(\d{1,4})(?:x(\d{1,4}))?", text.strip().lower())
    if match is None:
        raise ValueError(f"{text!r} is no size; write pixels such as 128, or width x height such as 160x120")
    width, height = int(match[1]), int(match[2] or match[1])
    if min(width, height) < 32 or max(width, height) > 4 * min(width, height):
        raise ValueError(
            f"{text} is too small or too narrow; give at least 32 pixels each way, at most four times as many"
        )
    return height, width


@click.command
@out_option
@click.option("--clips", type=click.IntRange(min=1), required=True, metavar="N", help="How many clips DIR is to hold.")
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Which run of the split; no two runs share a clip.",
)
@click.option(
    "--level", type=click.Choice(["1", "2", "3"]), default="2", show_default=True, help="1 is easier, 3 harder."
)
@click.option("--split", type=click.Choice(["train", "val", "test"]), default="train", show_default=True)
@click.option(
    "--sprites",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="RGBA pictures that stand for up to half of the objects, each named after what it shows.",
)
@click.option(
    "--backgrounds", type=click.Path(path_type=Path), metavar="FOLDER", help="Pictures to cut backgrounds from."
)
@click.option(
    "--size",
    callback=checked(parse_frame_size),
    default="128",
    show_default=True,
    metavar="SIZE",
    help="Pixels of a square, or width x height.",
)
@click.option("--format", "form", type=click.Choice(["frames", "mp4"]), default="frames", show_default=True)
@output_option
def command(
    out: Path | None,
    clips: int,
    seed: int,
    level: str,
    split: "Split",
    sprites: Path | None,
    backgrounds: Path | None,
    size: tuple[int, int],
    form: "Format",
    output: Output,
) -> None:
    """Write clips of moving shapes with dialogues and exact masks to --out, in the record format and as SAMA-Bench.

    The same options write the same bytes. Run again after an interruption, it goes on where it was; with more --clips,
    it adds to what is there.
    """
    if out is None:
        raise ConfigError("sama data synth was given no --out; name a folder for the clips, like --out synth.")
    if form == "mp4" and (size[0] % 2 or size[1] % 2):
        raise ConfigError(f"--size {size[1]}x{size[0]} is odd, which an MP4 cannot hold; give even numbers of pixels.")
    from sama_video.data.synthetic.diagnostic import DiagnosticWorld
    from sama_video.data.synthetic.export import QUESTIONS, RECORDS, SynthSettings, write_synth
    from sama_video.data.synthetic.levels import seeds_of

    first = seeds_of(split, seed, clips).start
    world = DiagnosticWorld(int(level), size, _assets(sprites, backgrounds))
    hashes = [None if folder is None else folder_hash(folder) for folder in (sprites, backgrounds)]
    settings = SynthSettings(int(level), split, seed, size, form, hashes[0], hashes[1])
    folder = make_folder(out)
    with output.progress("clips", clips) as advance:
        report = write_synth(folder, settings, world, clips, advance)
    bench = folder / "sama_bench" if form == "frames" else None
    output.line(f"{report.clips} clips, {report.added} of them new, in {folder}")
    output.document(
        {
            "out": str(folder),
            "clips": report.clips,
            "added": report.added,
            "first_seed": first,
            "settings": settings.to_json(),
            "records": str(folder / RECORDS),
            "questions": str(folder / QUESTIONS),
            "sama_bench": None if bench is None else str(bench),
        }
    )


def _assets(sprites: Path | None, backgrounds: Path | None) -> "Assets":
    from sama_video.data.synthetic.backgrounds import Pictures
    from sama_video.data.synthetic.painting import Assets
    from sama_video.data.synthetic.sprites import Sprites

    return Assets(None if sprites is None else Sprites(sprites), None if backgrounds is None else Pictures(backgrounds))


def folder_hash(folder: Path) -> str:
    """Hash of a folder's files by name and content: clips that were drawn with other pictures are other clips."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        digest.update(path.name.encode() + b"\0")
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:24]
