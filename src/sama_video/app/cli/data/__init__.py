"""`sama data`: training data, checked, described, prepared, looked at, converted and made, one file for each step."""

import click

from sama_video.app.cli.table import CommandTable

COMMANDS = {
    "check": "Read everything below a folder and report each fault and each note.",
    "info": "Tell what a folder holds, with counts.",
    "prepare": "Tell what to fetch for a data set, check what is there, and index it.",
    "preview": "Write a page of records with their masks drawn.",
    "import": "Make records of annotations of another tool.",
    "export": "Write records or saved sessions in the formats of other tools.",
    "synth": "Make clips of moving shapes with dialogues and exact masks.",
    "annotate": "Make grounded dialogues for clips by a vision-language model.",
}


@click.group(cls=CommandTable, table=COMMANDS, package=__name__)
def command() -> None:
    """Check, describe, prepare, preview, convert, make or annotate training data."""
