"""What the published loader gets wrong, by the number that `docs/data.md` gives it: mended here, or one option away.

Those that have tests of their own beside the reader, the mixture or the trainer are named in that table.
"""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_sama import FRAMES, HEIGHT, MEVIS, RECORDS, WIDTH, TinySama, record, track, write_json

from sama_video.data import json_items, mask_files
from sama_video.data.clips import VideoClip
from sama_video.data.findings import FaultError, Findings
from sama_video.data.sources.sama import SamaOptions, read_sama239k
from sama_video.data.sources.sama_samples import dialogue_samples
from sama_video.regions.rle import area
from sama_video.video.sampling import sparse_indices, spread_dense_positions, training_dense_positions
from sama_video.video.writer import write_video


def test_6_dense_positions_are_never_negative_and_the_published_rule_has_a_name() -> None:
    for num_frames in range(1, 200):
        num_sparse = len(sparse_indices(num_frames))
        positions = spread_dense_positions(num_sparse)
        assert positions == sorted(set(positions))
        assert all(0 <= position < num_sparse for position in positions)
        published = training_dense_positions(num_sparse)
        assert positions == published or min(published) < 0 or len(set(published)) < 5
    assert training_dense_positions(5)[0] == -1


def test_7_an_entry_without_masks_is_no_target_and_no_earlier_one_is_repeated(tmp_path: Path) -> None:
    tiny = TinySama(tmp_path)
    tiny.turn()[1]["value"] = "<p> One </p> and <p> the box </p> [SEG] and <p> two </p> and <p> another </p> [SEG]."
    tiny.first["groundtruth"][0] = [[], ["10"], [], ["11"]]
    turn = next(read_sama239k(tiny.write().folder, Findings(strict=True))).turns[0]
    assert turn.target_ids == (("10",), ("11",))
    assert turn.num_empty_targets == 2
    assert turn.answer.count("[SEG]") == len(turn.target_ids)


def test_7_tags_and_masks_that_differ_in_number_are_a_fault_and_never_cut_to_the_shorter(tmp_path: Path) -> None:
    tiny = TinySama(tmp_path)
    tiny.first["groundtruth"][0] = [["10"]]
    findings = Findings()
    found = next(read_sama239k(tiny.write().folder, findings))
    assert [turn.round_idx for turn in found.turns] == [1, 2]
    assert findings.faults == {"seg_count_mismatch": 1}


def test_10_parts_of_a_mask_are_united(tmp_path: Path) -> None:
    tiny = TinySama(tmp_path)
    tiny.mevis_masks["10"] = [[one, other] for one, other in zip(track(1), track(3), strict=True)]
    found = next(read_sama239k(tiny.write().folder, Findings(strict=True)))
    assert [area(rle) for rle in found.track("10") if rle is not None] == [8 * 7] * FRAMES


def test_11_line_breaks_within_a_question_stay(tmp_path: Path) -> None:
    tiny = TinySama(tmp_path)
    tiny.turn()[0]["value"] = "<video>\nWhat is\n<mask>?"
    found = next(read_sama239k(tiny.write().folder, Findings(strict=True)))
    assert found.turns[0].question == "What is\n<mask>?"


def test_15_reading_uses_no_chance(tmp_path: Path) -> None:
    folder = TinySama(tmp_path).write().folder

    def read(seed: int) -> list[Any]:
        random.seed(seed)
        np.random.seed(seed)
        return [list(dialogue_samples(video, Findings())) for video in read_sama239k(folder, Findings())]

    assert read(1) == read(2)


def test_16_a_bad_record_is_counted_and_no_other_takes_its_place(tmp_path: Path) -> None:
    tiny = TinySama(tmp_path)
    tiny.records += [record("mevis/train/JPEGImages/gone", 10), 3, record(MEVIS, 10)]
    findings = Findings()
    found = [video.record for video in read_sama239k(tiny.write().folder, findings)]
    assert [int(one.split()[1]) for one in found] == [0, 1, 4]
    assert findings.faults == {"missing_video": 1, "schema_error": 1}
    assert all(row.detail and row.record for row in findings.rows)


def test_17_a_repeated_id_is_a_note(tmp_path: Path) -> None:
    tiny = TinySama(tmp_path)
    tiny.first["anno_map"] = [10, "10", 11]
    findings = Findings()
    found = next(read_sama239k(tiny.write().folder, findings))
    assert found.anno_map == ("10", "10", "11")
    assert findings.faults == {}
    assert findings.notes["repeated_annotation_id"] == 1


def test_19_leaving_out_is_called_leaving_out(tmp_path: Path) -> None:
    folder = TinySama(tmp_path).write().folder
    found = list(read_sama239k(folder, Findings(), SamaOptions(exclude=("mevis",))))
    assert [video.source for video in found] == ["ref_youtube_vos"]


def test_21_record_files_and_mask_dictionaries_are_parsed_a_piece_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = TinySama(tmp_path)
    tiny.records = [record(MEVIS, 10)] * 50
    folder = tiny.write().folder
    pieces: list[int] = []
    for module in (json_items, mask_files):
        original = module.parse
        monkeypatch.setattr(module, "parse", _measuring(original, pieces))
    for video in read_sama239k(folder, Findings()):
        video.track("10")
    assert len(pieces) == 100
    assert max(pieces) < (folder / RECORDS).stat().st_size / 40


def _measuring(original: Callable[..., object], pieces: list[int]) -> Callable[..., object]:
    def parse(content: bytes, *rest: Any) -> object:
        pieces.append(len(content))
        return original(content, *rest)

    return parse


def test_22_three_of_four_frames_of_a_video_are_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    pixels = np.zeros((9, HEIGHT, WIDTH, 3), np.uint8)
    pixels[:] = np.arange(9, dtype=np.uint8)[:, None, None, None] * 25
    write_video(path, pixels, fps=24)
    clip = VideoClip(path).open()
    assert clip.num_frames == 3
    assert [int(np.median(clip.frame(idx))) for idx in range(3)] == pytest.approx([0, 100, 200], abs=6)


def test_23_only_the_masks_that_are_asked_for_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = next(read_sama239k(TinySama(tmp_path).write().folder, Findings()))
    asked: list[Any] = []
    original = mask_files.read_mask
    monkeypatch.setattr(mask_files, "read_mask", lambda *args, **options: asked.append(1) or original(*args, **options))
    found.track("10")
    assert len(asked) == FRAMES


def test_25_run_lengths_are_checked_before_native_code_sees_them(tmp_path: Path) -> None:
    tiny = TinySama(tmp_path)
    tiny.mevis_masks["10"] = [{"size": [HEIGHT, WIDTH], "counts": [HEIGHT * WIDTH + 1]}] * FRAMES
    found = next(read_sama239k(tiny.write().folder, Findings(strict=True)))
    with pytest.raises(FaultError, match="bad_rle"):
        found.track("10")


def test_verbal_samples_can_be_dropped_as_the_published_loader_does(tmp_path: Path) -> None:
    found = next(read_sama239k(TinySama(tmp_path).write().folder, Findings()))
    kept = dialogue_samples(found, Findings(), turns_per_sample=1)
    parity = dialogue_samples(found, Findings(), turns_per_sample=1, keep_verbal=False)
    assert (len(list(kept)), len(list(parity))) == (3, 2)


def test_the_folder_is_never_written_to(tmp_path: Path) -> None:
    folder = TinySama(tmp_path).write().folder
    write_json(folder / "other.json", {})
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    for video in read_sama239k(folder, Findings()):
        video.track(video.annotation_ids[0])
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
