"""Rows -> measures: means over questions and over videos, rates, by subset and by turn.

A figure is reported with the weights it was made with: `miou` is a mean over videos, `miou (questions)` a mean over
questions. Every row says which video it belongs to, because a bootstrap draws videos.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from sama_video.bench.task import Measure, Mode, Row, ScoreTools
from sama_video.metrics.intervals import Statistic, mean_over_clusters, mean_over_questions, ratio

BY_QUESTION = " (questions)"
"""What the name of a mean over questions ends with where the mean over videos stands beside it."""

NO_ROWS = "no question has a value"
NOT_JUDGED = "no judge has scored these answers; run sama bench judge, then score with --judge"

Build = Callable[[Sequence[Row], str], Iterable[Measure]]
"""Measures of some rows, reported under a subset's name."""


def mean(rows: Sequence[Row], key: str, mode: Mode, *, subset: str = "", name: str = "") -> Measure:
    """Mean of a value over the questions that have it."""
    return _figure(name or key, mode, subset, rows, mean_over_questions, [row.values.get(key) for row in rows])


def mean_over_videos(rows: Sequence[Row], key: str, mode: Mode, *, subset: str = "", name: str = "") -> Measure:
    """Mean over videos of the mean over each video's questions."""
    return _figure(name or key, mode, subset, rows, mean_over_clusters, [row.values.get(key) for row in rows])


def rate(
    rows: Sequence[Row],
    above: str,
    below: str | Sequence[str],
    mode: Mode,
    *,
    name: str,
    subset: str = "",
    times: float | int = 1,
) -> Measure:
    """Sum of one figure over the sum of others, times a factor: a recall, a cIoU, an F1 as 2 tp / (g + p).

    It is 0 where the lower sum is, as every benchmark here has it.
    """
    if not rows:
        return Measure(name, mode, subset, missing=NO_ROWS)
    keys = (below,) if isinstance(below, str) else tuple(below)
    bottoms = [sum(row.sums[key] for key in keys) for row in rows]
    tops = [times * row.sums[above] for row in rows]
    return Measure(name, mode, subset, ratio(videos_of(rows), tops, bottoms, empty=0.0))


def share(rows: Sequence[Row], counts: Callable[[Row], bool], mode: Mode, *, name: str, subset: str = "") -> Measure:
    """Share of the questions of which something holds."""
    return _figure(name, mode, subset, rows, mean_over_questions, [float(counts(row)) for row in rows])


def plain(name: str, value: float, mode: Mode, *, subset: str = "", unit: str = "fraction") -> Measure:
    """A figure that no bootstrap is made for, such as a COCO average precision."""
    return Measure(name, mode, subset, value=value, unit=unit)


def judged(
    rows: Sequence[Row],
    dimension: str,
    mode: Mode,
    tools: ScoreTools,
    *,
    subset: str = "",
    unit: str = "fraction",
    over_videos: bool = False,
) -> Measure:
    """Mean of a judge's scores over the answers that it scored; those that it could not score are left out, not 0."""
    if tools.judge is None:
        return Measure(dimension, mode, subset, unit=unit, missing=NOT_JUDGED)
    scores = [tools.judge.get(row.sample_id, {}).get(dimension) for row in rows]
    if all(score is None for score in scores):
        return Measure(dimension, mode, subset, unit=unit, missing=f"{tools.judge_name} scored none of these answers")
    statistic = (mean_over_clusters if over_videos else mean_over_questions)(videos_of(rows), scores)
    return Measure(dimension, mode, subset, statistic, unit=unit)


def judged_counts(rows: Sequence[Row], tools: ScoreTools) -> dict[str, int]:
    """How many answers the judge scored, and how many not."""
    scored = sum(bool((tools.judge or {}).get(row.sample_id)) for row in rows)
    return {"scored": scored, "unscored": len(rows) - scored}


def missing(names: Iterable[str], mode: Mode, why: str, *, subset: str = "") -> tuple[Measure, ...]:
    """Figures that cannot be had, with the reason."""
    return tuple(Measure(name, mode, subset, missing=why) for name in names)


def with_subsets(rows: Sequence[Row], build: Build) -> tuple[Measure, ...]:
    """Measures over all rows, then those of each subset where there is more than one."""
    return (*build(rows, ""), *_of_groups(_grouped(rows, lambda row: row.subset), build))


def by_turn(rows: Sequence[Row], build: Build) -> tuple[Measure, ...]:
    """Measures of each position in the dialogue, as subsets `turn 1`, `turn 2`, ..., where there is more than one."""
    groups = _grouped(rows, lambda row: f"turn {row.turn_idx + 1}")
    ordered = {name: groups[name] for name in sorted(groups, key=lambda name: int(name.split()[1]))}
    return tuple(_of_groups(ordered, build))


def by_video(rows: Sequence[Row]) -> Mapping[str, Sequence[Row]]:
    """Rows of each video, in the order the videos come up."""
    return _grouped(rows, lambda row: row.video)


def videos_of(rows: Sequence[Row]) -> tuple[str, ...]:
    """Each row's video: what is drawn in a bootstrap."""
    return tuple(row.video for row in rows)


def _figure(
    name: str,
    mode: Mode,
    subset: str,
    rows: Sequence[Row],
    statistic: Callable[[tuple[str, ...], Sequence[float | None]], Statistic],
    values: Sequence[float | None],
) -> Measure:
    if not any(value is not None for value in values):
        return Measure(name, mode, subset, missing=NO_ROWS)
    return Measure(name, mode, subset, statistic(videos_of(rows), values))


def _of_groups(groups: Mapping[str, Sequence[Row]], build: Build) -> Iterable[Measure]:
    if len(groups) < 2:
        return ()
    return (measure for name, rows in groups.items() for measure in build(rows, name))


def _grouped(rows: Sequence[Row], key: Callable[[Row], str]) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups
