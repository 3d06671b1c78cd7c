"""Pointing, painting and undoing, in a real browser, over a scripted server."""

import pytest
from page_driver import RING, STAR, TRIANGLE, Page
from page_server import PageServer

from sama_video.regions.ink import palette

pytestmark = pytest.mark.slow


@pytest.fixture
def demo(page: Page) -> Page:
    page.open_demo()
    return page


def test_masks_are_painted_in_the_colours_of_the_overlay(demo: Page) -> None:
    demo.click(STAR)
    demo.wait_tracked("Object 1")
    demo.page.keyboard.press("Escape")
    demo.page.mouse.move(5, 5)
    demo.page.wait_for_timeout(100)
    *colour, opacity = demo.pixel((STAR[0] + 6, STAR[1]))
    assert all(abs(a - b) < 6 for a, b in zip(colour, palette("obj1"), strict=True))
    assert 100 < opacity < 130
    assert demo.pixel((4, 150))[3] == 0


def test_box_points_brush_and_eraser(demo: Page, server: PageServer) -> None:
    demo.page.keyboard.press("b")
    demo.drag((100, 155), (170, 225))
    demo.wait_tracked("Object 1")
    x0, y0, x1, y1 = server.sent("/v1/masks")[0]["region"]["box"]
    assert (x0, y0) == (100, 155)
    assert (x1, y1) == (171, 226)
    demo.page.keyboard.press("x")
    demo.click((RING[0] + 8, RING[1]))
    demo.page.wait_for_timeout(300)
    refined = server.sent("/v1/masks")[1]
    assert refined["region"]["labels"] == [0]
    assert refined["hint"]["size"] == [256, 256]
    demo.page.keyboard.press("n")
    demo.page.keyboard.press("m")
    demo.drag((20, 20), (50, 20))
    demo.wait_tracked("Object 2")
    painted = demo.pixel((35, 20))
    assert painted[3] > 100
    demo.page.keyboard.press("e")
    demo.drag((35, 10), (35, 30))
    demo.page.wait_for_timeout(200)
    assert demo.pixel((35, 20))[3] == 0
    assert len(server.sent("/v1/masks")) == 2


def test_right_button_takes_away(demo: Page, server: PageServer) -> None:
    demo.click(STAR)
    demo.page.wait_for_function("() => document.querySelector('.object .run')")
    demo.click((STAR[0] + 10, STAR[1]), button="right")
    demo.page.wait_for_timeout(300)
    assert server.sent("/v1/masks")[1]["region"]["labels"] == [1, 0]


def test_undo_goes_back_step_by_step(demo: Page) -> None:
    demo.click(STAR)
    demo.wait_tracked("Object 1")
    row = demo.page.locator(".object")
    row.get_by_role("button", name="Rename Object 1").click()
    demo.page.keyboard.type("lucky star")
    demo.page.keyboard.press("Enter")
    assert demo.rows() == ["lucky star"]
    row.get_by_role("button", name="Hide lucky star").click()
    assert demo.pixel(STAR)[3] == 0
    row.get_by_role("button", name="Forget lucky star").click()
    assert demo.rows() == []
    for rows in (["lucky star"], ["lucky star"], ["Object 1"], []):
        demo.page.keyboard.press("Control+z")
        assert demo.rows() == rows
    demo.page.keyboard.press("Control+Shift+z")
    assert demo.rows() == ["Object 1"]


def test_refined_object_is_shown_anew(demo: Page, server: PageServer) -> None:
    demo.click(STAR)
    demo.wait_tracked("Object 1")
    demo.page.get_by_role("button", name="Ask about Object 1").click()
    demo.page.keyboard.press("Enter")
    demo.wait_answer(0)
    demo.page.get_by_role("button", name="Refine red star").click()
    demo.click((STAR[0] + 12, STAR[1]), button="right")
    demo.page.wait_for_timeout(300)
    demo.page.get_by_role("button", name="Ask about red star").click()
    demo.page.keyboard.press("Enter")
    demo.wait_answer(1)
    sent = server.sent("/v1/chat/completions")[1]["messages"][-1]["content"]
    assert [part["type"] for part in sent] == ["text", "region"]


def test_zoom_keeps_the_place_under_the_pointer(demo: Page) -> None:
    demo.click(TRIANGLE)
    demo.wait_tracked("Object 1")
    demo.page.keyboard.press("Escape")
    x, y = demo.place(*TRIANGLE)
    demo.page.mouse.move(x, y)
    demo.page.wait_for_timeout(100)
    before = demo.pixel(TRIANGLE)
    assert before[3] > 100
    demo.page.mouse.wheel(0, -400)
    demo.page.wait_for_timeout(200)
    assert demo.page.locator("#zoom-fit").inner_text() not in ("100 %", "")
    assert demo.pixel(TRIANGLE) == before
    demo.page.keyboard.press("0")
    assert demo.page.locator("#zoom-fit").inner_text() == "100 %"
