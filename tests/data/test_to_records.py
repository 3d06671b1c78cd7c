"""Published data sets as records: the counts of the miniatures, and what is dropped, drawn and pointed at."""

import json
import pickle
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from shared_folders import RECORDS, find_folder
from tiny_sama import FRAMES, MEVIS, TinySama, box_rle, write_frames, write_json

from sama_video.data.findings import FaultError
from sama_video.data.mask_files import MaskFile
from sama_video.data.records import DialogueRecord, FileClip, read_records, write_records
from sama_video.data.stores.opening import LAYOUTS, open_store
from sama_video.data.stores.store import RecordStore, StoreOptions
from sama_video.dialogue.markup import INTERLEAVED_MASKS, REGION_TAG, SEG, parse_answer
from sama_video.errors import DataError
from sama_video.regions.shapes import Box, Mask, Points


class Case(NamedTuple):
    folder: Path
    section: str
    key: str


def expected(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    return document


def each(*sections: str, by_key: bool = True) -> Callable[..., Any]:
    """One test for each of these sections of each miniature's expected.json, or for each key of each section."""
    named = find_folder(*RECORDS)
    inside = [] if named is None else [named, *sorted(named.iterdir())]
    cases = [
        Case(folder, section, key)
        for folder in inside
        if (folder / "expected.json").is_file()
        for section in sections
        if section in expected(folder)
        for key in (expected(folder)[section] if by_key else [""])
    ]
    return pytest.mark.parametrize("case", cases, ids=lambda case: "-".join((case.folder.name, *case[1:])).rstrip("-"))


@pytest.fixture
def tiny(tmp_path: Path) -> TinySama:
    return TinySama(tmp_path)


def opened(tiny: TinySama, layout: str = "auto", *, strict: bool = False, **options: Any) -> RecordStore:
    tiny.write()
    return open_store(tiny.folder, layout, options=StoreOptions(**options), strict=strict)


def check_records(store: RecordStore) -> list[DialogueRecord]:
    """All records; none may be dropped, all must have frames, and those that point must point at their object."""
    records = list(store)
    assert len(records) == len(store)
    assert not store.findings.faults
    assert [record.task for record in records] == [store.task(index) for index in range(len(store))]
    for clip in {record.clip for record in records}:
        assert clip.open().frame(clip.num_frames - 1).shape == (clip.height, clip.width, 3)
    for record in records:
        masklets = {masklet.object_id: masklet for masklet in record.objects}
        assert list(masklets) == [f"obj{number + 1}" for number in range(len(masklets))]
        for prompt in (prompt for turn in record.turns for prompt in turn.regions):
            assert isinstance(prompt.region, Box | Mask | Points)
            assert prompt.region.frame in masklets[prompt.object_id].visible_frames
    return records


@each("conversations_qa1", "conversations_qa4", by_key=False)
def test_dialogues_of_the_miniature_are_cut_as_published(case: Case) -> None:
    told = expected(case.folder)[case.section]
    options = StoreOptions(turns_per_record=int(case.section[-1]), keep_verbal=False)
    records = check_records(open_store(case.folder / "sama239k_data", "sama239k-dialogues", options=options))
    assert len(records) == told["chunks"]
    assert sum(len(record.turns) for record in records) == told["turns_kept"]
    assert {record.task for record in records} == {"dialogue"}
    if "chunk_table" in told:
        assert [
            (sum(len(turn.targets) for turn in record.turns), sum(len(turn.regions) for turn in record.turns))
            for record in records
        ] == [(row["segs"], row["regions"]) for row in told["chunk_table"]]
        assert [record.record_id.partition(", ")[0] for record in records] == [
            row["video"] for row in told["chunk_table"]
        ]


@each("descriptions_3", by_key=False)
def test_descriptions_of_the_miniature_are_grouped_as_published(case: Case) -> None:
    records = check_records(open_store(case.folder / "sama239k_data", "sama239k-descriptions"))
    per_source = expected(case.folder)["per_source"].values()
    assert sum(len(record.turns) for record in records) == sum(row["descriptions"] for row in per_source)
    assert {record.task for record in records} == {"referring"}
    assert all(turn.question.count(REGION_TAG) == len(turn.regions) == 1 for one in records for turn in one.turns)


@each("revos", "davis17")
def test_expressions_of_the_miniature_are_all_dealt_out(case: Case) -> None:
    told = expected(case.folder)[case.section][case.key]
    store = open_store(case.folder / "video_datas" / case.section, options=StoreOptions(split=case.key))
    turns = [len(record.turns) for record in check_records(store)]
    assert sum(turns) == told["expressions"]
    assert max(turns) <= 5


@each("refcoco", by_key=False)
def test_refcoco_of_the_miniature_names_every_object(case: Case) -> None:
    for name, told in expected(case.folder)["refcoco"].items():
        wanted = Counter(row["split"] for row in told["table"])
        for split, count in wanted.items():
            store = open_store(case.folder / "ref_seg" / name, options=StoreOptions(split=split))
            turns = [turn for record in check_records(store) for turn in record.turns]
            assert len(turns) == count
            assert all(turn.answer.count(SEG) == len(turn.targets) == 1 for turn in turns)


@each("sav_videos", by_key=False)
def test_ref_sav_of_the_miniature_gives_annotated_frames(case: Case) -> None:
    records = check_records(open_store(case.folder / "video_datas" / "Ref-SAV.json"))
    assert all(isinstance(record.clip, FileClip) and record.clip.every == 4 for record in records)


def test_whole_tiny_set(tiny: TinySama) -> None:
    records = check_records(opened(tiny))
    assert Counter(record.task for record in records) == {"dialogue": 2, "referring": 2}
    talk = records[0]
    assert [turn.question for turn in talk.turns] == [f"What is {REGION_TAG}?", "Show both.", "Is it day?"]
    assert [turn.targets for turn in talk.turns] == [(("obj1",), ("obj2",)), (("obj1", "obj2"),), ()]
    assert talk.facts == {"obj1": {"annotation": "10"}, "obj2": {"annotation": "11"}}
    assert talk.provenance["record"] == "record 0"
    assert talk.source == "SAMA-239K/mevis"
    assert talk.objects[0].rles[2] == box_rle(3)


def test_records_of_a_set_can_be_written_and_read_back(tiny: TinySama) -> None:
    records = [record.below(tiny.root) for record in opened(tiny)]
    write_records(tiny.root / "all.jsonl", records)
    read = list(read_records(tiny.root / "all.jsonl"))
    assert read == records
    assert read[0].clip.open().num_frames == FRAMES


def test_opening_reads_neither_masks_nor_frames(tiny: TinySama, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    whole = MaskFile.track

    def counted(self: MaskFile, annotation_id: str, *args: Any, **options: Any) -> Any:
        asked.append(annotation_id)
        return whole(self, annotation_id, *args, **options)

    monkeypatch.setattr(MaskFile, "track", counted)
    tiny.write()
    for picture in (tiny.folder / MEVIS).iterdir():
        picture.write_bytes(b"no picture")
    store = open_store(tiny.folder)
    assert (len(store), asked) == (4, [])
    store.record(0)
    assert asked == ["10", "11"]


def test_store_goes_to_another_process(tiny: TinySama) -> None:
    store = opened(tiny)
    assert list(pickle.loads(pickle.dumps(store))) == list(store)


SPOILT: dict[str, tuple[Callable[[TinySama], object], dict[str, int], int]] = {
    "cut mask": (lambda tiny: tiny.mevis_masks["11"].__setitem__(2, {**box_rle(1), "counts": "1"}), {"bad_rle": 1}, 3),
    "larger mask": (
        lambda tiny: tiny.mevis_masks["11"].__setitem__(2, box_rle(1, 48, 32)), {"mask_size_mismatch": 1}, 3,
    ),
    "short track": (lambda tiny: tiny.mevis_masks["11"].pop(), {"track_length_mismatch": 1}, 3),
    "hidden prompt": (lambda tiny: tiny.mevis_masks.__setitem__("10", [None] * FRAMES), {"prompt_never_visible": 2}, 3),
}  # fmt: skip


@pytest.mark.parametrize("name", SPOILT)
def test_turn_that_cannot_be_used_is_dropped_and_counted_once(tiny: TinySama, name: str) -> None:
    spoil, faults, dropped = SPOILT[name]
    whole = sum(len(record.turns) for record in opened(tiny))
    spoil(tiny)
    store = opened(tiny)
    turns = [sum(len(record.turns) for record in store) for _ in range(2)]
    assert turns == [whole - dropped + (1 if name == "hidden prompt" else 0)] * 2
    assert dict(store.findings.faults) == faults
    with pytest.raises(FaultError):
        list(opened(tiny, strict=True))


def test_record_whose_turns_are_all_dropped_is_refused(tiny: TinySama) -> None:
    tiny.first["conversation"] = tiny.first["conversation"][:4]
    tiny.mevis_masks["10"] = tiny.mevis_masks["11"] = [None] * FRAMES
    tiny.first["conversation"][2]["value"] = "Show <mask>."
    tiny.first["obj_masks"][1] = [11]
    store = opened(tiny, "sama239k-dialogues")
    with pytest.raises(FaultError) as caught:
        store.record(0)
    assert caught.value.reason == "prompt_never_visible"
    assert not store.findings.faults
    assert len(list(store)) == 1


@pytest.mark.parametrize("missing", ["frame", "video"])
def test_missing_frames_refuse_the_record(tiny: TinySama, missing: str) -> None:
    tiny.write()
    if missing == "video":
        tiny.first["video"] = "mevis/train/JPEGImages/none"
        assert dict(opened(tiny).findings.faults) == {"missing_video": 1}
        return
    store = open_store(tiny.folder)
    (tiny.folder / MEVIS / "00002.jpg").unlink()
    with pytest.raises(FaultError, match=r"00002.jpg") as caught:
        store.record(0)
    assert caught.value.reason == "missing_frame"


def test_epochs_word_and_point_anew_and_alike_each_time(tiny: TinySama) -> None:
    store = opened(tiny, "sama239k-descriptions")
    epochs = [store.record(0, epoch) for epoch in range(8)]
    assert len({record.turns[0].question for record in epochs}) > 3
    assert len({repr(record.turns[0].regions) for record in epochs}) > 3
    assert [store.record(0, epoch) for epoch in range(8)] == epochs
    other = opened(tiny, "sama239k-descriptions", seed=1)
    assert [other.record(0, epoch) for epoch in range(8)] != epochs


@pytest.mark.parametrize(("form", "kind"), [("box", Box), ("mask", Mask), ("point", Points)])
def test_regions_are_pointed_at_in_the_forms_asked_for(tiny: TinySama, form: str, kind: type) -> None:
    store = opened(tiny, "sama239k-descriptions", region_forms=(form,))
    for record in store:
        for turn, masklet in zip(record.turns, record.objects, strict=True):
            region = turn.regions[0].region
            assert isinstance(region, kind)
            mask = masklet.mask(region.frame)
            if isinstance(region, Box):
                assert region.xyxy == masklet.box(region.frame)
            elif isinstance(region, Mask):
                np.testing.assert_array_equal(region.dense(), mask)
            else:
                (x, y), *_ = region.xy
                assert mask[int(y), int(x)]


def test_request_for_masks_is_added_on_demand_only(tiny: TinySama) -> None:
    plain, asking = (opened(tiny, "sama239k-dialogues", ask_for_masks=ask).record(0) for ask in (False, True))
    assert [INTERLEAVED_MASKS in turn.question for turn in asking.turns] == [True, True, False]
    assert not any(INTERLEAVED_MASKS in turn.question for turn in plain.turns)
    assert [turn.answer for turn in plain.turns] == [turn.answer for turn in asking.turns]


def test_sources_and_records_can_be_left_out(tiny: TinySama) -> None:
    assert {one.source for one in opened(tiny, sources=("mevis",))} == {"SAMA-239K/mevis"}
    assert {one.source for one in opened(tiny, exclude=("JPEGImages/aa",))} == {"SAMA-239K/ref_youtube_vos"}
    with pytest.raises(DataError, match="no record"):
        opened(tiny, sources=("sav",))


def write_mevis(root: Path) -> None:
    """One video with seven expressions, the last of which means nothing."""
    write_frames(root / "train" / "JPEGImages" / "v")
    words = {
        str(number): {"exp": f"The box number {number}.", "obj_id": [0], "anno_id": [5 + number % 2]}
        for number in range(6)
    }
    words["6"] = {"exp": "the dog that sings", "obj_id": [], "anno_id": []}
    frames = [f"{idx:05}" for idx in range(FRAMES)]
    meta = {"videos": {"v": {"frames": frames, "expressions": words}}}
    write_json(root / "train" / "meta_expressions.json", meta)
    masks = {str(5 + number): [box_rle(number + idx) for idx in range(FRAMES)] for number in range(2)}
    write_json(root / "train" / "mask_dict.json", masks)


@pytest.mark.parametrize(("absent", "turns", "targets"), [("say", 7, 6), ("drop", 6, 6), ("empty_mask", 7, 7)])
def test_expression_without_an_object(tmp_path: Path, absent: str, turns: int, targets: int) -> None:
    write_mevis(tmp_path / "mevis")
    records = check_records(open_store(tmp_path / "mevis", options=StoreOptions(absent=absent)))
    told = [turn for record in records for turn in record.turns]
    assert (len(records), len(told), sum(len(turn.targets) for turn in told)) == (2, turns, targets)
    singing = [turn for turn in told if "sings" in turn.question]
    if absent == "empty_mask":
        (target,) = singing[0].targets
        record = next(record for record in records if singing[0] in record.turns)
        assert [one.visible_frames for one in record.objects if one.object_id in target] == [()]
    elif absent == "say":
        assert SEG not in singing[0].answer
    else:
        assert not singing


def test_every_epoch_deals_out_all_expressions_in_new_groups(tmp_path: Path) -> None:
    write_mevis(tmp_path / "mevis")
    store = open_store(tmp_path / "mevis", options=StoreOptions(expressions_per_record=2))
    deals = set()
    for epoch in range(5):
        records = [store.record(index, epoch) for index in range(len(store))]
        named = [one for record in records for one in record.record_id.partition("expressions ")[2].split(", ")]
        assert sorted(named) == [str(number) for number in range(7)]
        deals.add(tuple(named))
    assert len(deals) > 1


def test_split_without_masks_is_refused(tmp_path: Path) -> None:
    write_mevis(tmp_path / "mevis")
    meta = tmp_path / "mevis" / "train" / "meta_expressions.json"
    document = json.loads(meta.read_text())
    for words in document["videos"]["v"]["expressions"].values():
        del words["anno_id"]
    write_json(meta, document)
    with pytest.raises(DataError, match="ground truth"):
        open_store(tmp_path / "mevis")
    with pytest.raises(DataError, match="no record"):
        open_store(tmp_path / "mevis", options=StoreOptions(split="valid"))


def test_grounded_captions_wrap_each_phrase(tmp_path: Path) -> None:
    write_frames(tmp_path / "images" / "grandf" / "train", 1)
    caption = "A box  beside another box , at night"
    groundings = {
        "A box": {"token_positives": [0, 5], "rle_masks": [box_rle(1)]},
        "another box": {"token_positives": [14, 25], "rle_masks": [box_rle(9), box_rle(14)]},
        "night": {"token_positives": [31, 36], "rle_masks": [{**box_rle(1), "counts": "1"}]},
    }
    row = {"file_name": "00000.jpg", "height": 24, "width": 32, "image_id": 1, "caption": caption}
    write_json(tmp_path / "annotations" / "GranDf_HA_GCG_train.json", [{**row, "groundings": groundings}])
    store = open_store(tmp_path, "gcg-grandf")
    record = store.record(0)
    assert dict(store.findings.faults) == {"bad_rle": 1}
    (turn,) = record.turns
    parsed = parse_answer(turn.answer)
    assert [phrase.text for phrase in parsed.phrases] == ["A box", "another box"]
    assert parsed.text == "A box beside another box, at night"
    assert turn.targets == (("obj1",), ("obj2",))
    assert record.objects[1].mask(0).sum() == 80
    assert (record.task, store.task(0)) == ("caption", "caption")
    assert record.facts["obj2"]["label"] == "another box"


def test_every_layout_has_a_name_that_opens_or_says_why_not(tmp_path: Path) -> None:
    for layout in LAYOUTS:
        with pytest.raises(DataError) as caught:
            open_store(tmp_path, layout)
        assert "\n" not in str(caught.value)
