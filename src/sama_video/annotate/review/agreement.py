"""How far two reviewers agree: percent and Cohen's kappa over samples, and over turns by kind, with 95 % intervals.

A sample is accepted, fixed or rejected. So is each of its turns and descriptions: in a fix, what was left as it was is
accepted, what was changed is fixed, what was taken out is rejected. Intervals are over clips, as turns of one clip
resemble each other.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
from jaxtyping import Float

from sama_video.annotate.drafts import Draft
from sama_video.annotate.review.decisions import VERDICTS, Decision, Verdict
from sama_video.annotate.stages import Json
from sama_video.metrics.intervals import Interval, Statistic, interval

SAMPLES: Final = "samples"
TURNS: Final = "turns and descriptions"
DESCRIPTIONS: Final = "object descriptions"

_KINDS: Final = len(VERDICTS)


@dataclass(frozen=True)
class AgreementRow:
    """How far two reviewers agree on one kind of thing.

    Attributes:
        reviewers: The two.
        what: `samples`, `turns and descriptions`, `object descriptions`, or a kind of turn.
        clips, items: That both looked at.
        same: Share on which they decided alike.
        kappa: Cohen's; without a value where both decided the same of everything, so that chance alone would agree.
    """

    reviewers: tuple[str, str]
    what: str
    clips: int
    items: int
    same: Interval
    kappa: Interval

    def to_json(self) -> dict[str, Json]:
        """As a report has it."""
        return {
            "reviewers": list(self.reviewers),
            "what": self.what,
            "clips": self.clips,
            "items": self.items,
            "same": [self.same.value, self.same.low, self.same.high],
            "kappa": [self.kappa.value, self.kappa.low, self.kappa.high],
        }


def reviewer_agreement(decisions: Sequence[Decision], seen: Mapping[str, Draft]) -> tuple[AgreementRow, ...]:
    """Agreement of each two reviewers that looked at the same samples.

    Args:
        decisions: About what is in `seen`, at most one by each reviewer of each sample.
        seen: The texts as reviewers saw them, by sample.
    """
    by_reviewer: dict[str, dict[str, Decision]] = defaultdict(dict)
    for one in decisions:
        by_reviewer[one.reviewer][one.sample] = one
    return tuple(
        row
        for a, b in combinations(sorted(by_reviewer), 2)
        for row in _pair_rows((a, b), by_reviewer[a], by_reviewer[b], seen)
    )


def agreement_lines(rows: Sequence[AgreementRow]) -> list[str]:
    """A table in Markdown; nothing where no two reviewers looked at the same sample."""
    if not rows:
        return []
    lines = ["| reviewers | of | clips | items | agree | Cohen's kappa |", "| --- | --- | --- | --- | --- | --- |"]
    for row in rows:
        names = " and ".join(_plain(name) for name in row.reviewers)
        same, kappa = _shown(row.same, 100, "%"), _shown(row.kappa, 1, "")
        lines.append(f"| {names} | {row.what} | {row.clips} | {row.items} | {same} | {kappa} |")
    return lines


def verdicts_of(decision: Decision, draft: Draft) -> dict[tuple[str, str], Verdict]:
    """What a decision says of each turn and description: kind and place, and the verdict."""
    kept: dict[tuple[str, str], object] = {}
    if decision.draft is not None:
        turns = zip(decision.places, decision.draft.turns, strict=True)
        kept = {("turn", str(place)): turn for place, turn in turns}
        kept |= {("description", name): text for name, text in decision.draft.descriptions.items()}
    verdicts: dict[tuple[str, str], Verdict] = {}
    for kind, key, original in _items(draft):
        place = ("description" if kind == DESCRIPTIONS else "turn", key)
        if decision.draft is None:
            verdicts[kind, key] = decision.verdict
        elif place not in kept:
            verdicts[kind, key] = "reject"
        else:
            verdicts[kind, key] = "accept" if kept[place] == original else "fix"
    return verdicts


def _items(draft: Draft) -> Iterator[tuple[str, str, object]]:
    """Kind, place and content of everything that a reviewer decides about."""
    for place, turn in enumerate(draft.turns, start=1):
        yield turn.task, str(place), turn
    for name, text in draft.descriptions.items():
        yield DESCRIPTIONS, name, text


def _pair_rows(
    names: tuple[str, str], a: Mapping[str, Decision], b: Mapping[str, Decision], seen: Mapping[str, Draft]
) -> Iterator[AgreementRow]:
    """Rows of two reviewers: all samples, all texts, and the texts of each kind."""
    tables: dict[str, dict[str, Float[np.ndarray, " cells"]]] = defaultdict(dict)
    for sample in sorted(set(a) & set(b) & set(seen)):
        _count(tables[SAMPLES], sample, [(a[sample].verdict, b[sample].verdict)])
        ours, theirs = verdicts_of(a[sample], seen[sample]), verdicts_of(b[sample], seen[sample])
        for place, verdict in ours.items():
            _count(tables[TURNS], sample, [(verdict, theirs[place])])
            _count(tables[place[0]], sample, [(verdict, theirs[place])])
    for what in (SAMPLES, TURNS, *sorted(set(tables) - {SAMPLES, TURNS})):
        if tables[what]:
            yield _row(names, what, tables[what])


def _count(
    table: dict[str, Float[np.ndarray, " cells"]], sample: str, pairs: Iterable[tuple[Verdict, Verdict]]
) -> None:
    cells = table.setdefault(sample, np.zeros(_KINDS * _KINDS))
    for a, b in pairs:
        cells[VERDICTS.index(a) * _KINDS + VERDICTS.index(b)] += 1


def _row(names: tuple[str, str], what: str, table: Mapping[str, Float[np.ndarray, " cells"]]) -> AgreementRow:
    clips = tuple(sorted(table))
    parts = np.stack([table[clip] for clip in clips])
    same, kappa = (interval(Statistic(clips, parts, combine)) for combine in (share_alike, cohens_kappa))
    return AgreementRow(names, what, len(clips), int(parts.sum()), same, kappa)


def share_alike(cells: np.ndarray) -> np.ndarray:
    """Share of items on the diagonal of flattened tables of verdicts; NaN for an empty table."""
    table = cells.reshape(*cells.shape[:-1], _KINDS, _KINDS)
    return _over(np.asarray(np.trace(table, axis1=-2, axis2=-1)), np.asarray(table.sum(axis=(-2, -1))))


def cohens_kappa(cells: np.ndarray) -> np.ndarray:
    """Agreement beyond chance, as a share of what is beyond chance; NaN where chance alone agrees on everything.

    >>> round(float(cohens_kappa(np.array([20.0, 0, 5, 0, 0, 0, 10, 0, 15]))), 6)
    0.4
    """
    table = cells.reshape(*cells.shape[:-1], _KINDS, _KINDS)
    total = np.asarray(table.sum(axis=(-2, -1)))
    by_chance = np.asarray((table.sum(axis=-1) * table.sum(axis=-2)).sum(axis=-1))
    expected = _over(by_chance, np.asarray(total**2))
    return _over(np.asarray(share_alike(cells) - expected), np.asarray(1 - expected))


def _over(upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    result = np.full(np.shape(lower), np.nan)
    np.divide(upper, lower, out=result, where=np.abs(lower) > 1e-12)
    return result


def _shown(found: Interval, scale: float | int, unit: str) -> str:
    if found.value is None:
        return "not defined"
    digits = 1 if scale > 1 else 2
    text = f"{found.value * scale:.{digits}f}{unit}"
    if found.low is None or found.high is None:
        return text
    return f"{text} [{found.low * scale:.{digits}f}, {found.high * scale:.{digits}f}]"


def _plain(name: str) -> str:
    return " ".join(name.split()).replace("|", "/")
