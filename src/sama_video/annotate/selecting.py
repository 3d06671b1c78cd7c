"""Select: which clips and objects are worth asking about, decided over all of them together.

The same clips give the same choice, in whatever order and by however many workers they were probed: of clips that look
alike the one whose name comes first stays.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import Final

from sama_video.annotate.probing import BITS_PER_FRAME, HASHED_FRAMES
from sama_video.annotate.stages import Dropped, Json, Kept, Result
from sama_video.errors import ConfigError

VERSION: Final = 1
_HASH_BITS: Final = BITS_PER_FRAME * HASHED_FRAMES


@dataclass(frozen=True)
class SelectSettings:
    """What clips and objects have to be like.

    Attributes:
        seconds: Shortest and longest clip.
        most_shots: Between cuts.
        objects: Fewest and most objects that pass what is asked of them; of too many the largest stay.
        object_area: Smallest and largest median share of the picture, over the frames that show the object.
        visible_share: Least share of the frames that show an object.
        visible_frames: Fewest of them.
        least_contrast: Standard deviation of the colours that at least one frame has; below, there is nothing to see.
        duplicate_bits: Clips are duplicates when so many of the 64 bits of each frame's hash differ, on the average, or
            fewer; None keeps them all.
        licences: Patterns such as `CC-BY*`; a clip's licence has to match one of them, if there are any.
        refused_licences: Patterns that no clip's licence may match.
        safety: `module:function`, called with each subject and its opened clip; it returns None, or a short reason for
            which the clip is dropped.
    """

    seconds: tuple[float | int, float | int] = (0.5, 600)
    most_shots: int | None = 3
    objects: tuple[int, int] = (1, 12)
    object_area: tuple[float | int, float | int] = (0.0005, 0.9)
    visible_share: float | int = 0.05
    visible_frames: int = 2
    least_contrast: float | int = 2.0
    duplicate_bits: float | int | None = 2
    licences: tuple[str, ...] = ()
    refused_licences: tuple[str, ...] = ()
    safety: str | None = None

    def __post_init__(self) -> None:
        for name in ("seconds", "objects", "object_area"):
            least, most = getattr(self, name)
            if not 0 <= least <= most:
                raise ConfigError(f"select.{name} is {least} to {most}; give the smaller number first, from 0.")
        if self.duplicate_bits is not None and not 0 <= self.duplicate_bits <= BITS_PER_FRAME // 4:
            raise ConfigError(
                f"select.duplicate_bits is {self.duplicate_bits}; give 0 to {BITS_PER_FRAME // 4}, or null."
            )


def select_all(probed: Mapping[str, Json], settings: SelectSettings) -> dict[str, Result]:
    """What becomes of each subject.

    Args:
        probed: What the probe found out, by subject.
        settings: What is asked for.

    Returns:
        Kept with the objects that stay and why others do not, or dropped.
    """
    results: dict[str, Result] = {name: _select(found, settings) for name, found in sorted(probed.items())}
    kept = [name for name, result in results.items() if isinstance(result, Kept)]
    if settings.duplicate_bits is not None:
        most = int(settings.duplicate_bits * HASHED_FRAMES)
        hashes = {name: int(probed[name]["hash"], 16) for name in kept}
        for name, original in duplicates(hashes, most).items():
            results[name] = Dropped("duplicate", f"looks like {original}")
    return results


def judge_object(stats: Json, settings: SelectSettings) -> str | None:
    """Why an object is not worth asking about; None if it is, or if it is not measured yet."""
    if stats is None:
        return None
    if stats["visible"] < max(1, settings.visible_frames):
        return "hardly_visible"
    if stats["visible"] < settings.visible_share * stats["frames"]:
        return "hardly_visible"
    if stats["area"] < settings.object_area[0]:
        return "too_small"
    return "too_large" if stats["area"] > settings.object_area[1] else None


def choose_objects(objects: Mapping[str, Json], settings: SelectSettings) -> tuple[list[str], dict[str, str]]:
    """Which objects stay, and why the others do not."""
    lost = {name: why for name, stats in objects.items() if (why := judge_object(stats, settings)) is not None}
    stay = [name for name in objects if name not in lost]
    # Those that are not tracked yet have no size; they come after those that have, in their own order.
    by_size = sorted(stay, key=lambda name: -(objects[name] or {}).get("area", 0.0))
    for name in by_size[settings.objects[1] :]:
        lost[name] = "too_many_objects"
    return [name for name in stay if name not in lost], lost


def duplicates(hashes: Mapping[str, int], most_bits: int) -> dict[str, str]:
    """Names that look like an earlier one that stays, each with that one.

    Two hashes that differ in few bits are equal in at least one of a few more bands of bits, so only those that share a
    band are compared.
    """
    found: dict[str, str] = {}
    buckets: dict[tuple[int, int], list[str]] = defaultdict(list)
    for name in sorted(hashes):
        bands = list(_bands(hashes[name], most_bits + 1))
        near = {other for band in bands for other in buckets[band]}
        alike = [other for other in near if (hashes[name] ^ hashes[other]).bit_count() <= most_bits]
        if alike:
            found[name] = min(alike)
            continue
        for band in bands:
            buckets[band].append(name)
    return found


def _bands(value: int, count: int) -> Iterator[tuple[int, int]]:
    edges = [place * _HASH_BITS // count for place in range(count + 1)]
    for number, (begin, end) in enumerate(pairwise(edges)):
        yield number, (value >> begin) & ((1 << (end - begin)) - 1)


def _select(found: Json, settings: SelectSettings) -> Result:
    shortest, longest = settings.seconds
    if found["seconds"] < shortest or found["seconds"] > longest:
        return Dropped("too_short" if found["seconds"] < shortest else "too_long", f"{found['seconds']:g} s")
    shots = len(found["cuts"]) + 1
    if settings.most_shots is not None and shots > settings.most_shots:
        return Dropped("too_many_shots", f"{shots} shots")
    if found["contrast"] < settings.least_contrast:
        return Dropped("nothing_to_see", f"contrast {found['contrast']:g}")
    if not allowed_licence(found["licence"], settings.licences, settings.refused_licences):
        return Dropped("licence", found["licence"])
    stay, lost = choose_objects(found["objects"], settings)
    if len(stay) < settings.objects[0]:
        told = ", ".join(f"{name} {why}" for name, why in lost.items())
        return Dropped("too_few_objects", f"{len(stay)} left{f' ({told})' if told else ''}")
    return Kept({"things": stay, "lost": lost})


def allowed_licence(licence: str, wanted: Sequence[str], refused: Sequence[str]) -> bool:
    """Whether a licence matches what is wanted and nothing that is refused; letters' case does not count.

    >>> allowed_licence("CC-BY-4.0", ["cc-by-*"], ["*-NC-*"])
    True
    """
    text = licence.casefold()
    if any(fnmatchcase(text, pattern.casefold()) for pattern in refused):
        return False
    return not wanted or any(fnmatchcase(text, pattern.casefold()) for pattern in wanted)
