"""Records: what is written is read back, and what does not agree is refused with file and line."""

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from sama_video.data.records import DialogueRecord, FileClip, read_records, record_from_synthetic, write_records
from sama_video.data.synthetic.language import sample_dialogue
from sama_video.data.synthetic.world import World
from sama_video.errors import DataError
from sama_video.regions.shapes import Box, Mask, Points


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
        (lambda row: row["objects"][0]["frames"][0].update(mask={"size": [48, 48], "counts": "!"}), "mask"),
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
