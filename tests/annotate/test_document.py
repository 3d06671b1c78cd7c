"""docs/annotate.md tells every reason, and commands and options that exist."""

import re
import shlex

import click
from shared_folders import REPOSITORY

from sama_video.annotate.checks.reasons import REASONS
from sama_video.annotate.review.reviewing import DROP_REASONS
from sama_video.app.cli.main import sama

TEXT = (REPOSITORY / "docs" / "annotate.md").read_text(encoding="utf-8")


def test_each_reason_for_dropping_a_text_is_told_in_its_own_words() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", TEXT, re.MULTILINE))
    assert rows == REASONS


def test_each_reason_for_dropping_a_clip_is_told() -> None:
    told = set(re.findall(r"`(\w+)`", TEXT))
    sources = [path.read_text(encoding="utf-8") for path in (REPOSITORY / "src/sama_video/annotate").rglob("*.py")]
    raised = {name for source in sources for name in re.findall(r'Dropped\(\s*"(\w+)"', source)}
    assert len(raised) > 8
    assert raised | set(DROP_REASONS) <= told


def test_commands_and_options_exist() -> None:
    lines = [line for block in re.findall(r"^```(?:sh|bash)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
             for line in block.splitlines() if line.startswith("sama ")]  # fmt: skip
    assert len(lines) > 6
    for line in lines:
        words = shlex.split(line)[1:]
        command: click.Command = sama
        while isinstance(command, click.Group) and words:
            name = words.pop(0)
            found = command.get_command(click.Context(command), name)
            if found is None:
                break
            command = found
        known = {option for param in command.params for option in param.opts + param.secondary_opts}
        assert {word for word in words if word.startswith("--")} <= known, line
