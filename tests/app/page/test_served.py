"""The page over `sama serve` and the bundled model, as people get it. The pictures of the docs are made here.

`SAMA_PICTURES=docs/images/page` writes them there; look at them before they are kept.
"""

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from page_driver import STAR, TRIANGLE, Page
from PIL import Image

from sama_video.video.bundled import DEMO_CLIP

pytestmark = pytest.mark.slow

START = "import sys; from sama_video.app.cli.main import main; sys.exit(main())"
PATIENCE = 120_000
LARGEST_PICTURE = 200_000


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real server."""
    folder = tmp_path_factory.mktemp("served")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SAMA_")}
    process = subprocess.Popen(
        [sys.executable, "-c", START, "serve", "--port", "0", "--device", "cpu", "--json", "--data", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    )
    try:
        assert process.stdout is not None
        document, told = "", None
        while told is None:
            line = process.stdout.readline()
            assert line, "the server ended before it told its address"
            document += line
            try:
                told = json.loads(document)
            except ValueError:
                continue
        yield told["url"].rstrip("/") + "/"
    finally:
        process.terminate()
        process.wait(60)
        process.stdout.close()


@pytest.fixture
def open_served(browser: Any, served: str) -> Iterator[Callable[..., Page]]:
    contexts: list[Any] = []
    pages: list[Page] = []

    def open_one(**options: Any) -> Page:
        contexts.append(browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options}))
        page = Page(contexts[-1].new_page(), served)
        page.page.set_default_timeout(PATIENCE)
        pages.append(page)
        return page.open()

    yield open_one
    for context in contexts:
        context.close()
    assert [complaint for page in pages for complaint in page.complaints] == []


def test_whole_story_with_the_bundled_model(open_served: Callable[..., Page], tmp_path: Path) -> None:
    page = open_served()
    page.upload(Path(shutil.copy(DEMO_CLIP, tmp_path / "shapes.mp4")))
    page.wait_frame(0)
    page.click(STAR)
    page.wait_tracked("Object 1")
    page.page.get_by_role("button", name="Ask about Object 1").click()
    page.page.keyboard.type("is what?")
    page.page.keyboard.press("Enter")
    page.wait_answer(0)
    assert "star" in page.answer(0)
    page.ask("Where is the cyan triangle?")
    assert "triangle" in page.answer(1)
    assert page.rows()[-1] == "cyan triangle"
    assert page.page.locator(".turn").nth(1).locator(".phrase").inner_text() == "the cyan triangle"

    session = json.loads(page.download("Session").read_text())
    assert [turn["question"] for turn in session["turns"]] == ["<region> is what?", "Where is the cyan triangle?"]
    assert page.download("Video with masks").read_bytes()[4:8] == b"ftyp"
    for label in ("COCO", "YouTube-VIS", "DAVIS", "CVAT"):
        assert page.download(label).read_bytes()[:2] == b"PK"

    saved = tmp_path / "session.json"
    saved.write_text(json.dumps(session))
    again = open_served()
    again.page.set_input_files("#session-file", str(saved))
    again.wait_frame(0)
    again.page.wait_for_selector(".turn:nth-child(2) .phrase")
    assert again.rows() == page.rows()
    again.ask("Segment the purple ring.")
    assert again.rows()[-1] == "purple ring"


def test_no_video_is_refused_with_the_servers_own_line(open_served: Callable[..., Page], tmp_path: Path) -> None:
    page = open_served()
    path = tmp_path / "letter.mp4"
    path.write_text("Dear server, this is no video.")
    page.upload(path)
    line = page.page.get_by_role("alert").locator(".message.error p")
    line.wait_for()
    assert len(line.inner_text()) > 20
    assert page.page.locator("#start").is_visible()


def test_pictures_of_the_main_states(open_served: Callable[..., Page], tmp_path: Path) -> None:
    folder = Path(os.environ.get("SAMA_PICTURES", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    page = open_served(color_scheme="light")

    def keep(name: str, *, rest: bool = True) -> None:
        if rest:
            page.page.mouse.move(2, 2)
        page.page.wait_for_timeout(300)
        picture = Image.open(io.BytesIO(page.page.screenshot())).convert("RGB")
        picture.quantize(256, method=Image.Quantize.MEDIANCUT).save(folder / f"{name}.png", optimize=True)

    keep("start")
    page.open_demo()
    keep("demo")
    page.click(STAR)
    page.page.wait_for_selector(".object .run")
    keep("pointed-at")
    page.wait_tracked("Object 1")
    page.page.keyboard.press("Control+z")
    for turn, question in enumerate(("What is this?", "Segment the cyan triangle.", "Where is the purple ring?")):
        page.page.get_by_role("button", name=question, exact=True).click()
        page.page.keyboard.press("Enter")
        page.wait_answer(turn)
    keep("answers")
    page.page.mouse.move(*page.place(*TRIANGLE))
    page.page.wait_for_selector(".phrase.lit")
    keep("lit", rest=False)
    page.page.emulate_media(color_scheme="dark")
    keep("dark")
    page.page.set_viewport_size({"width": 360, "height": 740})
    keep("phone")
    page.page.emulate_media(color_scheme="light")
    page.page.set_viewport_size({"width": 1280, "height": 800})
    page.page.route("**/v1/chat/completions", lambda route: route.abort())
    page.ask("And what does it pass?")
    page.page.get_by_role("alert").locator(".message.error").wait_for()
    keep("no-server")
    made = sorted(folder.glob("*.png"))
    assert len(made) == 8
    assert [path.name for path in made if path.stat().st_size > LARGEST_PICTURE] == []
