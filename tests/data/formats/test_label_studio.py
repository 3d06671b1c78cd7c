"""Label Studio tasks as it exports them: brush bits, percent, videos, and what is dropped."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sama_video.data.findings import FaultError, Findings, Place
from sama_video.data.formats import FORMATS
from sama_video.data.formats.annotated import AnnotatedClip
from sama_video.data.formats.label_studio_rle import read_brush, write_brush
from sama_video.regions.rle import decode, encode
from sama_video.video.writer import write_video

SIZE = (20, 40)
PLACE = Place("tasks.json")


def bits_of(numbers: list[int]) -> Iterator[str]:
    return iter("".join(f"{number:08b}" for number in numbers))


def slow_decode(numbers: list[int]) -> tuple[np.ndarray, str]:
    """The values one by one, straight from the description of the format, and what is left over."""
    bits = bits_of(numbers)

    def take(count: int) -> int:
        return int("".join(next(bits) for _ in range(count)), 2)

    count, value_bits = take(32), take(5) + 1
    sizes = [take(4) + 1 for _ in range(4)]
    values: list[int] = []
    while len(values) < count:
        repeated, length = take(1), take(sizes[take(2)]) + 1
        values += [take(value_bits)] * length if repeated else [take(value_bits) for _ in range(length)]
    return np.array(values), "".join(bits)


def coded(values: list[int], literal: bool, sizes: tuple[int, ...] = (3, 4, 8, 16)) -> list[int]:
    """A stream as another encoder might write it: single values in literal runs, or runs of one."""
    text = f"{len(values):032b}{7:05b}" + "".join(f"{size - 1:04b}" for size in sizes)
    step = min(2 ** sizes[2], 5) if literal else 1
    for begin in range(0, len(values), step):
        part = values[begin : begin + step]
        text += f"{int(not literal)}10{len(part) - 1:0{sizes[2]}b}" + "".join(f"{value:08b}" for value in part)
    text += "0" * (-len(text) % 8)
    return [int(text[at : at + 8], 2) for at in range(0, len(text), 8)]


masks = arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)))


@given(masks)
def test_brush_masks_come_back(mask):
    numbers = write_brush(encode(mask))
    found = read_brush(numbers, mask.shape, PLACE)
    assert (found is None) == (not mask.any())
    if found is not None:
        assert (decode(found) == mask).all()
    values, rest = slow_decode(numbers)
    assert (values.reshape(*mask.shape, 4) == mask[..., None] * 255).all()
    assert set(rest) == {"0"}
    assert len(rest) <= 8


@given(arrays(np.uint8, st.tuples(st.integers(1, 5), st.integers(1, 5), st.just(4))), st.booleans())
def test_any_coding_of_the_alpha_channel_is_read(pixels, literal):
    numbers = coded(pixels.ravel().tolist(), literal)
    found = read_brush(numbers, pixels.shape[:2], PLACE)
    expected = pixels[..., 3] > 0
    assert (decode(found) == expected).all() if found is not None else not expected.any()


def test_known_brush_is_coded_as_label_studio_codes_it():
    # Two pixels, the second filled: 8 values of 8 bits, run sizes 3, 4, 8, 16; four times 0, four times 255.
    header = [0, 0, 0, 8, 0b00111_001, 0b0_0011_011, 0b1_1111_100]
    runs = "1" + "00" + "011" + "00000000" + "1" + "00" + "011" + "11111111"
    text = "".join(f"{number:08b}" for number in header)[:53] + runs
    text += "0" * (8 - len(text) % 8)
    expected = [int(text[at : at + 8], 2) for at in range(0, len(text), 8)]
    assert write_brush(encode(np.array([[False, True]]))) == expected


def test_long_runs_are_cut_at_65536():
    mask = np.zeros((200, 200), bool)
    mask[100:, 100:] = True
    values, _ = slow_decode(write_brush(encode(mask)))
    assert (values.reshape(200, 200, 4)[..., 3] == mask * 255).all()


@pytest.mark.parametrize(
    "numbers",
    [
        None,
        [],
        "0, 1",
        [256],
        [-1],
        [1.5],
        [True] * 20,
        [255] * 20,
        write_brush(encode(np.ones((3, 3), bool)))[:-3],
        write_brush(encode(np.ones((3, 4), bool))),
        coded([255] * 35, literal=False) + [0] * 9,
    ],
)
def test_damaged_brush_is_a_fault(numbers):
    with pytest.raises(FaultError) as caught:
        read_brush(numbers, (3, 3), PLACE)
    assert caught.value.reason == "bad_rle"


def test_a_run_past_the_picture_is_a_fault():
    numbers = coded([255] * 40, literal=True)
    numbers[3] = 36  # as many values as the picture has; the last run of 5 goes past them
    with pytest.raises(FaultError, match="more than its 36 values"):
        read_brush(numbers, (3, 3), PLACE)


def region(kind: str, value: dict[str, Any], label: str | None = "car", **more: Any) -> dict[str, Any]:
    key = "labels" if kind == "videorectangle" else kind
    row = {"id": "aB3", "type": kind, "value": value | ({key: [label]} if label else {})}
    return row | {"original_width": 40, "original_height": 20, "image_rotation": 0} | more


def task(*regions: dict[str, Any], image: str = "/data/local-files/?d=images/a%20b.png", **more: Any) -> dict[str, Any]:
    return {"id": 1, "data": {"image": image}, "annotations": [{"result": list(regions)}]} | more


@pytest.fixture
def folder(tmp_path, pictures) -> Path:
    pictures(tmp_path / "images", ["a b.png", "c.png"], SIZE)
    return tmp_path


def read(folder: Path, tasks: object, findings: Findings) -> list[AnnotatedClip]:
    (folder / "tasks.json").write_text(json.dumps(tasks))
    return list(FORMATS["label-studio"].read(folder / "tasks.json", findings))


def test_every_kind_of_region_is_read(folder):
    brush = np.zeros(SIZE, bool)
    brush[3:6, 7:30] = True
    rle = write_brush(encode(brush))
    rows = [
        region("brushlabels", {"format": "rle", "rle": rle}, meta={"text": ["the  red one"]}),
        region("polygonlabels", {"points": [[10, 10], [50, 10], [50, 60], [10, 60]], "closed": True}, id="p"),
        region("rectanglelabels", {"x": 25, "y": 50, "width": 50, "height": 25, "rotation": 0}, id="r"),
        region("rectanglelabels", {"x": 25, "y": 50, "width": 10, "height": 10, "rotation": 90}, id="t"),
        {**region("brush", {"format": "rle", "rle": rle}, None, id="z")},
        {"id": "z", "type": "labels", "value": {"labels": ["bus"]}},
        {"id": "z", "type": "textarea", "value": {"text": ["a bus"]}},
        {"id": "q", "type": "choices", "value": {"choices": ["night"]}},
    ]
    findings = Findings(strict=True)
    (clip,) = read(folder, [task(*rows)], findings)
    assert (clip.name, clip.size) == ("a b", SIZE)
    assert [(one.label, one.text) for one in clip.objects] == [
        ("car", "the red one"),
        ("car", None),
        ("car", None),
        ("car", None),
        ("bus", "a bus"),
    ]
    assert (clip.objects[0].masklet.mask(0) == brush).all()
    assert (clip.objects[4].masklet.mask(0) == brush).all()
    # Percent of 40 x 20; the turned box swings clockwise about its upper left corner, to the left.
    assert [one.masklet.box(0) for one in clip.objects[1:4]] == [(4, 2, 20, 12), (10, 10, 30, 15), (8, 10, 10, 14)]
    assert [one.is_box_only for one in clip.objects] == [False, False, True, True, False]


def test_boxes_through_a_video_follow_label_studios_rule(tmp_path):
    write_video(tmp_path / "v.mp4", np.zeros((10, 20, 40, 3), np.uint8), fps=8)

    def key(frame: int, x: int, enabled: bool) -> dict[str, object]:
        return {"frame": frame, "x": x, "y": 0, "width": 10, "height": 50, "enabled": enabled, "rotation": 0, "time": 0}

    value = {"framesCount": 10, "sequence": [key(6, 50, False), key(1, 0, True), key(3, 20, False), key(9, 0, True)]}
    rows = [region("videorectangle", value)]
    findings = Findings(strict=True)
    (clip,) = read(tmp_path, [{"data": {"video": "v.mp4"}, "annotations": [{"result": rows}]}], findings)
    (one,) = clip.objects
    boxes = {frame: one.masklet.box(frame) for frame in one.masklet.visible_frames}
    assert {frame: box[0] for frame, box in boxes.items() if box} == {0: 0, 1: 4, 2: 8, 5: 20, 8: 0, 9: 0}
    assert one.is_box_only
    assert findings.notes == {"interpolated_shapes": 1, "boxes_only": 1}
    for frame in (0, 11):
        rows[0]["value"]["sequence"] = [key(frame, 0, True)]
        found = Findings()
        (clip,) = read(tmp_path, [{"data": {"video": "v.mp4"}, "annotations": [{"result": rows}]}], found)
        assert found.faults == {"track_length_mismatch": 1}
        assert clip.objects == ()


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (region("brushlabels", {"rle": [1, 2, 3]}), "bad_rle"),
        (region("brushlabels", {}), "bad_rle"),
        (region("rectanglelabels", {"x": 1, "y": 1, "width": 0, "height": 1}), "bad_box"),
        (region("rectanglelabels", {"x": "1", "y": 1, "width": 1, "height": 1}), "bad_box"),
        (region("rectanglelabels", {"x": 1, "y": 1, "width": 10**400, "height": 1}), "bad_box"),
        (region("polygonlabels", {"points": [[1, 2], [3]]}), "schema_error"),
        (region("polygonlabels", {"points": [[1, 2], [3, 4]]}), "bad_rle"),
        (region("polygonlabels", {}), "missing_key"),
        (region("rectanglelabels", {"x": 1, "y": 1, "width": 9, "height": 9}, original_width=41), "mask_size_mismatch"),
        (region("rectanglelabels", {"x": 1, "y": 1, "width": 9, "height": 9}, image_rotation=90), "unsupported_shape"),
        (region("keypointlabels", {"x": 1, "y": 1, "width": 1}), "unsupported_shape"),
        (region("rectanglelabels", {"x": 1, "y": 1, "width": 9, "height": 9}, None), "bad_label"),
        (region("rectanglelabels", {"x": 1, "y": 1, "width": 9, "height": 9}, "<obj1>"), "bad_label"),
        ({"id": "x", "type": 4}, "schema_error"),
    ],
)
def test_a_damaged_region_is_dropped_with_its_reason(folder, row, reason):
    good = region("rectanglelabels", {"x": 0, "y": 0, "width": 50, "height": 50}, id="good")
    findings = Findings()
    (clip,) = read(folder, [task(row, good)], findings)
    assert findings.faults == {reason: 1}
    assert [one.masklet.box(0) for one in clip.objects] == [(0, 0, 20, 10)]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (task(image="/data/local-files/?d=../a.png"), "unsafe_path"),
        (task(image="/etc/passwd.png"), "unsafe_path"),
        (task(image="c:\\a.png"), "unsafe_path"),
        (task(image="s3://bucket/folder/z.png"), "missing_frame"),
        (task(image="v.mp4"), "missing_video"),
        ({"data": {"note": "no file"}, "annotations": []}, "missing_key"),
        (task(annotations=[]), "missing_annotation"),
        (task(annotations=[{"was_cancelled": True, "result": []}]), "missing_annotation"),
        (task(annotations="all"), "schema_error"),
        ({"data": 3}, "schema_error"),
        (7, "schema_error"),
    ],
)
def test_a_task_that_cannot_be_used_is_dropped(folder, broken, reason):
    findings = Findings()
    clips = read(folder, [broken, task(image="https://host/data/upload/1/c.png?token=5")], findings)
    assert [clip.name for clip in clips] == ["c"]
    assert findings.faults == {reason: 1}


def test_ground_truth_is_preferred_to_other_annotations(folder):
    rows = [region("rectanglelabels", {"x": 0, "y": 0, "width": 9, "height": 9}, label) for label in ("a", "b", "c")]
    annotations = [
        {"was_cancelled": True, "result": [rows[0]]},
        {"result": [rows[1]]},
        {"ground_truth": True, "result": [rows[2]]},
    ]
    findings = Findings(strict=True)
    (clip,) = read(folder, [task(annotations=annotations)], findings)
    assert [one.label for one in clip.objects] == ["c"]
    assert findings.notes["several_annotations"] == 1


def test_tasks_of_one_clip_may_come_in_any_order_and_lose_frames(make_clip, tmp_path):
    clip = make_clip(num_frames=5, labels=("car",))
    FORMATS["label-studio"].write([clip], tmp_path / "out")
    path = tmp_path / "out" / "tasks.json"
    tasks = json.loads(path.read_text(encoding="utf-8"))
    del tasks[1]
    path.write_text(json.dumps(tasks[::-1]))
    (found,) = FORMATS["label-studio"].read(tmp_path / "out", Findings(strict=True))
    kept = (0, 2, 3, 4)
    assert found.clip.names == tuple(f"{frame:05d}.png" for frame in kept)
    assert found.objects[0].masklet.rles == tuple(clip.objects[0].masklet.rles[frame] for frame in kept)
    path.write_text(json.dumps([*tasks, tasks[0]]))
    findings = Findings()
    assert len(list(FORMATS["label-studio"].read(tmp_path / "out", findings))) == 1
    assert findings.faults == {"repeated_id": 1}


def test_the_labelling_interface_lists_every_label_once(make_clip, tmp_path):
    FORMATS["label-studio"].write([make_clip()], tmp_path / "out")
    text = (tmp_path / "out" / "labels.xml").read_text(encoding="utf-8")
    assert text.count('<Label value="car">') == 2  # for the brush and for boxes
    assert '<Label value="dog &amp; &lt;cat&gt;">' in text
    assert '<Image name="image" value="$image">' in text
