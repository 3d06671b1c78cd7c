import io

import numpy as np
import pytest
from annotate_case import NUM_FRAMES, make_clip, make_subject, square
from PIL import Image

from sama_video.annotate.case import Thing
from sama_video.annotate.drawing import DrawOptions, choose_frames, draw_picture, draw_subject
from sama_video.annotate.marks import SAFE_COLOURS, add_numbers, mark_of, paint_marks
from sama_video.errors import ConfigError, DataError
from sama_video.regions.masklet import Masklet
from sama_video.regions.shapes import Box

# Machado, Oliveira, Fernandes 2009: what linear RGB looks like without one kind of cone.
BLINDNESS = {
    "none": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def lab(rgb: tuple[int, int, int], seen: np.ndarray) -> np.ndarray:
    part = np.array(rgb) / 255
    linear = np.clip(seen @ np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4), 0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ linear
    x, y, z = (np.cbrt(v) if v > 0.008856 else 7.787 * v + 16 / 116 for v in xyz / np.array([0.9505, 1.0, 1.089]))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("kind", BLINDNESS)
def test_colours_stay_apart_for_the_colour_blind(kind: str) -> None:
    seen = np.array(BLINDNESS[kind])
    places = [lab(mark_of(f"obj{number}").colour, seen) for number in range(1, SAFE_COLOURS + 1)]
    nearest = min(float(np.linalg.norm(a - b)) for i, a in enumerate(places) for b in places[:i])
    assert nearest > 9.5  # a difference of 2.3 can just be noticed


def test_forty_objects_have_forty_marks() -> None:
    marks = [mark_of(f"obj{number}") for number in range(1, 41)]
    assert len({mark.name for mark in marks}) == 40
    assert {mark.dashes for mark in marks[SAFE_COLOURS : 2 * SAFE_COLOURS]} == {1}


def scattered(count: int, height: int = 240, width: int = 320) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(count)
    rows, columns = np.mgrid[:height, :width]
    masks: dict[str, np.ndarray] = {}
    for number in range(1, count + 1):
        y, x, radius = rng.integers(15, height - 15), rng.integers(15, width - 15), rng.integers(6, 30)
        mask = (rows - y) ** 2 + (columns - x) ** 2 < radius**2
        for other in masks.values():
            mask &= ~other
        masks[f"obj{number}"] = mask
    return {key: mask for key, mask in masks.items() if mask.any()}


@pytest.mark.parametrize("count", [2, 5, 20])
def test_numbers_cover_no_object_and_no_other_number(count: int) -> None:
    masks = scattered(count)
    frame = np.zeros((240, 320, 3), dtype=np.uint8)
    canvas, plates, (left, _) = add_numbers(frame, masks, 14)
    assert set(plates) == set(masks)
    taken = np.zeros((canvas.height, canvas.width), dtype=np.bool_)
    for mask in masks.values():
        taken[:, left : left + 320] |= mask
    for x0, y0, x1, y1 in plates.values():
        assert 0 <= x0 < x1 <= canvas.width
        assert 0 <= y0 < y1 <= canvas.height
        assert not taken[y0:y1, x0:x1].any()
        taken[y0:y1, x0:x1] = True


def test_numbers_go_beside_a_picture_that_is_full() -> None:
    rows, columns = np.mgrid[:120, :160]
    masks = {f"obj{i + 1}": (rows // 60) * 2 + columns // 80 == i for i in range(4)}
    canvas, plates, margins = add_numbers(np.zeros((120, 160, 3), dtype=np.uint8), masks, 14)
    assert min(margins) > 0
    assert canvas.width == 160 + sum(margins)
    assert all(x1 <= margins[0] or x0 >= margins[0] + 160 for x0, _, x1, _ in plates.values())


def test_outline_leaves_the_objects_as_they_are() -> None:
    frame = np.random.default_rng(0).integers(0, 255, (240, 320, 3), dtype=np.uint8)
    masks = scattered(5)
    painted = paint_marks(frame, masks, outline=3, box=0, fill=0.0)
    inside = np.logical_or.reduce(list(masks.values()))
    lines = (painted != frame).any(axis=2)
    assert lines.any()
    # Only where two objects touch does one line run on a neighbour's edge.
    assert (lines & inside).sum() < 0.01 * inside.sum()


def test_fill_and_box_are_painted_when_asked_for() -> None:
    frame = np.full((48, 64, 3), 128, dtype=np.uint8)
    mask = square(20)[0]
    filled = paint_marks(frame, {"obj1": mask}, outline=0, box=0, fill=0.5)
    assert (filled[mask] != 128).any(axis=1).all()
    assert (filled[~mask] == 128).all()
    boxed = paint_marks(frame, {"obj1": mask}, outline=0, box=2, fill=0.0)
    assert tuple(boxed[17, 20]) == mark_of("obj1").colour
    assert (boxed[mask] == 128).all()


def test_drawing_says_what_each_picture_shows() -> None:
    drawing = draw_subject(make_subject(), make_clip(), DrawOptions(pictures=4, longest_side=128))
    assert len(drawing.pictures) == len(drawing.frames) == 4
    assert drawing.frames[0] == 0
    assert drawing.frames[-1] == NUM_FRAMES - 1
    assert drawing.visible[0] == ("obj1", "obj2")
    assert drawing.visible[-1] == ("obj1", "obj2", "obj3")
    assert drawing.seconds[-1] == pytest.approx(1.9)
    assert drawing.duration == pytest.approx(2.0)
    assert len(set(drawing.marks.values())) == 3
    with Image.open(io.BytesIO(drawing.pictures[0])) as picture:
        assert picture.format == "JPEG"
        assert picture.width == 128  # small clips are enlarged
        assert picture.height > 96  # and the time stands above
    again = draw_subject(make_subject(), make_clip(), DrawOptions(pictures=4, longest_side=128))
    assert again.pictures == drawing.pictures


def test_every_object_is_on_a_picture_where_that_can_be() -> None:
    brief = Masklet.from_masks("obj1", square(2, [7]))
    always = Masklet.from_masks("obj2", square(24))
    chosen = choose_frames([brief, always], NUM_FRAMES, 4)
    assert 7 in chosen
    assert len(chosen) == 4
    assert chosen == sorted(chosen)


def test_a_tiny_object_keeps_its_mark() -> None:
    mask = np.zeros((720, 1280), dtype=np.bool_)
    mask[100, 200] = True
    frame = np.full((720, 1280, 3), 128, dtype=np.uint8)
    drawn = draw_picture(frame, {"obj1": mask}, DrawOptions(longest_side=320))
    assert (drawn == np.array(mark_of("obj1").colour)).all(axis=2).any()


def test_things_without_masklets_are_refused() -> None:
    subject = make_subject()
    bare = subject.with_things((*subject.things, Thing("obj4", None, prompts=(Box(0, xyxy=(1, 1, 9, 9)),))))
    with pytest.raises(DataError, match="track them"):
        draw_subject(bare, make_clip())


@pytest.mark.parametrize(
    "given", [{"pictures": 0}, {"longest_side": 10}, {"fill": 2.0}, {"outline": False}, {"quality": 100}]
)
def test_impossible_options_are_refused(given: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        DrawOptions(**given)  # type: ignore[arg-type]
