"""`sama bench ablate`: what each part of the model is worth, trained and scored with and without it."""

import json
import sys
from pathlib import Path

import click

from sama_video.app.cli.options import checked, parse_device
from sama_video.app.cli.output import Output, output_option
from sama_video.app.cli.train import show_progress
from sama_video.errors import ConfigError


def _parse_seeds(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"seeds are {text!r}; give whole numbers with commas between, such as 0,1,2.") from error


@click.command
@click.option("--model", default="nano", show_default=True, help="Finished nano whose perception all variants share.")
@click.option("--seeds", default="0,1,2", show_default=True, callback=checked(lambda text: _parse_seeds(text)))
@click.option(
    "--steps", type=click.IntRange(min=1), default=500, show_default=True, help="Joint steps of each training."
)
@click.option(
    "--speak-steps", type=click.IntRange(min=1), default=200, show_default=True, help="Steps in words before."
)
@click.option("--clips", type=click.IntRange(min=1), default=100, show_default=True, help="Held-out clips to score on.")
@click.option("--device", callback=checked(parse_device), default="auto", show_default=True)
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads; left out, what the system offers.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default="runs/ablation", show_default=True)
@output_option
def command(
    model: str,
    seeds: tuple[int, ...],
    steps: int,
    speak_steps: int,
    clips: int,
    device: str,
    threads: int | None,
    out: Path,
    output: Output,
) -> None:
    """Train the model as it is, without SAM, without the aggregator and without grounded dialogues; compare them.

    About an hour on one CPU core. Killed at any moment, the same command goes on where it was. Writes
    OUT/ablation.json and OUT/ablation.md.
    """
    import torch

    from sama_video.chat.loading import load
    from sama_video.train.ablation.findings import document, page
    from sama_video.train.ablation.study import StudyConfig, run_study
    from sama_video.train.ablation.variants import read_foundation
    from sama_video.train.run_folder import write_whole

    if threads is not None:
        torch.set_num_threads(threads)
    config = StudyConfig(seeds, speak_steps, steps, clips)
    finished = load(model, device="cpu")
    foundation = read_foundation(finished.model, finished.processor)
    chosen = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    scores = run_study(
        config,
        foundation,
        out,
        device=chosen,
        report=show_progress if sys.stderr.isatty() else None,
        begin=lambda name, seed: output.line(f"{name}, seed {seed}"),
    )
    found = document(config, scores)
    write_whole(out / "ablation.json", (json.dumps(found, indent=1) + "\n").encode())
    write_whole(out / "ablation.md", page(config, scores).encode())
    output.line(page(config, scores))
    output.document(found)
