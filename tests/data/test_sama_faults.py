"""A folder spoilt in one place: the one reason it is counted under, and what is left of it."""

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_sama import (
    FRAMES,
    HEIGHT,
    MEVIS,
    MEVIS_MASKS,
    RECORDS,
    WIDTH,
    YOUTUBE,
    YOUTUBE_MASKS,
    TinySama,
    box_rle,
    record,
    track,
    write_json,
)

from sama_video.data.checking import CheckReport, check_folder
from sama_video.data.findings import FAULTS, NOTES, FaultError, Findings
from sama_video.data.sources.sama import SamaOptions, read_sama239k, read_sama_bench
from sama_video.regions.rle import area
from sama_video.video import write_video

TURNS, DESCRIPTIONS = 6, 4
"""What the sound folder has."""

Spoil = Callable[[TinySama], object]


def report_on(tiny: TinySama, *, strict: bool = False) -> CheckReport:
    report = CheckReport(Findings(strict, base=tiny.root))
    check_folder(tiny.root, report, lambda steps: None)
    return report


def set_key(record_key: str, value: Any) -> Spoil:
    return lambda tiny: tiny.first.__setitem__(record_key, value)


def drop_key(record_key: str) -> Spoil:
    return lambda tiny: tiny.first.pop(record_key)


def say(value: Any, *, asked: bool = False, turn: int = 0) -> Spoil:
    return lambda tiny: tiny.turn(turn)[0 if asked else 1].__setitem__("value", value)


def mask(value: Any, frame: int = 2, annotation: str = "10") -> Spoil:
    return lambda tiny: tiny.mevis_masks[annotation].__setitem__(frame, value)


def test_sound_folder_has_no_fault(tmp_path: Path) -> None:
    report = report_on(TinySama(tmp_path).write())
    assert (report.records, report.turns_kept, report.descriptions) == (2, TURNS, DESCRIPTIONS)
    assert (report.findings.faults, report.findings.notes) == ({}, {})


BEFORE_WRITING: dict[str, tuple[str, Spoil, int, int]] = {
    # what is spoilt: the reason, how, turns lost, descriptions lost
    "question without its region": ("region_count_mismatch", say("What is it?", asked=True), 1, 0),
    "answer without its mask": ("seg_count_mismatch", say("<p> Both </p> move.", turn=1), 1, 0),
    "mask without ids": ("seg_count_mismatch", set_key("groundtruth", [[[10], []], [[10, 11]], []]), 1, 0),
    "answer from a human": ("role_order", lambda tiny: tiny.turn()[1].__setitem__("from", "human"), 1, 0),
    "question from a machine": ("role_order", lambda tiny: tiny.turn()[0].__setitem__("from", "gpt"), 1, 0),
    "too few region lists": ("region_list_too_short", set_key("obj_masks", [[10], []]), 1, 0),
    "too few target lists": ("region_list_too_short", set_key("groundtruth", [[[10], [11]], [[10, 11]]]), 1, 0),
    "phrase never closed": ("malformed_phrase", say("<p> Both [SEG] move.", turn=1), 1, 0),
    "phrase never opened": ("malformed_phrase", say("Both </p> [SEG] move.", turn=1), 1, 0),
    "phrase in a phrase": ("malformed_phrase", say("<p> Both <p> of </p> them </p> [SEG].", turn=1), 1, 0),
    "phrase of nothing": ("malformed_phrase", say("<p>  </p> [SEG] move.", turn=1), 1, 0),
    "phrase of a mask alone": ("malformed_phrase", say("<p> [SEG] </p> move.", turn=1), 1, 0),
    "region of nowhere": ("id_not_in_anno_map", set_key("obj_masks", [[99], [], []]), 1, 0),
    "target of nowhere": ("id_not_in_anno_map", set_key("groundtruth", [[[10], [99]], [[10, 11]], []]), 1, 0),
    "region without a track": ("id_not_in_anno_map", set_key("obj_masks", [[-1], [], []]), 1, 0),
    "message without text": ("missing_key", lambda tiny: tiny.turn()[1].pop("value"), 1, 0),
    "message that is a number": ("schema_error", say(3), 1, 0),
    "region that is an object": ("schema_error", set_key("obj_masks", [[{}], [], []]), 1, 0),
    "targets that are ids": ("schema_error", set_key("groundtruth", [[10, 11], [[10, 11]], []]), 1, 0),
    "no lists of targets": ("missing_key", drop_key("groundtruth"), 3, 0),
    "conversation of another form": ("schema_error", set_key("conversation", {"from": "human"}), 3, 0),
    "description of no object": ("bad_object_key", set_key("description", {"thing": "A box."}), 0, 2),
    "description of object 7": ("bad_object_key", set_key("description", {"<obj7>": "A box."}), 0, 2),
    "description that is a list": ("schema_error", set_key("description", ["A box."]), 0, 2),
    "text that is a number": ("schema_error", set_key("description", {"<obj0>": 1, "<obj1>": "Box."}), 0, 1),
    "no map": ("missing_key", drop_key("anno_map"), 3, 2),
    "no video": ("missing_key", drop_key("video"), 3, 2),
    "no frames": ("missing_key", drop_key("frames"), 3, 2),
    "frames null for a folder": ("schema_error", set_key("frames", None), 3, 2),
    "map of another form": ("schema_error", set_key("anno_map", [[10], [11]]), 3, 2),
    "size of another form": ("schema_error", set_key("height", -24), 3, 2),
    "record of another size than its frames": ("schema_error", set_key("height", HEIGHT + 1), 3, 2),
    "record that is a text": ("schema_error", lambda tiny: tiny.records.__setitem__(0, "mevis"), 3, 2),
    "source nobody knows": ("unknown_source", set_key("video", "mevisions/train/aa"), 3, 2),
    "path upwards": ("unsafe_path", set_key("video", "mevis/../../secret"), 3, 2),
    "path from the root": ("unsafe_path", set_key("video", "/etc"), 3, 2),
    "path on Windows": ("unsafe_path", set_key("video", "mevis\\..\\..\\secret"), 3, 2),
    "frame elsewhere": ("unsafe_path", set_key("frames", ["../../../x"]), 3, 2),
    "frame that is a number": ("schema_error", set_key("frames", [0, 1, 2, 3]), 3, 2),
    "no folder": ("missing_video", set_key("video", "mevis/train/JPEGImages/zz"), 3, 2),
    "no such frame": ("missing_frame", set_key("frames", ["00000", "00001", "00002", "00007"]), 3, 2),
    "no such annotation": ("missing_annotation", lambda tiny: tiny.mevis_masks.pop("11"), 2, 1),
    "track too short": ("track_length_mismatch", lambda tiny: tiny.mevis_masks["11"].pop(), 2, 1),
    "track too long": ("track_length_mismatch", lambda tiny: tiny.mevis_masks["11"].append(None), 2, 1),
    "mask of another size": ("mask_size_mismatch", mask(box_rle(1, HEIGHT // 2)), 2, 1),
    "parts of two sizes": ("mask_size_mismatch", mask([box_rle(1), box_rle(1, HEIGHT * 2)]), 2, 1),
    "run lengths of other size": ("bad_rle", mask({"size": [HEIGHT, WIDTH], "counts": "0"}), 2, 1),
    "run lengths that are no text": ("bad_rle", mask({"size": [HEIGHT, WIDTH], "counts": "~~"}), 2, 1),
    "run lengths without counts": ("schema_error", mask({"size": [HEIGHT, WIDTH]}), 2, 1),
    "mask that is a number": ("schema_error", mask(5), 2, 1),
    "track that is a number": ("schema_error", lambda tiny: tiny.mevis_masks.__setitem__("10", 5), 2, 1),
    "polygon of two points": ("bad_rle", mask([[1.0, 1.0, 5.0, 5.0]]), 2, 1),
    "polygon into the distance": ("bad_rle", mask([[1.0, 1.0, 5.0, 5.0, 1e30, 2.0]]), 2, 1),
    "region never visible": (
        "prompt_never_visible",
        lambda tiny: (
            tiny.mevis_masks.__setitem__("10", [None] * FRAMES),
            tiny.first.pop("description"),
        ),
        1,
        2,
    ),
    "description of the invisible": (
        "prompt_never_visible",
        lambda tiny: (
            tiny.mevis_masks.__setitem__("11", [None, *[empty_rle()] * (FRAMES - 1)]),
            tiny.first.__setitem__("description", {"<obj1>": "A box."}),
        ),
        0,
        2,
    ),
}


def empty_rle() -> dict[str, Any]:
    return {"size": [HEIGHT, WIDTH], "counts": [HEIGHT * WIDTH]}


@pytest.mark.parametrize("name", BEFORE_WRITING)
def test_smallest_unit_is_dropped_for_one_reason(name: str, tmp_path: Path) -> None:
    reason, spoil, turns_lost, descriptions_lost = BEFORE_WRITING[name]
    tiny = TinySama(tmp_path)
    spoil(tiny)
    report = report_on(tiny.write())
    assert report.findings.faults == {reason: 1}
    assert (report.turns_kept, report.descriptions) == (TURNS - turns_lost, DESCRIPTIONS - descriptions_lost)
    assert report.records == 2
    (row,) = (row for row in report.findings.rows if row.is_fault)
    assert row.file.startswith("sama239k_data/")
    assert row.detail


@pytest.mark.parametrize("name", BEFORE_WRITING)
def test_strict_reading_stops_at_the_fault(name: str, tmp_path: Path) -> None:
    reason, spoil, *_ = BEFORE_WRITING[name]
    tiny = TinySama(tmp_path)
    spoil(tiny)
    with pytest.raises(FaultError) as caught:
        report_on(tiny.write(), strict=True)
    assert caught.value.reason == reason
    assert "\n" not in str(caught.value)


def overwrite(name: str, content: bytes) -> Spoil:
    return lambda tiny: (tiny.folder / name).write_bytes(content)


def remove(name: str) -> Spoil:
    return lambda tiny: (tiny.folder / name).unlink()


def cut(name: str, left: int) -> Spoil:
    return lambda tiny: (tiny.folder / name).write_bytes((tiny.folder / name).read_bytes()[:left])


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch pwned",)


AFTER_WRITING: dict[str, tuple[str, Spoil, int]] = {
    # what is spoilt: the reason, how, turns kept
    "no record file": ("missing_file", remove(RECORDS), 0),
    "record file cut off": ("json_error", cut(RECORDS, 500), 0),
    "record file that is an object": ("schema_error", overwrite(RECORDS, b"{}"), 0),
    "record file in Latin-1": ("encoding_error", overwrite(RECORDS, b'[{"video": "\xe9"}]'), 0),
    "record file in UTF-16": ("encoding_error", overwrite(RECORDS, '[{"video": "é"}]'.encode("utf-16")), 0),
    "no mask dictionary": ("missing_file", remove(MEVIS_MASKS), 3),
    "mask dictionary cut off": ("json_error", cut(MEVIS_MASKS, 300), 3),
    "mask dictionary that is a list": ("schema_error", overwrite(MEVIS_MASKS, b"[]"), 3),
    "mask dictionary in Latin-1": ("encoding_error", overwrite(MEVIS_MASKS, b'{"10": "\xe9"}'), 3),
    "pickle that runs": ("unsafe_pickle", overwrite(YOUTUBE_MASKS, pickle.dumps({0: Evil()})), 3),
    "pickle of an array": ("unsafe_pickle", overwrite(YOUTUBE_MASKS, pickle.dumps({0: np.zeros(3)})), 3),
    "pickle cut off": ("schema_error", cut(YOUTUBE_MASKS, 100), 3),
    "pickle of a list": ("schema_error", overwrite(YOUTUBE_MASKS, pickle.dumps([1])), 3),
    "frame missing": ("missing_frame", remove(f"{MEVIS}/00002.jpg"), 3),
    "frame damaged": ("unreadable_frame", overwrite(f"{MEVIS}/00002.jpg", b"no picture"), 3),
    "frame cut off": ("unreadable_frame", cut(f"{MEVIS}/00002.jpg", 400), 3),
    "folder missing": ("missing_video", lambda tiny: shutil.rmtree(tiny.folder / YOUTUBE), 3),
}


@pytest.mark.parametrize("name", AFTER_WRITING)
def test_spoilt_file_is_one_fault(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    reason, spoil, turns_kept = AFTER_WRITING[name]
    tiny = TinySama(tmp_path / "data").write()
    spoil(tiny)
    report = report_on(tiny)
    assert report.findings.faults == {reason: 1}
    assert report.turns_kept == turns_kept
    assert not (tmp_path / "pwned").exists()


def test_broken_json_is_told_with_its_place(tmp_path: Path) -> None:
    tiny = TinySama(tmp_path).write()
    (tiny.folder / RECORDS).write_text('[{"video": "mevis/a", "anno_map": [1, nul]}]')
    (row,) = report_on(tiny).findings.rows
    assert (row.file, row.reason) == (f"sama239k_data/{RECORDS}", "json_error")
    assert "byte 38" in row.detail


def test_frame_of_another_size_is_a_fault(tmp_path: Path) -> None:
    from PIL import Image

    tiny = TinySama(tmp_path).write()
    Image.new("RGB", (WIDTH, HEIGHT + 2)).save(tiny.folder / MEVIS / "00003.jpg")
    assert report_on(tiny).findings.faults == {"unreadable_frame": 1}


# SA-V


def sav_folder(tmp_path: Path, frames: int, entries: int) -> TinySama:
    tiny = TinySama(tmp_path)
    tiny.records = [record("sav_train/sav_000/a.mp4", 10) | {"frames": None, "height": None, "width": None}]
    tiny.write()
    pixels = np.zeros((frames, HEIGHT, WIDTH, 3), np.uint8)
    pixels[:, :, :, 1] = np.arange(frames)[:, None, None] * 9 % 256
    (tiny.folder / "sav_train/sav_000").mkdir(parents=True)
    write_video(tiny.folder / "sav_train/sav_000/a.mp4", pixels, fps=24)
    write_json(tiny.folder / "SAV_mask_dict_train.json", {"10": track(1, entries), "11": track(12, entries)})
    return tiny


@pytest.mark.parametrize("frames", [1, 4, 5, 8, 9])
def test_every_fourth_frame_of_a_video_has_a_mask(frames: int, tmp_path: Path) -> None:
    report = report_on(sav_folder(tmp_path, frames, -(-frames // 4)))
    assert (report.findings.faults, report.turns_kept) == ({}, 3)


def test_track_that_counts_all_frames_of_a_video_is_refused(tmp_path: Path) -> None:
    assert report_on(sav_folder(tmp_path, 9, 9)).findings.faults == {"track_length_mismatch": 2}


def test_missing_and_cut_off_videos(tmp_path: Path) -> None:
    tiny = sav_folder(tmp_path, 60, 15)
    video = tiny.folder / "sav_train/sav_000/a.mp4"
    content = video.read_bytes()
    video.write_bytes(content[: len(content) // 2])
    assert report_on(tiny).findings.faults == {"unreadable_video": 1}
    video.unlink()
    assert report_on(tiny).findings.faults == {"missing_video": 1}


def test_frame_list_of_a_video_is_refused(tmp_path: Path) -> None:
    tiny = sav_folder(tmp_path, 4, 1)
    tiny.records[0]["frames"] = ["00000"]
    write_json(tiny.folder / RECORDS, tiny.records)
    assert report_on(tiny).findings.faults == {"schema_error": 1}


# Notes


def lvvis(tiny: TinySama) -> None:
    """Turn the first record into one of LV-VIS whose folder is named without its zeros."""
    tiny.first["video"] = "lvvis/train/JPEGImages/77"
    write_json(tiny.folder / "lvvis_train_mask_dict.json", tiny.mevis_masks)
    from tiny_sama import write_frames

    write_frames(tiny.folder / "lvvis/train/JPEGImages/00077")


NOTED: dict[str, tuple[str, Spoil]] = {
    "unanswered": ("unanswered_last_message", lambda tiny: tiny.first["conversation"].append({"from": "human"})),
    "repeated": ("repeated_annotation_id", set_key("anno_map", [10, 11, 10])),
    "aliases": ("old_tag_aliases", say("<g_s> Both <g_e> <seg> move.", turn=1)),
    "no folder zeros": ("unpadded_folder_name", lvvis),
    "no conversation": ("empty_conversation", set_key("conversation", [])),
    "no conversation key": ("empty_conversation", drop_key("conversation")),
    "no description": ("empty_description", set_key("description", {})),
    "minus one": ("object_without_track", set_key("anno_map", [10, 11, -1])),
    "minus one as text": ("object_without_track", set_key("anno_map", [10, 11, "-1"])),
    "mixed ids": ("mixed_id_types", set_key("obj_masks", [["10"], [], []])),
    "plain run lengths": (
        "uncompressed_rle",
        mask({"size": [HEIGHT, WIDTH], "counts": [5, 9, HEIGHT * WIDTH - 14]}),
    ),
    "polygons": ("polygons", mask([[1.0, 1.0, 9.0, 1.0, 9.0, 9.0], [4.0, 1.0, 12.0, 1.0, 12.0, 9.0]])),
}


@pytest.mark.parametrize("name", NOTED)
def test_odd_but_usable_is_a_note(name: str, tmp_path: Path) -> None:
    reason, change = NOTED[name]
    tiny = TinySama(tmp_path)
    change(tiny)
    report = report_on(tiny.write())
    assert (report.findings.faults, report.findings.notes) == ({}, {reason: 1})
    lost = 3 if reason == "empty_conversation" else 0
    assert report.turns_kept == TURNS - lost
    assert report.descriptions == DESCRIPTIONS - (2 if reason == "empty_description" else 0)


def test_words_alone_are_a_note(tmp_path: Path) -> None:
    tiny = TinySama(tmp_path)
    for turn in range(3):
        say("Yes.", turn=turn)(tiny)
        say("Is it?", asked=True, turn=turn)(tiny)
    tiny.first.update({"obj_masks": [[], [], []], "groundtruth": [[], [], []]})
    report = report_on(tiny.write())
    assert (report.findings.faults, report.findings.notes) == ({}, {"chunk_without_seg": 1})
    assert report.turns_kept == TURNS


@pytest.mark.parametrize("name", [RECORDS, MEVIS_MASKS])
def test_byte_order_mark_is_a_note(name: str, tmp_path: Path) -> None:
    tiny = TinySama(tmp_path).write()
    path = tiny.folder / name
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    report = report_on(tiny)
    assert (report.findings.faults, report.findings.notes) == ({}, {"byte_order_mark": 1})
    assert report.turns_kept == TURNS


OF_THE_SPECIFICATION = {
    *("missing_frame", "unreadable_frame", "missing_video", "unreadable_video", "unknown_source", "unsafe_path"),
    *("mask_size_mismatch", "bad_rle", "missing_annotation", "track_length_mismatch", "prompt_never_visible"),
    *("region_count_mismatch", "seg_count_mismatch", "region_list_too_short", "malformed_phrase", "role_order"),
    *("id_not_in_anno_map", "bad_object_key", "missing_key", "encoding_error", "json_error", "schema_error"),
    *("missing_file", "unsafe_pickle"),
}


def test_every_reason_is_provoked_here() -> None:
    provoked = {reason for reason, *_ in (*BEFORE_WRITING.values(), *AFTER_WRITING.values())}
    assert provoked | {"unreadable_video"} == OF_THE_SPECIFICATION <= FAULTS
    noted = {reason for reason, _ in NOTED.values()} | {"chunk_without_seg", "byte_order_mark"}
    assert noted <= NOTES


# What the readers give


def test_aliases_are_replaced_and_empty_targets_left_out(tmp_path: Path) -> None:
    tiny = TinySama(tmp_path)
    tiny.turn()[0]["value"] = "<video>\nWhat is <mask>?"
    tiny.turn()[1]["value"] = "<g_s> The box <g_e> <seg> is <p> alone </p>."
    tiny.first["groundtruth"][0] = [["10"], []]
    turn = next(read_sama239k(tiny.write().folder, Findings(strict=True))).turns[0]
    assert turn.question == "What is <mask>?"
    assert turn.answer == "<p> The box </p> [SEG] is <p> alone </p>."
    assert (turn.region_ids, turn.target_ids, turn.num_empty_targets) == (("10",), (("10",),), 1)


def test_records_are_chosen_by_source_and_fragment(tmp_path: Path) -> None:
    folder = TinySama(tmp_path).write().folder

    def videos(**options: Any) -> list[str]:
        return [video.video for video in read_sama239k(folder, Findings(), SamaOptions(**options))]

    assert videos() == [MEVIS, YOUTUBE]
    assert videos(sources=("ref_youtube_vos",)) == [YOUTUBE]
    assert videos(exclude=("youtube",)) == [MEVIS]


def test_short_tracks_are_filled_on_request(tmp_path: Path) -> None:
    tiny = TinySama(tmp_path)
    tiny.mevis_masks["10"] = track(1, 2)
    video = next(read_sama239k(tiny.write().folder, Findings(), SamaOptions(pad_tracks=True)))
    assert [rle is None for rle in video.track("10")] == [False, False, True, True]


def test_size_comes_from_the_pictures_where_the_record_has_none(tmp_path: Path) -> None:
    tiny = TinySama(tmp_path)
    tiny.first["height"] = None
    video = next(read_sama239k(tiny.write().folder, Findings()))
    assert (video.stated_size, video.height, video.width) == (None, HEIGHT, WIDTH)
    clip = video.clip.open()
    assert (clip.num_frames, clip.height, clip.width) == (FRAMES, HEIGHT, WIDTH)


def test_videos_are_read_alike_in_another_process(tmp_path: Path) -> None:
    video = next(read_sama239k(TinySama(tmp_path).write().folder, Findings()))
    copy = pickle.loads(pickle.dumps(video))
    assert copy == video
    assert copy.track("10") == video.track("10")


# SAMA-Bench


def bench_folder(tmp_path: Path) -> Path:
    root = tmp_path / "sama_bench"
    tiny = TinySama(tmp_path / "unused").write()
    shutil.move(tiny.folder, root)
    first = tiny.first
    for number, message in enumerate(first["conversation"][::2]):
        message["question_id"] = 5 + number
    first["description_id"] = {"<obj0>": 90, "<obj1>": "x91"}
    write_json(root / "mevis.json", [first])
    return root


def test_benchmark_fills_cuts_and_resizes_tracks(tmp_path: Path) -> None:
    root = bench_folder(tmp_path)
    half = [box_rle(1, HEIGHT // 2, WIDTH // 2)]
    write_json(root / "Mevis_mask_dict_val.json", {"10": {"segmentations": half}, "11": track(3, FRAMES + 2)})
    (video,) = read_sama_bench(root, Findings(strict=True))
    short, long = video.track("10"), video.track("11")
    assert [0 if rle is None else area(rle) for rle in short] == [4 * area(half[0]), 0, 0, 0]  # type: ignore[arg-type]
    assert {tuple(rle["size"]) for rle in (*short, *long) if rle is not None} == {(HEIGHT, WIDTH)}
    assert len(long) == FRAMES
    assert [turn.question_id for turn in video.turns] == [5, 6, 7]
    assert [text.description_id for text in video.descriptions] == [90, "x91"]


def test_benchmark_asks_about_the_invisible(tmp_path: Path) -> None:
    root = bench_folder(tmp_path)
    write_json(root / "Mevis_mask_dict_val.json", {"10": [None] * FRAMES, "11": track(3)})
    report = CheckReport(Findings(base=tmp_path))
    check_folder(tmp_path, report, lambda steps: None)
    assert (report.findings.faults, report.findings.notes) == ({}, {"prompt_not_visible": 1})
    assert (report.records, report.turns_kept, report.descriptions) == (1, 3, 2)


def test_benchmark_keeps_malformed_answers(tmp_path: Path) -> None:
    root = bench_folder(tmp_path)
    (first,) = json.loads((root / "mevis.json").read_text())
    first["conversation"][3]["value"] = "<p> Both [SEG] move."
    write_json(root / "mevis.json", [first])
    write_json(root / "Mevis_mask_dict_val.json", {"10": track(1), "11": track(3)})
    findings = Findings()
    (video,) = read_sama_bench(root, findings)
    assert (len(video.turns), findings.faults, findings.notes) == (3, {}, {"malformed_phrase": 1})


def test_question_files_come_in_the_official_order(tmp_path: Path) -> None:
    root = bench_folder(tmp_path)
    write_json(root / "Mevis_mask_dict_val.json", {"10": track(1), "11": track(3)})
    content = json.loads((root / "mevis.json").read_text())
    for name in ("mevis_10", "mevis_9", "mevis_1"):
        write_json(root / f"{name}.json", content)
    files = [video.file.stem for video in read_sama_bench(root, Findings(strict=True))]
    assert files == ["mevis", "mevis_1", "mevis_9", "mevis_10"]


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 12)
    | st.sampled_from(["", "10", "aa", "<mask>", "[SEG]", "..", "\ud800"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["from", "value", "obj0"]), inner),
    max_leaves=6,
)


@settings(max_examples=40)
@given(st.sampled_from(["record", "masks"]), st.lists(st.integers(0, 5), max_size=4), ANYTHING)
def test_no_content_breaks_the_reader(tmp_path_factory: Any, where: str, steps: list[int], value: Any) -> None:
    tiny = TinySama(tmp_path_factory.mktemp("any"))
    target: Any = tiny.first if where == "record" else tiny.mevis_masks
    replace_somewhere(target, steps, value)
    report = report_on(tiny.write())
    assert report.turns_kept >= 3  # the other record is sound
    assert set(report.findings.faults) <= FAULTS
    json.dumps(report.to_json(), ensure_ascii=False).encode()


def replace_somewhere(target: Any, steps: list[int], value: Any) -> None:
    """Go down as many steps as there are, or as deep as it goes, and put a value there."""
    keys = list(target) if isinstance(target, dict) else range(len(target))
    key = keys[steps[0] % len(keys) if steps else 0]
    inside = target[key]
    if len(steps) > 1 and isinstance(inside, dict | list) and inside:
        replace_somewhere(inside, steps[1:], value)
    else:
        target[key] = value
