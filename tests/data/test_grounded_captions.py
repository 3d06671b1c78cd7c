"""The four training sets of grounded captions: where phrases are, what masks they have, what is dropped."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tiny_sama import box_rle, write_json

from sama_video.data.findings import FaultError, Findings
from sama_video.data.sources.grounded_captions import FILES, PICTURES, GroundedCaption, read_grounded_captions
from sama_video.regions.rle import area

SIZE = (40, 48)
HOSTILE = ["../1.jpg", "/1.jpg", "", "x\\1.jpg"]


def rle(left: int) -> dict[str, Any]:
    return box_rle(left, *SIZE)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folders in PICTURES.values():
        path = tmp_path / folders[-1] / "1.jpg"
        path.parent.mkdir(parents=True)
        Image.new("RGB", SIZE[::-1], (10, 90, 60)).save(path)
    return tmp_path


def refcocog(**change: Any) -> list[Any]:
    square = [[2, 2, 10, 2, 10, 10, 2, 10], [6, 6, 14, 6, 14, 14, 6, 14]]
    refs = [
        {"sentence": "The Man", "bbox": [2, 2, 12, 12], "segmentation": square},
        {"sentence": "a dog", "bbox": [2, 2, 12, 12], "segmentation": rle(3)},
    ]
    return [{"77": {"img_file_name": "1.jpg", "caption": "A woman and the man and a Dog.", "refs": refs} | change}]


def by_phrase(**change: Any) -> list[Any]:
    groundings = {
        "a kite": {"token_positives": [6, 12], "rle_masks": [rle(1), rle(3)]},
        "The boy": {"token_positives": [22, 29], "rle_masks": [rle(20)]},
        "flies": None,
    }
    row = {"file_name": "1.jpg", "height": SIZE[0], "width": SIZE[1], "image_id": 5, "groundings": groundings}
    return [row | {"caption": "Here, a kite flies by the boy."} | change]


def flickr(image: dict[str, Any] | None = None, **change: Any) -> dict[str, Any]:
    row = {"image_id": 1, "tokens_positive": [[0, 5], [9, 12]], "sam_mask": rle(2), "bbox": [2, 2, 5, 8], "area": 40}
    images = [{"id": 1, "file_name": "1.jpg", "height": SIZE[0], "width": SIZE[1], "caption": "A dog in the sun."}]
    return {"images": [images[0] | (image or {})], "annotations": [row | change]}


MAKE = {"refcocog": refcocog, "grandf": by_phrase, "openpsg": by_phrase, "flickr30k": flickr}


def read(root: Path, name: str, content: Any, findings: Findings) -> list[GroundedCaption]:
    write_json(root / FILES[name], content)
    return list(read_grounded_captions(root, name, findings))


def phrases(found: GroundedCaption) -> list[str]:
    return [found.caption[phrase.start : phrase.end] for phrase in found.phrases]


def test_refcocog_phrases_are_whole_words_of_the_lower_case_caption(root: Path) -> None:
    (found,) = read(root, "refcocog", refcocog(), Findings(strict=True))
    assert found.caption == "a woman and the man and a dog."
    assert phrases(found) == ["the man", "a dog"]
    # Added up, the two polygons would have 16 pixels twice.
    assert [area(found.mask(phrase)) for phrase in found.phrases] == [112, 40]


def test_a_short_word_does_not_match_within_a_longer_one(root: Path) -> None:
    refs = [{"sentence": "man", "bbox": [0, 0, 5, 5], "segmentation": rle(3)}]
    (found,) = read(root, "refcocog", refcocog(refs=refs), Findings(strict=True))
    assert [(phrase.start, phrase.end) for phrase in found.phrases] == [(16, 19)]


@pytest.mark.parametrize("name", ["grandf", "openpsg"])
def test_phrases_follow_their_spans_and_unite_their_masks(root: Path, name: str) -> None:
    (found,) = read(root, name, by_phrase(), Findings(strict=True))
    assert phrases(found) == ["a kite", "the boy"]
    assert [area(found.mask(phrase)) for phrase in found.phrases] == [56, 40]


def test_a_wrong_span_is_corrected_and_an_unknown_phrase_dropped(root: Path) -> None:
    groundings = {
        "a kite": {"token_positives": [0, 4], "rle_masks": [rle(1)]},
        "a plane": {"token_positives": [6, 12], "rle_masks": [rle(1)]},
        "kite": {"token_positives": [8, 12], "rle_masks": [rle(1)]},
    }
    findings = Findings()
    (found,) = read(root, "grandf", by_phrase(groundings=groundings), findings)
    assert phrases(found) == ["a kite"]
    assert findings.faults == {"malformed_phrase": 2}
    assert findings.rows[0].record == "record 0, phrase a plane"


def test_equal_phrases_get_a_place_each(root: Path) -> None:
    refs = [{"sentence": "a cat", "bbox": [0, 0, 5, 5], "segmentation": rle(left)} for left in (1, 9)]
    (found,) = read(root, "refcocog", refcocog(caption="A cat and a cat.", refs=refs), Findings(strict=True))
    assert [(phrase.start, phrase.end) for phrase in found.phrases] == [(0, 5), (10, 15)]


def test_flickr_takes_the_first_span(root: Path) -> None:
    (found,) = read(root, "flickr30k", flickr(), Findings(strict=True))
    assert phrases(found) == ["A dog"]
    assert area(found.mask(found.phrases[0])) == 40


@pytest.mark.parametrize(
    ("content", "reasons"),
    [
        (flickr({"caption": "A dog"}), {"schema_error": 1}),
        (flickr({"height": 31}), {"schema_error": 1}),
        (flickr(bbox=[2, 2, 0.5, 8]), {"bad_box": 1, "missing_annotation": 1}),
        (flickr(bbox=[60, 2, 5, 8]), {"bad_box": 1, "missing_annotation": 1}),
        (flickr(bbox=[2, "2", 5, 8]), {"bad_box": 1, "missing_annotation": 1}),
        (flickr(tokens_positive=[]), {"schema_error": 1, "missing_annotation": 1}),
        (flickr(tokens_positive=[[True, 3]]), {"schema_error": 1, "missing_annotation": 1}),
        (flickr(tokens_positive=[[40, 50]]), {"malformed_phrase": 1, "missing_annotation": 1}),
        (flickr(image_id=None), {"schema_error": 1, "missing_annotation": 1}),
        (flickr({"file_name": "2.jpg"}), {"missing_frame": 1}),
        ({"images": []}, {"missing_key": 1}),
        ([], {"schema_error": 1}),
    ],
)
def test_flickr_drops_what_it_cannot_use(root: Path, content: Any, reasons: dict[str, int]) -> None:
    findings = Findings()
    assert read(root, "flickr30k", content, findings) == []
    assert findings.faults == reasons


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("refcocog", [{}], "schema_error"),
        ("refcocog", [{"1": 3}], "schema_error"),
        ("refcocog", refcocog(refs=[]), "missing_annotation"),
        ("refcocog", refcocog(caption=None), "schema_error"),
        ("grandf", by_phrase(groundings=[]), "schema_error"),
        ("grandf", by_phrase(groundings={"flies": None}), "missing_annotation"),
        ("grandf", by_phrase(groundings={"flies": {"rle_masks": []}}), "missing_key"),
        ("grandf", by_phrase(height=None), "schema_error"),
        ("openpsg", {}, "schema_error"),
        *(("refcocog", refcocog(img_file_name=path), "unsafe_path") for path in HOSTILE),
        *(("grandf", by_phrase(file_name=path), "unsafe_path") for path in HOSTILE),
        *(("flickr30k", flickr({"file_name": path}), "unsafe_path") for path in HOSTILE),
    ],
)
def test_what_cannot_be_used_is_dropped_with_its_reason(root: Path, name: str, content: Any, reason: str) -> None:
    findings = Findings()
    assert read(root, name, content, findings) == []
    assert findings.faults[reason] == 1


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_one_fault(root: Path, name: str) -> None:
    findings = Findings()
    assert list(read_grounded_captions(root, name, findings)) == []
    assert findings.faults == {"missing_file": 1}


def test_masks_must_be_of_the_pictures_size_and_the_picture_of_the_files(root: Path) -> None:
    groundings = {"a kite": {"token_positives": [6, 12], "rle_masks": [box_rle(1, 9, 30)]}}
    (found,) = read(root, "grandf", by_phrase(groundings=groundings), Findings(strict=True))
    with pytest.raises(FaultError, match="mask_size_mismatch"):
        found.mask(found.phrases[0])
    (found,) = read(root, "grandf", by_phrase(height=SIZE[0] + 1), Findings(strict=True))
    with pytest.raises(FaultError, match="the picture is"):
        found.mask(found.phrases[0])


@pytest.mark.parametrize("name", FILES)
def test_no_picture_is_opened_before_its_masks_are_asked_for(
    root: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sama_video.data.clips.open_frame_files", lambda *args: pytest.fail("opened"))
    assert len(read(root, name, MAKE[name](), Findings(strict=True))) == 1
