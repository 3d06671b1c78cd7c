"""What goes wrong around the page, in a real browser: nothing typed or drawn may be lost by it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from page_driver import PLAIN_HOST, RING, STAR, Page
from page_script import Scripted
from page_server import Behaviour, PageServer

from sama_video.video.bundled import DEMO_CLIP

pytestmark = pytest.mark.slow

NASTY = '<img src=x onerror="window.hurt=1"><script>window.hurt=1</script>'


@pytest.fixture
def demo(page: Page) -> Page:
    page.open_demo()
    return page


def test_refused_upload_says_why_and_keeps_what_is_there(demo: Page, server: PageServer, tmp_path: Path) -> None:
    demo.click(STAR)
    demo.wait_tracked("Object 1")
    line = "notes.mp4 holds no video; send a video that a player can show."
    server.behaviour = Behaviour(refuse_uploads=(415, line))
    path = tmp_path / "notes.mp4"
    path.write_text("no video")
    demo.upload(path)
    demo.page.get_by_role("alert").get_by_text(line).wait_for()
    assert demo.rows() == ["Object 1"]
    demo.page.get_by_role("button", name="Dismiss").click()
    assert demo.page.get_by_text(line).count() == 0


def test_broken_video_is_refused_by_its_content(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "cut.mp4"
    path.write_bytes(DEMO_CLIP.read_bytes()[:2000])
    page.upload(path)
    page.page.get_by_role("alert").locator(".message").wait_for()
    assert page.page.locator("#start").is_visible()


def test_server_that_dies_in_mid_answer_and_returns(demo: Page, server: PageServer) -> None:
    demo.click(STAR)
    demo.wait_tracked("Object 1")
    server.behaviour = Behaviour(die_after=4, pause_seconds=0.02)
    demo.ask("What happens?")
    demo.page.get_by_text("Ask again").first.wait_for()
    assert "What happens?" in demo.page.locator(".turn .question").inner_text()
    assert demo.answer(0).startswith("The red star")
    demo.page.get_by_role("alert").get_by_text("does not answer").wait_for()
    demo.page.click("#question")
    demo.page.keyboard.type("typed while it was away")
    demo.page.locator("#stage").focus()
    demo.page.keyboard.press("n")
    demo.click(RING)
    assert demo.rows() == ["Object 1", "Object 2"]

    server.behaviour = Behaviour()
    server.start()
    demo.page.get_by_text("The server is back").wait_for()
    demo.wait_tracked("Object 2")
    assert demo.question() == "typed while it was away"
    demo.page.locator(".turn").get_by_role("button", name="Ask again").first.click()
    demo.wait_answer(0)
    demo.page.wait_for_selector(".phrase")
    assert demo.answer(0) == "The red star moves from 1.2 s to 2.8 s past the purple ring."
    assert demo.page.locator(".turn").count() == 1


def test_server_that_lost_the_clip_gets_it_again(page: Page, server: PageServer, tmp_path: Path) -> None:
    page.upload(Path(shutil.copy(DEMO_CLIP, tmp_path / "kept.mp4")))
    page.wait_frame(0)
    page.ask("What happens?")
    server.files.clear()
    page.page.click("#question")
    page.page.keyboard.type("And then?")
    page.page.keyboard.press("Enter")
    page.page.get_by_text("The server has the clip again").wait_for()
    page.page.locator(".turn").nth(1).get_by_role("button", name="Ask again").first.click()
    page.wait_answer(1)
    page.page.wait_for_function("() => document.querySelectorAll('.turn')[1].querySelector('.phrase')")


def test_reload_brings_everything_back(demo: Page) -> None:
    demo.click(STAR)
    demo.wait_tracked("Object 1")
    demo.ask("What happens?")
    rows = demo.rows()
    demo.page.get_by_role("button", name="Ask about purple ring").click()
    demo.page.keyboard.type("half a question")
    demo.page.reload()
    demo.ready()
    demo.wait_frame(0)
    assert demo.rows() == rows
    assert demo.answer(0) == "The red star moves from 1.2 s to 2.8 s past the purple ring."
    assert demo.question().endswith("half a question")
    assert demo.page.locator("#question .chip").count() == 1
    demo.ask(" and the rest")


def test_reload_in_mid_answer_keeps_the_question(demo: Page, server: PageServer) -> None:
    server.behaviour = Behaviour(pause_seconds=0.3)
    demo.ask("What happens?", wait=False)
    demo.page.wait_for_function("() => document.querySelector('.answer')?.textContent.includes('red')")
    demo.page.wait_for_timeout(500)
    demo.page.reload()
    demo.ready()
    assert "What happens?" in demo.page.locator(".question").inner_text()
    demo.page.get_by_text("Stopped.").wait_for()


def test_two_tabs_go_their_own_ways(demo: Page, open_page: Callable[..., Page]) -> None:
    demo.ask("What happens?")
    other = open_page()
    entry = other.page.locator("#recent-list .session")
    entry.first.wait_for()
    demo.page.wait_for_timeout(500)
    other.page.reload()
    other.ready()
    entry.first.click()
    other.page.get_by_text("open in another tab").wait_for()
    other.wait_frame(0)
    other.ask("Only here?")
    demo.ask("Only there?")
    assert "Only here?" not in demo.page.locator("#turns").inner_text()
    assert "Only there?" not in other.page.locator("#turns").inner_text()
    for tab in (demo, other):
        tab.page.wait_for_timeout(400)
        tab.page.reload()
        tab.ready()
    assert "Only there?" in demo.page.locator("#turns").inner_text()
    assert "Only here?" in other.page.locator("#turns").inner_text()


def test_key_is_asked_for_once(page: Page, server: PageServer) -> None:
    server.behaviour = Behaviour(key="open-sesame-0123456789")
    page.page.click("#choose-demo")
    page.page.get_by_label("Key", exact=True).fill("wrong")
    page.page.get_by_role("button", name="Use this key").click()
    page.page.wait_for_selector("#key-dialog[open]")
    page.page.get_by_label("Key", exact=True).fill("open-sesame-0123456789")
    page.page.get_by_role("button", name="Use this key").click()
    page.wait_frame(0)
    page.ask("What happens?")
    page.page.keyboard.press("Escape")
    page.page.locator("#play").click()
    page.page.wait_for_function("() => Number(document.getElementById('ruler').ariaValueNow) > 5")


def test_busy_server_is_asked_again(demo: Page, server: PageServer) -> None:
    server.behaviour = Behaviour(busy=1)
    demo.ask("What happens?", wait=False)
    demo.page.get_by_text("trying again in 1 s").wait_for()
    demo.wait_answer(0)
    assert demo.answer(0).startswith("The red star")


def test_stopped_answer_is_not_part_of_the_conversation(demo: Page, server: PageServer) -> None:
    server.behaviour = Behaviour(pause_seconds=0.2)
    demo.ask("First?", wait=False)
    demo.page.wait_for_function("() => document.querySelector('.answer')?.textContent.includes('red')")
    stop = demo.page.get_by_role("button", name="Stop")
    assert stop.inner_text() == "Stop"
    stop.click()
    demo.page.get_by_text("not part of the conversation").wait_for()
    server.behaviour = Behaviour()
    demo.ask("Second?")
    assert len(server.sent("/v1/chat/completions")[1]["messages"]) == 1


def test_click_on_nothing_says_so(demo: Page) -> None:
    demo.click((10, 200))
    demo.page.get_by_role("alert").get_by_text("Nothing was found there").wait_for()


def test_hostile_text_stays_text(page: Page, server: PageServer, tmp_path: Path) -> None:
    scripted = Scripted(f"See {NASTY} and {{{{it}}}}.", ((NASTY, "red star"),))
    server.behaviour = Behaviour(answers=(scripted,))
    name = "a'b <img src=x onerror=hurt>&amp;.mp4"
    page.upload(Path(shutil.copy(DEMO_CLIP, tmp_path / name)))
    page.wait_frame(0)
    assert page.page.locator("#clip-name").inner_text() == name
    page.ask(NASTY)
    assert page.answer(0) == scripted.text
    assert page.page.locator(".phrase").inner_text() == NASTY
    assert page.rows()[0] == NASTY[:80]
    page.page.get_by_role("button", name="Rename", exact=False).first.click()
    page.page.keyboard.type("<b>bold</b>")
    page.page.keyboard.press("Enter")
    assert page.rows()[0] == "<b>bold</b>"
    page.page.get_by_role("button", name="Ask about <b>bold</b>").click()
    server.behaviour = Behaviour(refuse_uploads=(400, NASTY))
    page.upload(Path(shutil.copy(DEMO_CLIP, tmp_path / "x.mp4")))
    page.page.get_by_role("alert").get_by_text("onerror").wait_for()
    assert page.page.evaluate("() => window.hurt") is None
    assert page.page.locator("#work img, #work script, .message img").count() == 0


def test_hostile_session_file_is_refused_or_harmless(page: Page, tmp_path: Path) -> None:
    for text in ("no json", "[]", "null", json.dumps({"schema": "sama-session/1", "video": {"sha256": ["x"]}})):
        path = tmp_path / "session.json"
        path.write_text(text)
        page.page.set_input_files("#session-file", str(path))
        page.page.get_by_role("alert").get_by_text("session.json is n").wait_for()
        page.page.get_by_role("button", name="Dismiss").click()
    assert page.page.locator("#start").is_visible()


def test_page_works_over_plain_http_from_another_machine(browser: Any, server: PageServer) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = Page(context.new_page(), server.url.replace("127.0.0.1", PLAIN_HOST)).open()
    assert page.page.evaluate("() => [isSecureContext, typeof navigator.locks]") == [False, "undefined"]
    page.open_demo()
    page.click(STAR)
    page.wait_tracked("Object 1")
    page.ask("What happens?")
    page.page.get_by_role("button", name="Copy the answer").click()
    page.page.get_by_text("select the text instead").wait_for()
    page.page.locator("#play").click()
    page.page.wait_for_function("() => Number(document.getElementById('ruler').ariaValueNow) > 5")
    page.page.reload()
    page.ready()
    assert page.rows() == ["red star", "purple ring"]
    context.close()
    assert page.complaints == []
