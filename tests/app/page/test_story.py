"""What a person does with the page, in a real browser, over a scripted server."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from page_driver import RING, STAR, Page
from page_script import Scripted
from page_server import Behaviour, PageServer

from sama_video.video.bundled import DEMO_CLIP

pytestmark = pytest.mark.slow


@pytest.fixture
def demo(page: Page) -> Page:
    page.open_demo()
    return page


def test_whole_story_from_upload_to_download(page: Page, server: PageServer, tmp_path: Path) -> None:
    clip = shutil.copy(DEMO_CLIP, tmp_path / "holiday.mp4")
    page.upload(Path(clip))
    page.wait_frame(0)
    assert page.page.locator("#clip-name").inner_text() == "holiday.mp4"

    page.click(STAR)
    page.page.wait_for_function("() => document.querySelector('.object .run')")
    assert server.sent("/v1/masks")[0]["region"] == {"frame": 0, "points": [list(STAR)], "labels": [1]}
    page.wait_tracked("Object 1")
    shown = server.sent("/v1/tracks")[0]["objects"][0]["sightings"]
    assert [sorted(sighting) for sighting in shown] == [["frame", "mask"]]

    page.page.get_by_role("button", name="Ask about Object 1").click()
    page.page.keyboard.type("what does it do?")
    page.page.keyboard.press("Enter")
    page.wait_answer(0)
    assert page.answer(0) == "The red star moves from 1.2 s to 2.8 s past the purple ring."
    first = server.sent("/v1/chat/completions")[0]["messages"]
    assert [part["type"] for part in first[0]["content"]] == ["video_url", "text", "region"]
    assert first[0]["content"][1]["text"] == "<region> what does it do?"
    assert page.rows() == ["red star", "purple ring"]

    page.page.get_by_role("button", name="Ask about purple ring").click()
    page.page.keyboard.type("and this?")
    page.page.keyboard.press("Enter")
    page.wait_answer(1)
    second = server.sent("/v1/chat/completions")[1]["messages"]
    assert [message["role"] for message in second] == ["user", "assistant", "user"]
    assert second[1]["grounding"]["phrases"][0]["text"] == "The red star"
    assert second[2]["content"] == [{"type": "text", "text": "<obj2> and this?"}]
    assert page.rows() == ["red star", "purple ring", "cyan triangle"]

    session = json.loads(page.download("Session").read_text())
    assert [turn["question"] for turn in session["turns"]] == ["<region> what does it do?", "<obj2> and this?"]
    assert session["turns"][0]["regions"][0]["object"] == "obj1"
    assert session["turns"][1]["regions"] == [{"object": "obj2"}]
    assert session["names"] == {"obj1": "red star", "obj2": "purple ring", "obj3": "cyan triangle"}
    page.download("COCO")
    assert server.sent("/v1/exports")[1]["format"] == "coco"


def test_saved_session_opens_again(
    demo: Page, server: PageServer, open_page: Callable[..., Page], tmp_path: Path
) -> None:
    demo.click(STAR)
    demo.wait_tracked("Object 1")
    demo.ask("What happens?")
    saved = shutil.copy(demo.download("Session"), tmp_path / "session.json")
    other = open_page("elsewhere")
    other.page.set_input_files("#session-file", str(saved))
    other.wait_frame(0)
    assert other.answer(0) == demo.answer(0)
    assert other.rows() == demo.rows()
    other.ask("And then?")
    sent = server.sent("/v1/chat/completions")[-1]["messages"]
    assert sent[1]["content"] == demo.answer(0)
    assert {masklet["object"] for masklet in sent[1]["grounding"]["masklets"]} == {"obj1", "obj2"}


def test_session_of_a_missing_clip_asks_for_it(page: Page, tmp_path: Path) -> None:
    session = {
        "schema": "sama-session/1",
        "video": {"sha256": "0" * 64, "source": "gone.mp4"},
        "turns": [],
        "objects": [],
    }
    path = tmp_path / "session.json"
    path.write_text(json.dumps(session))
    page.page.set_input_files("#session-file", str(path))
    page.page.get_by_text("This session is about gone.mp4").wait_for()
    assert page.page.get_by_role("button", name="Choose the video").is_visible()


def test_phrase_and_mask_light_each_other(demo: Page) -> None:
    demo.ask("What happens?")
    phrase = demo.page.get_by_role("button", name="the purple ring", exact=True)
    phrase.hover()
    demo.page.wait_for_selector(".object.lit .name:text-is('purple ring')")
    demo.page.mouse.move(*demo.place(*STAR))
    demo.page.wait_for_selector(".phrase.lit:text-is('The red star')")
    phrase.click()
    best = demo.page.evaluate(
        """async () => {
            const { area } = await import(new URL("assets/rle.js", document.baseURI));
            const request = indexedDB.open("sama-video");
            const database = await new Promise((done) => (request.onsuccess = () => done(request.result)));
            await new Promise((done) => setTimeout(done, 400));
            const all = database.transaction("sessions").objectStore("sessions").getAll();
            const [doc] = await new Promise((done) => (all.onsuccess = () => done(all.result)));
            const rows = doc.objects.find((object) => object.name === "purple ring").masklet.frames;
            const sizes = rows.map(({ mask }) => (mask ? area(mask) : 0));
            return sizes.indexOf(Math.max(...sizes));
        }"""
    )
    demo.wait_frame(best)


def test_time_in_an_answer_plays_that_part(demo: Page) -> None:
    demo.ask("What happens?")
    demo.page.get_by_role("button", name="1.2 s to 2.8 s").click()
    demo.page.wait_for_function("() => Number(document.getElementById('ruler').ariaValueNow) >= 28")
    demo.page.get_by_role("button", name="Play", exact=True).wait_for()
    demo.wait_frame(67)  # the frame shown at 2.8 s of 24 a second
    assert "1.20 s to 2.80 s" in demo.page.locator("#ask-span").inner_text()


def test_turns_are_edited_retried_and_forked(demo: Page, server: PageServer) -> None:
    demo.ask("First?")
    demo.ask("Second?")
    turns = demo.page.locator(".turn")
    turns.nth(0).get_by_role("button", name="Fork from here").click()
    assert demo.page.get_by_role("tab").count() == 2
    assert turns.count() == 1
    demo.ask("Another second?")
    demo.page.get_by_role("tab", name="Conversation 1").click()
    assert "Second?" in turns.nth(1).inner_text()
    turns.nth(1).get_by_role("button", name="Ask again").click()
    demo.wait_answer(1)
    demo.page.wait_for_timeout(200)
    assert len(server.sent("/v1/chat/completions")) == 4
    turns.nth(0).get_by_role("button", name="Edit the question").click()
    demo.page.keyboard.press("Control+a")
    demo.page.keyboard.type("Changed?")
    demo.page.keyboard.press("Enter")
    demo.page.wait_for_function("() => document.querySelectorAll('.turn').length === 1")
    demo.wait_answer(0)
    assert server.sent("/v1/chat/completions")[-1]["messages"][-1]["content"][1]["text"] == "Changed?"
    demo.page.keyboard.press("Control+z")
    assert turns.count() == 2


def test_objects_are_named_with_an_at_sign(demo: Page, server: PageServer) -> None:
    demo.ask("What happens?")
    demo.page.click("#question")
    demo.page.keyboard.type("Does @pu")
    demo.page.keyboard.press("Enter")
    demo.page.keyboard.type("turn?")
    assert demo.question() == "Does 2purple ring turn?" or demo.question() == "Does 2 purple ring turn?"
    demo.page.keyboard.press("Enter")
    demo.wait_answer(1)
    sent = server.sent("/v1/chat/completions")[1]["messages"][-1]["content"]
    assert sent == [{"type": "text", "text": "Does <obj2> turn?"}]


def test_click_on_a_mask_puts_it_into_the_question(demo: Page) -> None:
    demo.ask("What happens?")
    demo.page.keyboard.press("Escape")
    demo.page.locator("#stage").focus()
    demo.page.keyboard.press("v")
    demo.click(RING)
    assert "purple ring" in demo.question()


def test_words_keep_their_places_beyond_the_first_plane(page: Page, server: PageServer) -> None:
    server.behaviour = Behaviour(answers=(Scripted("😀😀 See the star, 𝒻ast.", (("the star", "red star"),)),))
    page.open_demo()
    page.ask("What?")
    assert page.page.locator(".phrase").inner_text() == "the star"


def test_span_limits_the_question(demo: Page, server: PageServer) -> None:
    demo.page.locator("#ruler").focus()
    for _ in range(3):
        demo.page.keyboard.press("ArrowRight")
    demo.wait_frame(3)
    demo.page.keyboard.press("i")
    demo.page.keyboard.press("End")
    demo.page.keyboard.press("Home")
    demo.page.keyboard.press("PageUp")
    demo.page.keyboard.press("o")
    demo.ask("What happens here?")
    begin, end = server.sent("/v1/chat/completions")[0]["span"]
    assert begin == pytest.approx(3 / 24, abs=0.01)
    assert end > begin


def test_playing_ends_on_the_last_frame(demo: Page) -> None:
    demo.page.keyboard.press("End")
    demo.wait_frame(95)
    demo.page.keyboard.press("Home")
    demo.wait_frame(0)
    demo.page.keyboard.press("Space")
    demo.page.wait_for_function("() => Number(document.getElementById('ruler').ariaValueNow) > 10")
    demo.page.keyboard.press("Space")
    now = int(demo.page.locator("#ruler").get_attribute("aria-valuenow"))
    demo.wait_frame(now)
    demo.page.keyboard.press("Space")
    demo.wait_frame(95)
