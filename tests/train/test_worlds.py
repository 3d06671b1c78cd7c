"""Scenes for training and evaluation never meet, and every world's clips come in the same form."""

import numpy as np
import pytest

from sama_video.data.synthetic.episode import sample_episode
from sama_video.data.synthetic.levels import HELD_OUT, SEEDS
from sama_video.train.config import WorldConfig
from sama_video.train.lessons.attributes import ATTRIBUTES
from sama_video.train.lessons.worlds import PLAIN_HELD_OUT_SEEDS, LevelWorld, PlainWorld, looks_of, world_of

WORLDS = [PlainWorld(), LevelWorld(level=2, easier_share=0.5)]


@pytest.fixture
def rng():
    return np.random.default_rng(1)


@pytest.mark.slow
def test_training_never_draws_a_held_out_scene(rng):
    assert all(PlainWorld().draw(rng).seed not in PLAIN_HELD_OUT_SEEDS for _ in range(20))
    assert all(LevelWorld().draw(rng).seed in SEEDS["train"] for _ in range(20))
    held_out = {PlainWorld().held_out(purpose, i).seed for purpose in ("see", "track", "demo") for i in range(5)}
    assert len(held_out) == 15
    assert held_out <= set(PLAIN_HELD_OUT_SEEDS)
    assert all(LevelWorld().held_out("see", i).seed in SEEDS["val"] for i in range(5))


def test_training_never_shows_a_held_out_pair(rng):
    unseen = HELD_OUT["val"] | HELD_OUT["test"]
    for _ in range(40):
        for actor in LevelWorld().draw(rng).actors:
            assert not {(color, actor.look.shape) for color in actor.colors} & unseen


def test_easier_clips_are_mixed_in_for_training_alone(rng):
    world = LevelWorld(level=2, easier_share=0.5)
    assert {world.draw(rng).level.number for _ in range(20)} == {1, 2}
    assert {world.held_out("see", i).level.number for i in range(8)} == {2}


@pytest.mark.parametrize("world", WORLDS, ids=["plain", "levels"])
def test_moments_are_even_and_within_the_scene(world, rng):
    for count in (1, 2, 5, 16):
        scene = world.draw(rng)
        moments = np.asarray(world.moments(rng, scene, count))
        last = world.spread(scene, 2)[-1]
        assert len(moments) == count
        assert moments.min() >= 0
        assert moments.max() <= last + 1e-9
        before_the_end = moments[moments < last]
        steps = np.diff(before_the_end)
        assert np.allclose(steps, steps[:1])


@pytest.mark.parametrize("world", WORLDS, ids=["plain", "levels"])
def test_a_shot_shows_its_objects_where_they_are_said_to_be(world, rng):
    shot = world.frame(rng, world.draw(rng), 96)
    assert shot.frames.shape == (1, 96, 96, 3)
    assert shot.looks.shape == (len(shot.masks), 1, 4)
    assert (shot.looks >= 1).all()
    assert shot.visible.any()
    clip = world.clip(rng, world.draw(rng), 4, 96)
    assert clip.num_frames == len(clip.frames) == clip.masks.shape[1] == 4


def test_a_change_of_colour_is_a_change_of_class():
    repainted = [sample_episode(seed) for seed in range(SEEDS["train"].start, SEEDS["train"].start + 80)]
    actor = next(actor for episode in repainted for actor in episode.actors if actor.repaint is not None)
    moment = actor.repaint.frame
    before, after = looks_of([actor], [moment - 1, moment])[0]
    assert ATTRIBUTES["color"][before[0] - 1] == actor.look.color
    assert ATTRIBUTES["color"][after[0] - 1] == actor.repaint.color
    assert (before[1:] == after[1:]).all()


def test_names_are_all_pairs_of_the_worlds_own_colours_and_shapes():
    assert len(PlainWorld().name_classes()) == 8 * 6
    assert len(LevelWorld().name_classes()) == 8 * 8


def test_a_recipe_names_its_world():
    assert world_of(WorldConfig(name="plain")) == PlainWorld()
    assert world_of(WorldConfig(level=3, easier_share=0.1)) == LevelWorld(3, 0.1)
