import hashlib

import numpy as np
import pytest
from tiny_model import filled, moving_squares

from sama_video.bench.models.picture_prompts import PROMPT_VERSION, Showing, Talk, View, make_talk
from sama_video.bench.task import Sample
from sama_video.errors import ConfigError, RegionError
from sama_video.regions.shapes import Box, Mask, ObjectRef, Points, Region
from sama_video.video.clip import Clip

CLIP = moving_squares(12)


def sample(question: str, *regions: Region, **fields: object) -> Sample:
    given = {"ground": False} | fields
    return Sample("s", "v", "all", "1", lambda: CLIP, question, regions, **given)  # type: ignore[arg-type]


def talk_of(one: Sample, showing: Showing | None = None, clip: Clip = CLIP) -> Talk:
    return make_talk(one, (), clip, showing or Showing(frames=3))


def words(talk: Talk, place: int = -1) -> str:
    return "\n".join(part for part in talk.turns[place].parts if isinstance(part, str))


def pictures(talk: Talk) -> list[np.ndarray]:
    return [part for turn in talk.turns for part in turn.parts if not isinstance(part, str)]


def test_frames_are_spread_and_each_comes_with_its_number() -> None:
    talk = talk_of(sample("What is it?"))
    assert [turn.role for turn in talk.turns] == ["system", "user"]
    assert talk.view.frames == (0, 6, 11)
    assert words(talk) == "Frame 0:\nFrame 6:\nFrame 11:\nWhat is it?"
    for frame, picture in zip(talk.view.frames, pictures(talk), strict=True):
        assert np.array_equal(picture, CLIP.frame(frame))


def test_frames_of_the_benchmark_are_taken_and_thinned() -> None:
    assert talk_of(sample("?", frames=(2, 5))).view.frames == (2, 5)
    assert talk_of(sample("?", frames=(1, 2, 3, 4, 5))).view.frames == (1, 3, 5)
    assert talk_of(sample("?"), Showing(frames=100)).view.frames == tuple(range(12))


def test_region_is_named_drawn_and_its_frame_shown() -> None:
    talk = talk_of(sample("What is <region> doing?", Box(frame=4, xyxy=(4, 6, 32, 24))))
    assert talk.view.frames == (0, 4, 6, 11)
    said = "What is region 1 doing?\nregion 1 is what is in the outlined box [62, 125, 500, 500] on frame 4."
    assert words(talk).endswith(said)
    drawn, plain = pictures(talk)[1], CLIP.frame(4)
    assert not np.array_equal(drawn, plain)
    assert np.array_equal(pictures(talk)[0], CLIP.frame(0))


@pytest.mark.parametrize(
    ("region", "told"),
    [
        (Mask(frame=1, mask=filled((8, 12, 32, 24))), "what is in the outlined box [125, 250, 500, 500] on frame 1."),
        (Points(1, xy=[(16, 12), (1, 1)], labels=[1, 0]), "what lies at [250, 250], marked with a plus, on frame 1."),
        (Box(seconds=0.1, xyxy=(0, 0, 64, 48)), "what is in the outlined box [0, 0, 1000, 1000] on frame 1."),
    ],
    ids=["mask", "points", "seconds"],
)
def test_every_kind_of_region_is_told_in_words(region: Region, told: str) -> None:
    assert told in words(talk_of(sample("<region>?", region)))


def test_two_regions_keep_their_numbers_through_the_dialogue() -> None:
    first = sample("Is <region> red?", Box(frame=0, xyxy=(4, 6, 18, 20)))
    second = sample("And <region> or <region>?", Box(frame=0, xyxy=(48, 4, 60, 16)), Points(6, xy=[(20, 10)]))
    talk = make_talk(second, [(first, "Yes, <p> it </p> [SEG] is.")], CLIP, Showing(frames=2))
    assert [turn.role for turn in talk.turns] == ["system", "user", "assistant", "user"]
    assert "Is region 1 red?" in words(talk, 1)
    assert talk.turns[2].parts == ("Yes, it is.",)
    assert "And region 2 or region 3?" in words(talk)
    assert "region 3 is what lies at" in words(talk)
    assert talk.view.frames == (0, 6, 11)
    assert len(pictures(talk)) == 3


@pytest.mark.parametrize(("ground", "grounded"), [(False, False), (True, True), ("auto", True)])
def test_form_is_asked_for_where_masks_may_be_wanted(ground: object, grounded: bool) -> None:
    talk = talk_of(sample("Where?", ground=ground))
    assert talk.grounded is grounded
    assert ("one JSON object" in words(talk)) is grounded
    assert ("only if none is there" in words(talk)) is (ground is True)


@pytest.mark.parametrize(
    ("coordinates", "told"),
    [
        ("0-1000", "whole numbers from 0 to 1000"),
        ("0-1", "fractions from 0 to 1"),
        ("pixels", "pixels of the pictures, which are 32 wide and 24 high"),
    ],
)
def test_model_is_told_how_to_count(coordinates: str, told: str) -> None:
    talk = talk_of(sample("Where?", ground=True), Showing(coordinates, 2, side=32))
    assert told in words(talk)
    assert {picture.shape for picture in pictures(talk)} == {(24, 32, 3)}


@pytest.mark.parametrize("coordinates", ["0-1000", "0-1", "pixels"])
def test_what_is_told_is_read_back(coordinates: str) -> None:
    view = View((0,), 480, 640, 384, 512, coordinates)
    box = (40.0, 60.0, 320.0, 240.0)
    assert view.read([float(word) for word in view.told(*box)[1:-1].split(", ")]) == pytest.approx(box, abs=0.7)


def test_wording_stays_as_its_version_says() -> None:
    # Other words are another prompt: change PROMPT_VERSION together with this hash.
    texts = [
        words(talk_of(sample("<region>?", Points(0, xy=[(1, 1)]), ground=ground), Showing("pixels", 1)), place)
        for ground in (True, "auto", False)
        for place in (0, 1)
    ]
    digest = hashlib.sha256("\n".join(texts).encode()).hexdigest()[:12]
    assert (PROMPT_VERSION, digest) == ("sama-point-1", "b869ce5a3a0c")


def test_what_cannot_be_shown_is_refused() -> None:
    with pytest.raises(RegionError, match="obj1 is known to sessions of ours only"):
        talk_of(sample("<region>?", ObjectRef("obj1")))
    with pytest.raises(ConfigError, match="coords is 'percent'"):
        Showing("percent")
    with pytest.raises(ConfigError, match="1 or more"):
        Showing(frames=0)
