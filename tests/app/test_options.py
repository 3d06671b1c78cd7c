from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from sama_video.app.cli.options import (
    Ask,
    AskCommand,
    ModelOptions,
    ask_options,
    collect_asks,
    make_folder,
    model_options,
    out_option,
    parse_size,
)
from sama_video.errors import ConfigError, RegionError
from sama_video.regions.shapes import Box

BOX = '{"frame": 0, "box": [10, 20, 60, 90]}'


def parsed(*words: str) -> dict[str, Any]:
    """What a command with all shared options gets from these words."""

    @click.command(cls=AskCommand)
    @click.argument("video")
    @ask_options
    @model_options
    @out_option
    def example(**given: Any) -> dict[str, Any]:
        return given

    given: dict[str, Any] = example.main(["clip.mp4", *words], standalone_mode=False)
    return given


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("1000", 1000),
        ("512MiB", 512 * 2**20),
        ("512 mib", 512 * 2**20),
        ("2GB", 2 * 10**9),
        ("1.5G", 3 * 2**29),
        ("3K", 3072),
    ],
)
def test_sizes_are_read_with_units(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MiB", "-1", "12 parsecs", "1,5G"])
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no size; write bytes"):
        parse_size(text)


def test_model_options_come_as_one_value() -> None:
    given = parsed(
        "--device", "cuda:1", "--quantize", "int4", "--cache-bytes", "1MiB", "--max-frames", "16", "--seed", "3"
    )
    assert given["model_options"] == ModelOptions(
        device="cuda:1", quantize="int4", cache_bytes=2**20, max_frames=16, seed=3
    )


def test_model_options_leave_unset_what_the_caller_left_unset() -> None:
    options = ModelOptions()
    assert options.load_arguments() == {
        "device": None,
        "dtype": None,
        "quantize": None,
        "protocol": "consistent",
        "seed": 0,
    }
    assert options.chat_arguments() == {}
    assert ModelOptions(max_frames=8).chat_arguments() == {"max_frames": 8}


@pytest.mark.parametrize(
    "words",
    [
        ["--device", "gpu"],
        ["--seed", "-1"],
        ["--max-frames", "0"],
        ["--protocol", "new"],
        ["--cache-bytes", "lots"],
        ["--ask", "a", "--region", "{"],
        ["--ask", "a", "--ground", "maybe"],
    ],
)
def test_a_value_that_cannot_be_is_refused(words: list[str]) -> None:
    with pytest.raises(click.BadParameter):
        parsed(*words)


def test_no_question_gives_none() -> None:
    assert parsed()["asks"] == ()


def test_each_region_and_wish_belongs_to_the_question_before_it() -> None:
    asks = parsed(
        "--ask", "What is <region> doing?", "--region", BOX, "--ground", "no",
        "--model", "nano",
        "--ask=Who is there?",
        "--ask", "And <region>, <region>?", "--ground", "yes", "--region", BOX, "--region", '{"object": "obj1"}',
    )["asks"]  # fmt: skip
    assert [(ask.text, len(ask.regions), ask.ground) for ask in asks] == [
        ("What is <region> doing?", 1, False),
        ("Who is there?", 0, "auto"),
        ("And <region>, <region>?", 2, True),
    ]
    assert isinstance(asks[0].regions[0], Box)


def test_a_question_may_look_like_an_option() -> None:
    assert parsed("--ask", "--region what?", "--out", "--ask")["asks"] == (Ask("--region what?"),)
    assert parsed("--out", "--ask")["out"] == Path("--ask")


@pytest.mark.parametrize("words", [["--region", BOX], ["--ground", "no", "--ask", "Who?"]])
def test_region_or_wish_before_any_question_is_refused(words: list[str]) -> None:
    with pytest.raises(ConfigError, match=f"{words[0]} stands before any --ask"):
        parsed(*words)


def test_two_wishes_for_one_question_are_refused() -> None:
    with pytest.raises(ConfigError, match="'Who\\?' is followed by two --ground"):
        collect_asks([("--ask", "Who?"), ("--ground", "no"), ("--ground", "yes")])


def test_a_region_that_is_none_is_refused_by_the_regions() -> None:
    with pytest.raises(RegionError):
        parsed("--ask", "a", "--region", '{"frame": 0}')


def test_help_shows_every_shared_option() -> None:
    @click.command()
    @model_options
    def example(**_: Any) -> None: ...

    page = CliRunner().invoke(example, ["--help"]).output
    for name in [
        "--model",
        "--device",
        "--dtype",
        "--quantize",
        "--protocol",
        "--seed",
        "--max-frames",
        "--cache-bytes",
    ]:
        assert name in page


def test_folder_is_made_with_its_parents(tmp_path: Path) -> None:
    assert make_folder(tmp_path / "a" / "b").is_dir()
    assert make_folder(tmp_path / "a" / "b").is_dir()


def test_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    with pytest.raises(ConfigError, match=r"--out .*a: cannot be made a folder"):
        make_folder(tmp_path / "a")
