"""The page without a mouse, without sight, on small and large screens."""

from collections.abc import Callable
from typing import Any

import pytest
from page_driver import RING, STAR, Page
from page_server import PageServer

pytestmark = pytest.mark.slow

NEEDS_A_NAME = {
    "button",
    "textbox",
    "slider",
    "combobox",
    "checkbox",
    "radio",
    "tab",
    "menuitem",
    "link",
    "listbox",
    "option",
    "dialog",
    "image",
    "img",
    "progressbar",
    "progressIndicator",
    "group",
    "radiogroup",
    "toolbar",
    "region",
    "application",
}


def nodes(page: Page) -> list[tuple[str, str]]:
    """Role and name of everything that assistive software is told of."""
    session = page.page.context.new_cdp_session(page.page)
    tree = session.send("Accessibility.getFullAXTree")["nodes"]
    session.detach()
    told = [node for node in tree if not node["ignored"]]
    return [(node["role"]["value"], (node.get("name") or {}).get("value", "").strip()) for node in told]


def nameless(page: Page) -> list[str]:
    return [role for role, name in nodes(page) if role in NEEDS_A_NAME and not name]


def focus_stops(page: Page, most: int = 80) -> list[str]:
    """What Tab goes through from the top of the page, until it comes round."""
    page.page.evaluate("() => { const top = document.querySelector('h1'); top.tabIndex = -1; top.focus(); }")
    stops: list[str] = []
    for _ in range(most):
        page.page.keyboard.press("Tab")
        stop = page.page.evaluate(
            "() => { const e = document.activeElement; "
            "return e === document.body ? null : e.id || e.getAttribute('aria-label') || e.textContent.trim(); }"
        )
        if stop is None or stop in stops[:1]:
            break
        stops.append(stop)
    return stops


def test_every_control_has_a_name(page: Page) -> None:
    assert nameless(page) == []
    page.open_demo()
    page.click(STAR)
    page.wait_tracked("Object 1")
    page.ask("What happens?")
    assert nameless(page) == []
    page.page.click("#download-menu-button")
    assert nameless(page) == []
    page.page.keyboard.press("Escape")
    page.page.keyboard.press("?")
    assert nameless(page) == []


def test_headings_and_landmarks(page: Page) -> None:
    page.open_demo()
    roles = [role for role, _ in nodes(page)]
    assert roles.count("main") == 1
    assert roles.count("banner") == 1
    assert {name for role, name in nodes(page) if role == "region"} >= {"Video", "Conversation"}
    assert page.page.evaluate("() => document.documentElement.lang") == "en"


def test_focus_goes_in_the_order_of_the_page(page: Page) -> None:
    page.open_demo()
    page.ask("What happens?")
    stops = focus_stops(page)
    order = ["undo", "open-menu-button", "help", "stage", "play", "ruler", "Edit the question", "question", "send"]
    places = [stops.index(stop) for stop in order]
    assert places == sorted(places)


def test_focus_is_seen(page: Page) -> None:
    page.open_demo()
    for _ in range(25):
        page.page.keyboard.press("Tab")
        width = page.page.evaluate("() => parseFloat(getComputedStyle(document.activeElement).outlineWidth)")
        style = page.page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle")
        assert (style != "none" and width >= 2) or page.page.evaluate("() => document.activeElement === document.body")


def test_whole_story_with_keys_alone(page: Page, server: PageServer) -> None:
    keys = page.page.keyboard
    page.page.locator("#choose-demo").focus()
    keys.press("Enter")
    page.wait_frame(0)
    keys.press("g")
    keys.press("ArrowDown")
    keys.press("Shift+ArrowLeft")
    for _ in range(60):
        if page.page.evaluate("() => document.getElementById('stage') !== document.activeElement"):
            break
        keys.press("Enter")
        page.page.wait_for_timeout(150)
        if page.page.locator(".object .run").count():
            break
        keys.press("Control+z")
        keys.press("Shift+ArrowLeft")
        keys.press("ArrowDown")
    page.wait_tracked("Object 1")
    keys.press("Escape")
    keys.press("Escape")
    page.page.locator(".object .name").focus()
    keys.press("F2")
    keys.type("thing")
    keys.press("Enter")
    assert page.rows() == ["thing"]
    keys.press("/")
    keys.type("Where does @th")
    keys.press("Enter")
    keys.type("go?")
    keys.press("Enter")
    page.wait_answer(0)
    assert server.sent("/v1/chat/completions")[0]["messages"][0]["content"][1]["text"] == "Where does <region> go?"
    page.page.locator(".phrase").first.focus()
    keys.press("Enter")
    page.page.wait_for_selector(".object.lit")
    page.page.locator("#download-menu-button").focus()
    keys.press("Enter")
    with page.page.expect_download():
        keys.press("Enter")
    page.page.locator(".object .name").first.focus()
    before = len(page.rows())
    keys.press("Delete")
    assert len(page.rows()) == before - 1


def test_box_and_brush_with_keys(page: Page, server: PageServer) -> None:
    keys = page.page.keyboard
    page.open_demo()
    keys.press("b")
    keys.press("g")
    keys.press("ArrowRight")
    keys.press("Enter")
    for _ in range(8):
        keys.press("Shift+ArrowRight")
        keys.press("Shift+ArrowDown")
    keys.press("Enter")
    page.page.wait_for_selector(".object")
    x0, y0, x1, y1 = server.sent("/v1/masks")[0]["region"]["box"]
    assert x1 - x0 > 20
    assert y1 - y0 > 20
    keys.press("Escape")
    keys.press("n")
    keys.press("m")
    keys.press("ArrowLeft")
    keys.press("Enter")
    assert page.rows() == ["Object 1", "Object 2"]


def test_tool_choice_is_a_radio_group(page: Page) -> None:
    page.open_demo()
    page.page.get_by_role("radio", name="Point").focus()
    page.page.keyboard.press("ArrowRight")
    chosen = page.page.locator("#tools [aria-checked=true]")
    assert chosen.get_attribute("data-tool") == "remove"
    assert page.page.evaluate("() => document.activeElement.dataset.tool") == "remove"


@pytest.mark.parametrize("width", [360, 620, 900, 1280, 2560, 3840])
def test_nothing_is_cut_off(open_page: Callable[..., Page], width: int) -> None:
    page = open_page()
    page.page.set_viewport_size({"width": width, "height": 740 if width < 700 else width * 9 // 16})
    page.open_demo()
    page.click(RING)
    page.wait_tracked("Object 1")
    page.ask("What happens?")
    wide = page.page.evaluate("() => [document.documentElement.scrollWidth, window.innerWidth]")
    assert wide[0] <= wide[1]
    hidden: list[Any] = page.page.evaluate(
        """() => [...document.querySelectorAll("#work button, #work [role=textbox], .top button")]
            .filter((e) => e.offsetParent && (e.getBoundingClientRect().left < -1
                || e.getBoundingClientRect().right > window.innerWidth + 1))
            .map((e) => e.outerHTML.slice(0, 80))"""
    )
    assert hidden == []


SHARE_SEEN = """(element) => {
    const { top, bottom } = element.getBoundingClientRect();
    const end = element.closest(".talk") ? document.getElementById("ask").getBoundingClientRect().top : innerHeight;
    return Math.max(0, Math.min(bottom, end) - Math.max(top, 0)) / (bottom - top);
}"""


def test_on_a_phone_the_newest_answer_is_in_sight_and_its_phrase_brings_the_picture_back(
    open_page: Callable[..., Page],
) -> None:
    page = open_page()
    page.page.set_viewport_size({"width": 360, "height": 640})
    page.open_demo()
    assert page.page.locator("#stage").evaluate(SHARE_SEEN) == 1
    for turn in range(3):
        page.ask("Segment the purple ring.")
        assert page.page.locator(".turn .answer").nth(turn).evaluate(SHARE_SEEN) == 1
    assert page.page.locator("#stage").evaluate(SHARE_SEEN) < 1
    page.page.locator(".turn .phrase").last.click()
    assert page.page.locator("#stage").evaluate(SHARE_SEEN) == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read(open_page: Callable[..., Page], scheme: str) -> None:
    page = open_page(scheme, color_scheme=scheme)
    page.open_demo()
    page.ask("What happens?")
    faint: list[Any] = page.page.evaluate(CONTRAST)
    assert faint == []


CONTRAST = """() => {
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const rgba = (colour) => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
        const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
        return [r, g, b, a / 255];
    };
    const over = ([r, g, b, a], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a)];
    const ground = (element) => {
        if (!element) return [255, 255, 255];
        const colour = rgba(getComputedStyle(element).backgroundColor);
        return colour[3] === 1 ? colour : over(colour, ground(element.parentElement));
    };
    const light = (c) => c.slice(0, 3).map((v) => v / 255)
        .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const faint = [];
    for (const element of document.querySelectorAll("body *")) {
        const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
        const hidden = !element.checkVisibility() || element.closest(".stage, .sr, :disabled, dialog, noscript");
        if (!own || hidden) continue;
        const below = ground(element);
        const text = over(rgba(getComputedStyle(element).color), below);
        const [a, b] = [light(text), light(below)].sort((x, y) => y - x);
        const ratio = (a + 0.05) / (b + 0.05);
        if (ratio < 4.5) faint.push([element.textContent.trim().slice(0, 30), ratio.toFixed(2)]);
    }
    return faint;
}"""
