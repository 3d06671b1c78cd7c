import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sama_video.regions import draw, ink
from sama_video.regions.draw import draw_frame, palette


def disc(height: int, width: int, x: float, y: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return (columns - x) ** 2 + (rows - y) ** 2 < radius**2


GREY = np.full((240, 320, 3), 90, dtype=np.uint8)


def test_colours_are_stable_and_apart():
    assert palette("obj1") == (230, 159, 0)
    colours = [palette(f"obj{number}") for number in range(1, 65)]
    assert len(set(colours)) == 64
    first = np.array(colours[:12], dtype=float)
    distances = np.linalg.norm(first[:, None] - first[None], axis=-1) + 1e3 * np.eye(12)
    assert distances.min() > 45
    assert palette("the dog") == palette("the dog")


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=8))
def test_any_name_has_a_colour_on_which_text_can_be_read(name):
    colour = palette(name)
    assert all(0 <= channel <= 255 for channel in colour)
    ratio = _contrast(colour, ink.text_on(colour))
    assert ratio >= 4.5


def test_a_mask_is_tinted_and_the_rest_is_left_alone():
    mask = disc(240, 320, 160, 120, 40)
    painted = draw_frame(GREY, {"obj1": mask}, labels={})
    assert painted.shape == GREY.shape
    assert painted.dtype == np.uint8
    assert np.array_equal(painted[~mask], GREY[~mask])
    assert (painted[mask] != GREY[mask]).any(axis=-1).all()
    assert (GREY == 90).all()
    assert tuple(painted[120, 121]) == palette("obj1")  # the edge, in the full colour
    inner = 0.55 * 90 + 0.45 * np.array(palette("obj1"))
    assert np.abs(painted[120, 160] - inner).max() <= 1


def test_an_empty_mask_leaves_no_trace():
    assert np.array_equal(draw_frame(GREY, {"obj1": np.zeros((240, 320), dtype=bool)}), GREY)
    assert np.array_equal(draw_frame(GREY, {}), GREY)


def test_labels_stay_off_their_objects_where_there_is_room():
    mask = disc(240, 320, 160, 120, 40)
    labelled = draw_frame(GREY, {"obj1": mask})
    bare = draw_frame(GREY, {"obj1": mask}, labels={})
    changed = (labelled != bare).any(axis=-1)
    assert changed.sum() > 100
    assert not (changed & mask).any()


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 160), st.integers(0, 120), st.integers(1, 50)), min_size=1, max_size=6),
    st.sampled_from([(120, 160), (17, 31), (1, 1), (400, 40)]),
)
def test_labels_are_placed_inside_the_picture(discs, size):
    height, width = size
    plates = []
    covered = np.zeros(size, dtype=bool)
    for x, y, radius in discs:
        extent = (x % width, y % height, min(width, x % width + radius), min(height, y % height + radius))
        plate = draw._place((12, 8), extent, plates, covered)
        plates.append(plate)
        assert plate[0] >= 0
        assert plate[1] >= 0
        assert plate[2] <= max(width, 12)
        assert plate[3] <= max(height, 8)


def test_labels_avoid_each_other_when_objects_coincide():
    plates = []
    for _ in range(8):
        plates.append(draw._place((40, 16), (100, 60, 220, 180), plates, np.zeros((240, 320), dtype=bool)))
    for idx, plate in enumerate(plates):
        assert all(draw._shared(plate, other) == 0 for other in plates[:idx])


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (128, 128), (241, 319)])
def test_pictures_of_any_size_are_drawn(size):
    frame = np.zeros((*size, 3), dtype=np.uint8)
    mask = np.ones(size, dtype=bool)
    drawn = draw_frame(
        frame,
        {"obj1": mask},
        labels={"obj1": "a label\nof two lines, wider than the picture by far, and then some more words"},
        boxes={"obj2": (0, 0, 1, 1), "obj3": (-5, -5, 900, 900)},
        points={"obj1": [(0, 0, 1), (2.5, 9, 0)]},
    )
    assert drawn.shape == frame.shape


def test_boxes_and_points_are_drawn_in_their_objects_colour():
    drawn = draw_frame(GREY, {}, boxes={"obj2": (40, 50, 120, 150)}, points={"obj3": [(250, 120, 1)]}, labels={})
    assert tuple(drawn[100, 41]) == palette("obj2")
    assert (drawn[60:140, 50:110] == 90).all()
    assert (drawn[112:129, 242:259] == palette("obj3")).all(axis=-1).sum() > 20


@pytest.mark.parametrize("scale", [0.5, 3.0])
def test_scale_gives_a_picture_of_that_size(scale):
    mask = disc(240, 320, 160, 120, 40)
    drawn = draw_frame(GREY, {"obj1": mask}, labels={}, scale=scale)
    assert drawn.shape == (240 * scale, 320 * scale, 3)
    assert (drawn[int(120 * scale), int(160 * scale)] != 90).any()
    assert (drawn[2, 2] == 90).all()


def _contrast(a: ink.Colour, b: ink.Colour) -> float:
    high, low = sorted((_luminance(a), _luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: ink.Colour) -> float:
    channels = np.array(colour) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])
