"""VideoRefer-Bench: masks by frame number in every form, videos and folders of frames."""

import json
import shutil
from pathlib import Path

import pytest
import shared_folders

from sama_video.data.findings import Findings
from sama_video.data.sources.videorefer import DESCRIPTIONS, QUESTIONS, read_descriptions, read_questions
from sama_video.regions.rle import area, box_of

BENCH = ("SAMA_BENCH_FIXTURES_DIR", shared_folders.REPOSITORY.parent / "shared" / "fixtures" / "bench_mini")
PARTS = {"VideoRefer-Bench-D": (DESCRIPTIONS, read_descriptions), "VideoRefer-Bench-Q": (QUESTIONS, read_questions)}


@pytest.fixture(scope="module")
def bench_dir() -> Path:
    return shared_folders.need_folder(*BENCH)


@pytest.fixture(scope="module")
def expected(bench_dir: Path) -> dict:
    return json.loads((bench_dir / "expected.json").read_text(encoding="utf-8"))


@pytest.fixture
def copied(bench_dir: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bench_dir / "videorefer_bench", tmp_path / "videorefer_bench"))


def test_described_objects_are_as_expected(bench_dir: Path, expected: dict) -> None:
    kinds = {frozenset(): "rle", frozenset({"uncompressed_rle"}): "uncompressed", frozenset({"polygons"}): "polygon"}
    found = {}
    for item in read_descriptions(bench_dir / "videorefer_bench" / "VideoRefer-Bench-D", Findings()):
        (marked,) = item.objects
        forms: set[str] = set()
        masks = [marked.mask(frame_idx, item.clip.size, forms) for frame_idx in marked.entries]
        shown = marked.mask(item.frame_idx, item.clip.size)
        found[item.item_id] = {
            "kind": kinds[frozenset(forms)],
            "frames": len(masks),
            "frame_idx": str(item.frame_idx),
            "area_at_frame_idx": 0 if shown is None else area(shown),
            "null": masks.count(None),
            "area_sum": sum(area(mask) for mask in masks if mask is not None),
        }
        assert item.clip.num_frames == expected["videorefer_bench_d"]["video_frames"][item.video]
    assert found == expected["videorefer_bench_d"]["table"]


def test_questions_are_as_expected(bench_dir: Path, expected: dict) -> None:
    found = {}
    for item in read_questions(bench_dir / "videorefer_bench" / "VideoRefer-Bench-Q", Findings()):
        shown = [marked.mask(item.frame_idx, item.clip.size) for marked in item.objects]
        tracks = [marked.track(item.clip.num_frames, item.clip.size) for marked in item.objects]
        found[item.item_id] = {
            "type": item.kind,
            "objects": len(item.objects),
            "Answer": item.answer,
            "frame_idx": str(item.frame_idx),
            "areas_at_frame_idx": [area(mask) for mask in shown],
            "boxes_at_frame_idx": [list(box_of(mask)) for mask in shown],
            "area_sum": [sum(area(mask) for mask in track if mask is not None) for track in tracks],
        }
    assert found == expected["videorefer_bench_q"]["table"]


@pytest.mark.parametrize("part", PARTS)
def test_items_of_one_video_come_together_and_nothing_is_opened(copied: Path, part: str, monkeypatch) -> None:
    name, read = PARTS[part]
    path = copied / part / name
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document[::2] + document[1::2]))
    monkeypatch.setattr("sama_video.data.clips.open_video", lambda *args: pytest.fail("opened"))
    monkeypatch.setattr("sama_video.data.clips.open_frame_files", lambda *args: pytest.fail("opened"))
    videos = [item.video for item in read(copied / part, Findings())]
    assert sorted(videos, key=videos.index) == videos
    assert len(videos) == len(document)


def lose_video(row: dict) -> None:
    row["video"] = "nothing/there"


def leave_root(row: dict) -> None:
    row["video"] = "../../../etc"


def name_frame(row: dict) -> None:
    row["frame_idx"] = "last"


def lose_key(row: dict) -> None:
    del row["annotation"]


def number_masks(row: dict) -> None:
    row["annotation"][0] = {"first": {"segmentation": None}}


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lose_video, "missing_video"),
        (leave_root, "unsafe_path"),
        (name_frame, "schema_error"),
        (lose_key, "missing_key"),
        (number_masks, "schema_error"),
    ],
)
@pytest.mark.parametrize("part", PARTS)
def test_a_broken_item_is_dropped_and_the_rest_stays(copied: Path, part: str, spoil, reason: str) -> None:
    name, read = PARTS[part]
    path = copied / part / name
    document = json.loads(path.read_text())
    spoil(document[0])
    path.write_text(json.dumps(document))
    findings = Findings()
    left = list(read(copied / part, findings))
    assert dict(findings.faults) == {reason: 1}
    assert len(left) == len(document) - 1
