"""Every number of a miniature's expected.json, got back through the readers.

The folders are the two miniatures beside the repository, or what SAMA_FIXTURES_DIR names: a folder with an
expected.json or a folder of such folders. Each section of the file is walked, so that a set with other numbers is
tested as well.
"""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from shared_folders import RECORDS, find_folder

from sama_video.data.clips import VideoClip
from sama_video.data.findings import Findings
from sama_video.data.mask_files import open_mask_file
from sama_video.data.sources.expressions import (
    ExpressionVideo,
    read_mevis,
    read_ref_davis17,
    read_ref_sav,
    read_ref_youtube_vos,
    read_revos,
)
from sama_video.data.sources.refcoco import read_refcoco
from sama_video.data.sources.sama import SamaVideo, question_files, read_sama239k, read_sama_bench
from sama_video.data.sources.sama_samples import description_samples, dialogue_samples
from sama_video.data.sources.verified import verified_expressions, verified_record
from sama_video.regions.rle import Rle, area, union
from sama_video.video import open_video, sparse_indices, training_dense_positions

TESTED_HERE = {
    *("records", "image_size", "per_source", "conversations_qa1", "conversations_qa4", "descriptions_3", "sampling"),
    *("tracks", "sav_videos", "vidstg_videos", "ref_youtube_expression_keys", "revos", "davis17", "refcoco"),
    *("sama_bench", "mevis_valid_u", "mevis_valid", "ref_youtube_vos_valid"),
}
TESTED_ELSEWHERE = {"gcg", "region_caption", "videorefer_bench_d", "videorefer_bench_q", "predictions"}
"""Sections of benchmarks that have readers and tests of their own."""


class Case(NamedTuple):
    folder: Path
    section: str
    key: str


def folders() -> list[Path]:
    named = find_folder(*RECORDS)
    if named is None:
        return []
    beside = [] if "SAMA_FIXTURES_DIR" in os.environ else sorted(named.parent.iterdir())
    inside = [named] if (named / "expected.json").is_file() else sorted(named.iterdir())
    return [folder for folder in dict.fromkeys([*inside, *beside]) if (folder / "expected.json").is_file()]


@cache
def expected(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    return document


def cases(*sections: str, by_key: bool = True) -> list[Any]:
    """One case for each key of these sections, or one for each section."""
    found = [
        Case(folder, section, key)
        for folder in folders()
        for section in sections
        if section in expected(folder)
        for key in (expected(folder)[section] if by_key else [""])
    ]
    return [pytest.param(case, id="-".join((case.folder.name, *case[1:])).rstrip("-")) for case in found]


def each(*sections: str, by_key: bool = True) -> Callable[..., Any]:
    return pytest.mark.parametrize("case", cases(*sections, by_key=by_key))


def each_folder_with(path: str) -> Callable[..., Any]:
    found = [folder for folder in folders() if (folder / path).exists()]
    return pytest.mark.parametrize("folder", [pytest.param(folder, id=folder.name) for folder in found])


def wanted(case: Case) -> Any:
    section = expected(case.folder)[case.section]
    return section[case.key] if case.key else section


@cache
def training(folder: Path) -> tuple[tuple[SamaVideo, ...], Findings]:
    findings = Findings(base=folder)
    return tuple(read_sama239k(folder / "sama239k_data", findings)), findings


@cache
def benchmark(folder: Path) -> tuple[tuple[SamaVideo, ...], Findings]:
    findings = Findings(base=folder)
    return tuple(read_sama_bench(folder / "sama_bench", findings)), findings


def areas(track: tuple[Rle | None, ...]) -> list[int | None]:
    return [None if rle is None else area(rle) for rle in track]


def source_name(official: str) -> str:
    return {"VidSTG": "vidstg", "sav_train": "sav"}.get(official, official)


@each_folder_with("expected.json")
def test_every_section_is_tested(folder: Path) -> None:
    assert set(expected(folder)) <= TESTED_HERE | TESTED_ELSEWHERE


# SAMA-239K


@each("records", "image_size", by_key=False)
def test_records_and_their_picture_size(case: Case) -> None:
    videos, findings = training(case.folder)
    if case.section == "records":
        assert (len(videos), findings.faults) == (wanted(case), {})
    else:
        assert {video.size for video in videos} == {tuple(wanted(case))}
        assert {video.clip.size for video in videos} == {tuple(wanted(case))}


@each("per_source")
def test_counts_of_a_source(case: Case) -> None:
    videos = [video for video in training(case.folder)[0] if video.source == source_name(case.key)]
    assert {
        "videos": len({video.video for video in videos}),
        "turns": sum(video.num_rounds for video in videos),
        "descriptions": sum(len(video.descriptions) for video in videos),
        "objects": sum(len(video.annotation_ids) for video in videos),
    } == wanted(case)


@each("conversations_qa1", "conversations_qa4", by_key=False)
def test_dialogue_samples(case: Case) -> None:
    per_sample = int(case.section.removeprefix("conversations_qa"))
    videos, findings = training(case.folder)
    notes = Findings()
    samples = [
        sample
        for video in videos
        for sample in dialogue_samples(video, notes, turns_per_sample=per_sample, keep_verbal=False)
    ]
    in_order = [sample for source in sources_in(case.folder) for sample in samples if sample.video.source == source]
    turns_kept = sum(len(sample.turns) for sample in samples)
    got = {
        "records": len(videos),
        "turns_total": sum(video.num_rounds for video in videos),
        "turns_kept": turns_kept,
        "chunks": len(samples),
        "chunk_table": [
            {
                "video": sample.video.video,
                "turns": [turn.round_idx for turn in sample.turns],
                "segs": sample.num_segs,
                "regions": sum(len(turn.region_ids) for turn in sample.turns),
            }
            for sample in in_order
        ],
    }
    drops = +Counter(
        turn_in_chunk_without_seg=sum(len(video.turns) for video in videos) - turns_kept,
        odd_trailing_message=findings.notes["unanswered_last_message"],
        record_without_conversation=findings.notes["empty_conversation"],
        **findings.faults,
    )
    assert got | {"drops": dict(drops)} == wanted(case)


def sources_in(folder: Path) -> list[str]:
    return [source_name(official) for official in expected(folder)["per_source"]]


def test_verbal_samples_are_kept_unless_told_otherwise() -> None:
    for folder in folders():
        if "conversations_qa4" in expected(folder):
            for video in training(folder)[0]:
                assert [turn for sample in dialogue_samples(video, Findings()) for turn in sample.turns] == list(
                    video.turns
                )


@each("descriptions_3", by_key=False)
def test_description_samples(case: Case) -> None:
    samples = [sample for video in training(case.folder)[0] for sample in description_samples(video)]
    assert {"descriptions": sum(len(sample.descriptions) for sample in samples), "chunks": len(samples)} == wanted(case)


@each("sampling")
def test_frame_sampling(case: Case) -> None:
    (video,) = (video for video in training(case.folder)[0] if video.video == case.key)
    sparse = sparse_indices(video.clip.num_frames)
    assert {
        "frames": video.clip.num_frames,
        "sparse": [int(idx) for idx in sparse],
        "dense_positions_reference": [int(position) for position in training_dense_positions(len(sparse))],
    } == wanted(case)


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(Case(folder, name, key), id=f"{folder.name}-{name}-{key}")
        for folder in folders()
        for name, tracks in expected(folder).get("tracks", {}).items()
        for key in tracks
    ],
)
def test_track(case: Case) -> None:
    (path,) = (
        path
        for path in (case.folder / "sama239k_data" / case.section, case.folder / "video_datas" / case.section)
        if path.is_file()
    )
    told = expected(case.folder)["tracks"][case.section][case.key]
    track = open_mask_file(path, Findings(strict=True)).track(case.key)
    assert areas(track) == told["areas"]
    assert (len(track), areas(track).count(None), areas(track).count(0)) == (
        told["frames"],
        told["null"],
        told["empty"],
    )


@each_folder_with("sama239k_data")
def test_every_record_survives_a_full_look(folder: Path) -> None:
    findings = Findings()
    for video in training(folder)[0]:
        assert verified_record(video, findings) == video
    assert findings.faults == {}


@each("sav_videos")
def test_sav_video(case: Case) -> None:
    (video,) = (video for video in training(case.folder)[0] if Path(video.video).stem == case.key)
    assert isinstance(video.clip, VideoClip)
    whole = open_video(video.clip.path)
    assert {
        "video_frames": whole.num_frames,
        "fps": round(whole.average_fps, 6),
        "annotated_frames": video.clip.num_frames,
    } == wanted(case)
    clip = video.clip.open()
    assert clip.num_frames == len(video.track(video.annotation_ids[0]))
    assert (clip.frame(clip.num_frames - 1) == whole.frame(4 * (clip.num_frames - 1))).all()
    assert clip.duration == pytest.approx(whole.duration)


@each("vidstg_videos")
def test_vidstg_video(case: Case) -> None:
    (video,) = (video for video in training(case.folder)[0] if Path(video.video).name == case.key)
    raw = case.folder / "vidstg_raw" / "VidSTG_VIDEO_DIR" / f"{case.key}.mp4"
    whole = open_video(raw)
    told = wanted(case)
    assert (whole.num_frames, round(whole.average_fps, 6)) == (told["video_frames"], told["fps"])
    assert VideoClip(raw).num_frames == video.clip.num_frames == told["extracted_frames"]
    assert video.clip.stems[-1] == told["last"]  # type: ignore[union-attr]


# Expressions


@each("ref_youtube_expression_keys")
def test_keys_of_ref_youtube_vos(case: Case) -> None:
    root = case.folder / "sama239k_data" / "ref_youtube_vos"
    (video,) = (
        video for video in read_ref_youtube_vos(root, "train", Findings(strict=True)) if video.video == case.key
    )
    keys = {words.expression_id: words.annotation_ids for words in video.expressions}
    assert keys == {expression: (str(key),) for expression, key in wanted(case).items()}


def expression_set(folder: Path, section: str, split: str) -> list[ExpressionVideo]:
    findings = Findings(strict=True)
    readers: dict[str, Callable[[], Iterator[ExpressionVideo]]] = {
        "revos": lambda: read_revos(folder / "video_datas" / "revos", split, findings),
        "davis17": lambda: read_ref_davis17(folder / "video_datas" / "davis17", split, findings),
        "mevis_valid_u": lambda: read_mevis(folder / "mevis", "valid_u", findings),
        "mevis_valid": lambda: read_mevis(folder / "mevis", "valid", findings),
        "ref_youtube_vos_valid": lambda: read_ref_youtube_vos(folder / "ref_youtube_vos", "valid", findings),
    }
    return list(readers[section]())


@each("revos", "davis17")
def test_expression_set_with_masks(case: Case) -> None:
    videos, told = expression_set(case.folder, case.section, case.key), wanted(case)
    assert len(videos) == told["videos"]
    assert sum(len(video.expressions) for video in videos) == told["expressions"]
    for name, keys in told.get("keys", {}).items():
        (video,) = (video for video in videos if video.video == name)
        got = {words.expression_id: words.annotation_ids for words in video.expressions}
        assert got == {expression: (str(key),) for expression, key in keys.items()}
    for video in videos:
        assert verified_expressions(video, Findings(strict=True)) == video


@each("mevis_valid_u", "mevis_valid", "ref_youtube_vos_valid", by_key=False)
def test_expression_set_of_the_benchmark(case: Case) -> None:
    videos, told = expression_set(case.folder, case.section, ""), wanted(case)
    counts = {
        "videos": len(videos),
        "frames": sum(video.clip.num_frames for video in videos),
        "expressions": sum(len(video.expressions) for video in videos),
        "submission_pngs": sum(video.clip.num_frames * len(video.expressions) for video in videos),
    }
    assert counts == counts | {key: told[key] for key in counts if key in told}
    if "mask_tracks" in told:
        masks = open_mask_file(case.folder / "mevis" / "valid_u" / "mask_dict.json", Findings(strict=True))
        assert len(masks) == told["mask_tracks"]
        assert {video.video: [words.expression_id for words in video.expressions] for video in videos} == told[
            "expression_order"
        ]
        assert {
            f"{video.video}/{words.expression_id}": target_areas(video, words.annotation_ids)
            for video in videos
            for words in video.expressions
        } == told["target_areas"]


def target_areas(video: ExpressionVideo, annotation_ids: tuple[str, ...]) -> list[int]:
    frames = zip(*(video.track(annotation_id) for annotation_id in annotation_ids), strict=True)
    shown = ([rle for rle in frame if rle is not None] for frame in frames)
    return [area(union(rles)) if rles else 0 for rles in shown]


@each_folder_with("video_datas/Ref-SAV.json")
def test_ref_sav_reads_the_masks_of_sav(folder: Path) -> None:
    file = folder / "video_datas" / "Ref-SAV.json"
    told = json.loads(file.read_text(encoding="utf-8"))
    videos = list(read_ref_sav(file, folder / "sama239k_data", Findings(strict=True)))
    assert [video.video for video in videos] == list(told)
    records = {Path(video.video).stem: video for video in training(folder)[0]}
    for video in videos:
        assert [words.text for words in video.expressions] == [
            entry["formated"] for entry in told[video.video]["objects"].values()
        ]
        by_column = {words.expression_id: areas(video.track(words.expression_id)) for words in video.expressions}
        record = records[video.video]
        assert by_column == {
            str(column): areas(record.track(annotation_id))
            for column, annotation_id in enumerate(record.annotation_ids)
        }


# RefCOCO


@each("refcoco")
def test_refcoco(case: Case) -> None:
    told = wanted(case)
    findings = Findings(strict=True)
    pictures = list(read_refcoco(case.folder / "ref_seg" / case.key, findings))
    objects = [one for picture in pictures for one in picture.objects]
    assert (len(pictures), len(objects)) == (told["images"], told["refs"])
    assert sum(len(one.sentences) for one in objects) == told["sentences"]
    table = [
        {
            "ann_id": int(one.annotation_id),
            "split": one.split,
            "polygons": len(one.segmentation),
            "area": area(one.mask()),
            "sentences": len(one.sentences),
        }
        for one in objects
    ]
    assert sorted(table, key=lambda row: row["ann_id"]) == sorted(told["table"], key=lambda row: row["ann_id"])


# SAMA-Bench


def counts_of(videos: list[SamaVideo]) -> dict[str, int]:
    turns = [turn for video in videos for turn in video.turns]
    return {
        "videos": len(videos),
        "frames": sum(video.clip.num_frames for video in videos),
        "rounds": sum(video.num_rounds for video in videos),
        "rounds_kept": len(turns),
        "rounds_without_seg": sum(not turn.target_ids for turn in turns),
        "gt_masks": sum(len(turn.target_ids) for turn in turns),
        "regions": sum(len(turn.region_ids) for turn in turns),
        "empty_slots": sum(turn.num_empty_targets for turn in turns),
        "descriptions": sum(len(video.descriptions) for video in videos),
        "mask_tracks": sum(len(video.annotation_ids) for video in videos),
    }


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(Case(folder, "per_subset", key), id=f"{folder.name}-{key}")
        for folder in folders()
        for key in ["total", *expected(folder).get("sama_bench", {"per_subset": {}})["per_subset"]]
        if "sama_bench" in expected(folder)
    ],
)
def test_counts_of_the_benchmark(case: Case) -> None:
    told = expected(case.folder)["sama_bench"]
    videos = list(benchmark(case.folder)[0])
    if case.key == "total":
        assert counts_of(videos) == told["total"]
        assert [path.name for path in question_files(case.folder / "sama_bench", Findings())] == told["question_files"]
        found = benchmark(case.folder)[1]
        names = {*told["dropped"]}
        assert {name: (found.faults + found.notes)[name] for name in names} == told["dropped"]
        assert set(found.faults) <= names
    else:
        subset = [video for video in videos if video.source == case.key]
        assert counts_of(subset) == told["per_subset"][case.key]


@pytest.mark.parametrize(
    ("folder", "told"),
    [
        pytest.param(folder, told, id=f"{folder.name}-{told['video']}")
        for folder in folders()
        for told in expected(folder).get("sama_bench", {"videos": []})["videos"]
    ],
)
def test_video_of_the_benchmark(folder: Path, told: dict[str, Any]) -> None:
    (video,) = (video for video in benchmark(folder)[0] if video.video == told["video"])
    assert (video.file.name, video.source, video.clip.folder) == (  # type: ignore[union-attr]
        told["question_file"],
        told["subset"],
        told["folder"],
    )
    assert (video.clip.num_frames, video.height, video.width) == (told["frames"], told["height"], told["width"])
    assert [-1 if known is None else int(known) for known in video.anno_map] == told["anno_map"]
    assert [int(idx) for idx in sparse_indices(video.clip.num_frames)] == told["sparse_frames"]
    assert [text.description_id for text in video.descriptions] == told["description_ids"]
    kept = [entry for entry in told["rounds"] if entry["kept"]]
    assert [(turn.question_id, len(turn.region_ids), len(turn.target_ids)) for turn in video.turns] == [
        (entry["question_id"], entry["regions"], entry["seg"]) for entry in kept
    ]
    dropped = Counter(entry["reason"] for entry in told["rounds"] if not entry["kept"])
    rows = [row for row in benchmark(folder)[1].rows if row.is_fault and told["video"] in str(row.record)]
    assert Counter(row.reason for row in rows) == dropped


@pytest.mark.parametrize(
    ("folder", "key"),
    [
        pytest.param(folder, key, id=f"{folder.name}-{key}")
        for folder in folders()
        for key in expected(folder).get("sama_bench", {"tracks": {}})["tracks"]
    ],
)
def test_track_of_the_benchmark(folder: Path, key: str) -> None:
    told = expected(folder)["sama_bench"]["tracks"][key]
    stored = open_mask_file(folder / "sama_bench" / told["mask_file"], Findings(strict=True)).track(key)
    assert areas(stored) == told["areas"]
    assert (len(stored), areas(stored).count(None)) == (told["stored_frames"], told["null"])
    assert {tuple(rle["size"]) for rle in stored if rle is not None} <= {tuple(told["stored_size"])}
    (video,) = (video for video in benchmark(folder)[0] if key in video.annotation_ids)
    fitted = video.track(key)
    assert [0 if rle is None else area(rle) for rle in fitted] == told["area_at_frame_size"]
    assert {tuple(rle["size"]) for rle in fitted if rle is not None} <= {video.size}
