from collections.abc import Callable, Iterator
from typing import Any

import pytest
from page_driver import Page, open_browser
from page_server import PageServer


# No longer than a module: while Playwright runs, this thread counts as one with a running event loop, which other
# libraries refuse to block.
@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with open_browser() as opened:
        yield opened


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageServer]:
    with PageServer(tmp_path_factory.mktemp("clips")) as running:
        yield running


@pytest.fixture
def open_page(browser: Any, server: PageServer) -> Iterator[Callable[..., Page]]:
    """Opens tabs of one browser profile, or of another; whatever the browser complains of fails the test."""
    contexts: dict[str, Any] = {}
    pages: list[Page] = []

    def open_one(profile: str = "usual", **options: Any) -> Page:
        if profile not in contexts:
            contexts[profile] = browser.new_context(viewport={"width": 1280, "height": 800}, **options)
        page = Page(contexts[profile].new_page(), server.url)
        pages.append(page)
        return page.open()

    yield open_one
    for context in contexts.values():
        context.close()
    assert [complaint for page in pages for complaint in page.complaints] == []


@pytest.fixture
def page(open_page: Callable[..., Page]) -> Page:
    return open_page()
