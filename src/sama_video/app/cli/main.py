"""The `sama` command: loads only the command asked for, and turns whatever happens into one line and an exit code.

    0    done
    1    our failure: a short line; with SAMA_DEBUG=1 the traceback before it
    2    the caller's mistake: one line that says what was given, the rule it broke and what to do next
    130  interrupted; 141 when whoever read our output stopped reading

A command is a file `app/cli/NAME.py` with a `click` command called `command`, whose imports at the top are light.
"""

import contextlib
import importlib
import importlib.util
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence

import click

from sama_video import __version__
from sama_video.app.cli.output import Stream
from sama_video.errors import SamaError, SamaWarning

DONE, FAILED, MISTAKE, INTERRUPTED, OUTPUT_CLOSED = 0, 1, 2, 130, 141

# One line each, so that the help page needs none of the files. A command whose file is absent is not offered.
COMMANDS = {
    "demo": "Talk about the bundled clip with the bundled model: three grounded turns.",
    "chat": "Talk about a video; without --ask, an interactive prompt.",
    "track": "Follow regions through a video, without language.",
    "segment": "Find what a referring expression names, and follow it.",
    "convert": "Convert a checkpoint from or to the published layout, strictly.",
    "data": "Check, describe, prepare, preview, make or annotate training data.",
    "train": "Train from a recipe; resume exactly.",
    "bench": "Run, score, report and compare benchmarks.",
    "serve": "Answer over HTTP, with a web page.",
    "doctor": "Tell what this machine has, what is missing, and which presets fit.",
}


class CommandTable(click.Group):
    """The commands by name, each imported when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands that this installation has, in the order of the help page."""
        return [name for name in COMMANDS if importlib.util.find_spec(f"{__package__}.{name}") is not None]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the file of one command and give what it defines; None for a name that is none of ours."""
        if cmd_name not in self.list_commands(ctx):
            return None
        command = importlib.import_module(f"{__package__}.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands' section of the help page without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name]) for name in self.list_commands(ctx)])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the first argument names."""
        if self.get_command(ctx, args[0]) is None:
            raise click.UsageError(f"no command {args[0]!r}{_nearest(args[0], self.list_commands(ctx))}", ctx)
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


@click.group(
    cls=CommandTable,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)
@click.version_option(__version__, message="sama %(version)s")
@click.pass_context
def sama(ctx: click.Context) -> None:
    """Grounded multi-turn chat with videos: ask and point, get answers whose phrases are masks."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and give its exit code.

    Args:
        argv: The words after `sama`; those of the process when left out.
    """
    debug = os.environ.get("SAMA_DEBUG", "") not in ("", "0")
    words = list(sys.argv[1:] if argv is None else argv)
    _quieten_libraries(debug)
    with warnings.catch_warnings():
        _configure_reports(debug)
        return _exit_code(words, debug)


def _exit_code(words: list[str], debug: bool) -> int:
    try:
        with _one_document_on_stdout(words) as stdout:
            # Not sama.main(): it has its own way with closed pipes and interrupts.
            with sama.make_context("sama", words, obj=stdout) as ctx:
                sama.invoke(ctx)
            stdout.flush()
        return DONE
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.UsageError as error:
        return _mistake(_usage_line(error))
    except (click.ClickException, SamaError) as error:
        return _mistake(str(error))
    except (KeyboardInterrupt, click.Abort):
        _say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # Python would complain once more when it flushes on its way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OUTPUT_CLOSED
    except Exception as error:
        if debug:
            traceback.print_exc()
        hint = "" if debug else "; SAMA_DEBUG=1 shows where"
        _say(f"internal error: {type(error).__name__}: {error}{hint}")
        return FAILED


def _mistake(message: str) -> int:
    _say(f"error: {message}")
    return MISTAKE


def _say(message: str) -> None:
    """Write one line to stderr, whatever line breaks the message holds."""
    with contextlib.suppress(BrokenPipeError):
        print(" ".join(message.split()), file=sys.stderr, flush=True)


def _usage_line(error: click.UsageError) -> str:
    """Tell in one line what was wrong with the words after `sama`, and where to read on."""
    context = error.ctx or click.Context(sama, info_name="sama")
    path = context.command_path
    return f"{path}: {_usage_problem(error, context).rstrip('.')}; see {path} --help"


def _usage_problem(error: click.UsageError, context: click.Context) -> str:
    command = context.command
    match error:
        case click.exceptions.NoArgsIsHelpError():
            assert isinstance(command, click.Group)
            return f"a command is missing: {', '.join(command.list_commands(context))}"
        case click.NoSuchOption(option_name=name):
            known = [word for param in command.get_params(context) for word in param.opts if word.startswith("--")]
            return f"no option {name}{_nearest(name, known)}"
        case click.MissingParameter(param=click.Parameter() as param):
            return f"{_name(param, context)} is missing"
        case click.BadParameter(param=click.Parameter() as param):
            return f"{_name(param, context)}: {error.message}"
        case _:
            message = error.format_message()
            return message[:1].lower() + message[1:]


def _name(param: click.Parameter, context: click.Context) -> str:
    """Spell an option as it is typed, an argument as the help page shows it."""
    return param.make_metavar(context) if isinstance(param, click.Argument) else max(param.opts, key=len)


def _nearest(given: str, known: Sequence[str]) -> str:
    # Only on the way out with a mistake: difflib is not worth its import for a help page.
    from difflib import get_close_matches

    close = get_close_matches(given, known, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


@contextlib.contextmanager
def _one_document_on_stdout(words: Sequence[str]) -> Iterator[Stream]:
    """Give the true stdout; while a command with `--json` runs, what libraries print goes to stderr instead."""
    stdout = sys.stdout
    with contextlib.redirect_stdout(sys.stderr) if "--json" in words else contextlib.nullcontext():
        yield stdout


def _quieten_libraries(debug: bool) -> None:
    """Keep other packages' progress bars off anything but a terminal, and their advice to developers off it too."""
    if not sys.stderr.isatty():
        os.environ.setdefault("TQDM_DISABLE", "1")
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    if not debug:
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")


def _configure_reports(debug: bool) -> None:
    """Send log records and our own warnings to stderr, one line each; other packages' warnings only when debugging."""
    logging.basicConfig(stream=sys.stderr, format="%(levelname)s: %(name)s: %(message)s")
    logging.getLogger("sama_video").setLevel(logging.DEBUG if debug else logging.WARNING)
    if not debug:
        warnings.simplefilter("ignore")
    warnings.simplefilter("always", SamaWarning)
    warnings.showwarning = _show_warning


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: object = None,
    line: str | None = None,
) -> None:
    _say(f"warning: {message}")


if __name__ == "__main__":
    sys.exit(main())
