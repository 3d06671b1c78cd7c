"""Caption metrics of a whole run: rows with texts -> measures and tables (spec bench, 1.5).

The published scripts take each video as a corpus and average over videos; CIDEr of a video with one question is then 0
whatever the answer (Q10). The strict variant takes the whole part as one corpus, and the means of its questions' own
values for intervals. A row's texts are `{"candidate": str, "references": [str, ...]}`, cleaned and cut.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sama_video.bench.measures import BY_QUESTION
from sama_video.bench.task import Json, Measure, Mode, Row
from sama_video.metrics.caption import METRICS, CaptionPair, CaptionScorer, CorpusScores
from sama_video.metrics.intervals import by_key, mean_over_clusters, mean_over_questions

OF_CORPUS: Final = " (corpus)"
"""What the name of a corpus's value ends with where a mean over questions stands beside it."""

BY_ITEM: Final = ("METEOR", "ROUGE_L", "CIDEr", "SPICE")
"""Metrics whose value for one caption means something; BLEU is made for corpora."""

NOT_WANTED: Final = "metrics of captions were not asked for"


@dataclass(frozen=True, eq=False)
class CaptionSummary:
    """Caption metrics of all rows in one mode.

    Attributes:
        tables: `{"total": table, "per_subset": {name: table}}`; a table has `mean_over_videos` and
            `mean_over_questions`, in strict mode also `corpus`, each by mode, and `missing` with reasons.
        values: Each question's own values, in the order of the rows; empty where metrics are missing.
    """

    measures: tuple[Measure, ...]
    tables: Mapping[str, Json]
    values: tuple[Mapping[str, float], ...]


def caption_summary(rows: Sequence[Row], mode: Mode, scorer: CaptionScorer | None) -> CaptionSummary:
    """Score the texts of all rows.

    Args:
        scorer: One for the whole run, so that Java starts once and what is counted in one mode serves the other; None
            reports all metrics as missing.
    """
    pairs = [CaptionPair(str(row.texts["candidate"]), tuple(row.texts["references"])) for row in rows]
    scopes = ({"": list(range(len(rows)))} if rows else {}) | by_key(row.subset for row in rows)
    videos = by_key(row.video for row in rows)
    corpora = list(videos.values()) if mode == "reference" else list(scopes.values())
    if scorer is None:
        missing: Mapping[str, str] = dict.fromkeys(METRICS, NOT_WANTED)
        scores: Sequence[CorpusScores] = [CorpusScores() for _ in corpora]
    else:
        found = scorer.score(pairs, corpora)
        missing, scores = found.missing, found.corpora
    build = _by_video if mode == "reference" else _by_corpus
    return build(rows, scopes, corpora, scores, missing)


def _by_video(
    rows: Sequence[Row],
    scopes: Mapping[str, Sequence[int]],
    corpora: Sequence[Sequence[int]],
    scores: Sequence[CorpusScores],
    missing: Mapping[str, str],
) -> CaptionSummary:
    of_video = {rows[places[0]].video: one.corpus for places, one in zip(corpora, scores, strict=True)}
    known = [name for name in METRICS if all(name in one.corpus for one in scores)]
    values = _by_row(len(rows), corpora, scores)
    measures: list[Measure] = list(_missing(missing, "reference"))
    tables: dict[str, Json] = {}
    for subset, places in scopes.items():
        videos = list(dict.fromkeys(rows[place].video for place in places))
        over_videos = {name: [of_video[video][name] for video in videos] for name in known}
        measures += [
            Measure(name, "reference", subset, mean_over_clusters(videos, found), unit=unit_of(name))
            for name, found in over_videos.items()
        ]
        tables[subset] = {
            "mean_over_videos": {"reference": {name: _mean(found) for name, found in over_videos.items()}},
            "mean_over_questions": {"reference": _means([values[place] for place in places])},
            "missing": dict(missing),
        }
    return CaptionSummary(tuple(measures), _arranged(tables), tuple(values))


def _by_corpus(
    rows: Sequence[Row],
    scopes: Mapping[str, Sequence[int]],
    corpora: Sequence[Sequence[int]],
    scores: Sequence[CorpusScores],
    missing: Mapping[str, str],
) -> CaptionSummary:
    # Each question's own values come from the corpus of all: its words weigh the same in every subset.
    values = [
        {name: value for name, value in row.items() if name in BY_ITEM}
        for row in _by_row(len(rows), corpora[:1], scores[:1])
    ]
    measures: list[Measure] = list(_missing(missing, "strict"))
    tables: dict[str, Json] = {}
    for (subset, places), one in zip(scopes.items(), scores, strict=True):
        own = [values[place] for place in places]
        videos = [rows[place].video for place in places]
        of_videos = [_means([own[at] for at in group]) for group in by_key(videos).values()]
        measures += _strict_measures(subset, one, videos, own)
        tables[subset] = {
            "corpus": {"strict": dict(one.corpus)},
            "mean_over_videos": {"strict": _means(of_videos)},
            "mean_over_questions": {"strict": _means(own)},
            "missing": dict(missing),
        }
    return CaptionSummary(tuple(measures), _arranged(tables), tuple(values))


def _strict_measures(
    subset: str, scores: CorpusScores, videos: Sequence[str], own: Sequence[Mapping[str, float]]
) -> list[Measure]:
    """Values of the corpus, which no bootstrap is made for, and means over questions, which have one."""
    of_corpus = [
        Measure(name + OF_CORPUS if name in BY_ITEM else name, "strict", subset, value=value, unit=unit_of(name))
        for name, value in scores.corpus.items()
    ]
    means = {name: mean_over_questions(videos, [row[name] for row in own]) for name in own[0]}
    return of_corpus + [
        Measure(name + BY_QUESTION, "strict", subset, means[name], unit=unit_of(name)) for name in means
    ]


def _by_row(count: int, corpora: Sequence[Sequence[int]], scores: Sequence[CorpusScores]) -> list[dict[str, float]]:
    values: list[dict[str, float]] = [{} for _ in range(count)]
    for places, one in zip(corpora, scores, strict=True):
        for name, items in one.items.items():
            for place, value in zip(places, items, strict=True):
                values[place][name] = value
    return values


def _missing(missing: Mapping[str, str], mode: Mode) -> tuple[Measure, ...]:
    return tuple(Measure(name, mode, unit=unit_of(name), missing=why) for name, why in missing.items())


def unit_of(metric: str) -> str:
    """CIDEr runs from 0 to 10 and is published times 100 or not; the others are shares of one."""
    return "points" if metric == "CIDEr" else "fraction"


def _arranged(tables: Mapping[str, Json]) -> dict[str, Json]:
    return {"total": tables.get("", {}), "per_subset": {name: table for name, table in tables.items() if name}}


def _means(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: _mean([row[name] for row in rows]) for name in rows[0]}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
