"""Conversations, regions, timed sentences, bare masklets and other tools' annotations as records of a store."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image
from tiny_sama import box_rle, write_json

from sama_video.data.checking import CheckReport, check_folder
from sama_video.data.clips import FrameClip
from sama_video.data.describing import describe
from sama_video.data.findings import FaultError, Findings
from sama_video.data.formats import FORMATS, AnnotatedClip, AnnotatedObject, to_records
from sama_video.data.mixture import Mixture
from sama_video.data.mixture_shares import MixturePart
from sama_video.data.preview import Preview, choose_records
from sama_video.data.records import DialogueRecord, FileClip, NoClip
from sama_video.data.sources import chat_univi, llava, osprey
from sama_video.data.sources.layouts import find_layouts
from sama_video.data.stores.opening import LAYOUTS, layout_of, open_store
from sama_video.data.stores.store import RecordStore, StoreOptions
from sama_video.dialogue.markup import REGION_TAG, SEG
from sama_video.errors import DataError
from sama_video.regions.masklet import Masklet
from sama_video.regions.shapes import Box, Mask
from sama_video.train.tuning.own_data import annotation_format
from sama_video.video.writer import write_video

SIZE = (24, 32)
FRAMES = 8
VIDOR = "2401075277"


def talk(*texts: str) -> list[dict[str, str]]:
    return [{"from": ("human", "gpt")[idx % 2], "value": text} for idx, text in enumerate(texts)]


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", SIZE[::-1], (10, 90, 60)).save(path)


def video(path: Path, frames: int = FRAMES, fps: int = 4) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, [np.full((*SIZE, 3), 20 * idx, np.uint8) for idx in range(frames)], fps=fps)


def write_llava(root: Path) -> Path:
    folder = root / "llava_data"
    picture(folder / llava.PICTURES / "coco" / "1.png")
    rows = [
        {"id": "a", "image": "coco/1.png", "conversations": talk("<image>\nWhat is it?", "A field.", "Green?", "Yes.")},
        {"id": "b", "conversations": talk("Two and two?", "Four.")},
        {"id": "c", "conversations": talk("Some HTML?", "<p>Hello</p>", "Thanks.", "With pleasure.")},
    ]
    write_json(folder / llava.FILE, rows)
    return folder


def write_chat_univi(root: Path) -> Path:
    folder = root / "video_datas" / "chat_univi"
    video(folder / chat_univi.VIDEOS / "v_1.mp4")
    write_json(
        folder / chat_univi.FILE, [{"id": 7, "video": "v_1.mkv", "conversations": talk("<video>\nWho?", "A man.")}]
    )
    return folder


def write_osprey(root: Path) -> Path:
    folder = root / "osprey-724k"
    picture(folder / "coco" / "train2017" / "1.jpg")
    regions = [{"segmentation": [[2, 2, 10, 2, 10, 10, 2, 10]]}, {"segmentation": box_rle(3)}, {"segmentation": []}]
    row = {"file_name": "1.jpg", "height": SIZE[0], "width": SIZE[1]}
    said = talk(
        "What is <region1>?", "A kite.", "And <region3>?", "A cat.", "Is region2 near it?", "Yes, <region2> is."
    )
    write_json(folder / osprey.FOLDER / osprey.FILES[0], [row | {"annotation": regions, "conversations": said}])
    told = [row | {"annotation": regions[:2], "description": ["<region1>: A red kite.", "A boy."]}]
    write_json(folder / osprey.FOLDER / osprey.FILES[1], told)
    short = [row | {"annotation": regions[1:2], "conversations": talk("What is <region1>?", "Boy")}]
    write_json(folder / osprey.FOLDER / osprey.FILES[3], short)
    return folder


def write_videorefer(root: Path) -> Path:
    folder = root / "videorefer_700k"
    video(folder / "part" / "a.mp4")
    row = {
        "id": 0,
        "video": "part/a.mp4",
        "conversations": talk("<video>\nIs <region> behind <region>?", "Yes.", "Day?", "Yes."),
        "annotation": [
            {"0": {"segmentation": box_rle(1)}, "2": {"segmentation": box_rle(5)}},
            {"3": {"segmentation": box_rle(2)}},
        ],
    }
    write_json(folder / "qa.json", [row])
    return folder


def write_vidstg(root: Path, **change: Any) -> Path:
    folder = root / "vidstg"
    row = {
        "vid": VIDOR,
        "frame_count": FRAMES,
        "fps": 4,
        "width": SIZE[1],
        "height": SIZE[0],
        "subject/objects": [{"tid": 0, "category": "bicycle"}, {"tid": 1, "category": "child"}],
        "used_segment": {"begin_fid": 0, "end_fid": FRAMES},
        "temporal_gt": {"begin_fid": 2, "end_fid": 5},
        "captions": [{"description": "a bicycle is in front of a child .", "target_id": 0}],
        "questions": [{"description": "what is in front of a child ?", "target_id": 0}],
    }
    write_json(folder / "annotations" / "train_annotations.json", [row | change])
    video(folder / "vidor" / "video" / f"{VIDOR}.mp4")
    entry = {"tid": 0, "bbox": {"xmin": 3, "ymin": 4, "xmax": 13, "ymax": 14}}
    rows = [[entry] if idx != 3 else [] for idx in range(FRAMES)]
    write_json(folder / "vidor" / "annotation" / f"{VIDOR}.json", {"trajectories": rows})
    return folder


def write_sav(root: Path) -> Path:
    folder = root / "sa-v"
    video(folder / "sav_train" / "sav_000" / "sav_000001.mp4")
    document = {
        "video_id": "sav_000001",
        "video_height": 24.0,
        "video_width": 32.0,
        "masklet_num": 2,
        "masklet": [[box_rle(1), box_rle(5)], [box_rle(2), box_rle(6)]],
    }
    write_json(folder / "sav_train" / "sav_000" / "sav_000001_manual.json", document)
    return folder


def write_gcg(root: Path) -> Path:
    folder = root / "glamm_data"
    Image.new("RGB", (64, 48)).save(_made(folder / "images" / "grandf" / "train" / "1.jpg"))
    grounding = {"token_positives": [0, 5], "rle_masks": [box_rle(3, height=48, width=64)]}
    row = {
        "file_name": "1.jpg",
        "height": 48,
        "width": 64,
        "image_id": "1",
        "caption": "A dog runs.",
        "groundings": {"A dog": grounding},
    }
    write_json(folder / "annotations" / "GranDf_HA_GCG_train.json", [row])
    return folder


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


class Case(NamedTuple):
    """A set, how many records it makes, and what `sama data check` finds in it."""

    write: Callable[[Path], Path]
    layout: str
    tasks: tuple[str, ...]
    entries: int
    turns: int
    faults: dict[str, int]
    notes: dict[str, int]


CASES = [
    Case(write_llava, "llava", ("dialogue", "vqa", "dialogue"), 3, 4, {"malformed_phrase": 1}, {}),
    Case(write_chat_univi, "chat_univi", ("vqa",), 1, 1, {}, {}),
    Case(write_osprey, "osprey", ("referring",) * 3, 3, 5, {"prompt_never_visible": 2}, {"polygons": 2}),
    Case(write_videorefer, "videorefer_700k", ("dialogue",), 1, 2, {}, {}),
    Case(write_vidstg, "vidstg", ("temporal", "referring"), 1, 3, {}, {}),
    Case(write_sav, "sav", ("grounding",), 1, 2, {}, {}),
    Case(write_gcg, "gcg-grandf", ("caption",), 1, 1, {}, {}),
]


def usable(store: RecordStore) -> list[DialogueRecord]:
    """All records, each of which reads back from its own JSON, with pixels where it has a clip."""
    records = list(store)
    for record in records:
        root = record.clip.root if isinstance(record.clip, FileClip) else None
        assert DialogueRecord.from_json(json.loads(json.dumps(record.to_json())), root) == record
        if not isinstance(record.clip, NoClip):
            assert record.clip.open().frame(record.clip.num_frames - 1).shape == (*_size(record), 3)
    return records


def _size(record: DialogueRecord) -> tuple[int, int]:
    return record.clip.height, record.clip.width


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.layout)
def test_a_set_opens_by_its_name_and_mixes(tmp_path: Path, case: Case) -> None:
    store = open_store(case.write(tmp_path), case.layout)
    assert tuple(store.task(index) for index in range(len(store))) == case.tasks
    records = usable(pickle.loads(pickle.dumps(store)))
    assert tuple(record.task for record in records) == case.tasks
    assert len({record.record_id for record in records}) == len(records)
    assert store.record(0) == store.record(0)
    mixture = Mixture([MixturePart("one", store)], balance="none")
    assert {mixture.record(position).record_id for position in range(len(store))} == {one.record_id for one in records}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.layout)
def test_a_set_is_checked_described_and_previewed(tmp_path: Path, case: Case) -> None:
    folder = case.write(tmp_path)
    base = folder if case.layout == "sav" else tmp_path
    report = CheckReport(Findings(base=base))
    steps: list[int] = []
    check_folder(base, report, steps.append)
    document = report.to_json()
    assert (document["records"], document["turns_kept"], sum(steps)) == (case.entries, case.turns, case.entries)
    assert (document["faults"], document["notes"]) == (case.faults, case.notes)
    assert all(set(row) == {"file", "record", "reason", "detail"} for row in document["rows"])
    (*parts,) = describe(base, Findings(strict=True))
    assert sum(part.counts["records"] for part in parts) == len(case.tasks)
    assert all(part.licence for part in parts)
    preview = Preview(tmp_path / "page.html")
    chosen = choose_records(base, preview, 10, 0, steps.append)
    assert [bool(candidate().turns) for candidate in chosen] == [True] * len(case.tasks)


@pytest.mark.parametrize(
    "case", [case for case in CASES if not case.layout.startswith(("gcg", "videorefer"))], ids=lambda case: case.layout
)
def test_a_folder_tells_its_layout(tmp_path: Path, case: Case) -> None:
    folder = case.write(tmp_path)
    assert layout_of(folder) == case.layout
    assert annotation_format(folder) is None


def test_every_reader_has_a_store() -> None:
    assert {"llava", "chat_univi", "osprey", "videorefer_700k", "vidstg", "sav", *FORMATS} <= set(LAYOUTS)


def test_a_benchmarks_pictures_are_no_training_set(tmp_path: Path) -> None:
    for path in ("glamm_data/annotations/val_test", "vidstg/vidor"):
        (tmp_path / path).mkdir(parents=True)
    assert find_layouts(tmp_path) == []


# conversations


def test_words_alone_have_no_clip_and_a_picture_is_one_frame(tmp_path: Path) -> None:
    first, second, third = usable(open_store(write_llava(tmp_path)))
    assert isinstance(first.clip, FileClip)
    assert (first.clip.num_frames, [turn.question for turn in first.turns]) == (1, ["What is it?", "Green?"])
    assert (second.clip, second.objects, second.task) == (NoClip(), (), "vqa")
    # Quoted HTML would be read as a phrase; the rest of that talk stays.
    assert [turn.answer for turn in third.turns] == ["With pleasure."]


def test_any_file_of_that_form_opens_with_its_pictures_beside_it(tmp_path: Path) -> None:
    picture(tmp_path / "1.png")
    rows = [
        {"image": "1.png", "conversations": talk("What?", "A field.")},
        {"image": "../x.png", "conversations": talk("?", "!")},
    ]
    write_json(tmp_path / "mine.json", rows)
    store = open_store(tmp_path / "mine.json", "llava")
    assert len(usable(store)) == 1
    assert store.findings.faults == {"unsafe_path": 1}
    with pytest.raises(FaultError, match="unsafe_path"):
        open_store(tmp_path / "mine.json", "llava", strict=True)


# regions


def test_a_conversation_names_its_regions_first_and_loses_what_needs_a_damaged_one(tmp_path: Path) -> None:
    store = open_store(write_osprey(tmp_path), "osprey-conversation")
    (record,) = usable(store)
    first, last = record.turns
    assert first.question == "The image has 2 regions: region1 <region>, region2 <region>. What is region1?"
    assert (last.question, last.answer, last.regions) == ("Is region2 near it?", "Yes, region2 is.", ())
    assert all(isinstance(prompt.region, Mask) for prompt in first.regions)
    assert store.findings.faults == {"prompt_never_visible": 2}


def test_described_regions_are_asked_for_one_by_one(tmp_path: Path) -> None:
    (record,) = usable(open_store(write_osprey(tmp_path), "osprey-detail-description"))
    assert [turn.answer for turn in record.turns] == ["A red kite.", "A boy."]
    assert all(turn.question.count(REGION_TAG) == 1 for turn in record.turns)
    options = StoreOptions(descriptions_per_record=1)
    assert len(open_store(tmp_path / "osprey-724k", "osprey-detail-description", options=options)) == 2


def test_short_answers_are_asked_for(tmp_path: Path) -> None:
    (record,) = usable(open_store(write_osprey(tmp_path), "osprey-short-form"))
    assert record.turns[0].question.endswith("What is region1? Answer with a single word or phrase.")


def test_tags_of_a_video_are_its_objects_in_order(tmp_path: Path) -> None:
    (record,) = usable(open_store(write_videorefer(tmp_path), "videorefer_700k"))
    assert [prompt.object_id for prompt in record.turns[0].regions] == ["obj1", "obj2"]
    assert [masklet.visible_frames for masklet in record.objects] == [(0, 2), (3,)]
    assert record.turns[1].regions == ()


# time


def test_time_is_asked_for_and_told(tmp_path: Path) -> None:
    times, pointed = usable(open_store(write_vidstg(tmp_path)))
    by_kind = {turn.question.startswith("What"): turn for turn in times.turns}
    assert by_kind[False].answer == "From 0.5 s to 1.2 s."
    assert by_kind[True].answer == "The bicycle, from 0.5 s to 1.2 s."
    assert "a bicycle is in front of a child" in by_kind[False].question
    assert {turn.spans for turn in times.turns} == {((0.5, 1.25),)}
    (turn,) = pointed.turns
    assert (turn.answer, turn.targets) == ("A bicycle is in front of a child.", ())
    assert isinstance(turn.regions[0].region, Box)
    assert pointed.facts["obj1"] == {"annotation": "0", "label": "bicycle", "box_frames": "2 4"}


def test_a_part_of_a_video_is_named_in_the_question(tmp_path: Path) -> None:
    segment = {"begin_fid": 2, "end_fid": FRAMES}
    times = open_store(write_vidstg(tmp_path, used_segment=segment)).record(0)
    assert all(turn.question.startswith("Look at the video from 0.5 s to 2.0 s. ") for turn in times.turns)


def test_boxes_of_another_length_than_the_video_are_refused_and_times_stay(tmp_path: Path) -> None:
    store = open_store(write_vidstg(tmp_path, frame_count=FRAMES + 1))
    assert store.record(0).task == "temporal"
    with pytest.raises(FaultError, match="track_length_mismatch"):
        store.record(1)


# masklets without words


def test_a_masklet_is_pointed_at_and_asked_for(tmp_path: Path) -> None:
    (record,) = usable(open_store(write_sav(tmp_path)))
    assert (record.clip.num_frames, record.source, record.licence) == (2, "sav", "CC-BY-4.0")
    for turn in record.turns:
        assert (turn.question.count(REGION_TAG), turn.answer.count(SEG)) == (1, 1)
        assert turn.targets == ((turn.regions[0].object_id,),)
    assert len(open_store(tmp_path / "sa-v", options=StoreOptions(expressions_per_record=1))) == 2


# other tools


def annotated(root: Path, count: int = 3) -> AnnotatedClip:
    names = tuple(f"{idx:05d}.jpg" for idx in range(2))
    for name in names:
        picture(root / "clip" / name)
    masks = np.zeros((count, 2, *SIZE), np.bool_)
    for number in range(count):
        masks[number, :, 2 + 5 * number : 6 + 5 * number, 3:20] = True
    objects = tuple(
        AnnotatedObject(Masklet.from_masks(f"obj{number + 1}", one), ("car", "dog")[number % 2])
        for number, one in enumerate(masks)
    )
    return AnnotatedClip("clip", FrameClip(root, "clip", names), *SIZE, objects, "mine", "CC0-1.0")


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_annotations_open_as_the_importer_would_write_them(tmp_path: Path, name: str) -> None:
    out = tmp_path / "out"
    FORMATS[name].write([annotated(tmp_path)], out)
    store = open_store(out, name)
    records = usable(store)
    (clip, *more) = FORMATS[name].read(out, Findings())
    wanted = [record for one in (clip, *more) for record in to_records(one, out, seed=0)]
    assert records == wanted
    assert [record.task for record in records] == [store.task(index) for index in range(len(store))]
    assert open_store(out).name == name
    report = CheckReport(Findings(strict=True))
    check_folder(out, report, lambda steps: None)
    assert report.turns_kept == sum(len(record.turns) for record in records)
    (part,) = describe(out, Findings())
    assert part.counts["records"] == len(records)


def test_later_epochs_point_at_the_same_objects_elsewhere(tmp_path: Path) -> None:
    FORMATS["davis"].write([annotated(tmp_path)], tmp_path / "out")
    store = open_store(tmp_path / "out", "davis", options=StoreOptions(labels_per_record=2))
    first = [store.record(index) for index in range(len(store))]
    later = [store.record(index, epoch=1) for index in range(len(store))]
    assert [[(turn.question, turn.object_ids) for turn in one.turns] for one in first] == [
        [(turn.question, turn.object_ids) for turn in one.turns] for one in later
    ]
    assert first != later
    assert max(len(one.turns) for one in first) == 2


def test_a_folder_without_anything_usable_is_refused(tmp_path: Path) -> None:
    write_json(tmp_path / "empty" / llava.FILE, [])
    with pytest.raises(DataError, match="no record of the layout llava"):
        open_store(tmp_path / "empty")
    with pytest.raises(DataError, match="say which it is"):
        open_store(tmp_path)
