"""Bootstrap over clusters: how sure a mean, a rate or any smooth function of sums is.

Every figure here is a function of sums over clusters (videos): a mean is sum / count, a recall is hits / targets, F1
uses three sums, a mean over types one pair of sums for each type. So one resampling serves all: draw clusters with
replacement, add up their parts, apply the function. Questions about one video resemble each other; drawing questions
instead would make every interval too narrow.
"""

import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias, TypeVar

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

RESAMPLES: Final = 2000
_AT_A_TIME: Final = 500  # keeps the table of counts small for sets of many thousand pictures

Key = TypeVar("Key", bound=Hashable)

Combine: TypeAlias = Callable[[np.ndarray], np.ndarray]
"""From sums [..., parts] to figures [...]; NaN where there is none."""

Values: TypeAlias = Sequence[float | int | None]
"""One a question; None and NaN where the question has none, which leaves it out."""


@dataclass(frozen=True, eq=False)
class Statistic:
    """A figure over clusters.

    Attributes:
        clusters: Name of each cluster, distinct.
        parts: What each cluster adds to the sums.
        combine: The figure from the sums.
    """

    clusters: tuple[str, ...]
    parts: Float[np.ndarray, "clusters parts"]
    combine: Combine


@dataclass(frozen=True)
class Interval:
    """A figure and the range that holds 95 % of its resamples.

    `value` is None where there is no figure, such as a mean of nothing; `low` and `high` also where there are fewer
    than two clusters, because resampling a single one says nothing.
    """

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class PairedInterval:
    """How much a figure of one run exceeds that of another, on the clusters that both have.

    Attributes:
        value: Figure of the first less that of the second.
        low, high: The range that holds 95 % of the resampled differences.
        share: Twice the share of resamples on the far side of 0, at most 1: read it as a two-sided p-value. It is never
            0, as one resample more might have fallen there.
        clusters: How many clusters are shared.
    """

    value: float | None
    low: float | None
    high: float | None
    share: float | None
    clusters: int


def interval(statistic: Statistic, *, resamples: int = RESAMPLES, seed: int = 0, level: float = 0.95) -> Interval:
    """The figure and its percentile bootstrap interval over clusters.

    Resamples without a figure, such as those that drew no video with a target, are left out.
    """
    value = _number(_figure(statistic))
    if value is None or len(statistic.clusters) < 2:
        return Interval(value, None, None)
    counts = _draws(len(statistic.clusters), resamples, seed)
    low, high = _range(np.concatenate([statistic.combine(drawn @ statistic.parts) for drawn in counts]), level)
    return Interval(value, low, high)


def paired_interval(
    a: Statistic, b: Statistic, *, resamples: int = RESAMPLES, seed: int = 0, level: float = 0.95
) -> PairedInterval:
    """The difference of two runs' figures; each resample draws the same clusters for both.

    Both figures are taken over the shared clusters only, so `value` may differ from the difference of what each run
    reports by itself.
    """
    shared = sorted(set(a.clusters) & set(b.clusters))
    a, b = restrict(a, shared), restrict(b, shared)
    value = _number(_figure(a) - _figure(b))
    if value is None or len(shared) < 2:
        return PairedInterval(value, None, None, None, len(shared))
    draws = _draws(len(shared), resamples, seed)
    drawn = [a.combine(counts @ a.parts) - b.combine(counts @ b.parts) for counts in draws]
    differences = np.concatenate(drawn)
    low, high = _range(differences, level)
    return PairedInterval(value, low, high, _far_share(differences), len(shared))


def restrict(statistic: Statistic, clusters: Iterable[str]) -> Statistic:
    """The same figure over some of its clusters, in their order; a name that it lacks is passed over."""
    place = {name: index for index, name in enumerate(statistic.clusters)}
    kept = tuple(name for name in clusters if name in place)
    return Statistic(kept, statistic.parts[[place[name] for name in kept]], statistic.combine)


def mean_over_questions(clusters: Sequence[str], values: Values) -> Statistic:
    """Mean over questions, each counting alike; its interval is still over clusters."""
    names, sums = _sums_by_cluster(clusters, values, [1.0] * len(values))
    return Statistic(names, sums, _first_over_second)


def mean_over_clusters(clusters: Sequence[str], values: Values) -> Statistic:
    """Mean over clusters of each one's mean over its questions."""
    names, sums = _sums_by_cluster(clusters, values, [1.0] * len(values))
    return _mean_of_rows(names, sums[:, 0] / sums[:, 1])


def ratio(clusters: Sequence[str], numerators: Values, denominators: Values, *, empty: float = math.nan) -> Statistic:
    """Sum over sum, resampled together; `empty` is its worth where the lower sum is 0."""
    names, sums = _sums_by_cluster(clusters, numerators, denominators)
    return Statistic(names, sums, partial(_first_over_second, empty=empty))


def mean_of_ratios(
    clusters: Sequence[str], numerators: Values, denominators: Values, *, empty: float = math.nan
) -> Statistic:
    """Mean over clusters of each one's sum over sum.

    A cluster whose lower sum is 0 counts as `empty`; where that is NaN it does not count.
    """
    names, sums = _sums_by_cluster(clusters, numerators, denominators)
    ratios = _first_over_second(sums, empty)
    kept = ~np.isnan(ratios)
    return _mean_of_rows(tuple(name for name, keep in zip(names, kept, strict=True) if keep), ratios[kept])


def mean_of(statistics: Sequence[Statistic]) -> Statistic:
    """Unweighted mean of several figures, resampled together, such as J&F or a mean over types of questions.

    It has a figure only where all of them have one. A cluster that one of them lacks adds nothing to that one.
    """
    names = sorted({name for statistic in statistics for name in statistic.clusters})
    place = {name: row for row, name in enumerate(names)}
    blocks = []
    for statistic in statistics:
        block = np.zeros((len(names), statistic.parts.shape[1]))
        block[[place[name] for name in statistic.clusters]] = statistic.parts
        blocks.append(block)
    widths = [block.shape[1] for block in blocks]
    combine = partial(_mean_of_figures, combines=[statistic.combine for statistic in statistics], widths=widths)
    return Statistic(tuple(names), np.concatenate(blocks, axis=1), combine)


def by_key(keys: Iterable[Key]) -> dict[Key, list[int]]:
    """Positions of each key, keys in the order in which they first come.

    >>> by_key(["a", "b", "a"])
    {'a': [0, 2], 'b': [1]}
    """
    found: dict[Key, list[int]] = {}
    for position, key in enumerate(keys):
        found.setdefault(key, []).append(position)
    return found


def _sums_by_cluster(
    clusters: Sequence[str], first: Values, second: Values
) -> tuple[tuple[str, ...], Float[np.ndarray, "clusters 2"]]:
    """Sums of both columns over each cluster, clusters by name, so that the order of questions does not matter."""
    rows = [
        (name, (float(a), float(b)))
        for name, a, b in zip(clusters, first, second, strict=True)
        if a is not None and b is not None and not math.isnan(a) and not math.isnan(b)
    ]
    groups = by_key(name for name, _ in rows)
    names = sorted(groups)
    sums = [[math.fsum(rows[row][1][column] for row in groups[name]) for column in (0, 1)] for name in names]
    return tuple(names), np.array(sums, dtype=np.float64).reshape(len(names), 2)


def _mean_of_rows(names: tuple[str, ...], values: Float[np.ndarray, " clusters"]) -> Statistic:
    return Statistic(names, np.stack([values, np.ones_like(values)], axis=1), _first_over_second)


def _first_over_second(totals: np.ndarray, empty: float = math.nan) -> np.ndarray:
    upper, lower = totals[..., 0], totals[..., 1]
    result: NDArray[np.float64] = np.full(np.shape(lower), empty, dtype=np.float64)
    np.divide(upper, lower, out=result, where=lower != 0)
    return result


def _mean_of_figures(totals: np.ndarray, combines: Sequence[Combine], widths: Sequence[int]) -> np.ndarray:
    pieces = np.split(totals, np.cumsum(widths)[:-1], axis=-1)
    return np.asarray(np.mean([combine(piece) for combine, piece in zip(combines, pieces, strict=True)], axis=0))


def _figure(statistic: Statistic) -> float:
    return float(statistic.combine(statistic.parts.sum(axis=0)))


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _draws(num_clusters: int, resamples: int, seed: int) -> Iterator[Float[np.ndarray, "resamples clusters"]]:
    """How often each resample drew each cluster."""
    generator = np.random.default_rng(seed)
    shares = np.full(num_clusters, 1.0 / num_clusters)
    for start in range(0, resamples, _AT_A_TIME):
        wanted = min(_AT_A_TIME, resamples - start)
        yield generator.multinomial(num_clusters, shares, size=wanted).astype(np.float64)


def _range(figures: np.ndarray, level: float) -> tuple[float | None, float | None]:
    known = figures[~np.isnan(figures)]
    if known.size == 0:
        return None, None
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _far_share(differences: NDArray[np.float64]) -> float | None:
    known = differences[~np.isnan(differences)]
    if known.size == 0:
        return None
    far = min(np.count_nonzero(known <= 0), np.count_nonzero(known >= 0))
    return float(min(1.0, 2 * (far + 1) / (known.size + 1)))
