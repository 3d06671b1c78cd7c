"""When the next request may go out: rate limits, waits after errors, and how long to be patient."""

import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

Clock = Callable[[], float]
"""Seconds from any fixed moment, never going back."""

Sleep = Callable[[float], object]

DEFAULT_RETRIES: Mapping[str, int] = MappingProxyType(
    {"timeout": 2, "rate_limited": 8, "server_error": 5, "cut": 4, "nonsense": 2}
)


@dataclass(frozen=True)
class Patience:
    """How often and how long one request is tried.

    Attributes:
        retries: Further attempts after an error of each kind; a kind that is not named is never tried again.
        first_wait_seconds: Wait after the first error; doubled each time, up to `longest_wait_seconds`.
        attempt_seconds: Longest that one attempt may take, from sending to the last byte.
        total_seconds: Longest that one request may take, waits included.
    """

    retries: Mapping[str, int] = field(default_factory=lambda: DEFAULT_RETRIES)
    first_wait_seconds: float | int = 1.0
    longest_wait_seconds: float | int = 60.0
    attempt_seconds: float | int = 120.0
    total_seconds: float | int = 900.0

    def wait_seconds(self, num_errors: int, retry_after: float | int | None, rng: random.Random) -> float:
        """How long to wait after the latest of so many errors.

        What the server asks for is honoured in full. Otherwise the wait doubles, and a random part of its upper half is
        left out, so that many callers who failed together do not come back together.
        """
        if retry_after is not None:
            return retry_after
        longest = min(self.longest_wait_seconds, self.first_wait_seconds * 2.0 ** min(num_errors - 1, 30))
        return longest * (0.5 + 0.5 * rng.random())


class Pace:
    """Spreads requests evenly, so that no minute holds more requests or tokens than allowed.

    Args:
        requests_per_minute: None for no limit.
        tokens_per_minute: Of prompts and longest replies together; None for no limit.
    """

    def __init__(
        self,
        requests_per_minute: float | int | None = None,
        tokens_per_minute: float | int | None = None,
        *,
        clock: Clock,
    ) -> None:
        self._seconds_per_request = 60.0 / requests_per_minute if requests_per_minute else 0.0
        self._seconds_per_token = 60.0 / tokens_per_minute if tokens_per_minute else 0.0
        self._clock = clock
        self._lock = threading.Lock()
        self._free_at = clock()

    def take_turn(self, tokens: int) -> float:
        """Claim the next place in the queue; the seconds to wait for it."""
        with self._lock:
            now = self._clock()
            start = max(now, self._free_at)
            self._free_at = start + max(self._seconds_per_request, tokens * self._seconds_per_token)
            return start - now

    def hold(self, seconds: float | int) -> None:
        """Let nobody go for so long: a server that is overrun is overrun for everybody."""
        with self._lock:
            self._free_at = max(self._free_at, self._clock() + seconds)
