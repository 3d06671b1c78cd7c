"""The documents as a site: it is whole, and needs nothing from elsewhere."""

import importlib.util
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import pytest
import yaml

LOADS = {"script": "src", "img": "src", "link": "href", "iframe": "src", "video": "src", "source": "src"}
HARMLESS_LINKS = {"next", "prev", "canonical"}


@pytest.fixture(scope="module")
def hooks(repository: Path) -> ModuleType:
    pytest.importorskip("mkdocs")
    spec = importlib.util.spec_from_file_location("site_hooks", repository / "tools" / "site_hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_marks_become_words_for_readers(hooks: ModuleType) -> None:
    text = "```bash gpu\nls\n```\n```python continued\nx\n```\n```bash\nls\n```\n"
    told = hooks.FENCE.sub(hooks.plain_fence, text)
    assert told.splitlines()[0] == '```bash title="Needs a GPU and published weights"'
    assert told.splitlines()[3] == "```python"
    assert told.splitlines()[6] == "```bash"


def test_links_out_of_the_documents_become_names(hooks: ModuleType, repository: Path) -> None:
    def written(text: str) -> str:
        return hooks.LINK.sub(lambda link: hooks.outside_link(link, repository / "docs"), text)

    assert written("[README.md](../README.md)") == "`README.md`"
    assert written("its [rules](../CONTRIBUTING.md#tests) say") == "its rules (`CONTRIBUTING.md`) say"
    assert written("[data](data.md#records)") == "[data](data.md#records)"
    assert written("[gone](../gone.md)") == "[gone](../gone.md)"


def test_every_command_has_its_help(hooks: ModuleType) -> None:
    page = hooks.commands_page()
    for command in ("sama chat", "sama data synth", "sama bench run", "sama serve", "sama doctor"):
        assert re.search(rf"^#+ {command}$", page, re.MULTILINE)
    assert "--api-key FILE" in page
    assert "-h, --help" in page


def test_every_page_has_a_place(repository: Path) -> None:
    found = {path.relative_to(repository / "docs").as_posix() for path in repository.glob("docs/**/*.md")}
    nav = (repository / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]
    assert set(leaves(yaml.safe_load(nav))) == found | {"commands.md"}


def leaves(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    rows = value.values() if isinstance(value, dict) else value
    assert not isinstance(rows, str)
    return [leaf for row in rows for leaf in leaves(row)]  # type: ignore[attr-defined]


class Loads(HTMLParser):
    """What a page makes a browser fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in LOADS and given.get("rel") not in HARMLESS_LINKS:
            self.found.append(given.get(LOADS[tag]) or "")


@pytest.mark.slow
def test_site_is_whole_and_loads_nothing_from_elsewhere(repository: Path, tmp_path: Path) -> None:
    pytest.importorskip("material")
    pytest.importorskip("mkdocstrings_handlers.python")
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(repository / "src")}
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(words, cwd=repository, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    pages = sorted((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 40
    for page in pages:
        loads = Loads()
        loads.feed(page.read_text(encoding="utf-8"))
        assert [one for one in loads.found if re.match(r"(https?:)?//", one)] == [], page
    for style in (tmp_path / "site").rglob("*.css"):
        assert not re.search(r"(url\(|@import )[\"']?(https?:)?//", style.read_text(encoding="utf-8")), style
    api = (tmp_path / "site" / "api" / "chat.html").read_text(encoding="utf-8")
    assert 'id="sama_video.chat.session.ChatSession.refine"' in api
