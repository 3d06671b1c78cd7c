"""RefCOCO's files: every annotation's area, and what is dropped with a reason."""

import json
import pickle
import shutil
from pathlib import Path

import pytest

from sama_video.data.findings import FaultError, Findings
from sama_video.data.sources.refcoco import check_masks, count_entries, read_refcoco
from sama_video.regions.rle import area, decode


def tables(records_dir: Path) -> dict[str, dict]:
    found = json.loads((records_dir / "expected.json").read_text(encoding="utf-8")).get("refcoco", {})
    if not found:
        pytest.skip(f"{records_dir} has no RefCOCO")
    return found


@pytest.fixture
def copied(records_dir: Path, tmp_path: Path) -> Path:
    """The miniature, to be spoilt."""
    name = next(iter(tables(records_dir)))
    return Path(shutil.copytree(records_dir / "ref_seg" / name, tmp_path / "refcoco"))


def test_all_areas_splits_and_sentences_are_as_expected(records_dir: Path) -> None:
    for name, expected in tables(records_dir).items():
        root, findings = records_dir / "ref_seg" / name, Findings()
        objects = [one for found in read_refcoco(root, findings) for one in found.objects]
        rows = [
            {
                "ann_id": int(one.annotation_id),
                "split": one.split,
                "polygons": len(one.polygon_masks()),
                "area": area(one.mask()),
                "sentences": len(one.sentences),
            }
            for one in objects
        ]
        by_id = sorted(rows, key=lambda row: row["ann_id"])
        assert by_id == sorted(expected["table"], key=lambda row: row["ann_id"])
        assert count_entries(root, findings) == {key: value for key, value in expected.items() if key != "table"}
        assert not findings.faults


def test_overlapping_polygons_are_united_and_not_added(copied: Path) -> None:
    objects = [one for found in read_refcoco(copied, Findings()) for one in found.objects]
    several = [one for one in objects if len(one.polygon_masks()) > 1]
    assert several
    for one in several:
        united = decode(one.polygon_masks()[0])
        for part in one.polygon_masks()[1:]:
            united |= decode(part)
        assert (decode(one.mask()) == united).all()


def refs_file(root: Path) -> Path:
    (path,) = root.glob("refs(*).p")
    return path


def test_only_the_splits_asked_for_are_read(copied: Path) -> None:
    every = {one.split for found in read_refcoco(copied, Findings()) for one in found.objects}
    for split in every:
        assert {one.split for found in read_refcoco(copied, Findings(), (split,)) for one in found.objects} == {split}


def test_no_polygon_is_filled_before_it_is_asked_for(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sama_video.data.sources.refcoco.read_mask", lambda *args, **kwargs: pytest.fail("filled"))
    assert list(read_refcoco(copied, Findings()))


def test_uncompressed_run_lengths_are_accepted_and_noted(copied: Path) -> None:
    document = json.loads((copied / "instances.json").read_text())
    crowds = [row for row in document["annotations"] if isinstance(row["segmentation"], dict)]
    if not crowds:
        pytest.skip("no annotation has uncompressed run lengths")
    refs = pickle.loads(refs_file(copied).read_bytes())
    refs[0] |= {"ann_id": crowds[0]["id"], "image_id": crowds[0]["image_id"]}
    refs_file(copied).write_bytes(pickle.dumps(refs))
    findings = Findings()
    for found in read_refcoco(copied, findings):
        check_masks(found, findings)
    assert findings.notes["uncompressed_rle"] == 1
    assert not findings.faults


def spoil_annotation(annotation: dict, image: dict, document: dict) -> None:
    annotation["segmentation"] = [[1, 2, 3]]


def lose_annotation(annotation: dict, image: dict, document: dict) -> None:
    document["annotations"].remove(annotation)


def lose_image_entry(annotation: dict, image: dict, document: dict) -> None:
    document["images"].remove(image)


def leave_root(annotation: dict, image: dict, document: dict) -> None:
    image["file_name"] = "../../etc/passwd"


def lose_picture(annotation: dict, image: dict, document: dict) -> None:
    image["file_name"] = "nothing.jpg"


def lose_height(annotation: dict, image: dict, document: dict) -> None:
    del image["height"]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (spoil_annotation, "bad_rle"),
        (lose_annotation, "missing_annotation"),
        (lose_image_entry, "missing_annotation"),
        (leave_root, "unsafe_path"),
        (lose_picture, "missing_frame"),
        (lose_height, "missing_key"),
    ],
)
def test_what_cannot_be_used_is_dropped_with_its_reason_and_the_rest_stays(copied: Path, spoil, reason) -> None:
    whole = sum(len(found.objects) for found in read_refcoco(copied, Findings()))
    path = copied / "instances.json"
    document = json.loads(path.read_text())
    ref = pickle.loads(refs_file(copied).read_bytes())[0]
    annotation = next(row for row in document["annotations"] if row["id"] == ref["ann_id"])
    spoil(annotation, next(row for row in document["images"] if row["id"] == ref["image_id"]), document)
    path.write_text(json.dumps(document))
    findings = Findings()
    left = sum(check_masks(found, findings) for found in read_refcoco(copied, findings))
    assert set(findings.faults) == {reason}
    assert 0 < left < whole


def test_a_pickle_that_would_run_something_is_refused(copied: Path) -> None:
    refs_file(copied).write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(FaultError) as caught:
        list(read_refcoco(copied, Findings()))
    assert caught.value.reason == "unsafe_pickle"


def test_a_missing_file_is_named(copied: Path) -> None:
    (copied / "instances.json").unlink()
    with pytest.raises(FaultError, match=r"instances\.json.*missing_file"):
        list(read_refcoco(copied, Findings()))


def test_a_picture_of_another_size_than_its_masks_is_refused(copied: Path) -> None:
    path = copied / "instances.json"
    document = json.loads(path.read_text())
    for image in document["images"]:
        image["height"] += 1
    path.write_text(json.dumps(document))
    first = next(read_refcoco(copied, Findings()))
    with pytest.raises(FaultError) as caught:
        first.picture.open()
    assert caught.value.reason == "mask_size_mismatch"
