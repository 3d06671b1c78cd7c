from hypothesis import given
from hypothesis import strategies as st

from sama_video.app.server.fair_queue import FairQueue


def taken(queue: FairQueue[str], worker: int = 0) -> list[str]:
    items = []
    while (item := queue.take(worker)) is not None:
        items.append(item)
    return items


def test_clients_take_turns() -> None:
    queue: FairQueue[str] = FairQueue(10)
    for item in ("a1", "a2", "a3", "b1", "b2", "c1"):
        assert queue.put(item[0], item) is None
    assert taken(queue) == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_who_was_served_waits_behind_who_was_not() -> None:
    queue: FairQueue[str] = FairQueue(10)
    queue.put("a", "a1")
    queue.put("b", "b1")
    assert queue.take(0) == "a1"
    queue.put("a", "a2")
    queue.put("c", "c1")
    assert taken(queue) == ["b1", "a2", "c1"]


def test_full_queue_turns_the_newcomer_away() -> None:
    queue: FairQueue[str] = FairQueue(2)
    queue.put("a", "a1")
    queue.put("b", "b1")
    assert queue.put("c", "c1") == "c1"
    assert queue.put("a", "a2") == "a2"
    assert len(queue) == 2


def test_longest_line_gives_way_to_a_newcomer() -> None:
    queue: FairQueue[str] = FairQueue(3)
    for item in ("a1", "a2", "a3"):
        queue.put("a", item)
    assert queue.put("b", "b1") == "a3"
    assert queue.put("b", "b2") == "b2"  # the lines would only change places
    assert taken(queue) == ["a1", "b1", "a2"]


def test_a_worker_prefers_what_it_has_at_hand_and_helps_out() -> None:
    queue: FairQueue[str] = FairQueue(9)
    queue.put("a", "a1", home=0)
    queue.put("b", "b1", home=1)
    queue.put("c", "c1", home=1)
    assert [queue.take(1), queue.take(1), queue.take(1)] == ["b1", "c1", "a1"]


def test_leaving() -> None:
    queue: FairQueue[str] = FairQueue(9)
    queue.put("a", "a1")
    assert queue.remove("a1")
    assert not queue.remove("a1")
    assert (len(queue), queue.take(0)) == (0, None)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 1)), max_size=30), st.integers(1, 8))
def test_nothing_is_lost_and_the_bound_holds(puts: list[tuple[str, int]], bound: int) -> None:
    queue: FairQueue[str] = FairQueue(bound)
    left = []
    for number, (client, home) in enumerate(puts):
        leaving = queue.put(client, f"{client}{number}", home)
        left += [] if leaving is None else [leaving]
        assert len(queue) <= bound
    out = taken(queue)
    assert sorted(out + left) == sorted(f"{client}{number}" for number, (client, _) in enumerate(puts))
    for client in "abc":  # one client's own order is kept
        own = [int(item[1:]) for item in out if item[0] == client and puts[int(item[1:])][1] == 0]
        assert own == sorted(own)
