"""The pages of a review on disk."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from annotate_case import make_draft
from review_case import LEFT_OUT, MOVING, SMALL, TURNS, frames_on_disk, sample, write_decisions

from sama_video.annotate.review import writing
from sama_video.annotate.review.page import ReviewSample
from sama_video.annotate.review.pictures import film
from sama_video.annotate.review.writing import Written, chosen_samples, write_review
from sama_video.dialogue.static_page import source_hash
from sama_video.errors import ConfigError


def written(out: Path, samples: list[ReviewSample]) -> Written:
    by_name = {one.subject.subject_id: one for one in samples}
    return write_review(out, "Dogs & <men>", list(by_name), by_name.__getitem__, SMALL, 0)


def test_each_sample_has_a_page_and_the_index_names_them(tmp_path: Path) -> None:
    root = frames_on_disk(tmp_path)
    found = written(tmp_path, [sample(root, "b"), sample(root, "a")])
    assert (found.samples, found.drawn, found.double) == (2, 2, 1)
    assert sorted(path.name for path in (tmp_path / "review").rglob("*.*")) == ["a.html", "b.html", "index.html"]
    index = found.index.read_text(encoding="utf-8")
    assert "Review: Dogs &amp; &lt;men&gt;" in index
    assert index.index("samples/a.html") < index.index("samples/b.html")


def test_a_page_stands_alone_and_takes_texts_as_text(tmp_path: Path) -> None:
    written(tmp_path, [sample(frames_on_disk(tmp_path))])
    page = (tmp_path / "review" / "samples" / "clip-1.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert not re.search(r"https?://", page.replace("http-equiv", ""))
    script = page.rpartition("<script>")[2].partition("</script>")[0]
    style = page.partition("<style>")[2].partition("</style>")[0]
    assert f"script-src '{source_hash(script)}'" in page
    assert f"style-src '{source_hash(style)}'" in page
    assert LEFT_OUT.problems[0].reason in page


def test_a_page_that_would_be_the_same_is_not_drawn_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = frames_on_disk(tmp_path)
    written(tmp_path, [sample(root, "a"), sample(root, "b")])
    monkeypatch.setattr(writing, "film", None)
    assert written(tmp_path, [sample(root, "a"), sample(root, "b")]).drawn == 0
    monkeypatch.undo()
    changed = sample(root, "b", make_draft(*TURNS[:1]))
    assert written(tmp_path, [sample(root, "a"), changed]).drawn == 1
    told_more = replace(sample(root, "a"), left_out=())
    assert written(tmp_path, [told_more, changed]).drawn == 1


def test_pages_of_samples_that_are_gone_go_too_and_decisions_stay(tmp_path: Path) -> None:
    root = frames_on_disk(tmp_path)
    written(tmp_path, [sample(root, "a"), sample(root, "b")])
    decisions = write_decisions(tmp_path / "review" / "decisions-ann.json", [])
    (tmp_path / "review" / "samples" / ".b.html.part").write_text("half")
    written(tmp_path, [sample(root, "a")])
    assert sorted(path.name for path in (tmp_path / "review" / "samples").iterdir()) == ["a.html"]
    assert decisions.exists()


def test_an_interrupted_page_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = frames_on_disk(tmp_path)
    written(tmp_path, [sample(root)])
    page = tmp_path / "review" / "samples" / "clip-1.html"
    old = page.read_bytes()

    def broken(*_: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(writing, "sample_page", broken)
    with pytest.raises(KeyboardInterrupt):
        written(tmp_path, [sample(root, draft=make_draft(*TURNS[:1]))])
    assert page.read_bytes() == old


def test_one_sample_is_in_hand_at_a_time(tmp_path: Path) -> None:
    root = frames_on_disk(tmp_path)
    loaded: list[tuple[str, int]] = []

    def load(name: str) -> ReviewSample:
        loaded.append((name, len(list((tmp_path / "review" / "samples").glob("*.html")))))
        return sample(root, name)

    write_review(tmp_path, "t", ["a", "b", "c"], load, SMALL)
    assert loaded == [("a", 0), ("b", 1), ("c", 2)]


def test_a_clip_that_cannot_be_opened_leaves_a_page_with_its_texts(tmp_path: Path) -> None:
    written(tmp_path, [sample(tmp_path / "nowhere")])
    page = (tmp_path / "review" / "samples" / "clip-1.html").read_text(encoding="utf-8")
    assert "No pictures: " in page
    assert "What does the brown dog" in page


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "review").write_text("a file")
    with pytest.raises(ConfigError, match="review"):
        written(tmp_path, [sample(frames_on_disk(tmp_path))])


def test_pictures_show_every_object_and_their_masks(tmp_path: Path) -> None:
    footage = film(sample(frames_on_disk(tmp_path)).subject, MOVING)
    assert len(footage.pictures) == 3
    assert set().union(*(picture.masks for picture in footage.pictures)) == {"obj1", "obj2", "obj3"}
    first = footage.pictures[0]
    assert (first.inner_width, first.height) == (96, 72)
    assert first.left + first.inner_width <= first.width
    assert footage.facts == "20 frames, 2.0 s, 64x48"
    assert footage.moving is not None
    assert footage.moving[4:8] == b"ftyp"


def test_a_moving_clip_keeps_to_its_limits(tmp_path: Path) -> None:
    subject = sample(frames_on_disk(tmp_path)).subject
    assert film(subject, SMALL).moving is None
    long = film(subject, replace(MOVING, clip_seconds=1))
    assert (long.moving, "lasts 2 s" in long.note) == (None, True)
    large = film(subject, replace(MOVING, clip_bytes=100))
    assert (large.moving, "more than the 100" in large.note) == (None, True)


def test_the_samples_that_are_shown_are_drawn_by_the_seed() -> None:
    names = [f"s{number:02d}" for number in range(50)]
    assert chosen_samples(names, None, 0) == names == chosen_samples(names[::-1], 50, 0)
    few = chosen_samples(names, 10, 0)
    assert len(few) == 10
    assert few == sorted(few) == chosen_samples(names[::-1], 10, 0)
    assert few != chosen_samples(names, 10, 1)
    assert set(chosen_samples(names, 5, 0)) < set(few)
