"""The review page in a real browser, opened from a folder as reviewers open it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from annotate_case import make_draft
from page_driver import open_browser
from review_case import MOVING, SMALL, TURNS, frames_on_disk, sample

from sama_video.annotate.review.agreement import verdicts_of
from sama_video.annotate.review.decisions import Decision, read_decisions
from sama_video.annotate.review.page import ReviewSample
from sama_video.annotate.review.writing import write_review

pytestmark = pytest.mark.slow

NAMES = ("clip-a", "clip-b", "clip-c")


class Reviewer:
    """One person at the index page."""

    def __init__(self, page: Any, index: Path) -> None:
        self.page, self.index = page, index
        self.complaints: list[str] = []
        page.set_default_timeout(10_000)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)

    def open(self) -> "Reviewer":
        self.page.goto(f"file://{self.index}")
        self.page.wait_for_selector("html[data-ready]", state="attached")
        return self.at(self.current)

    def name(self, name: str) -> "Reviewer":
        self.page.fill("#name", name)
        self.page.press("#name", "Enter")
        return self

    @property
    def current(self) -> str:
        return str(self.page.evaluate("decodeURIComponent(location.hash.slice(1))"))

    def at(self, sample_id: str) -> "Reviewer":
        self.frame.wait_for_selector("html[data-ready]", state="attached")
        self.page.frame_locator("#frame").locator("h1", has_text=sample_id).wait_for()
        self.page.wait_for_function("(name) => location.hash === '#' + name", arg=sample_id)
        return self

    @property
    def frame(self) -> Any:
        return self.page.frames[1]

    def press(self, key: str, times: int = 1) -> "Reviewer":
        self.frame.click("h1")
        for _ in range(times):
            self.page.keyboard.press(key)
        return self

    def status(self) -> str:
        return str(self.frame.inner_text("#status"))

    def marks(self) -> list[str]:
        return [text.strip()[0] for text in self.page.locator("#list button > span:first-child").all_inner_texts()]

    def save(self, folder: Path) -> Path:
        with self.page.expect_download() as download:
            self.page.click("#save")
        path = folder / download.value.suggested_filename
        download.value.save_as(path)
        return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with open_browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ReviewSample]:
    root = frames_on_disk(tmp_path_factory.mktemp("clips"))
    return {name: sample(root, name, make_draft(*TURNS)) for name in NAMES}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, samples: dict[str, ReviewSample]) -> Path:
    return write_review(tmp_path_factory.mktemp("out"), "Dogs", list(samples), samples.__getitem__, MOVING).index


@pytest.fixture
def reviewer(browser: Any, index: Path) -> Iterator[Reviewer]:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    person = Reviewer(context.new_page(), index).open()
    yield person
    context.close()
    assert person.complaints == []


def decided(path: Path) -> dict[str, Decision]:
    return {one.sample: one for one in read_decisions(path)}


def test_decisions_by_keys_survive_a_reload_and_are_saved(
    reviewer: Reviewer, tmp_path: Path, samples: dict[str, ReviewSample]
) -> None:
    reviewer.press("a")
    reviewer.page.wait_for_selector("#messages >> text=Write your name first")
    reviewer.name("Ann Lee").press("a").at("clip-b").press("r").at("clip-c")
    assert reviewer.marks() == ["✓", "✗", "·"]
    assert reviewer.page.inner_text("#count") == "2 of 3 decided, 2 not saved"
    reviewer.page.reload()
    reviewer.at("clip-c")
    assert reviewer.marks() == ["✓", "✗", "·"]
    assert reviewer.current == "clip-c"
    path = reviewer.save(tmp_path)
    assert path.name == "decisions-ann-lee.json"
    found = decided(path)
    assert {name: one.verdict for name, one in found.items()} == {"clip-a": "accept", "clip-b": "reject"}
    assert {one.reviewer for one in found.values()} == {"Ann Lee"}
    assert all(one.content == samples[name].content for name, one in found.items())
    assert reviewer.page.inner_text("#count") == "2 of 3 decided"


def test_texts_are_fixed_in_place_and_keep_their_tags(
    reviewer: Reviewer, tmp_path: Path, samples: dict[str, ReviewSample]
) -> None:
    reviewer.name("Ann").press("f")
    frame = reviewer.frame
    second = frame.locator("[data-part='turns 1']")
    second.locator(".phrase .edit").nth(1).fill("the <b>dark</b> dog")
    second.locator("select").nth(1).select_option("obj3")
    frame.locator("[data-part='turns 2'] .take").click()
    frame.locator("[data-part='descriptions 0'] .edit").fill("The brown dog runs and then lies down on the grass.")
    assert "2 texts changed · 1 taken out" in reviewer.status()
    reviewer.open()
    assert "2 texts changed · 1 taken out" in reviewer.status()
    assert "the <b>dark</b> dog" in reviewer.frame.inner_text("[data-part='turns 1']")
    fix = decided(reviewer.save(tmp_path))["clip-a"]
    original = samples["clip-a"].draft
    assert fix.draft is not None
    assert fix.places == (1, 2)
    assert fix.draft.turns[0] == original.turns[0]
    assert fix.draft.turns[1].question == original.turns[1].question
    changed = "<p>The white dog</p><obj3> sits beside <p>the <b>dark</b> dog</p><obj1>."
    assert fix.draft.turns[1].answer == changed
    assert fix.draft.turns[1].spans == original.turns[1].spans
    verdicts = verdicts_of(fix, original)
    assert [verdicts[kind, place] for kind, place in (("dialogue", "1"), ("relation", "2"), ("not_there", "3"))] == [
        "accept", "fix", "reject",
    ]  # fmt: skip
    assert verdicts["object descriptions", "obj1"] == "fix"
    assert verdicts["object descriptions", "obj2"] == "accept"


def test_a_fix_that_changes_nothing_is_no_decision_and_all_can_be_undone(reviewer: Reviewer) -> None:
    reviewer.name("Ann").press("f")
    box = reviewer.frame.locator("[data-part='turns 0'] .question .edit").first
    text = box.inner_text()
    box.fill("Where is the brown dog ")
    assert reviewer.marks() == ["✎", "·", "·"]
    box.fill(text)
    assert reviewer.marks() == ["·", "·", "·"]
    box.press("Escape")
    reviewer.page.uncheck("#go-on")
    reviewer.press("r").press("a")
    assert reviewer.status().startswith("Accepted")
    reviewer.press("u")
    assert reviewer.status().startswith("Rejected")


def test_a_phrase_lights_its_masks_and_leads_to_a_picture_that_shows_them(reviewer: Reviewer) -> None:
    frame = reviewer.frame
    phrase = frame.locator("[data-part='turns 0'] .phrase")
    phrase.hover()
    assert frame.get_attribute("#overlay", "data-lit") == "obj1"
    middle = """() => { const canvas = document.getElementById("overlay");
        const at = (x, y) => [...canvas.getContext("2d").getImageData(x * 1.5, y * 1.5, 1, 1).data];
        return [at(8, 24), at(55, 5)]; }"""
    inside, outside = frame.evaluate(middle)
    assert inside[0] > 200  # the orange of the first object
    assert inside[2] < 60
    assert outside[:3] == [0, 0, 0]
    assert 100 < outside[3] < 130
    frame.hover("h1")
    assert frame.get_attribute("#overlay", "data-lit") == ""
    phrase.focus()
    assert frame.get_attribute("#overlay", "data-lit") == "obj1"
    assert "not in this picture" in frame.inner_text("[data-object='obj3']")
    frame.focus("[data-part='descriptions 2'] .chip")
    reviewer.page.keyboard.press("Enter")
    assert frame.get_attribute("#overlay", "data-lit") == "obj3"
    assert frame.inner_text("#moment") != "0.00 s · 1/3"


def test_the_clip_plays_and_arrows_leaf_through_the_pictures(reviewer: Reviewer) -> None:
    reviewer.press("ArrowRight", 2)
    assert reviewer.frame.inner_text("#moment").endswith("3/3")
    reviewer.press("c")
    reviewer.frame.wait_for_function("() => document.getElementById('moving').videoWidth > 0")
    assert reviewer.frame.is_visible("#moving")
    reviewer.press("ArrowLeft")
    assert not reviewer.frame.is_visible("#moving")
    assert reviewer.frame.inner_text("#moment").endswith("2/3")
    reviewer.press("n").at("clip-b").press("p").at("clip-a")


def test_what_the_checks_left_out_is_shown_as_text(reviewer: Reviewer) -> None:
    reviewer.frame.click("#left-out summary")
    told = reviewer.frame.inner_text("#left-out")
    assert "<script>alert(1)</script>" in told
    assert "talks_of_marks: the words 'the box'" in told


def test_decisions_of_a_file_are_loaded_and_others_left_out(reviewer: Reviewer, tmp_path: Path) -> None:
    reviewer.name("Ann").press("r").at("clip-b").press("a").at("clip-c")
    path = reviewer.save(tmp_path)
    document = json.loads(path.read_text())
    document["reviewer"] = "Bob"
    document["decisions"][1]["content"] = "0" * 32
    path.write_text(json.dumps(document))
    reviewer.page.set_input_files("#file", str(path))
    reviewer.page.locator("#messages", has_text="1 decision was loaded").wait_for()
    assert "1 is about other content" in reviewer.page.inner_text("#messages")
    assert reviewer.page.input_value("#name") == "Bob"
    assert reviewer.marks() == ["✗", "·", "·"]
    reviewer.name("Ann")
    assert reviewer.marks() == ["✗", "✓", "·"]


def test_other_content_starts_undecided(reviewer: Reviewer, samples: dict[str, ReviewSample], tmp_path: Path) -> None:
    reviewer.index = write_review(tmp_path, "Dogs", list(samples), samples.__getitem__, SMALL).index
    reviewer.open().name("Ann").press("a").at("clip-b")
    root = samples["clip-a"].subject.clip.root  # type: ignore[union-attr]
    assert root is not None
    anew = {**samples, "clip-a": sample(root, "clip-a", make_draft(*TURNS[:2]))}
    write_review(tmp_path, "Dogs", list(anew), anew.__getitem__, SMALL)
    reviewer.open()
    assert reviewer.marks() == ["·", "·", "·"]


def test_a_sample_opened_alone_keeps_its_decision(reviewer: Reviewer, index: Path) -> None:
    page = reviewer.page
    page.goto(f"file://{index.parent / 'samples' / 'clip-b.html'}")
    page.fill("#name", "Ann")
    page.press("#name", "Enter")
    page.click("#accept")
    page.reload()
    assert page.inner_text("#status").startswith("Accepted")
    page.click("text=Next")
    page.wait_for_selector("h1:has-text('clip-c')")
    assert page.inner_text("#status") == "Undecided"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_a_small_screen(browser: Any, index: Path, scheme: str) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 740}, color_scheme=scheme)
    person = Reviewer(context.new_page(), index).open().name("Ann").press("f")
    for document in person.page.frames:
        assert document.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
    assert person.frame.is_visible("#accept")
    context.close()
