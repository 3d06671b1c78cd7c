import random
from itertools import pairwise

import pytest

from sama_video.remote.pace import Pace, Patience


class Watch:
    """A clock that moves only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def starts(pace: Pace, watch: Watch, tokens: list[int]) -> list[float]:
    out = []
    for count in tokens:
        watch.now += (wait := pace.take_turn(count))
        assert wait >= 0
        out.append(watch.now - 100)
    return out


def test_requests_are_spread_over_the_minute() -> None:
    watch = Watch()
    assert starts(Pace(20, None, clock=watch.time), watch, [1] * 4) == pytest.approx([0, 3, 6, 9])


def test_no_minute_holds_more_tokens_than_allowed() -> None:
    watch = Watch()
    tokens = [100, 700, 50, 150, 900, 20]
    moments = starts(Pace(None, 600, clock=watch.time), watch, tokens)
    for count, (begin, end) in zip(tokens, pairwise(moments), strict=False):
        assert end - begin == pytest.approx(count * 60 / 600)


def test_without_limits_nobody_waits() -> None:
    watch = Watch()
    assert starts(Pace(clock=watch.time), watch, [10**6] * 3) == [0, 0, 0]


def test_time_that_passed_is_not_waited_for_again() -> None:
    watch = Watch()
    pace = Pace(20, clock=watch.time)
    pace.take_turn(1)
    watch.now += 2
    assert pace.take_turn(1) == pytest.approx(1)
    watch.now += 100
    assert pace.take_turn(1) == 0


def test_hold_stops_everybody() -> None:
    watch = Watch()
    pace = Pace(clock=watch.time)
    pace.hold(7)
    assert pace.take_turn(1) == pytest.approx(7)


def test_waits_double_up_to_a_limit_and_are_not_all_alike() -> None:
    patience = Patience(first_wait_seconds=1, longest_wait_seconds=10)
    rng = random.Random(0)
    for errors, longest in ((1, 1), (2, 2), (3, 4), (4, 8), (5, 10), (50, 10)):
        waits = [patience.wait_seconds(errors, None, rng) for _ in range(50)]
        assert longest / 2 <= min(waits) < max(waits) <= longest
    assert patience.wait_seconds(1, 33.0, rng) == 33.0
