"""Balance and split: which records go into the data set, and which of its videos are kept for testing.

Both follow from the seed and the videos alone: the order of the input and the number of workers change nothing. A video
stays in its part when others are added or left out.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from sama_video.errors import ConfigError

VERSION: Final = 1

Part: TypeAlias = Literal["train", "test"]
PARTS: Final[tuple[Part, ...]] = ("train", "test")


@dataclass(frozen=True)
class BalanceSettings:
    """Limits to what one kind may take.

    Attributes:
        largest_share: Of the turns that one task of records may have; 1 for no limit.
        clips_per_source: Most clips of one source; None for no limit.
    """

    largest_share: float | int = 1.0
    clips_per_source: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.largest_share <= 1:
            raise ConfigError(f"balance.largest_share is {self.largest_share}; give a share above 0, up to 1.")
        if self.clips_per_source is not None and self.clips_per_source < 1:
            raise ConfigError(f"balance.clips_per_source is {self.clips_per_source}; give 1 or more, or null.")


@dataclass(frozen=True)
class SplitSettings:
    """Which videos are kept for testing.

    Attributes:
        test_share: Of the videos, as nearly as chance has it; with any share, each part gets at least one of two or
            more videos.
    """

    test_share: float | int = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.test_share < 1:
            raise ConfigError(f"split.test_share is {self.test_share}; give a share from 0, below 1.")


@dataclass(frozen=True)
class Weighed:
    """A record as balancing sees it."""

    record_id: str
    task: str
    turns: int


def split_videos(videos: Iterable[str], settings: SplitSettings) -> dict[str, Part]:
    """The part of each video.

    Args:
        videos: What tells videos apart, such as the hash of their content; two clips of one video are in one part.
    """
    places = {video: _chance(settings.seed, "split", video) for video in videos}
    parts: dict[str, Part] = {
        video: "test" if place < settings.test_share else "train" for video, place in sorted(places.items())
    }
    if settings.test_share and len(places) > 1:
        by_place = sorted(places, key=lambda video: (places[video], video))
        parts[by_place[0]], parts[by_place[-1]] = "test", "train"
    return parts


def within_sources(sources: Mapping[str, str], settings: BalanceSettings, seed: int) -> dict[str, str]:
    """Subjects that are one too many of their source, each with the reason.

    Args:
        sources: The source of each subject.
    """
    if settings.clips_per_source is None:
        return {}
    groups: dict[str, list[str]] = defaultdict(list)
    for subject_id, source in sources.items():
        groups[source].append(subject_id)
    return {
        subject_id: "source_is_full"
        for members in groups.values()
        for subject_id in _drawn(members, seed, "source")[settings.clips_per_source :]
    }


def within_shares(records: Sequence[Weighed], settings: BalanceSettings, seed: int) -> frozenset[str]:
    """Records that are left out so that no task has more than the largest share of the turns, where that can be.

    Left out are records of the task that has too many, in an order drawn by the seed, until it fits.
    """
    tasks: dict[str, list[Weighed]] = defaultdict(list)
    for record in records:
        tasks[record.task].append(record)
    turns = Counter({task: sum(one.turns for one in members) for task, members in tasks.items()})
    allowed = _allowed(turns, settings.largest_share)
    return frozenset(
        record_id
        for task, members in tasks.items()
        for record_id in _beyond({one.record_id: one.turns for one in members}, allowed.get(task), seed)
    )


def _allowed(turns: Counter[str], share: float | int) -> dict[str, float]:
    """Turns that a task may keep, for tasks that have too many."""
    if share >= 1 or len(turns) * share < 1:
        return {}  # with so few tasks, one must have more
    fixed: dict[str, float] = {}
    for _ in turns:
        free = sum(count for task, count in turns.items() if task not in fixed)
        # With k tasks at the limit, the others' turns are the share 1 - k * share of all.
        left = 1 - share * len(fixed)
        over = [task for task, count in turns.items() if task not in fixed and count > share * free / left + 1e-9]
        if not over:
            break
        fixed[max(over, key=lambda task: turns[task])] = 0.0
    rest = sum(count for task, count in turns.items() if task not in fixed)
    left = 1 - share * len(fixed)
    return dict.fromkeys(fixed, share * rest / left) if left > 1e-9 else {}


def _beyond(turns: Mapping[str, int], most: float | None, seed: int) -> Iterator[str]:
    """Names beyond the limit, in the drawn order; the first one always stays."""
    if most is None:
        return
    total = 0
    for place, name in enumerate(_drawn(list(turns), seed, "share")):
        total += turns[name]
        if place and total > most + 1e-9:
            yield name


def _drawn(names: Sequence[str], seed: int, what: str) -> list[str]:
    return sorted(names, key=lambda name: (_chance(seed, what, name), name))


def _chance(seed: int, what: str, name: str) -> float:
    """A number from 0 to 1 that belongs to a name."""
    found = hashlib.sha256(f"{seed} {what} {name}".encode()).digest()
    return int.from_bytes(found[:8], "big") / 2**64
