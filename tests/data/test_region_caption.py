"""Captions of regions: masks of every form, several captions, picture by picture."""

import json
import shutil
from itertools import groupby
from pathlib import Path

import pytest
import shared_folders

from sama_video.data.findings import Findings
from sama_video.data.sources.region_caption import CAPTIONS, REGIONS, read_region_captions
from sama_video.regions.rle import area

BENCH = ("SAMA_BENCH_FIXTURES_DIR", shared_folders.REPOSITORY.parent / "shared" / "fixtures" / "bench_mini")


@pytest.fixture(scope="module")
def bench_dir() -> Path:
    return shared_folders.need_folder(*BENCH)


@pytest.fixture
def copied(bench_dir: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bench_dir / "region_caption", tmp_path / "region_caption"))


def test_areas_forms_and_captions_are_as_expected(bench_dir: Path) -> None:
    expected = json.loads((bench_dir / "expected.json").read_text(encoding="utf-8"))["region_caption"]
    regions = list(read_region_captions(bench_dir / "region_caption", Findings()))
    found = {}
    for region in regions:
        forms: set[str] = set()
        size = area(region.mask(forms))
        kind = "polygon" if "polygons" in forms else "rle"
        found[region.region_id] = {"area": size, "kind": kind, "references": len(region.captions)}
    assert found == expected["table"]
    assert len({region.picture.path for region in regions}) == expected["pictures"]


def test_regions_of_one_picture_come_together(copied: Path) -> None:
    path = copied / REGIONS
    document = json.loads(path.read_text())
    document["images"] = document["images"][::2] + document["images"][1::2]
    path.write_text(json.dumps(document))
    pictures = [name for name, _ in groupby(read_region_captions(copied, Findings()), key=lambda one: one.picture.path)]
    assert len(pictures) == len(set(pictures))


@pytest.mark.parametrize("name", [REGIONS, CAPTIONS])
def test_a_region_without_a_mask_or_a_caption_is_dropped(copied: Path, name: str) -> None:
    path = copied / name
    document = json.loads(path.read_text())
    lost = document["annotations"][0]["image_id"]
    document["annotations"] = [row for row in document["annotations"] if row["image_id"] != lost]
    path.write_text(json.dumps(document))
    findings = Findings()
    left = {region.region_id for region in read_region_captions(copied, findings)}
    assert dict(findings.faults) == {"missing_annotation": 1}
    assert left
    assert str(lost) not in left
