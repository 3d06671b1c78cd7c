import random

import pytest

from sama_video.annotate.publish.balancing import (
    BalanceSettings,
    SplitSettings,
    Weighed,
    split_videos,
    within_shares,
    within_sources,
)
from sama_video.errors import ConfigError

VIDEOS = [f"video {number}" for number in range(200)]


def test_split_follows_from_the_videos_and_the_seed_alone() -> None:
    shuffled = random.Random(1).sample(VIDEOS, len(VIDEOS))
    parts = split_videos(VIDEOS, SplitSettings(0.2, 3))
    assert split_videos(shuffled, SplitSettings(0.2, 3)) == parts
    assert 20 < sum(part == "test" for part in parts.values()) < 60
    assert split_videos(VIDEOS, SplitSettings(0.2, 4)) != parts


def test_a_video_stays_in_its_part_when_others_come_or_go() -> None:
    parts = split_videos(VIDEOS, SplitSettings(0.2))
    fewer = split_videos(VIDEOS[::2], SplitSettings(0.2))
    assert all(parts[video] == part for video, part in fewer.items())


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_each_part_gets_a_video_where_there_are_two(share: float) -> None:
    for seed in range(20):
        assert set(split_videos(["a", "b"], SplitSettings(share, seed)).values()) == {"train", "test"}
    assert set(split_videos(["a", "b"], SplitSettings(0)).values()) == {"train"}


def test_of_a_full_source_the_same_clips_stay_in_any_order() -> None:
    sources = {f"clip{number}": "a" if number % 3 else "b" for number in range(30)}
    out = within_sources(sources, BalanceSettings(clips_per_source=5), seed=0)
    assert len(out) == 20
    turned = dict(reversed(sources.items()))
    assert within_sources(turned, BalanceSettings(clips_per_source=5), seed=0) == out
    assert set(out.values()) == {"source_is_full"}
    assert within_sources(sources, BalanceSettings(), seed=0) == {}


def test_no_task_keeps_more_than_the_largest_share() -> None:
    records = [Weighed(f"r{number}", "referring" if number < 90 else "dialogue", 2) for number in range(120)]
    out = within_shares(records, BalanceSettings(largest_share=0.6), seed=0)
    left = [record for record in records if record.record_id not in out]
    turns = {task: sum(one.turns for one in left if one.task == task) for task in ("referring", "dialogue")}
    assert turns["dialogue"] == 60
    assert turns["referring"] == 90
    assert within_shares(records[::-1], BalanceSettings(largest_share=0.6), seed=0) == out
    assert within_shares(records, BalanceSettings(), seed=0) == frozenset()


def test_a_share_that_no_choice_can_reach_leaves_all() -> None:
    records = [Weighed(f"r{number}", "dialogue", 2) for number in range(5)]
    assert within_shares(records, BalanceSettings(largest_share=0.5), seed=0) == frozenset()


@pytest.mark.parametrize("settings", [{"largest_share": 0}, {"largest_share": 1.1}, {"clips_per_source": 0}])
def test_impossible_limits_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        BalanceSettings(**settings)  # type: ignore[arg-type]
