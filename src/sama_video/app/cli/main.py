"""The `sama` command: loads only the command asked for, and turns whatever happens into one line and an exit code.

    0    done
    1    our failure: a short line; with SAMA_DEBUG=1 the traceback before it
    2    the caller's mistake: one line that says what was given, the rule it broke and what to do next
    130  interrupted; 141 when whoever read our output stopped reading

A command is a file `app/cli/NAME.py` with a `click` command called `command`, whose imports at the top are light.
"""

import contextlib
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence

import click

from sama_video import __version__
from sama_video.app.cli.output import Stream
from sama_video.app.cli.table import CommandTable, nearest
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


@click.group(
    cls=CommandTable,
    table=COMMANDS,
    package=__package__,
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
            return f"no option {name}{nearest(name, known)}"
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
