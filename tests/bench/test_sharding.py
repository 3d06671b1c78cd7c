import pytest

from sama_video.bench.sharding import Shard, launched
from sama_video.errors import ConfigError

VIDEOS = [f"mevis/{number:04x}" for number in range(200)]


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_each_video_is_in_exactly_one_part(count: int) -> None:
    for video in VIDEOS:
        assert sum(Shard(index, count).holds(video) for index in range(count)) == 1


def test_the_parts_are_of_about_the_same_size() -> None:
    sizes = [sum(Shard(index, 4).holds(video) for video in VIDEOS) for index in range(4)]
    assert min(sizes) > 30


def test_pieces_of_a_part_are_parts_of_the_whole() -> None:
    part = Shard(1, 3)
    pieces = [part.piece(index, 4) for index in range(4)]
    for video in VIDEOS:
        assert sum(piece.holds(video) for piece in pieces) == part.holds(video)


def test_the_hash_is_the_same_everywhere() -> None:
    # Pinned: shards of one run are answered on several machines.
    assert [video for video in VIDEOS[:12] if Shard(0, 3).holds(video)] == [
        "mevis/0000",
        "mevis/0007",
        "mevis/0008",
        "mevis/000a",
    ]


@pytest.mark.parametrize("text", ["3", "1/0", "a/b", "-1/2", "1/2/3", ""])
def test_what_is_no_part_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="write 0/4 for the first of four parts"):
        Shard.parse(text)


def test_parts_count_from_0() -> None:
    with pytest.raises(ConfigError, match="2/2 does not exist; parts count from 0, so of 2 the last is 1/2"):
        Shard.parse("2/2")


def test_torchrun_tells_the_part_and_the_device() -> None:
    assert launched({"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}) == (Shard(5, 8), 1)
    assert launched({"RANK": "5", "WORLD_SIZE": "8"}) == (Shard(5, 8), 5)
    assert launched({}) == (Shard(0, 1), None)
    with pytest.raises(ConfigError, match="torchrun"):
        launched({"RANK": "first", "WORLD_SIZE": "8"})
