"""`sama bench list`: which benchmarks there are."""

import click

from sama_video.app.cli.output import Output, output_option


@click.command
@output_option
def command(output: Output) -> None:
    """Name the benchmarks that run, check and score know."""
    from sama_video.bench.tasks import TASKS

    width = max(len(name) for name in TASKS)
    for name, (_, title) in TASKS.items():
        output.line(f"{name:{width}}  {title}")
    output.document([{"name": name, "title": title} for name, (_, title) in TASKS.items()])
