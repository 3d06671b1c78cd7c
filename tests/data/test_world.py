"""The synthetic world: the same seed gives the same scene at any size and any times, with exact masks."""

from collections import Counter
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from sama_video.data.synthetic.layout import MOTIONS
from sama_video.data.synthetic.scene import LOOKS, Scene, sample_scene
from sama_video.data.synthetic.shapes import COLORS, REACH, SHAPES, SIZES, TEXTURES, signed_distance
from sama_video.data.synthetic.world import World, frame_times, render
from sama_video.errors import ConfigError, DataError

SEEDS = range(40)


@cache
def drawn_scene(seed: int) -> Scene:
    return sample_scene(seed)


def scene_without(scene: Scene, *hidden: int) -> Scene:
    return replace(scene, objects=tuple(item for i, item in enumerate(scene.objects) if i not in hidden))


def test_same_seed_gives_the_same_pixels_and_another_seed_does_not():
    first, again, other = World.sample(7), World.sample(7), World.sample(8)
    np.testing.assert_array_equal(first.frames, again.frames)
    np.testing.assert_array_equal(first.masks, again.masks)
    assert not np.array_equal(first.frames, other.frames)


def test_scene_of_a_seed_stays_what_it_was():
    clip = World.sample(11, level="easy")
    told = [(o.size, o.color, o.texture, o.shape, m) for o, m in zip(clip.objects, clip.motions, strict=True)]
    assert told == [
        ("small", "yellow", "striped", "circle", "right"),
        ("small", "orange", "striped", "ring", "down"),
        ("large", "white", "plain", "triangle", "down"),
        ("large", "purple", "striped", "star", "down"),
    ]
    assert clip.scene.seconds == pytest.approx(3.202996715)


def test_clip_has_the_asked_size_and_spreads_its_frames_over_the_scene():
    clip = World.sample(3, side=96, num_frames=5)
    assert clip.frames.shape == (5, 96, 96, 3)
    assert clip.frames.dtype == np.uint8
    assert clip.masks.shape == (len(clip.objects), 5, 96, 96)
    assert clip.centers.shape == (len(clip.objects), 5, 2)
    assert clip.times[0] == 0
    assert clip.times[-1] == clip.scene.seconds
    assert 2 <= clip.scene.seconds <= 4


def test_frame_rate_gives_consecutive_frames_and_all_of_them_on_demand():
    np.testing.assert_allclose(frame_times(4.0, num_frames=3, fps=24.0, start=1.0), [1, 1 + 1 / 24, 1 + 2 / 24])
    assert len(frame_times(4.0, num_frames=None, fps=24.0)) == 97
    clip = World.sample(3, side=32, num_frames=None, fps=10.0, seconds=2.0)
    assert clip.times[-1] == pytest.approx(2.0)


def test_frame_does_not_depend_on_its_neighbours():
    scene = sample_scene(5, level="easy")
    times = frame_times(scene.seconds, num_frames=6)
    together = render(scene, times, 64)
    alone = render(scene, times[3:4], 64)
    np.testing.assert_array_equal(together.frames[3], alone.frames[0])
    np.testing.assert_array_equal(together.masks[:, 3], alone.masks[:, 0])


@pytest.mark.parametrize("seed", range(12))
def test_removing_an_object_changes_the_pixels_of_its_mask_and_none_far_from_it(seed):
    scene = sample_scene(seed, level="easy")
    times = frame_times(scene.seconds, num_frames=3)
    clip = render(scene, times)
    for i in range(len(scene.objects)):
        without = render(scene_without(scene, i), times)
        change = np.abs(clip.frames.astype(int) - without.frames).max(axis=-1)
        mask = clip.masks[i]
        assert (change[mask] > 3).all()
        near = mask.copy()
        for shift in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            near |= np.roll(mask, shift, (1, 2))
        # Beyond the antialiased edge only the fringe along objects in front shows that something is missing.
        assert (change[~near] > 0).sum() <= 0.02 * mask.sum()


@pytest.mark.parametrize("seed", SEEDS)
def test_masks_do_not_overlap_and_those_in_front_win(seed):
    clip = World.sample(seed)
    assert clip.masks.sum(axis=0).max() <= 1
    front = len(clip.objects) - 1
    alone = render(scene_without(clip.scene, *range(front)), clip.times)
    np.testing.assert_array_equal(clip.masks[front], alone.masks[0])


@pytest.mark.parametrize("seed", range(8))
def test_plain_object_shows_its_color_inside_its_mask(seed):
    scene = sample_scene(seed, level="easy")
    clip = render(scene, frame_times(scene.seconds))
    for item, masks in zip(scene.objects, clip.masks, strict=True):
        if item.spec.texture == "plain" and masks.any():
            assert np.abs(np.median(clip.frames[masks], axis=0) - np.asarray(item.rgb)).max() <= 1


@pytest.mark.parametrize("seed", range(15))
def test_scene_is_the_same_at_two_sizes(seed):
    small, large = World.sample(seed, level="easy"), World.sample(seed, side=256, level="easy")
    assert small.objects == large.objects
    shrunk = large.masks.reshape(*large.masks.shape[:2], 128, 2, 128, 2).mean(axis=(3, 5)) >= 0.5
    for mine, theirs in zip(small.masks, shrunk, strict=True):
        if mine.sum() > 500:
            assert (mine & theirs).sum() / (mine | theirs).sum() > 0.9
    picture = large.frames.reshape(-1, 128, 2, 128, 2, 3).mean(axis=(2, 4))
    assert np.abs(picture - small.frames).mean() < 3


@pytest.mark.slow
def test_attributes_motions_and_numbers_are_spread_evenly():
    scenes = [drawn_scene(seed) for seed in range(400)]
    items = [item for scene in scenes for item in scene.objects]
    for words, counts in (
        (COLORS, Counter(item.spec.color for item in items)),
        (SHAPES, Counter(item.spec.shape for item in items)),
        (TEXTURES, Counter(item.spec.texture for item in items)),
        (MOTIONS, Counter(item.motion for item in items)),
    ):
        assert set(counts) == set(words)
        for count in counts.values():
            assert count == pytest.approx(len(items) / len(words), rel=0.25)
    sizes = Counter(item.spec.size for item in items)
    assert set(sizes) == set(SIZES)
    assert sizes["large"] > 0.35 * len(items)
    assert set(Counter(len(scene.objects) for scene in scenes)) == {2, 3, 4}


def test_color_and_shape_single_out_an_object_and_half_of_the_scenes_need_both():
    shared = 0
    for seed in range(400):
        specs = [item.spec for item in drawn_scene(seed).objects]
        assert len({(spec.color, spec.shape) for spec in specs}) == len(specs)
        shared += len({s.color for s in specs}) < len(specs) or len({s.shape for s in specs}) < len(specs)
    assert 0.4 < shared / 400 < 0.6


def test_objects_go_where_their_motion_says():
    axes = {"left": (0, -1), "right": (0, 1), "up": (1, -1), "down": (1, 1)}
    for drawn in map(drawn_scene, range(200)):
        centers = drawn.centers(np.linspace(0, drawn.seconds, 9))
        for item, track in zip(drawn.objects, centers, strict=True):
            way = track[-1] - track[0]
            if item.motion == "still":
                assert np.abs(track - track[0]).max() == 0
                continue
            axis, sign = axes[item.motion]
            assert sign * way[axis] >= 0.3
            assert abs(way[1 - axis]) < 0.25 * abs(way[axis])
            assert (sign * np.diff(track[:, axis]) >= 0).all()


@pytest.mark.slow
def test_some_clips_hide_an_object_for_a_while_and_nearly_all_show_each_object():
    clips = [World.sample(seed, side=32) for seed in range(150)]
    assert 0.08 < np.mean([not clip.visible.all() for clip in clips]) < 0.25
    assert np.mean([clip.visible.any(axis=1).all() for clip in clips]) > 0.98
    clip = next(clip for clip in clips if not clip.visible.all())
    i = int(np.flatnonzero(~clip.visible.all(axis=1))[0])
    assert clip.visible_frames(i) == tuple(np.flatnonzero(clip.visible[i]))


def test_easy_background_is_dark_and_mixed_takes_it_four_times_out_of_five():
    for seed in range(2):
        ground = World.sample(seed, level="easy", num_objects=(1, 1))
        assert ground.frames[:, ~ground.masks.any(axis=(0, 1))].min() >= 10
        assert np.percentile(ground.frames[:, ~ground.masks.any(axis=(0, 1))], 99) <= 72
    easy = sum(drawn_scene(seed).look == LOOKS["easy"] for seed in range(400))
    assert 0.74 < easy / 400 < 0.86
    seed = next(seed for seed in range(10) if sample_scene(seed).look == LOOKS["easy"])
    np.testing.assert_array_equal(World.sample(seed).frames, World.sample(seed, level="easy").frames)


@pytest.mark.parametrize("shape", SHAPES)
def test_silhouettes_stay_within_reach_and_have_unit_slope_at_the_edge(shape):
    line = np.linspace(-1.6, 1.6, 801, dtype=np.float32)
    x, y = np.meshgrid(line, line)
    distance = signed_distance(shape, x, y)
    assert np.hypot(x, y)[distance <= 0].max() <= REACH
    slope = np.hypot(*np.gradient(distance, line[1] - line[0]))
    assert np.median(slope[np.abs(distance) < 0.02]) == pytest.approx(1, abs=0.02)


def test_silhouettes_differ_clearly():
    line = np.linspace(-1.3, 1.3, 101, dtype=np.float32)
    x, y = np.meshgrid(line, line)
    inside = {shape: signed_distance(shape, x, y) <= 0 for shape in SHAPES}
    for first in SHAPES:
        for second in SHAPES:
            if first != second:
                overlap = (inside[first] & inside[second]).sum() / (inside[first] | inside[second]).sum()
                assert overlap < 0.85, (first, second)


def test_wrong_settings_are_refused():
    with pytest.raises(ConfigError, match="num_objects"):
        sample_scene(0, num_objects=(3, 2))
    with pytest.raises(DataError, match="negative"):
        sample_scene(-1)
    with pytest.raises(DataError, match="from 0 to"):
        World.sample(0, num_frames=200, fps=24.0)
    with pytest.raises(DataError, match="num_frames"):
        frame_times(1.0, num_frames=None)
