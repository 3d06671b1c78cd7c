"""Dialogues about nothing but words: a version of the schema of their own, and older files as before."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sama_video.data.checking import CheckReport, check_folder
from sama_video.data.findings import Findings
from sama_video.data.formats.from_records import read_record_clips
from sama_video.data.preview import Preview, choose_records, write_preview
from sama_video.data.records import DialogueRecord, FileClip, NoClip, RecordTurn, read_records, write_records
from sama_video.data.stores.opening import open_store
from sama_video.data.stores.parquet import write_parquet
from sama_video.dialogue.turns import RegionPrompt
from sama_video.errors import DataError
from sama_video.regions.masklet import Masklet
from sama_video.regions.shapes import Box
from sama_video.video.writer import write_video

WORDS = DialogueRecord(
    "words", NoClip(), (), (RecordTurn("Two and two?", (), "Four.", ()),), "mine", "CC0-1.0", task="vqa"
)
SEEN = replace(WORDS, record_id="seen", clip=FileClip("a.mp4", 2, 16, 24))


def folder_of(root: Path) -> Path:
    write_video(root / "a.mp4", [np.full((16, 24, 3), 90, np.uint8)] * 2, fps=4)
    write_records(root / "records.jsonl", [SEEN, WORDS])
    return root


def test_only_such_a_record_is_of_the_new_version(tmp_path: Path) -> None:
    rows = [json.loads(line) for line in (folder_of(tmp_path) / "records.jsonl").read_text().splitlines()]
    assert [row["schema"] for row in rows] == ["sama-record/2", "sama-record/3"]
    assert rows[1]["clip"] is None
    assert list(read_records(tmp_path / "records.jsonl")) == [SEEN, WORDS]


def test_version_2_still_refuses_a_missing_clip_and_version_3_reads_a_clip() -> None:
    with pytest.raises(DataError, match="clip is a NoneType"):
        DialogueRecord.from_json(WORDS.to_json() | {"schema": "sama-record/2"})
    assert DialogueRecord.from_json(SEEN.to_json() | {"schema": "sama-record/3"}) == SEEN


def test_both_stores_read_them_and_tell_their_task(tmp_path: Path) -> None:
    write_parquet(tmp_path / "shards", [SEEN, WORDS])
    for store in (open_store(folder_of(tmp_path) / "records.jsonl"), open_store(tmp_path / "shards")):
        assert [store.record(index) for index in range(2)] == [SEEN, WORDS]
        assert [store.task(index) for index in range(2)] == ["vqa", "vqa"]


def test_what_needs_pixels_is_refused() -> None:
    with pytest.raises(DataError, match="words alone"):
        WORDS.clip.open()
    masklet = Masklet("obj1", 2, 2, (None,), (None,))
    with pytest.raises(DataError, match="has objects and no clip"):
        replace(WORDS, objects=(masklet,))
    prompt = RegionPrompt(Box(0, xyxy=(0, 0, 1, 1)), "obj1")
    with pytest.raises(DataError):
        replace(WORDS, turns=(RecordTurn("What is <region>?", (prompt,), "A car.", ()),))


def test_check_and_preview_take_them_and_exports_leave_them_out(tmp_path: Path) -> None:
    base = folder_of(tmp_path)
    report = CheckReport(Findings(strict=True))
    check_folder(base, report, lambda steps: None)
    assert (report.records, report.turns_kept) == (2, 2)
    preview = Preview(tmp_path / "page" / "page.html")
    write_preview(base, choose_records(base, preview, 5, 0, lambda n: None), preview, lambda n: None)
    assert "Two and two?" in preview.out.read_text()
    findings = Findings()
    assert [clip.name for clip in read_record_clips(base, findings)] == ["a"]
    assert findings.notes == {"no_clip": 1}
