"""How many workers a cluster gets; joining one is tested where work is spread."""

from types import SimpleNamespace
from typing import Any

import pytest

from sama_video.remote.cluster import one_worker_each


def cluster(*nodes: tuple[bool, dict[str, float]]) -> Any:
    alive = [resources for is_alive, resources in nodes if is_alive]
    return SimpleNamespace(
        nodes=lambda: [{"Alive": is_alive, "Resources": resources} for is_alive, resources in nodes],
        cluster_resources=lambda: {"GPU": sum(resources.get("GPU", 0) for resources in alive)},
    )


@pytest.mark.parametrize(
    ("nodes", "count"),
    [
        ([(True, {"CPU": 8.0, "GPU": 4.0}), (True, {"CPU": 8.0})], 4),
        ([(True, {"CPU": 8.0}), (True, {"CPU": 2.0}), (False, {"CPU": 8.0})], 2),
        ([(True, {"CPU": 8.0}), (True, {"memory": 1e9})], 1),
        ([(True, {})], 1),
    ],
    ids=["cards", "machines that live", "a head without processors", "nothing to give"],
)
def test_a_worker_for_each_card_or_else_each_machine(nodes: list[Any], count: int) -> None:
    assert one_worker_each(cluster(*nodes)) == count
