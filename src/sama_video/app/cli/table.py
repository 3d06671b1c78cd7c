"""Groups of commands that import only the one that was called."""

import importlib
import importlib.util
import keyword
from collections.abc import Mapping, Sequence
from typing import Any

import click


class CommandTable(click.Group):
    """Commands by name, each a file or package of that name with a `click` command called `command`.

    Args:
        table: A line about each command, so that the help page needs none of the files. A command whose file is absent
            is not offered.
        package: Where the files are.
    """

    def __init__(self, *args: Any, table: Mapping[str, str], package: str, **options: Any) -> None:
        super().__init__(*args, **options)
        self.table = table
        self.package = package

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands that this installation has, in the order of the help page."""
        return [name for name in self.table if importlib.util.find_spec(self._module_of(name)) is not None]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the file of one command and give what it defines; None for a name that is none of ours."""
        if cmd_name not in self.list_commands(ctx):
            return None
        command = importlib.import_module(self._module_of(cmd_name)).command
        assert isinstance(command, click.Command)
        return command

    def _module_of(self, name: str) -> str:
        """The module of a command; one that is called as a word of Python has an underscore after its name."""
        return f"{self.package}.{name}{'_' if keyword.iskeyword(name) else ''}"

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands' section of the help page without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, self.table[name]) for name in self.list_commands(ctx)])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the first argument names."""
        if self.get_command(ctx, args[0]) is None:
            raise click.UsageError(f"no command {args[0]!r}{nearest(args[0], self.list_commands(ctx))}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        """Run the command that was called."""
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            name = ctx.invoked_subcommand
            # Click's parser does not always say which command it was reading for.
            if error.ctx is None and name is not None and (command := self.get_command(ctx, name)) is not None:
                error.ctx = click.Context(command, info_name=name, parent=ctx)
            raise


def nearest(given: str, known: Sequence[str]) -> str:
    """Ask whether a word that is meant was mistyped; nothing when no known one is close."""
    # Only on the way out with a mistake: difflib is not worth its import for a help page.
    from difflib import get_close_matches

    close = get_close_matches(given, known, n=1)
    return f" (did you mean {close[0]}?)" if close else ""
