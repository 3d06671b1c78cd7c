"""Drawn prompts mean what they say, and masks become labels without loss."""

import numpy as np
import pytest
import torch

from sama_video.data.synthetic.levels import COLORS, SHAPES, is_allowed
from sama_video.train.lessons.attributes import UNSAID
from sama_video.train.lessons.prompts import (
    draw_absent_attributes,
    draw_attributes,
    draw_box,
    draw_click,
    draw_corrections,
    matching,
)
from sama_video.train.lessons.scenes import cell_labels, coverage, filled_box, token_places, without_color
from sama_video.train.lessons.worlds import LevelWorld


@pytest.fixture(scope="module")
def clips():
    rng, world = np.random.default_rng(0), LevelWorld()
    return [world.frame(rng, world.draw(rng)) for _ in range(6)]


@pytest.fixture
def rng():
    return np.random.default_rng(1)


def test_clicks_lie_on_the_object(clips, rng):
    for clip in clips:
        for chosen in np.flatnonzero(clip.visible[:, 0]):
            x, y = draw_click(rng, clip.masks[chosen, 0]).astype(int)
            assert clip.masks[chosen, 0, y, x]


def test_a_click_on_a_sliver_is_still_on_it(rng):
    mask = np.zeros((8, 8), dtype=bool)
    mask[3, 5] = True
    assert all(draw_click(rng, mask).tolist() == [5, 3] for _ in range(8))


def test_boxes_stay_close_and_inside_the_picture(clips, rng):
    for clip in clips:
        mask = clip.masks[int(np.flatnonzero(clip.visible[:, 0])[0]), 0]
        x0, y0, x1, y1 = draw_box(rng, mask)
        assert 0 <= x0 < x1 <= 128
        assert 0 <= y0 < y1 <= 128
        assert mask[int(y0) : int(np.ceil(y1)), int(x0) : int(np.ceil(x1))].sum() > 0.6 * mask.sum()


def test_corrections_say_whether_they_are_on_the_object(clips, rng):
    for clip in clips:
        mask, others = clip.masks[0, 0], clip.masks[1:, 0].any(0)
        if mask.any():
            points, labels = draw_corrections(rng, mask, others, 4)
            assert [bool(mask[int(y), int(x)]) for x, y in points] == [bool(label) for label in labels]


def test_attributes_single_out_their_object(clips, rng):
    for clip in clips:
        ids = clip.looks[:, 0]
        for chosen in range(len(ids)):
            for _ in range(8):
                said = draw_attributes(rng, ids, chosen)
                assert np.flatnonzero(matching(ids, said)).tolist() == [chosen]
                assert (said != UNSAID).any()


def test_absent_attributes_fit_nothing(clips, rng):
    for clip in clips:
        ids = clip.looks[:, 0]
        for _ in range(16):
            said = draw_absent_attributes(rng, ids)
            assert not matching(ids, said).any()
            assert is_allowed("train", tuple(COLORS)[said[0] - 1], SHAPES[said[1] - 1])


def test_coverage_keeps_the_area_at_any_ratio(rng):
    masks = rng.random((3, 128, 128)) < 0.3
    for side in (7, 14, 32, 128):
        shares = coverage(masks, side)
        assert shares.shape == (3, side, side)
        np.testing.assert_allclose(shares.mean((1, 2)), masks.mean((1, 2)), rtol=1e-5)


def test_cells_without_enough_of_an_object_are_background():
    mask = np.zeros((1, 8, 8), dtype=bool)
    mask[0, :4, :3] = True
    labels = cell_labels(mask, np.array([[3, 1, 2, 1]]), 2, 0.5)
    assert labels[0, 0].tolist() == [3, 1, 2, 1]
    assert not labels[0, 1].any()
    assert not labels[1].any()
    assert not cell_labels(mask[:0], np.zeros((0, 4), dtype=np.int64), 2, 0.5).any()


def test_a_box_is_filled_and_nothing_stays_nothing():
    mask = np.zeros((5, 5), dtype=bool)
    assert not filled_box(mask).any()
    mask[1, 1] = mask[3, 2] = True
    assert filled_box(mask).sum() == 6


def test_gray_frames_keep_what_is_bright_and_no_color(rng):
    frames = np.zeros((2, 4, 4, 3), np.uint8)
    frames[:, :2] = 200
    frames[:, 2:, :2, 0] = 255
    gray = without_color(rng, frames)
    assert gray.dtype == np.uint8
    assert (gray == gray[..., :1]).all()
    assert (gray[:, :2] == 200).all()
    assert gray[0, 3, 0, 0] != gray[1, 3, 0, 0]  # each frame's own sensitivity to red


def test_places_of_tokens_are_their_middles():
    places = token_places(4, torch.device("cpu")).view(4, 4, 2)
    assert places[0, 3].tolist() == [0.125, 0.875]
    assert places[2, 1].tolist() == [0.625, 0.375]
