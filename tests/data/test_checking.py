"""What lies below a folder is found, read by its own reader, and counted."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_sama import TinySama, track, write_frames, write_json
from tiny_sama import record as sama_record

from sama_video.data.checking import CHECKERS, CheckReport, check_folder
from sama_video.data.describing import describe
from sama_video.data.findings import MAX_ROWS, FaultError, Findings
from sama_video.data.records import DialogueRecord, FileClip, record_from_synthetic, write_records
from sama_video.data.sources.layouts import find_layouts
from sama_video.data.synthetic.language import sample_dialogue
from sama_video.data.synthetic.world import World
from sama_video.errors import DataError
from sama_video.video import write_video


def check(base: Path, *, strict: bool = False) -> CheckReport:
    report = CheckReport(Findings(strict, base=base))
    check_folder(base, report, lambda steps: None)
    return report


def test_layouts_are_found_directly_below_and_nowhere_deeper(tmp_path: Path) -> None:
    for path in ("sama239k_data", "sama_bench", "video_datas/mevis", "video_datas/rvos", "video_datas/other"):
        (tmp_path / path).mkdir(parents=True)
    for path in ("ref_seg/refcoco+", "ref_seg/else", "deeper/sama_bench", "deeper/video_datas/mevis"):
        (tmp_path / path).mkdir(parents=True)
    (tmp_path / "video_datas" / "Ref-SAV.json").write_text("{}")
    (tmp_path / "predictions.jsonl").write_text("{}\n")
    assert [(layout.kind, layout.name) for layout in find_layouts(tmp_path)] == [
        ("sama239k", "sama239k_data"),
        ("sama_bench", "sama_bench"),
        ("ref_sav", "video_datas/Ref-SAV.json"),
        ("mevis", "video_datas/mevis"),
        ("ref_youtube_vos", "video_datas/rvos"),
        ("refcoco", "ref_seg/refcoco+"),
    ]
    assert {layout.kind for layout in find_layouts(tmp_path)} <= set(CHECKERS)


def test_folder_may_be_the_layout_itself(tmp_path: Path) -> None:
    tiny = TinySama(tmp_path).write()
    assert check(tiny.folder).turns_kept == check(tmp_path).turns_kept == 6


@pytest.mark.parametrize("name", ["gone", "empty"])
def test_folder_without_data_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="give a folder that holds sama239k_data"):
        check(tmp_path / name)


def test_set_without_its_files_is_a_fault(tmp_path: Path) -> None:
    for path in ("video_datas/mevis", "sama_bench", "ref_seg/refcoco", "sama239k_data"):
        (tmp_path / path).mkdir(parents=True)
    assert check(tmp_path).findings.faults == {"missing_file": 4}


def test_every_record_counts_once(tmp_path: Path) -> None:
    tiny = TinySama(tmp_path)
    tiny.records += [{"video": "nowhere/x"}]
    tiny.write()
    steps: list[int] = []
    report = CheckReport(Findings())
    check_folder(tmp_path, report, steps.append)
    assert (report.records, sum(steps)) == (3, 3)


def test_report_is_the_contract(tmp_path: Path) -> None:
    tiny = TinySama(tmp_path)
    tiny.turn()[1]["from"] = "human"
    tiny.first["anno_map"] += [-1]
    document = check(tiny.write().root).to_json()
    assert list(document) == ["records", "turns_kept", "descriptions", "faults", "notes", "rows"]
    assert json.loads(json.dumps(document)) == document
    assert (document["faults"], document["notes"]) == ({"role_order": 1}, {"object_without_track": 1})
    for row in document["rows"]:
        assert list(row) == ["file", "record", "reason", "detail"]
        assert row["file"] == "sama239k_data/sama239k_train_final.json"
        assert "mevis/train/JPEGImages/aa" in row["record"]
    assert "turn 0" in document["rows"][1]["record"]


def test_rows_are_bounded_and_counts_are_not() -> None:
    findings = Findings()
    for number in range(MAX_ROWS + 5):
        findings.note("polygons", "a.json", f"annotation {number}", "x")
    findings.fault("bad_rle", "a.json", None, "x")
    assert findings.notes == {"polygons": MAX_ROWS + 5}
    assert len(findings.rows) == MAX_ROWS + 1


def test_strict_findings_hold_one_fault() -> None:
    findings = Findings(strict=True)
    findings.note("polygons", "a.json", None, "x")
    for _ in range(2):
        with pytest.raises(FaultError, match=r"a\.json, annotation 1: x \(bad_rle\)"):
            findings.fault("bad_rle", "a.json", "annotation 1", "x.")
    assert (findings.faults, len(findings.rows)) == ({"bad_rle": 1}, 2)


def test_findings_are_one_printable_line() -> None:
    findings = Findings()
    findings.fault("schema_error", "a.json", "key \ud800", "two\nlines \ud83d")
    (row,) = findings.rows
    assert (row.record, row.detail) == ("key \\ud800", "two lines \\ud83d")
    row.detail.encode()


# Records of ours


def record(clip: FileClip | None = None) -> DialogueRecord:

    painted = World.sample(3, side=32, num_frames=4)
    rng = np.random.default_rng(0)
    made = record_from_synthetic(painted, sample_dialogue(painted, rng, 3), rng)
    if clip is None:
        return made
    return replace(made, clip=clip, record_id="of a file")


def write_clip(path: Path, frames: int = 4, side: int = 32) -> None:
    write_video(path, np.zeros((frames, side, side, 3), np.uint8), fps=8)


def test_own_records_are_checked(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4")
    write_frames(tmp_path / "frames", 4, 32, 32)
    records = [record(), record(FileClip("a.mp4", 4, 32, 32)), record(FileClip("frames", 4, 32, 32))]
    write_records(tmp_path / "train.jsonl", records)
    report = check(tmp_path)
    turns = sum(len(one.turns) for one in records)
    assert (report.records, report.turns_kept, report.findings.faults) == (3, turns, {})


SPOILT: dict[str, tuple[str, Callable[[dict[str, Any]], object]]] = {
    "other schema": ("schema_error", lambda row: row.__setitem__("schema", "sama-record/0")),
    "no turns": ("schema_error", lambda row: row.__setitem__("turns", [])),
    "damaged mask": ("bad_rle", lambda row: row["objects"][0]["masks"].__setitem__(0, "!")),
    "clip elsewhere": ("schema_error", lambda row: row["clip"].__setitem__("path", "../a.mp4")),
    "no clip": ("missing_video", lambda row: row["clip"].__setitem__("path", "b.mp4")),
    "damaged clip": ("unreadable_video", lambda row: row["clip"].__setitem__("path", "bad.mp4")),
    "longer clip": ("track_length_mismatch", lambda row: row["clip"].__setitem__("path", "long.mp4")),
    "larger clip": ("mask_size_mismatch", lambda row: row["clip"].__setitem__("path", "large.mp4")),
}


@pytest.mark.parametrize("name", SPOILT)
def test_spoilt_record_of_ours_is_dropped(name: str, tmp_path: Path) -> None:
    reason, spoil = SPOILT[name]
    write_clip(tmp_path / "a.mp4")
    write_clip(tmp_path / "long.mp4", frames=5)
    write_clip(tmp_path / "large.mp4", side=64)
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    rows = [record(FileClip("a.mp4", 4, 32, 32)).to_json(), record().to_json()]
    rows[0] = json.loads(json.dumps(rows[0]))
    spoil(rows[0])
    (tmp_path / "x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    report = check(tmp_path)
    assert (report.records, dict(report.findings.faults)) == (2, {reason: 1})
    assert report.turns_kept == len(rows[1]["turns"])  # type: ignore[arg-type]


def test_damaged_lines_are_named(tmp_path: Path) -> None:
    line = json.dumps(record().to_json()).encode()
    (tmp_path / "x.jsonl").write_bytes(b"\xef\xbb\xbf" + line + b"\n\n{\n\xff\n" + line)
    report = check(tmp_path)
    assert (report.findings.faults, report.findings.notes) == (
        {"json_error": 1, "encoding_error": 1},
        {"byte_order_mark": 1},
    )
    assert [row.record for row in report.findings.rows if row.reason == "json_error"] == ["line 3"]


def test_other_lines_beside_records_are_left_alone(tmp_path: Path) -> None:
    write_records(tmp_path / "records.jsonl", [record()])
    (tmp_path / "ledger.jsonl").write_text('{"job": 1}\n')
    assert check(tmp_path).findings.faults == {}
    (tmp_path / "records.jsonl").unlink()
    assert check(tmp_path).findings.faults == {"schema_error": 1}


# sama data info


def test_description_counts_without_opening_frames(tmp_path: Path) -> None:
    tiny = TinySama(tmp_path).write()
    for path in tiny.folder.rglob("*.jpg"):
        path.write_bytes(b"no picture")
    root = tmp_path / "video_datas" / "mevis"
    write_frames(root / "train" / "JPEGImages" / "aa")
    expressions = {"0": {"exp": "a box", "obj_id": [0], "anno_id": [1]}}
    videos = {"aa": {"frames": ["00000", "00001"], "expressions": expressions}}
    write_json(root / "train" / "meta_expressions.json", {"videos": videos})
    write_json(root / "train" / "mask_dict.json", {"1": track(1)})
    findings = Findings()
    parts = {(part.layout, part.name): part for part in describe(tmp_path, findings)}
    counts = {"records": 1, "videos": 1, "turns": 3, "descriptions": 2, "tracks": 2, "frames": 4}
    assert parts["sama239k_data", "mevis"].counts == counts
    assert parts["sama239k_data", "ref_youtube_vos"].counts == counts
    assert parts["video_datas/mevis", "train"].counts == {"videos": 1, "expressions": 1, "tracks": 1, "frames": 2}
    assert "CC-BY-NC-SA-4.0" in parts["sama239k_data", "mevis"].licence
    assert findings.faults == {}


def test_description_of_own_records_has_their_licence(tmp_path: Path) -> None:
    write_records(tmp_path / "a.jsonl", [record(), record()])
    (part,) = describe(tmp_path, Findings())
    assert (part.name, part.licence, part.counts["records"]) == ("synthetic", "Apache-2.0", 2)
    assert part.counts["turns"] == 2 * len(record().turns)


def test_frames_of_sav_are_counted_from_its_tracks(tmp_path: Path) -> None:
    tiny = TinySama(tmp_path)
    tiny.records = [sama_record("sav_train/sav_000/a.mp4", 10) | {"frames": None}]
    tiny.write()
    (tiny.folder / "sav_train" / "sav_000").mkdir(parents=True)
    (tiny.folder / "sav_train" / "sav_000" / "a.mp4").write_bytes(b"not opened")
    write_json(tiny.folder / "SAV_mask_dict_train.json", {"10": track(1, 3), "11": track(2, 3)})
    shutil.rmtree(tiny.folder / "mevis")
    (part,) = describe(tmp_path, Findings())
    assert (part.name, part.counts["frames"]) == ("sav", 3)
