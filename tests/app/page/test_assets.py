"""The page's files by themselves: whole, offline, and safe to serve under a strict content security policy."""

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from page_server import PAGE

ASSETS = sorted(
    path for path in PAGE.rglob("*") if path.is_file() and path.suffix != ".py" and "__pycache__" not in path.parts
)
SCRIPTS = [path for path in ASSETS if path.suffix == ".js"]
STYLES = [path for path in ASSETS if path.suffix == ".css"]
INDEX = (PAGE / "index.html").read_text(encoding="utf-8")
NAMESPACES = {"http://www.w3.org/2000/svg"}

each_asset = pytest.mark.parametrize("path", ASSETS, ids=lambda path: path.name)
each_script = pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)


class Elements(HTMLParser):
    """Every element of a page with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


ELEMENTS = Elements(INDEX).found
IDS = [attributes["id"] for _, attributes in ELEMENTS if "id" in attributes]


@each_asset
def test_nothing_comes_from_elsewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert set(re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}[^\s\"'`)]*", text)) <= NAMESPACES
    assert "@import" not in text


def test_markup_has_no_inline_script_or_style() -> None:
    for tag, attributes in ELEMENTS:
        assert tag != "style"
        assert tag != "script" or attributes.get("src")
        assert not [name for name in attributes if name == "style" or name.startswith("on")]


def test_what_the_markup_names_is_there() -> None:
    named = [
        attributes.get("src") or attributes.get("href") for tag, attributes in ELEMENTS if tag in ("script", "link")
    ]
    assert sorted(PAGE / str(name).removeprefix("assets/") for name in named) == sorted(
        [PAGE / "icon.svg", PAGE / "main.js", *STYLES]
    )


def test_ids_are_unique_and_what_refers_to_them_finds_them() -> None:
    assert len(set(IDS)) == len(IDS)
    for _, attributes in ELEMENTS:
        for name in ("aria-labelledby", "aria-describedby", "aria-controls", "for"):
            assert set(str(attributes.get(name) or "").split()) <= set(IDS)


@each_script
def test_parts_that_a_script_wants_are_in_the_markup(path: Path) -> None:
    assert set(re.findall(r"\bpart\(\"([\w-]+)\"\)", path.read_text(encoding="utf-8"))) <= set(IDS)


@each_script
def test_text_never_becomes_markup_or_code(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for door in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "DOMParser",
        "srcdoc",
        "eval(",
        "new Function",
    ):
        assert door not in text
    assert 'setAttribute("style"' not in text
    assert "javascript:" not in text


@each_script
def test_scripts_are_short_and_import_what_is_there(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 300
    for names, source in re.findall(r"import \{([^}]*)\} from \"\./([\w.]+)\"", text):
        given = (PAGE / source).read_text(encoding="utf-8")
        for name in filter(None, (name.strip() for name in names.split(","))):
            assert re.search(rf"export (async )?(function\*?|const|class) {name}\b", given), name
            assert len(re.findall(rf"\b{name}\b", text)) > 1, f"{name} is imported and not used"


def test_every_script_is_used() -> None:
    imported = {
        name for path in SCRIPTS for name in re.findall(r"from \"\./([\w.]+)\"", path.read_text(encoding="utf-8"))
    }
    assert {path.name for path in SCRIPTS} - imported == {"main.js"}


def test_every_icon_is_drawn() -> None:
    drawn = set(re.findall(r"^  (\w+): \"M", (PAGE / "icons.js").read_text(encoding="utf-8"), re.MULTILINE))
    wanted = {str(attributes["data-icon"]) for _, attributes in ELEMENTS if "data-icon" in attributes}
    assert wanted <= drawn
    for path in SCRIPTS:
        text = path.read_text(encoding="utf-8")
        assert set(re.findall(r"iconName: \"(\w+)\"", text)) <= drawn
        assert set(re.findall(r"iconButton\([^,]+, \"(\w+)\"", text)) <= drawn


def test_scripts_load_and_do_nothing_by_themselves(tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed; the browser's tests load them too")
    for path in SCRIPTS:
        shutil.copy(path, tmp_path)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    names = [path.name for path in SCRIPTS if path.name != "main.js"]
    program = "".join(f'import "./{name}";\n' for name in names)
    (tmp_path / "all.mjs").write_text(program)
    subprocess.run([node, str(tmp_path / "all.mjs")], check=True, timeout=60)
    subprocess.run([node, "--check", str(tmp_path / "main.js")], check=True, timeout=60)
