import ast
import re
import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path

from shared_folders import REPOSITORY

import sama_video

PACKAGE = REPOSITORY / "src" / "sama_video"
SOURCES = sorted(PACKAGE.rglob("*.py"))
ROOMS = {
    "app",
    "annotate",
    "bench",
    "train",
    "chat",
    "model",
    "data",
    "dialogue",
    "metrics",
    "video",
    "regions",
    "remote",
}
TAGS = {"[SEG]", "<p>", "</p>", "<vp>", "</vp>", "<img>", "</img>", "<IMG_CONTEXT>", "<region>"}


def each_source(rule: Callable[[Path], None]) -> Callable[[], None]:
    """One test of all sources, whose failure names every file that breaks the rule."""

    def holds_everywhere() -> None:
        broken = {}
        for path in SOURCES:
            try:
                rule(path)
            except AssertionError as error:
                broken[path.relative_to(PACKAGE).as_posix()] = str(error).partition("\n")[0]
        assert broken == {}

    holds_everywhere.__name__ = rule.__name__
    return holds_everywhere


@cache
def nodes(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


@cache
def called_names(path: Path) -> set[str]:
    return {ast.unparse(node.func) for node in nodes(path) if isinstance(node, ast.Call)}


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0]


def test_every_folder_of_sources_is_a_package() -> None:
    bare = {path.parent for path in SOURCES if not (path.parent / "__init__.py").exists()}
    assert bare == set()


def test_every_room_is_known() -> None:
    assert {room_of(path) for path in SOURCES} - ROOMS == {"__init__.py", "errors.py"}


def test_tests_mirror_the_rooms() -> None:
    folders = {path.name for path in (REPOSITORY / "tests").iterdir() if path.is_dir() and path.name[0] not in "._"}
    assert folders <= ROOMS | {"parity", "end_to_end", "fixtures", "project", "benchmarks"}


@each_source
def test_no_file_is_named_after_nothing(path: Path) -> None:
    assert path.stem not in {"utils", "util", "misc", "common", "helpers", "helper"}


@each_source
def test_annotations_are_read_at_run_time(path: Path) -> None:
    # The shape checker of the test run evaluates them.
    assert "annotations" not in {
        alias.name
        for node in nodes(path)
        if isinstance(node, ast.ImportFrom) and node.module == "__future__"
        for alias in node.names
    }


@each_source
def test_only_app_prints_exits_and_configures_logging(path: Path) -> None:
    if room_of(path) != "app":
        assert called_names(path).isdisjoint({"print", "sys.exit", "exit", "logging.basicConfig"})


@each_source
def test_only_markup_spells_the_tags(path: Path) -> None:
    if path != PACKAGE / "dialogue" / "markup.py":
        texts = {node.value for node in nodes(path) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
        assert texts.isdisjoint(TAGS)


@each_source
def test_nothing_is_left_unwritten(path: Path) -> None:
    assert not re.search(
        r"NotImplementedError|strict=False\b(?=.*load_state)|\bFIXME\b", path.read_text(encoding="utf-8")
    )


def test_version_is_told_alike_everywhere() -> None:
    changelog = (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
    citation = (REPOSITORY / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^## (\S+)", changelog, re.MULTILINE)[1] == sama_video.__version__  # type: ignore[index]
    assert f"version: {sama_video.__version__}\n" in citation


def test_every_requirement_is_pinned() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {
        name
        for group in (project["dependencies"], *project["optional-dependencies"].values())
        for name in map(plain, group)
    }
    pinned = {
        plain(line)
        for line in (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if "==" in line
    }
    assert wanted - pinned <= {"sama-video"}


def plain(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", requirement)[0].lower().replace("_", "-")
