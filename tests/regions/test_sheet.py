import numpy as np
import pytest

from sama_video.errors import RegionError
from sama_video.regions.ink import palette
from sama_video.regions.sheet import SpokenTurn, Words, contact_sheet, tile_scale

FRAME = np.full((90, 160, 3), 40, dtype=np.uint8)
TURN = SpokenTurn(
    (Words("What is "), Words("obj1", "obj1"), Words(" doing?")),
    (Words("The star", "obj1"), Words(" passes "), Words("the square", None, "not visible"), Words(".")),
)


def has_colour(sheet: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return bool((sheet == colour).all(axis=-1).any())


def test_sheet_holds_every_frame_and_the_phrases_colours():
    sheet = contact_sheet([FRAME] * 3, ["frame 0", "frame 1", "frame 2"], [TURN])
    assert sheet.dtype == np.uint8
    assert sheet.shape[1] == 1280
    assert (sheet == 40).all(axis=-1).sum() > 3 * 300 * 150
    assert has_colour(sheet, palette("obj1"))
    assert not has_colour(sheet, palette("obj2"))


def test_given_colours_are_used():
    assert has_colour(contact_sheet([FRAME], ["frame 0"], [TURN], {"obj1": (1, 2, 3)}), (1, 2, 3))


def test_frames_drawn_at_tile_scale_enter_unchanged():
    scale = tile_scale(4, 90, 160)
    size = (round(90 * scale), round(160 * scale))
    noise = np.random.default_rng(0).integers(0, 255, (*size, 3), dtype=np.uint8)
    sheet = contact_sheet([noise] * 4, ["a", "b", "c", "d"])
    windows = np.lib.stride_tricks.sliding_window_view(sheet[:, :, 0], (1, size[1]))[:, :, 0]
    assert (windows == noise[0, :, 0]).all(axis=-1).any()


@pytest.mark.parametrize("count", [0, 1, 2, 5, 7, 13])
@pytest.mark.parametrize("size", [(90, 160), (160, 90), (64, 64), (10, 300)])
def test_any_number_of_frames_of_any_shape_fits(count, size):
    frames = [np.zeros((*size, 3), dtype=np.uint8)] * count
    sheet = contact_sheet(
        frames, [f"frame {idx}, a title that is much too long for it" for idx in range(count)], [TURN]
    )
    assert sheet.shape[1] == 1280


def test_long_text_is_wrapped_and_nothing_runs_over_the_edge():
    long = SpokenTurn(
        (Words("word " * 80),),
        (
            Words("x" * 400),
            Words(" "),
            Words("phrase " * 40, "obj2"),
            Words(", "),
            Words("y" * 300, "obj3", "two\nlines"),
        ),
    )
    short = contact_sheet([FRAME], ["frame 0"], [TURN], width=640)
    sheet = contact_sheet([FRAME], ["frame 0"], [long], width=640)
    assert sheet.shape[0] > short.shape[0] + 300
    margin = sheet[short.shape[0] - 60 :, -20:]
    assert (margin == (252, 252, 250)).all(axis=-1).mean() > 0.99


def test_empty_answers_and_other_scripts_do_not_fail():
    turn = SpokenTurn((Words(""),), (Words(" "), Words("猫 — “naïve” ☃", "obj1"), Words("\n")))
    contact_sheet([], [], [turn, SpokenTurn((), ())])


def test_frames_and_titles_must_agree():
    with pytest.raises(RegionError, match="2 frames and 1 titles"):
        contact_sheet([FRAME] * 2, ["frame 0"])
    with pytest.raises(RegionError, match="differ in size"):
        contact_sheet([FRAME, FRAME[:50]], ["a", "b"])
