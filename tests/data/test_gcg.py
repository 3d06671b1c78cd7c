"""Grounded captions of pictures: masks, phrases, and what is dropped with a reason."""

import json
import shutil
from pathlib import Path

import pytest
import shared_folders

from sama_video.data.findings import Findings
from sama_video.data.sources.gcg import files_of, read_gcg
from sama_video.regions.rle import area

BENCH = ("SAMA_BENCH_FIXTURES_DIR", shared_folders.REPOSITORY.parent / "shared" / "fixtures" / "bench_mini")


@pytest.fixture(scope="module")
def bench_dir() -> Path:
    return shared_folders.need_folder(*BENCH)


@pytest.fixture
def copied(bench_dir: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bench_dir / "gcg", tmp_path / "gcg"))


def test_phrases_and_areas_are_as_expected(bench_dir: Path) -> None:
    expected = json.loads((bench_dir / "expected.json").read_text(encoding="utf-8"))["gcg"]
    findings = Findings()
    pictures = list(read_gcg(bench_dir / "gcg", "val", findings))
    found = {
        one.image_id: {"labels": list(one.phrases), "areas": [area(mask) for mask in one.masks()]} for one in pictures
    }
    assert found == expected["table"]
    assert len(pictures) == expected["images"] == expected["captions"]
    assert sum(len(one.phrases) for one in pictures) == expected["masks"]
    assert not findings.faults


def test_every_picture_opens_at_the_size_of_its_masks(bench_dir: Path) -> None:
    for one in read_gcg(bench_dir / "gcg", "val", Findings()):
        clip = one.picture.open()
        assert (clip.height, clip.width) == one.picture.size
        assert clip.num_frames == 1


def test_a_phrase_without_a_mask_drops_the_picture(copied: Path) -> None:
    path = copied / files_of("val")[1]
    document = json.loads(path.read_text())
    document["annotations"][0]["labels"].append("one more")
    path.write_text(json.dumps(document))
    findings = Findings()
    left = list(read_gcg(copied, "val", findings))
    assert dict(findings.faults) == {"seg_count_mismatch": 1}
    assert document["annotations"][0]["image_id"] not in {one.image_id for one in left}
    assert left


def test_a_picture_without_a_caption_is_dropped(copied: Path) -> None:
    path = copied / files_of("val")[1]
    document = json.loads(path.read_text())
    del document["annotations"][0]
    path.write_text(json.dumps(document))
    findings = Findings()
    assert list(read_gcg(copied, "val", findings))
    assert dict(findings.faults) == {"missing_annotation": 1}
