import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from sama_video.app.cli import main as frame
from sama_video.app.cli.output import Output, output_option
from sama_video.errors import RegionError, TruncatedVideoWarning


def sama(*words: str, source: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sama_video.app.cli.main", *words],
        env={**os.environ, "PYTHONPATH": str(source), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="session")
def source(repository: Path) -> Path:
    return repository / "src"


@click.command()
@click.argument("video")
@click.option("--quantize", type=click.Choice(["int8", "int4"]))
@output_option
def example(video: str, quantize: str | None, output: Output) -> None:
    """Do as the argument says."""
    match video:
        case "mistake":
            raise RegionError("box on frame 212, but the clip has 96 frames (0-95);\nuse another")
        case "failure":
            raise ValueError("this is ours")
        case "interrupt":
            raise KeyboardInterrupt
        case "closed":
            raise BrokenPipeError
        case "warn":
            import warnings

            warnings.warn("of 96 frames only 40 could be read", TruncatedVideoWarning, stacklevel=1)
            warnings.warn("some library's opinion", DeprecationWarning, stacklevel=1)
    print("a library prints")
    output.line("for people")
    output.document({"video": video, "quantize": quantize})


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, bare_environment: pytest.MonkeyPatch) -> Iterator[object]:
    """Run the command line in this process, with one command that does as its argument says."""
    monkeypatch.setattr(frame.CommandTable, "list_commands", lambda *_: ["track"])
    monkeypatch.setattr(
        frame.CommandTable, "get_command", lambda _self, _ctx, name: example if name == "track" else None
    )
    return lambda *words: frame.main(words)


def test_done_is_0(run, capsys) -> None:
    assert run("track", "clip.mp4") == 0
    assert capsys.readouterr().out == "a library prints\nfor people\n"


def test_json_is_one_document_and_nothing_else(run, capsys) -> None:
    assert run("track", "clip.mp4", "--json") == 0
    said = capsys.readouterr()
    assert json.loads(said.out) == {"video": "clip.mp4", "quantize": None}
    assert said.err == "a library prints\n"


@pytest.mark.parametrize("words", [["track", "mistake"], ["track", "mistake", "--json"]])
def test_callers_mistake_is_2_and_one_line(run, capsys, words) -> None:
    assert run(*words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "error: box on frame 212, but the clip has 96 frames (0-95); use another\n"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["trak"], "sama: no command 'trak' (did you mean track?); see sama --help"),
        (["--frobnicate"], "sama: no option --frobnicate; see sama --help"),
        (["track"], "sama track: VIDEO is missing; see sama track --help"),
        (
            ["track", "a", "--quantise"],
            "sama track: no option --quantise (did you mean --quantize?); see sama track --help",
        ),
        (
            ["track", "a", "--quantize", "int3"],
            "sama track: --quantize: 'int3' is not one of 'int8', 'int4'; see sama track --help",
        ),
        (["track", "a", "--quantize"], "sama track: option '--quantize' requires an argument; see sama track --help"),
        (["track", "a", "b"], "sama track: got unexpected extra argument (b); see sama track --help"),
    ],
)
def test_wrong_words_are_2_and_one_line_without_usage_page(run, capsys, words, line) -> None:
    assert run(*words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == f"error: {line}\n"


def test_our_failure_is_1_and_a_short_line(run, capsys) -> None:
    assert run("track", "failure") == 1
    assert capsys.readouterr().err == "internal error: ValueError: this is ours; SAMA_DEBUG=1 shows where\n"


def test_our_failure_shows_its_traceback_when_debugging(run, capsys, monkeypatch) -> None:
    monkeypatch.setenv("SAMA_DEBUG", "1")
    assert run("track", "failure") == 1
    assert "Traceback" in capsys.readouterr().err


def test_interrupt_is_130(run, capsys) -> None:
    assert run("track", "interrupt") == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_our_warnings_are_one_line_and_those_of_libraries_are_none(run, capsys) -> None:
    assert run("track", "warn") == 0
    assert capsys.readouterr().err == "warning: of 96 frames only 40 could be read\n"


def test_reader_that_stops_reading_is_no_failure(source: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed:
        done = subprocess.run(
            [sys.executable, "-m", "sama_video.app.cli.main", "--help"],
            env={**os.environ, "PYTHONPATH": str(source)},
            stdout=closed,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
            check=False,
        )
    assert (done.returncode, done.stderr) == (141, "")


def test_version_is_told(run, capsys) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out == "sama 0.1.0\n"


def test_no_words_show_the_help_page(run, capsys) -> None:
    assert run() == 0
    assert capsys.readouterr().out.startswith("Usage: sama")


def installed_commands() -> list[str]:
    return frame.sama.list_commands(click.Context(frame.sama))


def test_a_command_without_its_file_is_not_offered(source: Path) -> None:
    folder = source / "sama_video" / "app" / "cli"
    files = {path.stem for path in folder.glob("*.py")} | {path.parent.name for path in folder.glob("*/__init__.py")}
    assert set(installed_commands()) == files & set(frame.COMMANDS)


@pytest.mark.parametrize("words", [[], *([name] for name in installed_commands())], ids=lambda words: " ".join(words))
def test_help_imports_neither_torch_nor_numpy(words: list[str], source: Path) -> None:
    code = f"""
import sys
from sama_video.app.cli.main import main
code = main({[*words, "--help"]})
print([name for name in ("torch", "transformers", "numpy", "rich", "av") if name in sys.modules])
sys.exit(code)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_help_page_names_every_command_with_its_line(source: Path) -> None:
    page = sama("--help", source=source).stdout
    for name in installed_commands():
        assert f"  {name}" in page
