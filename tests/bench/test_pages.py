"""The pages about benchmarks speak of every benchmark, and of commands and options that exist."""

import re
import shlex
from collections.abc import Iterator

import click
import pytest
from shared_folders import REPOSITORY

from sama_video.app.cli.main import sama
from sama_video.bench.tasks import TASKS
from sama_video.data.licences import TERMS

FOLDER = REPOSITORY / "docs" / "benchmarks"
PAGES = sorted(path.name for path in FOLDER.glob("*.md"))
OF_NO_BENCHMARK = {"index.md", "ablation.md"}
TERMS_OF = {
    "gcg": "gcg",
    "mevis-valid": "mevis",
    "mevis-valid-u": "mevis",
    "ref-davis17": "ref_davis17",
    "ref-sav": "ref_sav",
    "ref-youtube-vos": "ref_youtube_vos",
    "refcoco": "refcoco",
    "refcoco+": "refcoco",
    "refcocog": "refcoco",
    "region-caption": "region_caption",
    "revos": "revos",
    "sama-bench-g": "SAMA-Bench",
    "videorefer-d": "videorefer",
    "videorefer-q": "videorefer",
}
SECTIONS = ("## Data", "## Commands", "## Figures", "## `reference` and `strict`", "## Miniature")


def commands(text: str) -> Iterator[list[str]]:
    for block in re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            yield shlex.split(line, comments=True)


def test_every_benchmark_has_a_page() -> None:
    levels = {"synth-1", "synth-2", "synth-3"}  # on the page of synth
    assert {name.removesuffix(".md") for name in set(PAGES) - OF_NO_BENCHMARK} == {*TASKS} - levels


@pytest.mark.parametrize("name", [name for name in PAGES if name not in OF_NO_BENCHMARK])
def test_a_page_has_its_sections_in_order(name: str) -> None:
    text = (FOLDER / name).read_text(encoding="utf-8")
    found = [line for line in text.splitlines() if line in SECTIONS]
    assert tuple(found) == SECTIONS
    assert f"(`{name.removesuffix('.md')}`)" in text.splitlines()[0]


@pytest.mark.parametrize(("name", "source"), TERMS_OF.items())
def test_a_page_states_the_terms_that_readers_know(name: str, source: str) -> None:
    words = " ".join((FOLDER / f"{name}.md").read_text(encoding="utf-8").split())
    assert f"{TERMS[source].licence} ({TERMS[source].stated})" in words


@pytest.mark.parametrize("name", PAGES)
def test_commands_and_options_exist(name: str) -> None:
    found = list(commands((FOLDER / name).read_text(encoding="utf-8")))
    assert found
    for program, group, step, *words in found:
        assert (program, group) == ("sama", "bench")
        context = click.Context(sama, info_name="sama")
        bench = sama.get_command(context, "bench")
        assert isinstance(bench, click.Group)
        command = bench.get_command(context, step)
        assert command is not None, step
        known = {option for param in command.params for option in param.opts + param.secondary_opts}
        assert {word for word in words if word.startswith("--")} <= known
        if step in ("check", "run"):
            assert words[0] in TASKS


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str) -> None:
    text = (FOLDER / name).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        assert (FOLDER / target).exists(), target
