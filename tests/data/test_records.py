"""Records: what is written is read back, in both forms, and what does not agree is refused with file and line."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sama_video.data.findings import FaultError
from sama_video.data.records import (
    SCHEMA,
    TASKS,
    DialogueRecord,
    FileClip,
    RecordTurn,
    SceneClip,
    read_records,
    record_from_synthetic,
    task_of,
    write_records,
)
from sama_video.data.stores.parquet import ParquetStore, shard_files, write_parquet
from sama_video.data.synthetic.language import sample_dialogue
from sama_video.data.synthetic.world import World
from sama_video.dialogue.markup import REGION_TAG, SEG
from sama_video.dialogue.turns import RegionPrompt
from sama_video.errors import DataError
from sama_video.regions.masklet import Masklet
from sama_video.regions.rle import encode
from sama_video.regions.shapes import Box, Mask, ObjectRef, Points
from sama_video.video import write_video


def make_record(seed: int = 1, side: int = 48) -> DialogueRecord:
    clip = World.sample(seed, side=side, num_frames=4)
    rng = np.random.default_rng(seed)
    return record_from_synthetic(clip, sample_dialogue(clip, rng, 6), rng)


def test_records_come_back_as_they_were_written(tmp_path):
    records = [make_record(seed) for seed in range(4)]
    path = tmp_path / "train.jsonl"
    assert write_records(path, records) == 4
    assert list(read_records(path)) == records
    assert [file.name for file in tmp_path.iterdir()] == ["train.jsonl"]


def test_record_of_a_file_clip_comes_back(tmp_path):
    record = make_record()
    record = replace(record, clip=FileClip("clips/a.mp4", 4, 48, 48), source="mine")
    write_records(tmp_path / "a.jsonl", [record])
    assert list(read_records(tmp_path / "a.jsonl")) == [record]


def test_synthetic_record_paints_its_clip_again():
    clip = World.sample(9, side=48, num_frames=4, level="hard", seconds=3.5)
    rng = np.random.default_rng(0)
    record = DialogueRecord.from_json(
        json.loads(json.dumps(record_from_synthetic(clip, sample_dialogue(clip, rng, 3), rng).to_json()))
    )
    painted = record.clip.render()
    np.testing.assert_array_equal(painted.frames, clip.frames)
    for masklet, masks in zip(record.objects, painted.masks, strict=True):
        np.testing.assert_array_equal(masklet.masks, masks)


def test_regions_lie_on_their_object():
    forms = set()
    for seed in range(30):
        record = make_record(seed)
        masklets = {masklet.object_id: masklet for masklet in record.objects}
        for turn in record.turns:
            for prompt in turn.regions:
                region, masklet = prompt.region, masklets[prompt.object_id]
                assert isinstance(region, Points | Box | Mask)
                forms.add(type(region))
                assert region.frame is not None
                mask = masklet.mask(region.frame)
                if isinstance(region, Points):
                    x, y = region.xy[0]
                    assert mask[int(y), int(x)]
                elif isinstance(region, Box):
                    assert region.xyxy == masklet.box(region.frame)
                else:
                    np.testing.assert_array_equal(region.dense(), mask)
    assert forms == {Points, Box, Mask}


def test_clip_without_visible_frames_for_a_region_is_never_asked_about():
    for seed in range(60):
        clip = World.sample(seed, side=48, num_frames=3)
        rng = np.random.default_rng(seed)
        record_from_synthetic(clip, sample_dialogue(clip, rng, 4), rng)


def _drop_region(row: dict) -> None:
    turn = next(turn for turn in row["turns"] if turn["regions"])
    turn["regions"] = turn["regions"][1:]


def _drop_target(row: dict) -> None:
    turn = next(turn for turn in row["turns"] if turn["targets"])
    turn["targets"] = turn["targets"][1:]


def _rename_target(row: dict) -> None:
    next(turn for turn in row["turns"] if turn["targets"])["targets"][0] = ["obj9"]


def _empty_target(row: dict) -> None:
    next(turn for turn in row["turns"] if turn["targets"])["targets"][0] = []


def _late_region(row: dict) -> None:
    next(turn for turn in row["turns"] if turn["regions"])["regions"][0]["frame"] = 400


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda row: row.update(schema="sama-record/9"), "sama-record/9"),
        (lambda row: row.pop("licence"), "licence"),
        (lambda row: row.update(extra=1), "extra"),
        (lambda row: row.update(turns=[]), "no turns"),
        (lambda row: row.update(turns={}), "list"),
        (lambda row: row["objects"].append(row["objects"][0]), "twice"),
        (lambda row: row["clip"].update(side=64), "one mask for each frame"),
        (lambda row: row["clip"].update(level="odd"), "odd"),
        (lambda row: row["clip"].update(seconds=float("nan")), "seconds"),
        (lambda row: row["clip"].update(num_objects=[2]), "num_objects"),
        (lambda row: row.update(clip={"path": "../up.mp4", "frames": 4, "height": 48, "width": 48}), "relative"),
        (lambda row: row["objects"][0]["masks"].__setitem__(0, "!"), "frame 0"),
        (lambda row: row["objects"][0]["masks"].__setitem__(0, 7), "frame 0"),
        (lambda row: row["objects"][0].update(size=[48]), "size"),
        (lambda row: row["objects"][0].update(masks=[]), "no frames"),
        (lambda row: row["objects"][0].update(scores=["high"] * 4), "score"),
        (lambda row: row.update(task="sleeping"), "sleeping"),
        (lambda row: row.update(provenance={"model": ["a"]}), "model"),
        (lambda row: row.update(facts={"obj99": {}}), "facts of an object"),
        (lambda row: row["turns"][0].update(spans=[[2, 1]]), "stretch of time"),
        (lambda row: row["turns"][0].update(spans=[[2]]), "start, end"),
        (
            lambda row: row.update(clip={"path": "a", "frames": 4, "height": 48, "width": 48, "names": ["../b.jpg"]}),
            "plain file name",
        ),
        (
            lambda row: row.update(clip={"path": "a", "frames": 4, "height": 48, "width": 48, "names": ["b.jpg"]}),
            "one name",
        ),
        (_drop_region, "tag"),
        (_drop_target, "target"),
        (_rename_target, "obj9"),
        (_empty_target, "names no object"),
        (_late_region, "400"),
    ],
)
def test_damaged_record_is_refused_with_file_and_line(tmp_path, damage: Callable[[dict], None], message: str):
    good = make_record().to_json()
    bad = json.loads(json.dumps(good))
    damage(bad)
    path = tmp_path / "train.jsonl"
    path.write_text(json.dumps(good) + "\n\n" + json.dumps(bad) + "\n")
    records = read_records(path)
    next(records)
    with pytest.raises(DataError, match=message) as caught:
        next(records)
    assert f"{path}, line 3" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("line", [b"{", b"\xff\xfe", b"[1]", b"null"])
def test_line_that_is_no_record_is_refused(tmp_path, line):
    path = tmp_path / "train.jsonl"
    path.write_bytes(line + b"\n")
    with pytest.raises(DataError, match="line 1"):
        list(read_records(path))


def test_missing_file_is_one_line(tmp_path):
    with pytest.raises(DataError, match=r"nowhere.jsonl: No such file"):
        list(read_records(tmp_path / "nowhere.jsonl"))


def test_failed_write_leaves_the_old_file_and_no_rest(tmp_path):
    path = tmp_path / "train.jsonl"
    write_records(path, [make_record()])
    before = path.read_bytes()

    def broken():
        yield make_record(2)
        raise RuntimeError("source broke")

    with pytest.raises(RuntimeError, match="source broke"):
        write_records(path, broken())
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["train.jsonl"]


words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="<>[]|"), min_size=1, max_size=12)
scalars = st.dictionaries(words, words | st.integers(-9, 9) | st.floats(-1, 1), max_size=3)
times = st.floats(0, 100)


@st.composite
def masklets(draw: st.DrawFn, name: str, frames: int, height: int, width: int) -> Masklet:
    bits = draw(st.lists(st.integers(0, 2 ** (height * width) - 1), min_size=frames, max_size=frames))
    masks = [
        np.array([bit >> place & 1 for place in range(height * width)], bool).reshape(height, width) for bit in bits
    ]
    scores = draw(st.lists(st.none() | st.floats(0, 1), min_size=frames, max_size=frames))
    return Masklet.from_masks(name, masks, scores)


@st.composite
def turns(draw: st.DrawFn, ids: list[str], frames: int, height: int, width: int) -> RecordTurn:
    mask = np.zeros((height, width), bool)
    mask[0, 0] = True
    forms = [
        ObjectRef(ids[0]),
        Points(frames - 1, xy=[(0.5, 0)], labels=[1]),
        Box(seconds=0.25, xyxy=(0, 0, 1, 0.75)),
        Mask(0, mask=mask),
    ]
    regions = draw(st.lists(st.sampled_from(forms), max_size=2))
    targets = draw(st.lists(st.lists(st.sampled_from(ids), min_size=1, max_size=2), max_size=2))
    spans = draw(st.lists(st.tuples(times, times).map(lambda ends: (min(ends), max(ends))), max_size=2))
    return RecordTurn(
        f"{draw(words)}{REGION_TAG * len(regions)}",
        tuple(RegionPrompt(region, ids[0]) for region in regions),
        f"{draw(words)}{SEG * len(targets)}",
        tuple(map(tuple, targets)),
        tuple(spans),
    )


@st.composite
def dialogue_records(draw: st.DrawFn) -> DialogueRecord:
    height, width, frames = draw(st.integers(1, 4)), draw(st.integers(1, 4)), draw(st.integers(1, 3))
    ids = [f"obj{number + 1}" for number in range(draw(st.integers(1, 2)))]
    named = draw(st.booleans())
    clip = FileClip(
        draw(st.sampled_from(["a.mp4", "b/c"])),
        frames,
        height,
        width,
        tuple(f"frame_{4 * idx}.jpg" for idx in range(frames)) if named else (),
        1 if named else draw(st.integers(1, 4)),
        draw(st.none() | st.floats(1, 60)),
    )
    return DialogueRecord(
        draw(words),
        clip,
        tuple(draw(masklets(name, frames, height, width)) for name in ids),
        tuple(draw(st.lists(turns(ids, frames, height, width), min_size=1, max_size=3))),
        draw(words),
        draw(words),
        draw(st.sampled_from(TASKS)),
        draw(scalars),
        draw(st.dictionaries(st.sampled_from(ids), scalars)),
    )


# The shape checker of the test run picks items of containers at random, while hypothesis builds records.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")
@settings(max_examples=12)
@given(st.lists(dialogue_records(), max_size=5))
def test_records_come_back_from_both_forms(tmp_path_factory: pytest.TempPathFactory, records: list[DialogueRecord]):
    folder = tmp_path_factory.mktemp("forms")
    assert write_records(folder / "a.jsonl", records) == len(records)
    assert list(read_records(folder / "a.jsonl")) == records
    assert write_parquet(folder / "shards", records, records_per_shard=3, rows_per_group=2) == len(records)
    store = ParquetStore(shard_files(folder / "shards"))
    assert list(store) == records
    assert [store.task(idx) for idx in range(len(store))] == [record.task for record in records]


def test_record_of_the_first_version_is_read():
    record = replace(make_record(), task="grounding")
    row = json.loads(json.dumps(record.to_json()))
    row["schema"] = "sama-record/1"
    row["objects"] = [masklet.to_json() for masklet in record.objects]
    del row["task"]
    read = DialogueRecord.from_json(row)
    assert read == replace(record, task=task_of(record.turns))
    assert read.to_json()["schema"] == SCHEMA
    with pytest.raises(DataError, match="unknown key 'task'"):
        DialogueRecord.from_json(row | {"task": "vqa"})


@pytest.mark.parametrize(
    ("kinds", "task"),
    [
        (["r"], "referring"),
        (["t"], "grounding"),
        (["t", "t"], "grounding"),
        (["rt"], "dialogue"),
        (["r", "t"], "dialogue"),
        ([""], "vqa"),
        (["", ""], "dialogue"),
        (["s", "r"], "temporal"),
    ],
)
def test_task_follows_from_what_turns_show(kinds: list[str], task: str):
    prompt = RegionPrompt(Box(0, xyxy=(0, 0, 1, 1)), "obj1")
    told = [
        RecordTurn(
            "?",
            (prompt,) if "r" in kind else (),
            "!",
            (("obj1",),) if "t" in kind else (),
            ((0, 1),) if "s" in kind else (),
        )
        for kind in kinds
    ]
    assert task_of(told) == task


def test_mask_spelt_with_an_empty_run_is_the_same_mask(tmp_path: Path):
    record = make_record()
    masklet = next(one for one in record.objects if one.visible_frames)
    frame = masklet.visible_frames[0]
    row = json.loads(json.dumps(record.to_json()))
    place = [one["object"] for one in row["objects"]].index(masklet.object_id)
    # "0" is a run of no pixels, which could be left out.
    whole = encode(np.ones((48, 48), bool))["counts"]
    row["objects"][place]["masks"][frame] = whole + "0"
    read = DialogueRecord.from_json(row).objects[place]
    assert read.rles[frame] == encode(np.ones((48, 48), bool))


@pytest.fixture
def clip_folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    write_video(tmp_path / "a.mp4", rng.integers(0, 255, (9, 16, 32, 3), np.uint8), fps=8)
    return tmp_path


def test_file_clip_opens_every_so_many_th_frame(clip_folder: Path):
    opened = FileClip("a.mp4", 3, 16, 32, every=4, root=clip_folder).open()
    assert (opened.num_frames, opened.times.tolist()) == (3, [0, 0.5, 1])


@pytest.mark.parametrize(
    ("clip", "reason"),
    [
        (FileClip("a.mp4", 8, 16, 32), "track_length_mismatch"),
        (FileClip("a.mp4", 9, 32, 16), "mask_size_mismatch"),
        (FileClip("b.mp4", 9, 16, 32), "missing_video"),
        (FileClip("bad.mp4", 9, 16, 32), "unreadable_video"),
        (FileClip("frames", 1, 16, 32, names=("00000.jpg",)), "missing_frame"),
        (FileClip("frames", 1, 16, 32), "unreadable_frame"),
        (FileClip("../a.mp4", 9, 16, 32), "unsafe_path"),
    ],
)
def test_clip_that_is_not_as_the_record_says_is_refused(clip_folder: Path, clip: FileClip, reason: str):
    (clip_folder / "bad.mp4").write_bytes(b"no video")
    (clip_folder / "frames").mkdir()
    with pytest.raises(FaultError) as caught:
        replace(clip, root=clip_folder).open()
    assert caught.value.reason == reason


def test_clip_is_named_below_another_folder(clip_folder: Path):
    deep = clip_folder / "records"
    deep.mkdir()
    record = replace(make_record(), objects=(), turns=(RecordTurn("Day?", (), "Yes.", ()),))
    record = replace(record, clip=FileClip("a.mp4", 9, 16, 32, root=clip_folder))
    with pytest.raises(DataError, match="outside"):
        record.below(deep)
    write_records(clip_folder.parent / "up.jsonl", [record.below(clip_folder.parent)])
    (read,) = read_records(clip_folder.parent / "up.jsonl")
    assert read.clip.path == f"{clip_folder.name}/a.mp4"
    assert read.clip.open().num_frames == 9


def test_clip_without_a_root_says_so():
    with pytest.raises(DataError, match="no root"):
        FileClip("a.mp4", 9, 16, 32).open()


def test_scene_opens_as_a_clip():
    record = make_record()
    assert isinstance(record.clip, SceneClip)
    np.testing.assert_array_equal(record.clip.open().frames(range(4)), record.clip.render().frames)
